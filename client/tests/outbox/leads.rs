//! Several relays of one table, and brokers and databases that are away.

use super::faulty::Away;
use super::stepped::{Stepped, Steps};
use super::*;

fn numbered(numbers: std::ops::Range<usize>) -> Vec<Event> {
    numbers.map(|number| event("k", number)).collect()
}

#[test]
fn a_relay_that_is_stopped_gives_the_lead_to_the_next_one_at_once() {
    world(|world| async move {
        let hour = Duration::from_secs(3_600);
        for round in 0..3 {
            let relay = world.client.relay(world.database.clone()).lease(hour);
            let running = Running::start(relay);
            let events = numbered(round * 5..(round + 1) * 5);
            commit(&world.database, &orders(), &events).await;
            read_count(&world.client, "order-events", (round + 1) * 5).await;
            let summary = running.stop().await;
            assert_eq!((summary.published, summary.result()), (5, Ok(())));
        }
        let records = all(&world.client, "order-events").await;
        assert_eq!(first_by_key(&records)["k"], (0..15).collect::<Vec<_>>());
        assert_eq!(records.len(), 15);
    });
}

#[test]
fn a_relay_that_crashed_is_replaced_after_its_lease() {
    world(|world| async move {
        let lease = Duration::from_millis(60);
        let relay = || world.client.relay(world.database.clone()).lease(lease);
        let first = Running::start(relay());
        commit(&world.database, &orders(), &numbered(0..3)).await;
        read_count(&world.client, "order-events", 3).await;
        let waiting = relay();
        let metrics = waiting.metrics();
        let second = Running::start(waiting);
        assert!(!metrics.snapshot().is_leader);
        first.crash().await;
        until(|| metrics.snapshot(), |it| it.is_leader).await;
        commit(&world.database, &orders(), &numbered(3..6)).await;
        let records = read(&world.client, "order-events", |records| {
            first_by_key(records)
                .values()
                .any(|numbers| numbers.len() == 6)
        });
        assert_eq!(first_by_key(&records.await)["k"], [0, 1, 2, 3, 4, 5]);
        assert_eq!(second.stop().await.result(), Ok(()));
    });
}

#[test]
fn a_leader_that_waits_for_its_broker_keeps_the_lead_and_one_that_is_gone_loses_it() {
    world(|world| async move {
        // The records are stored, the answer is withheld: it believes that it publishes.
        let lease = Duration::from_millis(60);
        let steps = Steps::until(0);
        let client = Away::default().client_with(&world.broker, Arc::clone(&steps));
        commit(&world.database, &orders(), &numbered(0..2)).await;
        let first = client.relay(world.database.clone()).lease(lease);
        let first_metrics = first.metrics();
        let first = Running::start(first);
        steps.reached().await;
        let second = world.client.relay(world.database.clone()).lease(lease);
        let metrics = second.metrics();
        let second = Running::start(second);
        let beat = async || {
            let mut tx = world.database.begin(Isolation::Snapshot).await.unwrap();
            let select = SqlStatement::new("select beat from outbox_progress");
            tx.query(select).await.unwrap()[0].integer(0).unwrap()
        };
        // For many leases it shows that it lives.
        let now = beat().await;
        while beat().await < now + 12 {
            assert!(first_metrics.snapshot().is_leader && !metrics.snapshot().is_leader);
        }
        first.crash().await;
        until(|| metrics.snapshot(), |it| it.is_leader).await;
        let records = read_count(&world.client, "order-events", 4).await;
        assert_eq!(first_by_key(&records)["k"], [0, 1]);
        let summary = second.stop().await;
        assert_eq!((summary.published, summary.result()), (2, Ok(())));
        assert_eq!(count(&world.database, "outbox").await, 0);
    });
}

