//! What the database knows of a group: kept with the effects, never ahead of them.

use std::sync::Arc;

use highwater_client::inbox::{Inbox, tx_handler_fn};
use highwater_client::sql::{Database, SqlStatement, SqlTx};
use highwater_client::{CommittedOffset, HandlerError, Order};
use tokio::sync::watch;

use crate::Answer;
use crate::Pay;
use crate::World;
use crate::ended_well;
use crate::error_of;
use crate::faulty::Away;
use crate::much_later;
use crate::on_both;
use crate::until;

on_both!(
    the_database_is_believed_and_not_the_broker,
    a_group_that_has_committed_to_the_broker_alone_goes_on_there,
    a_broker_that_was_not_told_before_a_crash_is_told_after_it,
    a_record_that_waits_holds_the_position_and_not_the_others,
    an_error_of_the_database_that_a_handler_hides_undoes_no_claim,
    a_database_that_is_away_makes_no_dead_letters,
    the_tables_have_to_be_there,
);

async fn set_group(world: &World<impl Database>, topic: &str, offset: i64) {
    let offset = CommittedOffset {
        topic: topic.to_owned(),
        offset,
        ..CommittedOffset::default()
    };
    let admin = world.client.admin();
    admin.alter_group_offsets("g", &[offset]).await.unwrap();
}

async fn the_database_is_believed_and_not_the_broker<D: Database>(world: World<D>) {
    for (topic, by) in [("by-key", Order::Key), ("in-order", Order::Partition)] {
        world.topic(topic, 1).await;
        world.orders(topic, &["a", "b", "c"]).await;
        let pay = async |up_to: i64| {
            let handling = world.group(topic).order(by);
            let inbox = Inbox::new();
            let handling = handling.transactional(world.database.clone(), inbox.clone());
            ended_well(&handling.run(Pay, world.committed(topic, up_to)).await);
            inbox.counts()
        };
        pay(3).await;
        // Too low, and then too high: a crash before and after its commit.
        set_group(&world, topic, 0).await;
        world.orders(topic, &["d"]).await;
        let counts = pay(4).await;
        assert_eq!((counts.duplicate_ids, counts.duplicate_offsets), (0, 0));
        world.orders(topic, &["e", "f"]).await;
        set_group(&world, topic, 6).await;
        let handling = world.group(topic).order(by);
        let handling = handling.transactional(world.database.clone(), Inbox::new());
        ended_well(&handling.run(Pay, world.paid_count(6)).await);
        assert_eq!(world.paid().await, [0, 1, 2, 3, 4, 5], "{by:?}");
        world.sql("delete from payments").await;
        world.sql("delete from inbox").await;
    }
}

async fn a_group_that_has_committed_to_the_broker_alone_goes_on_there<D: Database>(
    world: World<D>,
) {
    world.topic("t", 1).await;
    world.orders("t", &["a", "b", "c"]).await;
    set_group(&world, "t", 2).await;
    ended_well(&world.pay("t", Inbox::new(), 3).await);
    assert_eq!(world.paid().await, [2]);
}

async fn a_broker_that_was_not_told_before_a_crash_is_told_after_it<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    world.orders("t", &["a", "b"]).await;
    ended_well(&world.pay("t", Inbox::new(), 2).await);
    set_group(&world, "t", 1).await;
    // Nothing new comes that could bring it.
    ended_well(&world.pay("t", Inbox::new(), 2).await);
    assert_eq!(world.paid().await, [0, 1]);
}

async fn a_record_that_waits_holds_the_position_and_not_the_others<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    world.orders("t", &["a", "b", "c", "d"]).await;
    let handling = world.group("t").concurrency(2);
    let handling = handling.transactional(world.database.clone(), Inbox::new());
    let waits = Answer(|offset, _| match offset {
        1 => Err(much_later()),
        _ => Ok(()),
    });
    let others = async {
        world.paid_count(3).await;
        world.committed("t", 1).await;
    };
    ended_well(&handling.run(waits, others).await);
    assert_eq!(world.paid().await, [0, 2, 3]);
    assert_eq!(world.position("t").await, 1);

    // Old as they may be, the claims of what comes again are there.
    world.sql("update inbox set seen_at = 1000").await;
    let inbox = Inbox::new();
    ended_well(&world.pay("t", inbox.clone(), 4).await);
    assert_eq!(world.paid().await, [0, 1, 2, 3]);
    assert_eq!(inbox.counts().duplicate_ids, 2);
    assert_eq!(world.position("t").await, 4);
    // One that came again is as new as if it had been the first time.
    let old = world
        .number("select count(*) from inbox where seen_at = 1000")
        .await;
    assert!(old <= 1, "{old}");
}

