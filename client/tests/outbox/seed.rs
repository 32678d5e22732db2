//! The seed's outbox, defect by defect: with its logic, then with ours.

use highwater_client::{OutboxMetrics, ProducerConfig, Record};

use super::*;

/// The seed's table: no id of the event, only whether it is published.
const SEED_TABLE: &str = "create table seed (n integer primary key, key text, value text, \
                          published integer not null default 0)";

async fn fill_seed(database: &Sqlite, count: usize) {
    execute(database, SqlStatement::new(SEED_TABLE)).await;
    for number in 0..count {
        let insert = SqlStatement::new("insert into seed (key, value) values ($1, $2)")
            .bind(format!("k{}", number % 3))
            .bind(number.to_string());
        execute(database, insert).await;
    }
}

/// The seed's poller, once: every row that is not published, in the order in which the database
/// gives them, sent and marked; the answers are not waited for.
async fn seed_poll(world: &World, topic: &str, order: &str) -> usize {
    let mut tx = world.database.begin(Isolation::Snapshot).await.unwrap();
    let select = format!("select n, key, value from seed where published = 0 {order}");
    let rows = tx.query(SqlStatement::new(select)).await.unwrap();
    drop(tx);
    let config = ProducerConfig::default().max_block_ms(200);
    let producer = world.client.producer(config).unwrap();
    for row in &rows {
        let record = Record::to(topic).key(row.text(1).unwrap().to_owned());
        // Whether it is accepted or stored: nobody looks.
        let sent = producer
            .send(record.value(row.text(2).unwrap().to_owned()))
            .await;
        drop(sent);
        let mark = SqlStatement::new("update seed set published = 1 where n = $1");
        execute(&world.database, mark.bind(row.integer(0).unwrap())).await;
    }
    producer.flush().await;
    rows.len()
}

fn events(count: usize) -> Vec<Event> {
    (0..count)
        .map(|number| event(&format!("k{}", number % 3), number))
        .collect()
}

#[test]
fn seed_s01_a_row_leaves_the_outbox_only_after_a_durable_acknowledgement() {
    world(|world| async move {
        // The seed: the topic is not there, nothing is stored, and everything counts as published.
        fill_seed(&world.database, 3).await;
        assert_eq!(seed_poll(&world, "missing", "").await, 3);
        assert_eq!(seed_poll(&world, "missing", "").await, 0);

        // Ours: the rows wait, parked, and are published when the topic is there.
        let outbox = Outbox::to("missing");
        commit(&world.database, &outbox, &events(3)).await;
        let running = Running::start(world.client.relay(world.database.clone()).max_attempts(1));
        let parked = parked_until(&world, &outbox, 3).await;
        let topic = NewTopic::named("missing").partitions(1);
        world.client.admin().create_topic(&topic).await.unwrap();
        for key in &parked {
            outbox.retry(&world.database, key).await.unwrap();
        }
        let records = read_count(&world.client, "missing", 3).await;
        assert_eq!(first_by_key(&records).len(), 3);
        let summary = running.stop().await;
        assert_eq!((summary.published, summary.parked), (3, 3));
        assert_eq!(summary.result(), Ok(()));
        assert_eq!(count(&world.database, "outbox").await, 0);
        assert_eq!(count(&world.database, "outbox_parked").await, 0);
    });
}

#[test]
fn seed_s02_rows_are_published_in_their_order_in_bounded_batches_by_one_of_many_relays() {
    world(|world| async move {
        // The seed: nobody says in which order rows come; and two instances both publish them.
        fill_seed(&world.database, 30).await;
        seed_poll(&world, "order-events", "order by random()").await;
        let records = read_count(&world.client, "order-events", 30).await;
        let is_sorted = |numbers: &Vec<usize>| numbers.is_sorted();
        assert!(!first_by_key(&records).values().all(is_sorted));

        // Ours.
        let topic = NewTopic::named("ours").partitions(1);
        world.client.admin().create_topic(&topic).await.unwrap();
        let outbox = Outbox::to("ours");
        let relays: Vec<Running> = (0..3)
            .map(|_| Running::start(world.client.relay(world.database.clone()).batch(7, 1 << 20)))
            .collect();
        commit(&world.database, &outbox, &events(100)).await;
        let records = read_count(&world.client, "ours", 100).await;
        let mut published = 0;
        for relay in relays {
            let summary = relay.stop().await;
            published += summary.published;
            assert_eq!(summary.result(), Ok(()));
        }
        assert_eq!(published, 100);
        let wanted = |first: usize| (first..100).step_by(3).collect::<Vec<_>>();
        let keys = first_by_key(&records);
        assert_eq!(
            keys.into_values().collect::<Vec<_>>(),
            [0, 1, 2].map(wanted)
        );
    });
}

