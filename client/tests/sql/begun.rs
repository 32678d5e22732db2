//! What both do with the transactions that Highwater begins: each behaviour runs on both.

use std::future::ready;

use highwater_client::sql::{Database, Isolation, OwnedTx, SqlTx};

use crate::commit;
use crate::number;
use crate::number_now;
use crate::refusal;
use crate::sql;
use crate::with_table;

on_both! {
    a_statement_that_is_left_takes_its_transaction_along
    a_snapshot_sees_one_moment_and_writes_nothing
    whoever_finds_no_connection_waits_for_one
}

async fn a_statement_that_is_left_takes_its_transaction_along(database: impl Database) {
    with_table(&database).await;
    // More rounds than connections: none is lost.
    for _ in 0..12 {
        let mut tx = database.begin(Isolation::Write).await.unwrap();
        // One may be quick enough to be done at its first look.
        let mut id = 0;
        let mut is_left = false;
        while !is_left {
            id += 1;
            let insert = sql("insert into t (id) values ($1)").bind(id);
            is_left = tokio::select! {
                biased;
                done = tx.execute(insert) => {
                    assert_eq!(done, Ok(1));
                    false
                }
                () = ready(()) => true,
            };
        }
        let said = refusal(tx.execute(sql("insert into t (id) values (0)")).await);
        assert!(said.contains("left before its end"), "{said}");
        refusal(tx.query(sql("select 1")).await);
        refusal(tx.commit().await);
    }
    let mut tx = database.begin(Isolation::Write).await.unwrap();
    assert_eq!(number(&mut tx, "select count(*) from t").await, 0);
}

async fn a_snapshot_sees_one_moment_and_writes_nothing(database: impl Database) {
    with_table(&database).await;
    let count = "select count(*) from t";
    let mut seen = database.begin(Isolation::Snapshot).await.unwrap();
    assert_eq!(number(&mut seen, count).await, 0);
    commit(&database, &["insert into t (id) values (1)"]).await;
    assert_eq!(number(&mut seen, count).await, 0);
    assert_eq!(number_now(&database, count).await, 1);
    refusal(seen.execute(sql("insert into t (id) values (2)")).await);
    drop(seen);

    // Its connection writes again.
    for id in 10..30 {
        let snapshot = database.begin(Isolation::Snapshot).await.unwrap();
        snapshot.commit().await.unwrap();
        commit(&database, &[&format!("insert into t (id) values ({id})")]).await;
    }
    assert_eq!(number_now(&database, count).await, 21);
}

async fn whoever_finds_no_connection_waits_for_one(database: impl Database) {
    with_table(&database).await;
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(database.begin(Isolation::Snapshot).await.unwrap());
    }
    let mut ninth = Box::pin(database.begin(Isolation::Snapshot));
    tokio::select! {
        biased;
        _ = &mut ninth => panic!("a ninth connection"),
        () = ready(()) => {}
    }
    open.pop();
    let mut tx = ninth.await.unwrap();
    assert_eq!(number(&mut tx, "select count(*) from t").await, 0);
}
