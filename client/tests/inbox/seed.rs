//! The seed's defects S6, S7 and S8: shown with its logic, then absent with ours.

use std::sync::Arc;

use highwater_client::inbox::Inbox;
use highwater_client::sql::{Database, Isolation, OwnedTx, SqlStatement, SqlTx};
use highwater_client::{Attempt, HandlerError, handler_fn};
use tokio::sync::Barrier;

use crate::Pay;
use crate::World;
use crate::ended_well;
use crate::group;
use crate::on_both;
use crate::order;

on_both!(
    seed_s06_two_deliveries_at_one_time_pass_a_check_and_not_a_claim,
    seed_s07_two_groups_with_one_table_do_not_starve_each_other,
    seed_s08_what_is_older_than_the_window_is_cleaned_away,
);

/// Exists, then process, then save: three transactions, as the seed has them.
async fn check_then_act<D: Database>(
    database: &D,
    attempt: &Attempt,
    both_have_looked: &Barrier,
) -> Result<(), HandlerError> {
    let id = attempt.record.event_id()?.to_string();
    let mut tx = database.begin(Isolation::Snapshot).await?;
    let exists = SqlStatement::new("select 1 from processed where event_id = $1").bind(&*id);
    let is_there = !tx.query(exists).await?.is_empty();
    tx.rollback().await?;
    if is_there {
        return Ok(());
    }
    both_have_looked.wait().await;
    let mut tx = database.begin(Isolation::Write).await?;
    let insert = SqlStatement::new("insert into payments values ($1, $2)");
    let (partition, offset) = (attempt.record.partition, attempt.record.offset);
    tx.execute(insert.bind(partition).bind(offset)).await?;
    tx.commit().await?;
    let mut tx = database.begin(Isolation::Write).await?;
    let save = SqlStatement::new("insert into processed values ($1) on conflict do nothing");
    tx.execute(save.bind(&*id)).await?;
    tx.commit().await?;
    Ok(())
}

async fn seed_s06_two_deliveries_at_one_time_pass_a_check_and_not_a_claim<D: Database>(
    world: World<D>,
) {
    world
        .sql("create table processed (event_id text primary key)")
        .await;
    world.topic("t", 2).await;
    // The same event in two partitions: it is delivered twice at one time.
    let twice = [0, 1].map(|partition| order("t", "a").partition(partition));
    world.send(twice).await;

    let (database, barrier) = (world.database.clone(), Arc::new(Barrier::new(2)));
    let seed = handler_fn(move |attempt: Attempt| {
        let (database, barrier) = (database.clone(), Arc::clone(&barrier));
        async move { check_then_act(&database, &attempt, &barrier).await }
    });
    let handling = world.client.handler("seed").topics(["t"]).concurrency(2);
    ended_well(&handling.run(seed, world.paid_count(2)).await);
    assert_eq!(
        world.number("select count(*) from payments").await,
        2,
        "the seed pays twice"
    );

    world.sql("delete from payments").await;
    let inbox = Inbox::new();
    let handling = world.group("t").concurrency(2);
    let handling = handling.transactional(world.database.clone(), inbox.clone());
    let both = async {
        while inbox.counts().duplicate_ids == 0 {
            tokio::task::yield_now().await;
        }
        world.paid_count(1).await;
    };
    ended_well(&handling.run(Pay, both).await);
    assert_eq!(
        world.number("select count(*) from payments").await,
        1,
        "ours pays once"
    );
}

async fn seed_s07_two_groups_with_one_table_do_not_starve_each_other<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    world.orders("t", &["a", "b"]).await;
    // The seed's logic: the key is the id of the event alone.
    world
        .sql("create table processed (event_id text primary key)")
        .await;
    let mut handled = Vec::new();
    for _group in ["billing", "shipping"] {
        for id in ["a", "b"] {
            let text = "insert into processed values ($1) on conflict do nothing";
            let mut tx = world.database.begin(Isolation::Write).await.unwrap();
            handled.push(tx.execute(SqlStatement::new(text).bind(id)).await.unwrap());
            tx.commit().await.unwrap();
        }
    }
    assert_eq!(handled, [1, 1, 0, 0], "the second group gets nothing");

    ended_well(&world.pay("t", Inbox::new(), 2).await);
    let other = world.client.handler("shipping").topics(["t"]);
    let other = other.transactional(world.database.clone(), Inbox::new());
    ended_well(&other.run(Pay, world.paid_count(4)).await);
    assert_eq!(world.paid().await, [0, 0, 1, 1], "each group once");
}

async fn seed_s08_what_is_older_than_the_window_is_cleaned_away<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    world.orders("t", &["a", "b", "c"]).await;
    ended_well(&world.pay("t", Inbox::new(), 3).await);
    // Two thousand and a half of old ones, and one of somebody else.
    let numbers = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2500)";
    let insert = "insert into inbox (consumer_group, source, event_id, topic, partition, \
                  record_offset, seen_at)";
    let text =
        format!("{insert} {numbers} select 'g', '/old', cast(i as text), 't', 0, 0, 1000 from n");
    assert_eq!(world.sql(&text).await, 2_500);
    world
        .sql(&format!(
            "{insert} values ('other', '/old', '1', 't', 0, 0, 1000)"
        ))
        .await;
    // At or above the position, a claim is needed for what comes again.
    world
        .sql(&format!(
            "{insert} values ('g', '/old', 'ahead', 't', 0, 3, 1000)"
        ))
        .await;

    let inbox = Inbox::new();
    let handling = group(&world.client, "t");
    let handling = handling.transactional(world.database.clone(), inbox.clone());
    let is_clean = async {
        while inbox.counts().cleaned < 2_500 {
            tokio::task::yield_now().await;
        }
    };
    ended_well(&handling.run(Pay, is_clean).await);
    assert_eq!(inbox.rows(&world.database, "g").await.unwrap(), 4);
    assert_eq!(
        world
            .number("select count(*) from inbox where event_id = 'ahead'")
            .await,
        1
    );
    assert_eq!(inbox.rows(&world.database, "other").await.unwrap(), 1);
}
