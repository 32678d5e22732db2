//! A relay that crashes at each of its steps, and another one that goes on.

use std::collections::HashMap;

use super::faulty::Away;
use super::stepped::{Stepped, Steps};
use super::*;

/// Rows of three keys: of transactions that were committed late and of others that were rolled
/// back, and one that cannot be published.
async fn fill(world: &World, outbox: &Outbox) -> Vec<Event> {
    let events: Vec<Event> = (0..12)
        .map(|number| event(&format!("k{}", number % 3), number))
        .collect();
    let mut late = world.database.begin(Isolation::Write).await.unwrap();
    for (number, event) in events.iter().enumerate() {
        if number % 3 == 0 {
            outbox.enqueue(&mut late, event).await.unwrap();
        } else {
            commit(&world.database, outbox, std::slice::from_ref(event)).await;
        }
        if number % 4 == 0 {
            let mut tx = world.database.begin(Isolation::Write).await.unwrap();
            let never = self::event("k1", 1_000 + number);
            outbox.enqueue(&mut tx, &never).await.unwrap();
            tx.rollback().await.unwrap();
        }
    }
    late.commit().await.unwrap();
    events
}

/// Crashes a relay at a step; `false` if it has no such step.
async fn crash_at(world: &World, table: &str, capturing: Capturing, step: usize) -> bool {
    let steps = Steps::until(step);
    let client = Away::default().client_with(&world.broker, Arc::clone(&steps));
    let database = Stepped::new(&world.database, &steps);
    let relay = relay(&client, database, table, capturing);
    let running = Running::start(relay);
    let has_crashed = tokio::select! {
        () = steps.reached() => true,
        () = is_done(world, table) => false,
    };
    running.crash().await;
    has_crashed
}

/// Waits until every row is published or parked.
async fn is_done(world: &World, table: &str) {
    let text =
        format!("select (select count(*) from {table}), (select count(*) from {table}_parked)");
    loop {
        let mut tx = world.database.begin(Isolation::Snapshot).await.unwrap();
        let rows = tx.query(SqlStatement::new(text.clone())).await.unwrap();
        tx.rollback().await.unwrap();
        if (rows[0].integer(0), rows[0].integer(1)) == (Ok(0), Ok(1)) {
            return;
        }
    }
}

fn relay<D: Database>(client: &Client, database: D, table: &str, capturing: Capturing) -> Relay<D> {
    let relay = client.relay(database).table(table).capture(capturing);
    let relay = relay.max_attempts(1).batch(5, 1 << 20);
    relay.lease(Duration::from_millis(30))
}

/// Crashes a relay at its steps: at one in a few of them, or at each with `HW_OUTBOX_FULL=1`.
async fn whatever_step(world: &World, capturing: Capturing, first: usize) {
    let is_full = std::env::var("HW_OUTBOX_FULL").is_ok_and(|it| it == "1");
    let (mut step, stride) = if is_full { (0, 1) } else { (first, STRIDE) };
    loop {
        let name = format!("{capturing:?}_{step}").to_lowercase();
        let outbox = world.outbox(&name).await;
        let events = fill(world, &outbox).await;
        let missing = Outbox::to("missing").table(&name);
        commit(&world.database, &missing, &[event("k9", 99)]).await;

        let has_crashed = crash_at(world, &name, capturing, step).await;
        let relay = relay(&world.client, world.database.clone(), &name, capturing);
        let running = Running::start(relay);
        let is_there = |records: &[ConsumerRecord]| {
            first_by_key(records).values().map(Vec::len).sum::<usize>() == events.len()
        };
        world.read(&name, is_there).await;
        is_done(world, &name).await;
        assert_eq!(running.stop().await.result(), Ok(()), "{name}");
        check(world, &name, &events).await;
        if !has_crashed {
            break;
        }
        step += stride;
    }
    assert!(step > 30, "{step}");
}

/// Everything that was committed is there, in the order of its key, and nothing else; what is there
/// twice has one id, and is no more than a batch.
async fn check(world: &World, name: &str, events: &[Event]) {
    let records = world.all(name).await;
    let wanted = |first: usize| (first..12).step_by(3).collect::<Vec<_>>();
    let numbers: Vec<Vec<usize>> = first_by_key(&records).into_values().collect();
    assert_eq!(numbers, [0, 1, 2].map(wanted), "{name}");
    let mut ids: HashMap<String, u32> = HashMap::new();
    for record in &records {
        *ids.entry(record.event_id().unwrap().to_string())
            .or_default() += 1;
    }
    assert_eq!(ids.len(), events.len(), "{name}");
    assert!(
        events.iter().all(|it| ids.contains_key(it.id.as_str())),
        "{name}"
    );
    let repeated = ids.values().filter(|count| **count > 1).count();
    assert!(
        repeated <= 5 && ids.values().all(|count| *count <= 2),
        "{name}: {ids:?}"
    );
    let left = world.psql(&format!(
        "select (select count(*) from {name}), (select count(*) from {name}_parked)"
    ));
    assert_eq!(left, "0|1", "{name}");
}

#[test]
fn whatever_step_a_relay_by_snapshot_crashes_at_every_row_is_published_once_more_at_most() {
    world(|world| async move { whatever_step(&world, Capturing::Snapshot, 0).await });
}

#[test]
fn whatever_step_a_relay_by_queue_crashes_at_every_row_is_published_once_more_at_most() {
    world(|world| async move { whatever_step(&world, Capturing::Queue, STRIDE / 2).await });
}

/// No divisor of the number of statements of a batch: so all of them have their turn.
const STRIDE: usize = 7;
