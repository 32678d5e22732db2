//! The same event again: at another offset, at the same one, in an older version.

use highwater_client::inbox::{Gaps, Inbox};
use highwater_client::sql::Database;
use highwater_client::{Event, HandlerError, Order, Record};

use crate::Answer;
use crate::Pay;
use crate::World;
use crate::ended_well;
use crate::faulty::LostAnswers;
use crate::on_both;

on_both!(
    an_event_at_two_offsets_has_its_effect_once,
    an_id_counts_within_its_source,
    a_commit_whose_answer_was_lost_is_not_done_again,
    in_order_the_position_alone_is_enough,
    what_a_failed_attempt_did_is_undone,
    an_older_version_is_left_out,
    a_missing_version_stops_the_partition,
    a_missing_version_may_be_counted,
);

async fn an_event_at_two_offsets_has_its_effect_once<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    world.orders("t", &["a", "b", "a", "c", "b"]).await;
    let inbox = Inbox::new();
    ended_well(&world.pay("t", inbox.clone(), 5).await);
    assert_eq!(world.paid().await, [0, 1, 3]);
    assert_eq!(inbox.counts().duplicate_ids, 2);
    assert_eq!(inbox.rows(&world.database, "g").await.unwrap(), 3);
    assert_eq!(world.position("t").await, 5);
}

async fn an_id_counts_within_its_source<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    let event = |source: &str| {
        Event::new(source, "paid")
            .id("7")
            .data("{}")
            .to("t")
            .unwrap()
    };
    world.send([event("/a"), event("/b"), event("/a")]).await;
    ended_well(&world.pay("t", Inbox::new(), 3).await);
    assert_eq!(world.paid().await, [0, 1]);
}

/// The database has done it, and its answer does not arrive: the record is tried again, and found.
async fn a_commit_whose_answer_was_lost_is_not_done_again<D: Database>(world: World<D>) {
    for (topic, order) in [("by-key", Order::Key), ("in-order", Order::Partition)] {
        world.topic(topic, 1).await;
        world.orders(topic, &["a", "b", "c"]).await;
        let inbox = Inbox::new();
        // The first commits are those of the opening.
        let database = LostAnswers::new(world.database.clone(), |commit| commit % 2 == 1);
        let handling = world.group(topic).order(order).concurrency(1);
        let handling = handling.transactional(database.clone(), inbox.clone());
        ended_well(&handling.run(Pay, world.committed(topic, 3)).await);
        assert_eq!(world.paid().await, [0, 1, 2], "{order:?}");
        assert!(database.lost() > 0);
        let counts = inbox.counts();
        let duplicates = match order {
            Order::Key => counts.duplicate_ids,
            Order::Partition => counts.duplicate_offsets,
        };
        assert!(duplicates > 0, "{order:?}: {counts:?}");
        world.sql("delete from payments").await;
        world.sql("delete from inbox").await;
    }
}

async fn in_order_the_position_alone_is_enough<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    world.orders("t", &["a", "b", "c"]).await;
    let inbox = Inbox::new().without_ids();
    let handling = world.group("t").order(Order::Partition);
    let handling = handling.transactional(world.database.clone(), inbox.clone());
    // The third one fails after its payment, once.
    let handler = Answer(|offset, attempt| match (offset, attempt) {
        (2, 1) => Err(HandlerError::retry("not yet")),
        _ => Ok(()),
    });
    ended_well(&handling.run(handler, world.committed("t", 3)).await);
    assert_eq!(world.paid().await, [0, 1, 2]);
    assert_eq!(world.position("t").await, 3);
    assert_eq!(inbox.rows(&world.database, "g").await.unwrap(), 0);

    // Where others may be finished ahead, a position would not be enough.
    let handling = world.group("t");
    let handling = handling.transactional(world.database.clone(), inbox);
    let summary = handling.run(Pay, std::future::pending()).await;
    let error = crate::error_of(summary);
    assert!(
        error.contains("set Order::Partition, or keep the ids"),
        "{error}"
    );
}

async fn what_a_failed_attempt_did_is_undone<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    world.orders("t", &["a", "b", "c", "d"]).await;
    let handling = world.group("t").concurrency(4);
    let inbox = Inbox::new();
    let handling = handling.transactional(world.database.clone(), inbox.clone());
    let handler = Answer(|offset, attempt| match (offset, attempt) {
        (0, 1..=2) => Err(HandlerError::retry("not yet")),
        (1, _) => Err(HandlerError::dead("never")),
        (2, _) => Err(HandlerError::skip("of no interest")),
        _ => Ok(()),
    });
    let summary = handling.run(handler, world.committed("t", 4)).await;
    ended_well(&summary);
    assert_eq!(world.paid().await, [0, 3]);
    assert_eq!((summary.dead_letters, summary.skipped), (1, 1));
    // What was not handled is not claimed: a letter that is sent back is new.
    assert_eq!(inbox.rows(&world.database, "g").await.unwrap(), 2);
    let again = world.client.dead_letters("t-dlt");
    let redriven = again
        .redrive(highwater_client::LetterFilter::all())
        .run()
        .await;
    assert_eq!(redriven.sent(), 1, "{redriven:?}");
    ended_well(&world.pay("t", inbox, 5).await);
    assert_eq!(world.paid().await, [0, 3, 4]);
}

fn version(key: &'static str, version: u32) -> Record {
    let event = Event::new("/shop/orders", "order.changed.v1");
    let event = event.extension("sequence", version.to_string());
    event.key(key).data("{}").to("t").unwrap()
}

async fn an_older_version_is_left_out<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    let changes = [
        ("a", 5),
        ("a", 6),
        ("b", 1),
        ("a", 5),
        ("a", 6),
        ("a", 7),
        ("b", 2),
    ];
    let mut records: Vec<Record> = changes.iter().map(|it| version(it.0, it.1)).collect();
    // Without a version there is nothing to compare.
    records.push(Record::to("t").key("a").value("{}"));
    world.send(records).await;
    let inbox = Inbox::new().versions("ce_sequence", Gaps::Stop);
    ended_well(&world.pay("t", inbox.clone(), 8).await);
    assert_eq!(world.paid().await, [0, 1, 2, 5, 6, 7]);
    assert_eq!((inbox.counts().old_versions, inbox.counts().gaps), (2, 0));
}

async fn a_missing_version_stops_the_partition<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    world
        .send([version("a", 1), version("a", 3), version("a", 4)])
        .await;
    let inbox = Inbox::new().versions("ce_sequence", Gaps::Stop);
    let handling = world.group("t");
    let handling = handling.transactional(world.database.clone(), inbox.clone());
    let has_stopped = async {
        while inbox.counts().gaps == 0 {
            tokio::task::yield_now().await;
        }
        world.committed("t", 1).await;
    };
    let summary = handling.run(Pay, has_stopped).await;
    ended_well(&summary);
    assert_eq!(summary.halted[0].offset, 1, "{summary:?}");
    let why = "it has the version 3 of its key, and the last one was 1: an event is missing \
               between them";
    assert_eq!(summary.halted[0].error, why);
    assert_eq!((summary.dead_letters, world.paid().await), (0, vec![0]));
    assert_eq!(world.position("t").await, 1);
}

async fn a_missing_version_may_be_counted<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    world
        .send([version("a", 1), version("a", 3), version("a", 4)])
        .await;
    let inbox = Inbox::new().versions("ce_sequence", Gaps::Count);
    ended_well(&world.pay("t", inbox.clone(), 3).await);
    assert_eq!(world.paid().await, [0, 1, 2]);
    assert_eq!(inbox.counts().gaps, 1);
}
