//! Positions that are outside of their log.

use highwater_client::inbox::{Inbox, PositionLost, tx_handler_fn};
use highwater_client::sql::Database;
use highwater_client::{HandlerSummary, OffsetReset};
use tokio::sync::watch;

use crate::Pay;
use crate::World;
use crate::ended_well;
use crate::error_of;
use crate::on_both;
use crate::until;

on_both!(
    records_that_were_deleted_unhandled_are_missed,
    records_that_are_deleted_while_it_runs_are_missed,
    a_log_that_is_shorter_than_it_was_is_noticed,
    a_topic_that_was_made_anew_is_another_one,
    the_first_position_is_what_the_consumer_says,
);

/// Runs until it ends by itself.
async fn refused(world: &World<impl Database>) -> String {
    let handling = world.group("t");
    let handling = handling.transactional(world.database.clone(), Inbox::new());
    error_of(handling.run(Pay, std::future::pending()).await)
}

async fn with(world: &World<impl Database>, lost: PositionLost, up_to: i64) -> HandlerSummary {
    let inbox = Inbox::new().position_lost(lost);
    world.pay("t", inbox, up_to).await
}

async fn records_that_were_deleted_unhandled_are_missed<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    world.orders("t", &["a", "b"]).await;
    ended_well(&world.pay("t", Inbox::new(), 2).await);
    world.orders("t", &["c", "d", "e"]).await;
    world
        .client
        .admin()
        .delete_records("t", 0, 4)
        .await
        .unwrap();
    let error = refused(&world).await;
    assert_eq!(
        error,
        "the database has 2 as the position of the group g in t-0, and its log has the offsets 4 \
         to 5: the records between were deleted before they were handled; say where to go on with \
         Inbox::position_lost"
    );
    ended_well(&with(&world, PositionLost::Earliest, 5).await);
    assert_eq!(world.paid().await, [0, 1, 4]);
}

async fn records_that_are_deleted_while_it_runs_are_missed<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    // Each in a batch of its own, fetched by itself.
    for id in ["a", "b", "c", "d", "e"] {
        world.orders("t", &[id]).await;
    }
    let config = highwater_client::ConsumerConfig::new()
        .auto_commit_interval_ms(20)
        .max_partition_fetch_bytes(1)
        .fetch_max_bytes(1);
    let handling = world
        .group("t")
        .consumer(config)
        .limits_per_partition(10, 1);
    let (begun, goes_on) = (watch::Sender::new(false), watch::Sender::new(false));
    let (has_begun, may_go_on) = (begun.clone(), goes_on.clone());
    let handler = tx_handler_fn::<D::Tx, _>(move |mut delivery| {
        let (begun, mut goes_on) = (has_begun.clone(), may_go_on.subscribe());
        Box::pin(async move {
            begun.send_replace(true);
            drop(goes_on.wait_for(|it| *it).await);
            crate::pay(&mut delivery).await
        })
    });
    let handling = handling.transactional(world.database.clone(), Inbox::new());
    let story = async {
        until(&begun).await;
        let admin = world.client.admin();
        admin.delete_records("t", 0, 4).await.unwrap();
        goes_on.send_replace(true);
    };
    let never = std::future::pending();
    let (summary, ()) = tokio::join!(handling.run(handler, never), story);
    let error = error_of(summary);
    let why = "its log has the offsets 4 to 5: the records between were deleted before they were \
               handled";
    assert!(error.contains(why), "{error}");
    assert_eq!(world.paid().await.first(), Some(&0));
}

async fn a_log_that_is_shorter_than_it_was_is_noticed<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    world.orders("t", &["a", "b"]).await;
    ended_well(&world.pay("t", Inbox::new(), 2).await);
    world.sql("update inbox_offsets set next = 9").await;
    let error = refused(&world).await;
    assert!(error.contains("has 9 as the position"), "{error}");
    assert!(
        error.contains("0 to 2: it has lost records that were handled"),
        "{error}"
    );
    let latest = async {
        while world.position("t").await != 2 {
            tokio::task::yield_now().await;
        }
        world.orders("t", &["c"]).await;
        world.paid_count(3).await;
    };
    let inbox = Inbox::new().position_lost(PositionLost::Latest);
    let handling = world.group("t");
    let handling = handling.transactional(world.database.clone(), inbox);
    ended_well(&handling.run(Pay, latest).await);
    assert_eq!(world.paid().await, [0, 1, 2]);
}

async fn a_topic_that_was_made_anew_is_another_one<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    world.orders("t", &["a", "b"]).await;
    ended_well(&world.pay("t", Inbox::new(), 2).await);
    let admin = world.client.admin();
    let old = admin.describe_topic("t").await.unwrap().id;
    admin.delete_topic("t").await.unwrap();
    world.topic("t", 1).await;
    world.orders("t", &["c", "d", "e"]).await;
    let new = admin.describe_topic("t").await.unwrap().id;
    let error = refused(&world).await;
    assert!(error.contains(&old) && error.contains(&new), "{error}");
    assert!(error.contains("it was made anew"), "{error}");
    let inbox = Inbox::new().position_lost(PositionLost::Earliest);
    let handling = world.group("t");
    let handling = handling.transactional(world.database.clone(), inbox);
    ended_well(&handling.run(Pay, world.paid_count(5)).await);
    assert_eq!(world.paid().await, [0, 0, 1, 1, 2]);
}

async fn the_first_position_is_what_the_consumer_says<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    world.orders("t", &["a", "b"]).await;
    let run = |reset: OffsetReset| {
        let handling = world.group("t").auto_offset_reset(reset);
        handling.transactional(world.database.clone(), Inbox::new())
    };
    let error = error_of(
        run(OffsetReset::None)
            .run(Pay, std::future::pending())
            .await,
    );
    assert!(error.contains("the group has no offset of t-0"), "{error}");
    // The end is found once, and then kept: what comes while nobody is there is not missed.
    let rows = "select count(*) from inbox_offsets";
    let is_kept = async {
        while world.number(rows).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    ended_well(&run(OffsetReset::Latest).run(Pay, is_kept).await);
    world.orders("t", &["c"]).await;
    let latest = run(OffsetReset::Latest).run(Pay, world.paid_count(1)).await;
    ended_well(&latest);
    assert_eq!(world.paid().await, [2]);
}
