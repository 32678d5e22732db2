//! A relay that crashes at each of its steps, and another one that goes on.

use std::collections::HashMap;

use super::faulty::Away;
use super::stepped::{Stepped, Steps};
use super::*;

/// Rows of three keys, one of which cannot be published; with what was rolled back among them.
async fn fill(world: &World) -> Vec<Event> {
    let events: Vec<Event> = (0..12)
        .map(|number| event(&format!("k{}", number % 3), number))
        .collect();
    for (number, events) in events.chunks(4).enumerate() {
        let mut tx = world.database.begin(Isolation::Write).await.unwrap();
        for event in events {
            orders().enqueue(&mut tx, event).await.unwrap();
        }
        tx.commit().await.unwrap();
        let mut tx = world.database.begin(Isolation::Write).await.unwrap();
        let never = event("k0", 1_000 + number);
        orders().enqueue(&mut tx, &never).await.unwrap();
        tx.rollback().await.unwrap();
    }
    commit(&world.database, &Outbox::to("missing"), &[event("k9", 99)]).await;
    events
}

/// Crashes a relay at a step; `false` if it has no such step.
async fn crash_at(world: &World, step: usize) -> bool {
    let steps = Steps::until(step);
    let client = Away::default().client_with(&world.broker, Arc::clone(&steps));
    let database = Stepped::new(&world.database, &steps);
    let relay = relay(&client, database);
    let metrics = relay.metrics();
    let running = Running::start(relay);
    let done = until(
        || metrics.snapshot(),
        |it| it.parked_keys == 1 && it.oldest_unpublished.is_none(),
    );
    let has_crashed = tokio::select! {
        () = steps.reached() => true,
        _ = done => false,
    };
    running.crash().await;
    has_crashed
}

fn relay<D: Database>(client: &Client, database: D) -> Relay<D> {
    let relay = client.relay(database).max_attempts(1).batch(5, 1 << 20);
    relay.lease(Duration::from_millis(30))
}

#[test]
fn whatever_step_a_relay_crashes_at_every_row_is_published_once_more_at_most() {
    let mut step = 0;
    let mut has_crashed = true;
    while has_crashed {
        world(|world| {
            let has_crashed = &mut has_crashed;
            async move {
                let events = fill(&world).await;
                *has_crashed = crash_at(&world, step).await;
                let running = Running::start(relay(&world.client, world.database.clone()));
                let is_there = |records: &[ConsumerRecord]| {
                    first_by_key(records).values().map(Vec::len).sum::<usize>() == events.len()
                };
                read(&world.client, "order-events", is_there).await;
                parked_until(&world, &Outbox::to("missing"), 1).await;
                assert_eq!(running.stop().await.result(), Ok(()), "{step}");
                check(&world, &events, step).await;
            }
        });
        step += 1;
    }
    assert!(step > 30, "{step}");
}

/// Everything that was committed is there, in the order of its key, and nothing else; what is there
/// twice has one id, and is no more than a batch.
async fn check(world: &World, events: &[Event], step: usize) {
    let records = all(&world.client, "order-events").await;
    let keys = first_by_key(&records);
    let wanted = |first: usize| (first..12).step_by(3).collect::<Vec<_>>();
    let numbers: Vec<Vec<usize>> = keys.into_values().collect();
    assert_eq!(numbers, [0, 1, 2].map(wanted), "{step}");
    let mut ids: HashMap<String, u32> = HashMap::new();
    for record in &records {
        *ids.entry(record.event_id().unwrap().to_string())
            .or_default() += 1;
    }
    assert_eq!(ids.len(), events.len(), "{step}");
    assert!(
        events.iter().all(|it| ids.contains_key(it.id.as_str())),
        "{step}"
    );
    let repeated = ids.values().filter(|count| **count > 1).count();
    assert!(
        repeated <= 5 && ids.values().all(|count| *count <= 2),
        "{step}: {ids:?}"
    );
    assert_eq!(count(&world.database, "outbox").await, 0, "{step}");
    assert_eq!(count(&world.database, "outbox_parked").await, 1, "{step}");
}
