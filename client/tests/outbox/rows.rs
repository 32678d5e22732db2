//! What becomes of a row: of our own, and of one that was written for Debezium.

use highwater_client::sql::SqlTx;
use highwater_client::{Envelope, EventTime, Header, Outgoing, Router, TraceContext};

use super::*;

/// The records of one partition of a topic, relayed by a router.
async fn relayed(world: &World, router: Router, topic: &str, count: usize) -> Vec<ConsumerRecord> {
    let relay = world.client.relay(world.database.clone()).router(router);
    let running = Running::start(relay);
    let records = read_count(&world.client, topic, count).await;
    assert_eq!(running.stop().await.result(), Ok(()));
    records
}

fn header<'a>(record: &'a ConsumerRecord, name: &str) -> Option<&'a Header> {
    record.headers.iter().find(|header| header.key == name)
}

fn text(header: Option<&Header>) -> &str {
    std::str::from_utf8(header.unwrap().value.as_deref().unwrap()).unwrap()
}

#[test]
fn an_event_comes_out_as_it_went_in() {
    world(|world| async move {
        let rich = Event::new("/shop/orders", "order.paid.v1")
            .id("payment-7 \"\u{e4}\"")
            .key("order-42")
            .time(EventTime::from_ms(1_522_942_260_123))
            .subject("order-42")
            .dataschema("/schemas/paid/2")
            .content_type("application/octet-stream")
            .extension("sequence", "7")
            .extension("empty", "")
            .data(vec![0, 159, 146, 150]);
        let plain = Event::new("/shop/orders", "order.shipped.v1").data("");
        let gone = Event::new("/shop/carts", "cart.deleted.v1").key("cart-9");
        let context = TraceContext::root().with_state("vendor=1");
        let envelope = Envelope::new().tombstones();
        let outbox = orders().envelope(envelope.clone());
        let mut tx = world.database.begin(Isolation::Write).await.unwrap();
        let outgoing = Outgoing::of(&rich).header("tenant", "7").partition(2);
        let in_trace = context.scope(outbox.enqueue(&mut tx, outgoing));
        in_trace.await.unwrap();
        outbox.enqueue(&mut tx, &plain).await.unwrap();
        let versioned = Outgoing::of(&gone).key_version(3);
        outbox.enqueue(&mut tx, versioned).await.unwrap();
        tx.commit().await.unwrap();

        let router = Router::cloud_events(envelope.clone());
        let records = relayed(&world, router, "order-events", 3).await;
        let of = |event: &Event| {
            let is_it = |it: &&ConsumerRecord| it.event().unwrap().id == event.id;
            records.iter().find(is_it).unwrap()
        };
        for event in [&rich, &plain, &gone] {
            assert_eq!(of(event).event().unwrap(), *event);
        }
        let record = of(&rich);
        assert_eq!((record.partition, text(header(record, "tenant"))), (2, "7"));
        assert_eq!(record.trace(), Some(context));
        assert_eq!(of(&plain).trace(), None);
        assert_eq!(
            (of(&gone).value.as_ref(), of(&plain).key.as_ref()),
            (None, None)
        );
        // As if it had been sent without an outbox.
        let direct = envelope.record("order-events", &plain).unwrap();
        assert_eq!(of(&plain).headers, direct.headers);
    });
}

#[test]
fn a_transaction_of_rusqlite_takes_events_too() {
    world(|world| async move {
        let mut connection = rusqlite::Connection::open(&world.path).unwrap();
        let mut tx = connection.transaction().unwrap();
        SqlTx::execute(&mut tx, SqlStatement::new("create table state (n)"))
            .await
            .unwrap();
        orders().enqueue(&mut tx, &event("a", 1)).await.unwrap();
        tx.commit().unwrap();
        let mut tx = connection.transaction().unwrap();
        orders().enqueue(&mut tx, &event("a", 2)).await.unwrap();
        drop(tx);
        let records = relayed(&world, Router::default(), "order-events", 1).await;
        assert_eq!(first_by_key(&records)["a"], [1]);
        assert_eq!(all(&world.client, "order-events").await.len(), 1);
        assert_eq!(count(&world.database, "state").await, 0);
    });
}

#[test]
fn a_row_of_another_program_is_an_event_with_what_it_tells() {
    world(|world| async move {
        let insert = "insert into outbox (id, aggregatetype, aggregateid, type, payload) values \
                      (x'0190a6b47c3e7d529f104e0b7a2c1d3f', 'order-events', '42', 't.v1', '{}')";
        execute(&world.database, SqlStatement::new(insert)).await;
        let records = relayed(&world, Router::default(), "order-events", 1).await;
        let event = records[0].event().unwrap();
        assert_eq!(event.id.as_str(), "0190a6b4-7c3e-7d52-9f10-4e0b7a2c1d3f");
        assert_eq!(
            (event.source.as_str(), event.event_type.as_str()),
            ("order-events", "t.v1")
        );
        assert_eq!(
            (event.key.as_deref(), event.data.as_deref()),
            (Some(&b"42"[..]), Some(&b"{}"[..]))
        );
    });
}

#[test]
fn a_table_for_debezium_is_served_as_it_is() {
    world(|world| async move {
        let table = "create table shop_events (n integer primary key autoincrement, \
                     event_id text not null, kind text not null, order_id text, body text, \
                     created text, tenant integer, written integer)";
        execute(&world.database, SqlStatement::new(table)).await;
        let topic = NewTopic::named("shop.order").partitions(1);
        world.client.admin().create_topic(&topic).await.unwrap();
        for number in 0..3_i64 {
            let insert = SqlStatement::new(
                "insert into shop_events (event_id, kind, order_id, body, created, tenant, \
                 written) values ($1, 'order', 'o-1', $2, '2018-04-05 15:31:00+00', $3, 0)",
            );
            let insert = insert
                .bind(format!("e-{number}"))
                .bind(format!("{{\"n\":{number}}}"));
            execute(&world.database, insert.bind(number)).await;
        }
        let router = Router::debezium([
            ("table.field.event.id", "event_id"),
            ("table.field.event.key", "order_id"),
            ("table.field.event.payload", "body"),
            ("table.field.event.timestamp", "created"),
            ("route.by.field", "kind"),
            ("route.topic.replacement", "shop.${routedByValue}"),
            ("table.fields.additional.placement", "tenant:header"),
        ]);
        let relay = world
            .client
            .relay(world.database.clone())
            .router(router.unwrap());
        let relay = relay.table("shop_events").order_column("n");
        let relay = relay.created_column("written");
        relay.migrate().await.unwrap();
        let metrics = relay.metrics();
        let running = Running::start(relay);
        let records = read_count(&world.client, "shop.order", 3).await;
        for (number, record) in records.iter().enumerate() {
            assert_eq!(text(header(record, "id")), format!("e-{number}"));
            assert_eq!(text(header(record, "tenant")), number.to_string());
            assert_eq!(record.key.as_deref(), Some(&b"o-1"[..]));
            let body = format!("{{\"n\":{number}}}");
            assert_eq!(record.value.as_deref(), Some(body.as_bytes()));
            assert_eq!(record.timestamp, 1_522_942_260_000);
        }
        assert_eq!(running.stop().await.result(), Ok(()));
        assert_eq!(count(&world.database, "shop_events").await, 0);
        // Written in 1970, as the column says.
        let seconds = metrics.snapshot().commit_to_publish.sum;
        assert!(seconds > 3.0 * 1.5e9, "{seconds}");
    });
}
