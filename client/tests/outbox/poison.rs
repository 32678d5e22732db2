//! Rows that cannot be published, and the rows behind them.

use highwater_client::{ConfigChange, Router};

use super::*;

fn changed(key: &str, number: usize) -> Event {
    event(key, number)
}

/// What a row of another program looks like that is no event.
async fn insert(database: &Sqlite, key: &str, payload: &str, headers: Option<&str>) {
    let insert = SqlStatement::new(
        "insert into outbox (id, aggregatetype, aggregateid, type, payload, headers) \
         values (randomblob(16), 'order-events', $1, 'order.changed.v1', $2, $3)",
    );
    let insert = insert.bind(key).bind(payload).bind(headers);
    execute(database, insert).await;
}

#[test]
fn the_later_rows_of_a_poisoned_key_wait_behind_it_and_other_keys_go_on() {
    world(|world| async move {
        let outbox = orders();
        commit(
            &world.database,
            &outbox,
            &[changed("a", 0), changed("b", 0)],
        )
        .await;
        insert(&world.database, "a", "1", Some("no JSON")).await;
        commit(
            &world.database,
            &outbox,
            &[changed("a", 2), changed("b", 1)],
        )
        .await;
        let running = Running::start(world.client.relay(world.database.clone()));
        let records = read_count(&world.client, "order-events", 3).await;
        let keys = first_by_key(&records);
        assert_eq!((&keys["a"], &keys["b"]), (&vec![0], &vec![0, 1]));

        // What comes later follows it, too.
        parked_until(&world, &outbox, 1).await;
        commit(
            &world.database,
            &outbox,
            &[changed("a", 3), changed("b", 2)],
        )
        .await;
        read_count(&world.client, "order-events", 4).await;
        let is_behind = |keys: &Vec<ParkedKey>| keys[0].rows == 3;
        let parked = until_parked(&world, &outbox, is_behind).await;
        let [key] = parked.as_slice() else {
            panic!("{parked:?}");
        };
        assert_eq!(
            (key.route.as_str(), key.key.as_str()),
            ("order-events", "a")
        );
        assert_eq!((key.seq, key.attempts), (3, 1));
        let why = "its headers are no object of texts: at byte 0 it should have '{'";
        assert_eq!(key.error, why);

        // Once more: it fails again, and the others stay behind it.
        outbox.retry(&world.database, key).await.unwrap();
        let is_tried = |keys: &Vec<ParkedKey>| keys[0].attempts == 2;
        let parked = until_parked(&world, &outbox, is_tried).await;
        assert_eq!(parked[0].rows, 3);

        // Without it: the others are published, in their order.
        outbox.skip(&world.database, &parked[0]).await.unwrap();
        let records = read_count(&world.client, "order-events", 6).await;
        assert_eq!(first_by_key(&records)["a"], [0, 2, 3]);
        until_parked(&world, &outbox, Vec::is_empty).await;
        commit(&world.database, &outbox, &[changed("a", 4)]).await;
        let records = read_count(&world.client, "order-events", 7).await;
        assert_eq!(first_by_key(&records)["a"], [0, 2, 3, 4]);
        assert_eq!(running.stop().await.result(), Ok(()));

        let error = outbox.skip(&world.database, &parked[0]).await.unwrap_err();
        let why = "the row 3 is not the first one that is parked of the key \"a\" of order-events: \
                   look again";
        assert_eq!(error.to_string(), why);
    });
}

#[test]
fn a_row_that_was_repaired_is_published_before_the_rows_behind_it() {
    world(|world| async move {
        let outbox = orders();
        let limit = ConfigChange::Set("max.message.bytes".to_owned(), "2000".to_owned());
        let admin = world.client.admin();
        admin.alter_topic("order-events", &[limit]).await.unwrap();
        let large = changed("a", 1).data(format!("{:03000}", 1));
        let events = [changed("a", 0), large, changed("a", 2), changed("b", 0)];
        commit(&world.database, &outbox, &events).await;
        let running = Running::start(world.client.relay(world.database.clone()).max_attempts(2));
        let parked = until_parked(&world, &outbox, |keys| keys.len() == 1 && keys[0].rows == 2);
        let parked = parked.await;
        assert_eq!(parked[0].attempts, 2);
        assert!(
            parked[0].error.starts_with("the record takes 3"),
            "{}",
            parked[0].error
        );
        let records = all(&world.client, "order-events").await;
        assert_eq!(first_by_key(&records)["a"], [0]);

        let more = ConfigChange::Set("max.message.bytes".to_owned(), "20000".to_owned());
        admin.alter_topic("order-events", &[more]).await.unwrap();
        outbox.retry(&world.database, &parked[0]).await.unwrap();
        let records = read_count(&world.client, "order-events", 4).await;
        assert_eq!(first_by_key(&records)["a"], [0, 1, 2]);
        assert_eq!(running.stop().await.result(), Ok(()));
    });
}

