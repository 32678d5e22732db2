//! What a relay does to know that rows are on the disk, before it publishes them.

use super::faulty::Full;
use super::*;

/// Publishes rows one by one, each when the one before has left the table; the number of commits of
/// the relay's own.
async fn beats(world: &World, count: usize, commits: impl AsyncFn(Event)) -> i64 {
    let running = Running::start(world.client.relay(world.database.clone()));
    commit(&world.database, &orders(), &[event("a", 0)]).await;
    is_empty(world).await;
    let before = beat(world).await;
    for number in 1..=count {
        commits(event("a", number)).await;
        is_empty(world).await;
    }
    let beats = beat(world).await - before;
    let records = read_count(&world.client, "order-events", count + 1).await;
    assert_eq!(first_by_key(&records)["a"], Vec::from_iter(0..=count));
    assert_eq!(running.stop().await.result(), Ok(()));
    beats
}

async fn is_empty(world: &World) {
    let clock = SystemClock::new();
    while count(&world.database, "outbox").await > 0 {
        let next = clock.now().mono.plus(Duration::from_millis(1));
        clock.sleep_until(next).await;
    }
}

async fn beat(world: &World) -> i64 {
    let mut tx = world.database.begin(Isolation::Snapshot).await.unwrap();
    let select = SqlStatement::new("select beat from outbox_progress");
    tx.query(select).await.unwrap()[0].integer(0).unwrap()
}

const COUNT: usize = 20;
/// Now and then a relay shows that it lives, and looks for rows when there are none.
const OTHERS_MAX: i64 = 5;

#[test]
fn rows_that_this_process_has_synced_cost_the_relay_one_commit() {
    world(|world| async move {
        let here = async |event| commit(&world.database, &orders(), &[event]).await;
        let beats = beats(&world, COUNT, here).await;
        let stores = i64::try_from(COUNT).unwrap();
        assert!((stores..=stores + OTHERS_MAX).contains(&beats), "{beats}");
    });
}

#[test]
fn rows_that_somebody_else_may_not_have_synced_cost_it_two() {
    world(|world| async move {
        let stranger = rusqlite::Connection::open(&world.path).unwrap();
        let unsynced = "pragma synchronous = off";
        stranger.execute_batch(unsynced).unwrap();
        let stranger = tokio::sync::Mutex::new(stranger);
        let elsewhere = async |event| {
            let mut stranger = stranger.lock().await;
            let mut tx = stranger.transaction().unwrap();
            orders().enqueue(&mut tx, &event).await.unwrap();
            tx.commit().unwrap();
        };
        let beats = beats(&world, COUNT, elsewhere).await;
        let both = 2 * i64::try_from(COUNT).unwrap();
        assert!((both..=both + OTHERS_MAX).contains(&beats), "{beats}");
    });
}

#[test]
fn rows_are_not_passed_by_if_the_proof_fails_that_follows_their_reading() {
    world(|world| async move {
        let full = Full::new(world.database.clone());
        let running = Running::start(world.client.relay(full.clone()));
        commit(&world.database, &orders(), &[event("a", 0)]).await;
        is_empty(&world).await;
        full.fill();
        commit(&world.database, &orders(), &[event("a", 1), event("a", 2)]).await;
        let records = read_count(&world.client, "order-events", 3).await;
        assert_eq!(first_by_key(&records)["a"], [0, 1, 2]);
        assert!(!full.is_full(), "the first proof failed");
        assert_eq!(running.stop().await.result(), Ok(()));
    });
}