/// PostgreSQL undoes a transaction in which a statement has failed, whatever is done then; SQLite
/// undoes the statement. In neither is the record finished without what its handler did.
async fn an_error_of_the_database_that_a_handler_hides_undoes_no_claim<D: Database>(
    world: World<D>,
) {
    world
        .sql("create table unique_payments (record_offset bigint primary key)")
        .await;
    world.sql("insert into unique_payments values (0)").await;
    world.topic("t", 1).await;
    world.orders("t", &["a", "b"]).await;
    let handler = tx_handler_fn::<D::Tx, _>(|mut delivery| {
        Box::pin(async move {
            let offset = delivery.record().offset;
            if delivery.attempt() == 1 {
                let insert = SqlStatement::new("insert into unique_payments values ($1)");
                drop(delivery.tx().execute(insert.bind(offset)).await);
            }
            drop(crate::pay(&mut delivery).await);
            Ok(())
        })
    });
    let handling = world.group("t");
    let handling = handling.transactional(world.database.clone(), Inbox::new());
    let summary = handling.run(handler, world.committed("t", 2)).await;
    ended_well(&summary);
    assert_eq!((world.paid().await, summary.dead_letters), (vec![0, 1], 0));
}

async fn a_database_that_is_away_makes_no_dead_letters<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    world.orders("t", &["a"]).await;
    let database = Away::around(world.database.clone());
    let is_over = watch::Sender::new(false);
    let twice = highwater_client::Backoff::fixed(std::time::Duration::ZERO).max_attempts(1);
    let handling = world.group("t").retry(twice);
    let handling = handling.transactional(database.clone(), Inbox::new());
    let story = async {
        world.paid_count(1).await;
        database.goes_away_for(2);
        world.orders("t", &["b", "c"]).await;
        world.paid_count(3).await;
        world.committed("t", 3).await;
        is_over.send_replace(true);
    };
    let (summary, ()) = tokio::join!(handling.run(Pay, until(&is_over)), story);
    ended_well(&summary);
    assert_eq!(
        (world.paid().await, summary.dead_letters),
        (vec![0, 1, 2], 0)
    );
    assert!(summary.failures >= 1, "{summary:?}");

    // In the middle of a handler, too.
    let is_first = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let broken = tx_handler_fn::<D::Tx, _>(move |mut delivery| {
        let is_first = is_first.swap(false, std::sync::atomic::Ordering::Relaxed);
        Box::pin(async move {
            crate::pay(&mut delivery).await?;
            match is_first {
                true => {
                    let why = "the connection broke".to_owned();
                    Err(HandlerError::from(
                        highwater_client::sql::SqlError::Unavailable(why),
                    ))
                }
                false => Ok(()),
            }
        })
    });
    world.orders("t", &["d"]).await;
    let handling = world.group("t").retry(twice);
    let handling = handling.transactional(world.database.clone(), Inbox::new());
    let summary = handling.run(broken, world.committed("t", 4)).await;
    ended_well(&summary);
    assert_eq!(
        (world.paid().await, summary.dead_letters),
        (vec![0, 1, 2, 3], 0)
    );
}

async fn the_tables_have_to_be_there<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    let run = async |inbox: Inbox| {
        let handling = world.group("t");
        let handling = handling.transactional(world.database.clone(), inbox);
        error_of(handling.run(Pay, std::future::pending()).await)
    };
    let error = run(Inbox::new().table("elsewhere")).await;
    let start = "the tables of the inbox elsewhere are missing or not as they should be: run \
                 Inbox::migrate (";
    assert!(error.starts_with(start), "{error}");
    let error = run(Inbox::new().table("no; name")).await;
    assert!(
        error.starts_with("\"no; name\" is no name for the tables"),
        "{error}"
    );

    // Made by several at one time, and made again.
    let other = Inbox::new().table("other");
    let (one, two) = (
        other.migrate(&world.database),
        other.migrate(&world.database),
    );
    let (one, two) = tokio::join!(one, two);
    assert_eq!((one, two), (Ok(()), Ok(())));
    other.migrate(&world.database).await.unwrap();
    world.orders("t", &["a"]).await;
    ended_well(&world.pay("t", other.clone(), 1).await);
    assert_eq!(other.rows(&world.database, "g").await, Ok(1));
    assert_eq!(Inbox::new().rows(&world.database, "g").await, Ok(0));
}
