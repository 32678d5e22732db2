//! Commits that are seen before they are on the disk: `synchronous_commit = off`.
//!
//! PostgreSQL is killed with what it has only in memory. A kill of the machine takes no more, but
//! for what the operating system was told and has not written.

use super::*;

/// A cluster that writes its log late; its tests kill it, so that each has one of its own.
fn world_of_late_writes<F: Future<Output = ()>>(test: impl FnOnce(World) -> F) {
    let settings = "synchronous_commit = off\nwal_writer_delay = 10s\nfsync = off";
    if let Some(cluster) = Cluster::start_with(settings) {
        world_in(Box::leak(Box::new(cluster)), test);
    }
}

/// An order and its event.
async fn order(world: &World, outbox: &Outbox, number: usize) {
    let mut tx = world.database.begin(Isolation::Write).await.unwrap();
    let insert = SqlStatement::new(format!("insert into orders values ({number})"));
    tx.execute(insert).await.unwrap();
    outbox.enqueue(&mut tx, &event("k", number)).await.unwrap();
    tx.commit().await.unwrap();
}

fn power_cut(world: &World) {
    world.cluster.kill();
    world.cluster.restart();
}

fn orders(world: &World) -> Vec<usize> {
    let rows = world.psql("select n from orders order by n");
    rows.lines().map(|row| row.parse().unwrap()).collect()
}

/// Without a relay the last order is lost, if not each time: the cut is one.
async fn a_cut_takes_the_last_order(world: &World, outbox: &Outbox) {
    let mut is_taken = false;
    for number in 1_000..1_020 {
        order(world, outbox, number).await;
        power_cut(world);
        is_taken = !orders(world).contains(&number);
        if is_taken {
            break;
        }
    }
    assert!(is_taken, "no power cut took anything");
}

/// What is published outlives a cut, and the relay goes on after it.
async fn no_event_without_its_order(world: &World, capturing: Capturing) {
    let name = format!("{capturing:?}").to_lowercase();
    let outbox = world.outbox(&name).await;
    world.psql("truncate orders; checkpoint");
    let relay = world.client.relay(world.database.clone()).table(&name);
    let running = Running::start(relay.capture(capturing).lease(Duration::from_millis(100)));
    order(world, &outbox, 0).await;
    world.read_count(&name, 1).await;
    power_cut(world);
    assert_eq!(
        orders(world),
        [0],
        "the order of a published event was undone"
    );

    order(world, &outbox, 1).await;
    let is_there = |records: &[ConsumerRecord]| first_by_key(records)["k"] == [0, 1];
    world.read(&name, |it| !it.is_empty() && is_there(it)).await;
    assert_eq!(running.stop().await.result(), Ok(()));
}

#[test]
fn no_event_is_published_that_a_power_cut_undoes() {
    world_of_late_writes(|world| async move {
        world.psql("create table orders (n int)");
        a_cut_takes_the_last_order(&world, &world.outbox("idle").await).await;
        for capturing in BOTH {
            no_event_without_its_order(&world, capturing).await;
        }
    });
}