#[test]
fn a_leader_that_was_held_up_cannot_move_the_position_of_the_next_one() {
    // Before each of its transactions in turn; the fifth one would store what it has published.
    for step in 0..6 {
        world(|world| async move {
            let steps = Steps::until(step);
            let database = Stepped::begins(&world.database, &steps);
            let lease = Duration::from_millis(30);
            commit(&world.database, &orders(), &numbered(0..2)).await;
            let first = world.client.relay(database).lease(lease);
            let first_metrics = first.metrics();
            let first = Running::start(first);
            steps.reached().await;
            let second = world.client.relay(world.database.clone()).lease(lease);
            let metrics = second.metrics();
            let second = Running::start(second);
            until(|| metrics.snapshot(), |it| it.is_leader).await;
            commit(&world.database, &orders(), &numbered(2..4)).await;
            read(&world.client, "order-events", |it| has_all(it, 4)).await;
            while count(&world.database, "outbox").await > 0 {}
            let before = position(&world.database).await;
            steps.go_on();
            until(|| first_metrics.snapshot(), |it| !it.is_leader).await;
            commit(&world.database, &orders(), &numbered(4..6)).await;
            let records = read(&world.client, "order-events", |it| has_all(it, 6)).await;
            assert_eq!(first_by_key(&records)["k"], [0, 1, 2, 3, 4, 5], "{step}");
            assert!(records.len() <= 8, "{step}");
            assert!(metrics.snapshot().is_leader, "{step}");
            assert!(position(&world.database).await >= before, "{step}");
            assert_eq!(first.stop().await.result(), Ok(()), "{step}");
            assert_eq!(second.stop().await.result(), Ok(()), "{step}");
            assert_eq!(position(&world.database).await, 6, "{step}");
        });
    }
}

fn has_all(records: &[ConsumerRecord], count: usize) -> bool {
    let keys = first_by_key(records);
    keys.values().any(|numbers| numbers.len() == count)
}

async fn position(database: &Sqlite) -> i64 {
    let mut tx = database.begin(Isolation::Snapshot).await.unwrap();
    let select = SqlStatement::new("select position from outbox_progress");
    let rows = tx.query(select).await.unwrap();
    rows[0].text(0).unwrap().parse().unwrap()
}

#[test]
fn an_overtaken_relay_stores_nothing_and_waits_for_the_lead() {
    world(|world| async move {
        // It is held up behind its last statement before a commit; somebody else takes the lead.
        let relay = world.client.relay(world.database.clone());
        let metrics = relay.metrics();
        let running = Running::start(relay.lease(Duration::from_millis(90)));
        until(|| metrics.snapshot(), |it| it.is_leader).await;
        let steal = "update outbox_progress set owner = 'somebody else', beat = beat + 1";
        assert_eq!(execute(&world.database, SqlStatement::new(steal)).await, 1);
        commit(&world.database, &orders(), &numbered(0..3)).await;
        until(|| metrics.snapshot(), |it| !it.is_leader).await;
        // That one is silent: it leads again, and publishes.
        read_count(&world.client, "order-events", 3).await;
        assert_eq!(running.stop().await.result(), Ok(()));
        let records = all(&world.client, "order-events").await;
        assert_eq!(records.len(), 3);
    });
}

#[test]
fn a_broker_that_is_away_parks_nothing() {
    world(|world| async move {
        let away = Away::default();
        away.set(true);
        let client = away.client(&world.broker);
        let config = highwater_client::ProducerConfig::default().max_block_ms(20);
        let relay = client.relay(world.database.clone()).max_attempts(1);
        let relay = relay.producer(config);
        let metrics = relay.metrics();
        let running = Running::start(relay);
        commit(&world.database, &orders(), &numbered(0..5)).await;
        until(|| metrics.snapshot(), |it| it.batch_rows.count >= 1).await;
        away.set(false);
        let records = read_count(&world.client, "order-events", 5).await;
        assert_eq!(first_by_key(&records)["k"], [0, 1, 2, 3, 4]);
        let summary = running.stop().await;
        assert_eq!((summary.published, summary.parked), (5, 0));
        assert_eq!(summary.result(), Ok(()));
    });
}

#[test]
fn a_relay_that_is_stopped_ends_although_broker_and_database_do_not_answer() {
    world(|world| async move {
        commit(&world.database, &orders(), &numbered(0..5)).await;
        for step in [0, 3, 9, 14] {
            let steps = Steps::until(step);
            let database = Stepped::new(&world.database, &steps);
            let client = Away::default().client_with(&world.broker, Arc::clone(&steps));
            let relay = client.relay(database).drain(Duration::from_millis(20));
            let running = Running::start(relay.lease(Duration::from_millis(30)));
            steps.reached().await;
            assert_eq!(running.stop().await.result(), Ok(()), "{step}");
        }
    });
}
