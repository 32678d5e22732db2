//! Several records in one transaction: all of them, or each by itself.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use highwater_client::inbox::{Delivery, Gaps, Inbox, TxHandler};
use highwater_client::sql::{Database, SqlTx};
use highwater_client::{
    Backoff, ConsumerConfig, Event, HandlerError, HandlerSummary, Order, Record, Transactional,
};

use crate::Answer;
use crate::Pay;
use crate::World;
use crate::ended_well;
use crate::faulty::Away;
use crate::faulty::Crash;
use crate::faulty::LostAnswers;
use crate::group;
use crate::on_both;
use crate::order;

on_both!(
    records_that_are_there_share_transactions,
    a_record_that_fails_takes_no_other_with_it,
    duplicates_among_many_are_left_out,
    versions_are_compared_within_a_batch,
    a_batch_whose_answer_was_lost_is_not_done_again,
    a_batch_some_of_which_was_done_before_is_undone,
    a_database_that_is_away_in_a_batch_makes_no_dead_letters,
    ids_may_have_any_letters,
    whatever_step_a_batch_crashes_at_each_effect_is_there_once_by_key,
    whatever_step_a_batch_crashes_at_each_effect_is_there_once_in_order,
);

const BOTH: [(&str, Order); 2] = [("by-key", Order::Key), ("in-order", Order::Partition)];

impl<D: Database> World<D> {
    fn batches<B: Database>(
        &self,
        topic: &str,
        by: Order,
        database: B,
        inbox: Inbox,
    ) -> Transactional<B> {
        let handling = self.group(topic).order(by);
        handling.transactional(database, inbox).batch(4)
    }

    async fn begins_anew(&self) {
        self.sql("delete from payments").await;
        self.sql("delete from inbox").await;
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("o-{number}")).collect()
}

/// Sends orders with these ids, each with a key of its own.
async fn send(world: &World<impl Database>, topic: &str, ids: &[String]) {
    let orders = ids.iter().map(|id| order(topic, id).partition(0));
    world.send(orders.collect::<Vec<_>>()).await;
}

async fn records_that_are_there_share_transactions<D: Database>(world: World<D>) {
    for (topic, by) in BOTH {
        world.topic(topic, 1).await;
        send(&world, topic, &names(13)).await;
        let inbox = Inbox::new();
        // It loses no answer: it only counts.
        let database = LostAnswers::new(world.database.clone(), |_| false);
        let handling = world.batches(topic, by, database.clone(), inbox.clone());
        let summary = handling.run(Pay, world.committed(topic, 13)).await;
        ended_well(&summary);
        assert_eq!((summary.handled, summary.failures), (13, 0), "{by:?}");
        assert_eq!(world.paid().await, (0..13).collect::<Vec<i64>>(), "{by:?}");
        assert_eq!(world.position(topic).await, 13);
        assert_eq!(inbox.rows(&world.database, "g").await, Ok(13));
        // The first record comes alone, since the others are not there yet; the opening and the
        // moves of the position have a few.
        assert!(database.commits() < 13, "{}", database.commits());
        world.begins_anew().await;
    }
}

/// One of each class, among others; what it did before it failed is undone.
async fn a_record_that_fails_takes_no_other_with_it<D: Database>(world: World<D>) {
    for (topic, by) in BOTH {
        world.topic(topic, 1).await;
        send(&world, topic, &names(14)).await;
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&calls);
        let handler = Answer(move |offset, attempt| {
            seen.lock().unwrap().push((offset, attempt));
            match (offset, attempt) {
                (3, _) => Err(HandlerError::dead("never")),
                (5, _) => Err(HandlerError::skip("of no interest")),
                (8, 1) => Err(HandlerError::retry("not yet")),
                (10, _) => {
                    assert!(attempt > 1, "it was a panic");
                    Ok(())
                }
                _ => Ok(()),
            }
        });
        let inbox = Inbox::new();
        let handling = world.batches(topic, by, world.database.clone(), inbox.clone());
        let summary = handling.run(handler, world.committed(topic, 14)).await;
        ended_well(&summary);
        let counts = (summary.handled, summary.skipped, summary.dead_letters);
        assert_eq!(counts, (12, 1, 1), "{by:?}");
        // Each failed once by itself; what fails among others is no attempt.
        assert_eq!((summary.failures, summary.panics), (3, 1), "{by:?}");
        let paid = [0, 1, 2, 4, 6, 7, 8, 9, 10, 11, 12, 13];
        assert_eq!(world.paid().await, paid, "{by:?}");
        assert_eq!(inbox.rows(&world.database, "g").await, Ok(12));
        let calls = calls.lock().unwrap().clone();
        assert!(
            calls.iter().filter(|it| **it == (3, 1)).count() <= 2,
            "{calls:?}"
        );
        world.begins_anew().await;
    }
}

