//! A table that was made for Debezium, and is filled by others.

use highwater_client::Router;

use super::*;

#[test]
fn a_table_of_debezium_is_relayed_as_it_is() {
    world(|world| async move {
        world.psql(
            "create table outbox (id uuid primary key, aggregatetype varchar(255) not null, \
             aggregateid varchar(255) not null, type varchar(255) not null, payload jsonb); \
             insert into outbox values ('00000000-0000-0000-0000-000000000001', 'order', 'a', \
             'OrderCreated', '{\"n\": 1}')",
        );
        // What it lacks: progress has tables of its own, and the order a column.
        let outbox = Outbox::to("unused");
        outbox.migrate(&world.database).await.unwrap();
        world.topic("outbox.event.order").await;

        let router = Router::debezium([("table.fields.additional.placement", "type:header")]);
        let relay = world.client.relay(world.database.clone());
        let running = Running::start(relay.router(router.unwrap()));
        world.psql(
            "insert into outbox (id, aggregatetype, aggregateid, type, payload) values \
             ('00000000-0000-0000-0000-000000000002', 'order', 'a', 'OrderPaid', '{\"n\": 2}')",
        );
        let records = world.read_count("outbox.event.order", 2).await;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let header = |record: &ConsumerRecord, name: &str| {
            let found = record.headers.iter().find(|it| it.key == name).unwrap();
            text(found.value.as_deref().unwrap())
        };
        for (record, (number, ty)) in records.iter().zip([(1, "OrderCreated"), (2, "OrderPaid")]) {
            assert_eq!(text(record.key.as_deref().unwrap()), "a");
            assert_eq!(
                text(record.value.as_deref().unwrap()),
                format!("{{\"n\": {number}}}")
            );
            let id = header(record, "id");
            assert_eq!(id, format!("00000000-0000-0000-0000-00000000000{number}"));
            assert_eq!(header(record, "type"), ty);
        }
        assert_eq!(running.stop().await.result(), Ok(()));
        assert_eq!(world.psql("select count(*) from outbox"), "0");
    });
}