#[test]
fn a_row_without_a_key_is_parked_alone() {
    world(|world| async move {
        insert(&world.database, "", "1", Some("[]")).await;
        insert(&world.database, "", "2", Some("[]")).await;
        insert(&world.database, "", "3", None).await;
        let outbox = orders();
        let running = Running::start(world.client.relay(world.database.clone()));
        let records = read_count(&world.client, "order-events", 1).await;
        assert_eq!(
            (records[0].key.as_deref(), records[0].value.as_deref()),
            (None, Some(&b"3"[..]))
        );
        let parked = parked_until(&world, &outbox, 2).await;
        assert!(parked.iter().all(|it| it.key.is_empty() && it.rows == 1));
        outbox.skip(&world.database, &parked[1]).await.unwrap();
        let parked = parked_until(&world, &outbox, 1).await;
        assert_eq!(parked[0].seq, 1);
        outbox.retry(&world.database, &parked[0]).await.unwrap();
        let tried = until_parked(&world, &outbox, |keys| keys[0].attempts == 2).await;
        assert_eq!(tried.len(), 1);
        assert_eq!(running.stop().await.result(), Ok(()));
    });
}

#[test]
fn parked_keys_are_known_to_the_next_relay_before_it_publishes() {
    world(|world| async move {
        let outbox = orders();
        insert(&world.database, "a", "0", Some("x")).await;
        let running = Running::start(world.client.relay(world.database.clone()));
        parked_until(&world, &outbox, 1).await;
        assert_eq!(running.stop().await.parked, 1);
        commit(
            &world.database,
            &outbox,
            &[changed("a", 1), changed("b", 1)],
        )
        .await;
        let relay = world.client.relay(world.database.clone());
        let metrics = relay.metrics();
        let running = Running::start(relay);
        until_parked(&world, &outbox, |keys| keys[0].rows == 2).await;
        let records = read_count(&world.client, "order-events", 1).await;
        assert_eq!(records[0].key.as_deref(), Some(&b"b"[..]));
        assert_eq!(metrics.snapshot().parked_keys, 1);
        assert_eq!(running.stop().await.result(), Ok(()));
    });
}

#[test]
fn values_of_every_kind_come_back_out_of_the_parking_place() {
    world(|world| async move {
        let insert = SqlStatement::new(
            "insert into outbox (id, aggregatetype, aggregateid, type, payload, \"partition\") \
             values ($1, 'late', $2, 't', $3, 1)",
        );
        let id: Vec<u8> = (0..16).map(|it| it + 0xf0).collect();
        let payload = vec![0xff, 0x00, 0x7b];
        let insert = insert
            .bind(id.clone())
            .bind("k\"\u{e4}")
            .bind(payload.clone());
        execute(&world.database, insert).await;
        let outbox = Outbox::to("late");
        let router = Router::debezium([
            ("route.topic.replacement", "${routedByValue}"),
            (
                "table.fields.additional.placement",
                "partition:partition,type:header:eventType",
            ),
        ]);
        let relay = world.client.relay(world.database.clone()).max_attempts(1);
        let running = Running::start(relay.router(router.unwrap()));
        let parked = parked_until(&world, &outbox, 1).await;
        let topic = NewTopic::named("late").partitions(2);
        world.client.admin().create_topic(&topic).await.unwrap();
        outbox.retry(&world.database, &parked[0]).await.unwrap();
        let records = read_count(&world.client, "late", 1).await;
        assert_eq!(records[0].value.as_deref(), Some(payload.as_slice()));
        assert_eq!(records[0].key.as_deref(), Some("k\"\u{e4}".as_bytes()));
        assert_eq!(records[0].partition, 1);
        let id = highwater_client::EventId::from(<[u8; 16]>::try_from(id).unwrap());
        assert_eq!(records[0].event_id().unwrap(), id);
        assert_eq!(running.stop().await.result(), Ok(()));
    });
}
