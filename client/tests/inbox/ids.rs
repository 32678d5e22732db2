//! Records without an id, and ids that no database keeps.

use highwater_client::inbox::{Inbox, MissingIds};
use highwater_client::sql::Database;
use highwater_client::{EventId, Record};

use crate::Pay;
use crate::World;
use crate::ended_well;
use crate::on_both;
use crate::order;

on_both!(
    a_record_without_an_id_gets_one_from_where_it_stands,
    an_id_may_be_required,
    an_id_may_be_made,
    what_no_database_keeps_is_a_dead_letter_and_stops_nothing,
);

fn plain(value: &'static str) -> Record {
    Record::to("t").key("k").value(value)
}

async fn a_record_without_an_id_gets_one_from_where_it_stands<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    world.send([plain("x"), plain("x")]).await;
    let inbox = Inbox::new();
    ended_well(&world.pay("t", inbox.clone(), 2).await);
    assert_eq!(world.paid().await, [0, 1]);
    assert_eq!(inbox.counts().derived_ids, 2);

    // A topic that is made anew begins with the same offsets, and other records.
    let id = world.client.admin().describe_topic("t").await.unwrap().id;
    let rows = world
        .rows("select event_id from inbox order by event_id")
        .await;
    assert_eq!(rows[0].text(0).unwrap(), format!("{id}/0/0"));
}

async fn an_id_may_be_required<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    world.send([plain("x"), order("t", "a")]).await;
    let inbox = Inbox::new().missing_ids(MissingIds::Require);
    let summary = world.pay("t", inbox, 2).await;
    ended_well(&summary);
    assert_eq!((summary.dead_letters, summary.failures), (1, 1), "no retry");
    assert_eq!(world.paid().await, [1]);
}

async fn an_id_may_be_made<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    world.send([plain("1"), plain("2"), plain("1")]).await;
    let inbox = Inbox::new().missing_ids(MissingIds::By(|record| {
        let value = std::str::from_utf8(record.value.as_deref()?).ok()?;
        Some(EventId::from(value))
    }));
    ended_well(&world.pay("t", inbox, 3).await);
    assert_eq!(world.paid().await, [0, 1]);
}

async fn what_no_database_keeps_is_a_dead_letter_and_stops_nothing<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    let long = "x".repeat(100_000);
    let zero = plain("{}").header("id", "a").header("ce_source", "a\0b");
    let bytes = plain("{}").header("id", &[0xff_u8, 0, 1][..]);
    let records = [order("t", &long), zero, bytes, order("t", "a")];
    world.send(records).await;
    let summary = world.pay("t", Inbox::new(), 4).await;
    ended_well(&summary);
    assert_eq!((summary.dead_letters, summary.failures), (3, 3));
    assert_eq!(world.paid().await, [3]);

    let inbox = Inbox::new().missing_ids(MissingIds::By(|_| Some(EventId::from("a\0b"))));
    world.send([plain("{}"), order("t", "b")]).await;
    let handling = world.group("t");
    let handling = handling.transactional(world.database.clone(), inbox);
    let summary = handling.run(Pay, world.committed("t", 6)).await;
    ended_well(&summary);
    assert_eq!(summary.dead_letters, 1);
    assert_eq!(world.paid().await, [3, 5]);
}