#[test]
fn seed_s03_a_commit_wakes_the_relay_in_this_process_and_in_another_one() {
    world(|world| async move {
        // The seed looks every second, whether there is something or not: half a second too late
        // on the average. Ours is woken by the commit: also where looking finds nothing.
        let database = faulty::Blind(world.database.clone());
        let running = Running::start(world.client.relay(database));
        for number in 1..=20 {
            commit(&world.database, &orders(), &events(1)).await;
            read_count(&world.client, "order-events", number).await;
        }
        assert_eq!(running.stop().await.published, 20);

        // And by looking, where nobody tells of the commit: it was another process.
        let other = Sqlite::open(&world.path).await.unwrap();
        let running = Running::start(world.client.relay(world.database.clone()));
        for number in 21..=40 {
            commit(&other, &orders(), &events(1)).await;
            read_count(&world.client, "order-events", number).await;
        }
        assert_eq!(running.stop().await.published, 20);
    });
}

#[test]
fn seed_s04_every_record_has_its_event_id_and_keeps_it() {
    world(|world| async move {
        fill_seed(&world.database, 1).await;
        seed_poll(&world, "order-events", "").await;
        let records = read_count(&world.client, "order-events", 1).await;
        // What the seed's consumer reads of every record.
        let event_id =
            |record: &ConsumerRecord| record.headers.iter().any(|it| it.key == "eventId");
        assert!(!records.iter().any(event_id));
        assert!(records[0].event_id().is_err());

        let topic = NewTopic::named("ours").partitions(1);
        world.client.admin().create_topic(&topic).await.unwrap();
        let events = events(5);
        commit(&world.database, &Outbox::to("ours"), &events).await;
        let envelope = highwater_client::Envelope::new().alias("eventId");
        let router = highwater_client::Router::cloud_events(envelope);
        let running = Running::start(world.client.relay(world.database.clone()).router(router));
        let records = read_count(&world.client, "ours", 5).await;
        assert!(records.iter().all(event_id));
        let read: Vec<Event> = records.iter().map(|it| it.event().unwrap()).collect();
        assert_eq!(read, events);
        assert_eq!(running.stop().await.result(), Ok(()));
    });
}

#[test]
fn seed_s14_the_alarm_is_on_the_age_of_the_oldest_row_not_on_a_count() {
    world(|world| async move {
        // A row of a minute ago, and a broker that takes nothing: the count of 1 alarms nobody.
        commit(&world.database, &orders(), &events(1)).await;
        let age = SqlStatement::new("update outbox set created_at = created_at - 60000");
        execute(&world.database, age).await;
        let away = faulty::Away::default();
        let client = away.client(&world.broker);
        away.set(true);
        let relay = client.relay(world.database.clone());
        let metrics = relay.metrics();
        assert_eq!(metrics.snapshot().oldest_unpublished, None);
        let running = Running::start(relay);
        let is_stuck = |it: &OutboxMetrics| it.is_leader && it.oldest_unpublished.is_some();
        let stuck = until(|| metrics.snapshot(), is_stuck).await;
        let minute = Duration::from_secs(60);
        assert!(stuck.oldest_unpublished >= Some(minute), "{stuck:?}");
        assert_eq!((stuck.pending_rows, stuck.is_leader), (1, true));
        // It goes on growing without a look at the database.
        let later = metrics.snapshot();
        assert!(later.oldest_unpublished > stuck.oldest_unpublished);

        away.set(false);
        let done = until(|| metrics.snapshot(), |it| it.oldest_unpublished.is_none()).await;
        assert_eq!(done.published["order-events"], 1);
        assert_eq!(
            (done.commit_to_publish.count, done.batch_rows.count),
            (1, 1)
        );
        assert!(done.commit_to_publish.sum >= 60.0);
        assert_eq!(running.stop().await.result(), Ok(()));
        assert!(!metrics.snapshot().is_leader);
    });
}