async fn duplicates_among_many_are_left_out<D: Database>(world: World<D>) {
    for (topic, by) in BOTH {
        world.topic(topic, 1).await;
        let ids = ["a", "b", "b", "c", "a", "d", "d", "b", "e"];
        world.orders(topic, &ids).await;
        let inbox = Inbox::new();
        let handling = world.batches(topic, by, world.database.clone(), inbox.clone());
        ended_well(&handling.run(Pay, world.committed(topic, 9)).await);
        assert_eq!(world.paid().await, [0, 1, 3, 5, 8], "{by:?}");
        assert_eq!(inbox.counts().duplicate_ids, 4, "{by:?}");
        // The claim is that of the newest delivery.
        let claimed = "select record_offset from inbox where event_id = 'b'";
        assert_eq!(world.number(claimed).await, 7, "{by:?}");
        world.begins_anew().await;
    }
}

async fn versions_are_compared_within_a_batch<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    let record = |key: &'static str, version: u32| -> Record {
        let event = Event::new("/shop/orders", "order.changed.v1");
        let event = event.extension("sequence", version.to_string());
        event.key(key).data("{}").to("t").unwrap()
    };
    let changes = [
        ("x", 1),
        ("a", 1),
        ("a", 2),
        ("a", 1),
        ("a", 3),
        ("b", 7),
        ("a", 5),
    ];
    world.send(changes.map(|it| record(it.0, it.1))).await;
    let inbox = Inbox::new().versions("ce_sequence", Gaps::Count);
    let handling = world.batches("t", Order::Key, world.database.clone(), inbox.clone());
    ended_well(&handling.run(Pay, world.committed("t", 7)).await);
    assert_eq!(world.paid().await, [0, 1, 2, 4, 5, 6]);
    assert_eq!((inbox.counts().old_versions, inbox.counts().gaps), (1, 1));

    // Where a missing one stops the partition, the ones ahead of it are done.
    world.begins_anew().await;
    let inbox = Inbox::new().versions("ce_sequence", Gaps::Stop);
    let changes = [("y", 1), ("c", 1), ("d", 1), ("c", 3), ("d", 2)];
    world.send(changes.map(|it| record(it.0, it.1))).await;
    let handling = world.batches("t", Order::Partition, world.database.clone(), inbox.clone());
    let summary = handling.run(Pay, world.committed("t", 10)).await;
    ended_well(&summary);
    assert_eq!(world.paid().await, [7, 8, 9]);
    assert_eq!(summary.halted[0].offset, 10, "{summary:?}");
    assert_eq!(inbox.counts().gaps, 1);
}

/// The database has done it, and its answer does not arrive: each record is found done.
async fn a_batch_whose_answer_was_lost_is_not_done_again<D: Database>(world: World<D>) {
    for (topic, by) in BOTH {
        world.topic(topic, 1).await;
        send(&world, topic, &names(41)).await;
        let inbox = Inbox::new();
        // The first commits are those of the opening.
        let database = LostAnswers::new(world.database.clone(), |commit| commit % 3 == 2);
        let handling = world.batches(topic, by, database.clone(), inbox.clone());
        ended_well(&handling.run(Pay, world.committed(topic, 41)).await);
        assert_eq!(world.paid().await, (0..41).collect::<Vec<i64>>(), "{by:?}");
        let counts = inbox.counts();
        assert!(database.lost() > 0 && counts.duplicate_ids + counts.duplicate_offsets > 0);
        world.begins_anew().await;
    }
}

/// The position alone recognises records; it lies amid those that are called together.
async fn a_batch_some_of_which_was_done_before_is_undone<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    world.orders("t", &["a"]).await;
    let inbox = Inbox::new().without_ids();
    let database = world.database.clone();
    let handling = world.batches("t", Order::Partition, database, inbox.clone());
    let is_over = tokio::sync::watch::Sender::new(false);
    let story = async {
        world.paid_count(1).await;
        world.committed("t", 1).await;
        world.sql("update inbox_offsets set next = 3").await;
        world.orders("t", &["b", "c", "d", "e", "f"]).await;
        world.committed("t", 6).await;
        is_over.send_replace(true);
    };
    let (summary, ()) = tokio::join!(handling.run(Pay, crate::until(&is_over)), story);
    ended_well(&summary);
    assert_eq!(world.paid().await, [0, 3, 4, 5]);
    assert_eq!(inbox.counts().duplicate_offsets, 2);
    assert_eq!(world.position("t").await, 6);
}

async fn a_database_that_is_away_in_a_batch_makes_no_dead_letters<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    send(&world, "t", &names(1)).await;
    let database = Away::around(world.database.clone());
    let once = Backoff::fixed(Duration::ZERO).max_attempts(1);
    let handling = world.group("t").retry(once);
    let handling = handling
        .transactional(database.clone(), Inbox::new())
        .batch(4);
    let is_over = tokio::sync::watch::Sender::new(false);
    let story = async {
        world.paid_count(1).await;
        database.goes_away_for(3);
        world.orders("t", &["b", "c", "d", "e", "f", "g"]).await;
        world.committed("t", 7).await;
        is_over.send_replace(true);
    };
    let (summary, ()) = tokio::join!(handling.run(Pay, crate::until(&is_over)), story);
    ended_well(&summary);
    assert_eq!(world.paid().await, (0..7).collect::<Vec<i64>>());
    assert_eq!(summary.dead_letters, 0);
}

async fn ids_may_have_any_letters<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    let ids = [
        "first",
        "a\"b",
        "a\\b",
        "{a,b}",
        "a,b",
        "null",
        " a ",
        "\u{e4}\u{1f600}",
        "a'b",
    ];
    world.orders("t", &ids).await;
    world.orders("t", &ids).await;
    let inbox = Inbox::new();
    let handling = world.batches("t", Order::Partition, world.database.clone(), inbox.clone());
    ended_well(&handling.run(Pay, world.committed("t", 18)).await);
    assert_eq!(world.paid().await, (0..9).collect::<Vec<i64>>());
    assert_eq!(inbox.counts().duplicate_ids, 9);
    for id in ids {
        let quoted = id.replace('\'', "''");
        let count = format!("select count(*) from inbox where event_id = '{quoted}'");
        assert_eq!(world.number(&count).await, 1, "{id}");
    }
}

/// Pays each record but one.
struct AllButOne;

impl<Tx: SqlTx + Send> TxHandler<Tx> for AllButOne {
    async fn handle(&self, mut delivery: Delivery<'_, Tx>) -> Result<(), HandlerError> {
        crate::pay(&mut delivery).await?;
        match delivery.event_id().as_str() {
            "poison" => Err(HandlerError::skip("of no interest")),
            _ => Ok(()),
        }
    }
}

async fn whatever_step_a_batch_crashes_at_each_effect_is_there_once_by_key<D: Database>(
    world: World<D>,
) {
    crash_everywhere(&world, Order::Key).await;
}

async fn whatever_step_a_batch_crashes_at_each_effect_is_there_once_in_order<D: Database>(
    world: World<D>,
) {
    crash_everywhere(&world, Order::Partition).await;
}

/// A member crashes at each step of its transactions in turn; the next one does the rest. Each
/// crash costs the time of a session: by default each order has every fourth step, HW_CRASH_FULL=1
/// has all.
async fn crash_everywhere<D: Database>(world: &World<D>, by: Order) {
    let is_full = std::env::var("HW_CRASH_FULL").is_ok_and(|it| it == "1");
    let (mut step, stride) = match (is_full, by) {
        (true, _) => (0, 1),
        (false, Order::Key) => (0, 4),
        (false, Order::Partition) => (2, 4),
    };
    loop {
        let topic = format!("t{step}");
        world.topic(&topic, 1).await;
        let ids = ["a", "b", "poison", "b", "c", "d"];
        world.orders(&topic, &ids).await;
        let database = Crash::at(step, world.database.clone());
        let has_crashed = tokio::select! {
            biased;
            () = database.reached() => true,
            summary = run(world, &topic, by, database.clone()) => {
                ended_well(&summary);
                false
            }
        };
        ended_well(&run(world, &topic, by, world.database.clone()).await);
        assert_eq!(world.paid().await, [0, 1, 4, 5], "{by:?}, step {step}");
        assert_eq!(world.position(&topic).await, 6, "{by:?}, step {step}");
        world.begins_anew().await;
        if !has_crashed {
            break;
        }
        step += stride;
    }
    assert!(step > 20, "{step}");
}

/// Handles a topic to its end.
async fn run<D: Database>(
    world: &World<impl Database>,
    topic: &str,
    by: Order,
    database: D,
) -> HandlerSummary {
    // A member that has crashed is missed soon.
    let config = ConsumerConfig::new()
        .heartbeat_interval_ms(20)
        .session_timeout_ms(100)
        .auto_commit_interval_ms(10);
    let handling = group(&world.client, topic).order(by).consumer(config);
    let handling = handling.transactional(database, Inbox::new()).batch(4);
    handling.run(AllButOne, world.committed(topic, 6)).await
}
