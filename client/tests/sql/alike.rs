//! What both databases do, by whichever library: each behaviour is written once and runs on both.

use highwater_client::sql::{Database, Isolation, OwnedTx, SqlError, SqlTx, SqlValue};

use crate::commit;
use crate::number;
use crate::number_now;
use crate::refusal;
use crate::round_trip;
use crate::sql;
use crate::with_table;

on_both! {
    values_come_back_as_they_went
    each_parameter_has_a_value
    a_statement_stands_alone
    what_was_rolled_back_or_dropped_is_not_there
    the_second_of_a_key_is_a_constraint
    rows_that_changed_are_counted
    rows_of_an_insert_come_back
    writers_add_up
    what_is_not_there_is_refused
}

async fn values_come_back_as_they_went(database: impl Database) {
    with_table(&database).await;
    let mut tx = database.begin(Isolation::Write).await.unwrap();
    round_trip(&mut tx).await;
    tx.commit().await.unwrap();
    assert_eq!(number_now(&database, "select count(*) from t").await, 3);
}

async fn each_parameter_has_a_value(database: impl Database) {
    with_table(&database).await;
    let mut tx = database.begin(Isolation::Write).await.unwrap();
    let two = "insert into t (id, name) values ($1, $2)";
    for values in [vec![], vec![1], vec![1, 2, 3]] {
        let mut statement = sql(two);
        statement.binds = values.iter().copied().map(SqlValue::Integer).collect();
        let expected = format!("the statement has 2 parameters and {} values", values.len());
        let said = refusal(tx.execute(statement).await);
        assert!(said.contains(&expected), "{said}");
    }
    // The transaction goes on.
    assert_eq!(tx.execute(sql(two).bind(1).bind("a")).await, Ok(1));
}

async fn a_statement_stands_alone(database: impl Database) {
    with_table(&database).await;
    let mut tx = database.begin(Isolation::Write).await.unwrap();
    let two = "insert into t (id) values (1); insert into t (id) values (2)";
    refusal(tx.execute(sql(two)).await);
    drop(tx);
    commit(&database, &["insert into t (id) values (1);"]).await;
    assert_eq!(number_now(&database, "select count(*) from t").await, 1);
}

async fn what_was_rolled_back_or_dropped_is_not_there(database: impl Database) {
    with_table(&database).await;
    for round in 0..20 {
        let mut tx = database.begin(Isolation::Write).await.unwrap();
        tx.execute(sql("insert into t (id) values (1)"))
            .await
            .unwrap();
        if round % 2 == 0 {
            tx.rollback().await.unwrap();
        } else {
            drop(tx);
        }
        assert_eq!(number_now(&database, "select count(*) from t").await, 0);
    }
    commit(&database, &["insert into t (id) values (1)"]).await;
    assert_eq!(number_now(&database, "select count(*) from t").await, 1);
}

async fn the_second_of_a_key_is_a_constraint(database: impl Database) {
    with_table(&database).await;
    commit(
        &database,
        &["insert into t (id, name) values (7, 'secret')"],
    )
    .await;
    let mut tx = database.begin(Isolation::Write).await.unwrap();
    let insert = sql("insert into t (id, name) values ($1, $2)");
    let error = tx.execute(insert.bind(7).bind("secret")).await.unwrap_err();
    assert!(matches!(error, SqlError::Constraint(_)), "{error:?}");
    assert!(!error.is_retriable());
    assert!(!error.to_string().contains("secret"), "{error}");
}

async fn rows_that_changed_are_counted(database: impl Database) {
    with_table(&database).await;
    let mut tx = database.begin(Isolation::Write).await.unwrap();
    let five = "insert into t (id) values (1), (2), (3), (4), (5)";
    assert_eq!(tx.execute(sql(five)).await, Ok(5));
    // A statement that changes no rows says so, whatever the one before it did.
    assert_eq!(tx.execute(sql("create table u (id integer)")).await, Ok(0));
    let update = "update t set name = 'x' where id <= $1";
    assert_eq!(tx.execute(sql(update).bind(3)).await, Ok(3));
    assert_eq!(tx.execute(sql(update).bind(0)).await, Ok(0));
    assert_eq!(tx.execute(sql("delete from t")).await, Ok(5));
    let ignored = "insert into t (id) values (1), (2) on conflict do nothing";
    assert_eq!(tx.execute(sql(ignored)).await, Ok(2));
    assert_eq!(tx.execute(sql(ignored)).await, Ok(0));
}

async fn rows_of_an_insert_come_back(database: impl Database) {
    with_table(&database).await;
    let mut tx = database.begin(Isolation::Write).await.unwrap();
    let claim = sql("insert into t (id) values (1), (2) on conflict do nothing returning id");
    assert_eq!(tx.query(claim.clone()).await.unwrap().len(), 2);
    assert_eq!(tx.query(claim).await.unwrap().len(), 0);
    let again = "insert into t (id) values (3) returning id";
    assert_eq!(tx.execute(sql(again)).await, Ok(1));
    assert_eq!(number(&mut tx, "select count(*) from t").await, 3);
}

async fn writers_add_up(database: impl Database) {
    with_table(&database).await;
    commit(&database, &["insert into t (id, name) values (0, '0')"]).await;
    let writers = (0..16).map(|_| {
        let database = database.clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                let mut tx = database.begin(Isolation::Write).await.unwrap();
                let add = "update t set id = id + 1 where name = '0'";
                assert_eq!(tx.execute(sql(add)).await, Ok(1));
                tx.commit().await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(number_now(&database, "select id from t").await, 160);
}

async fn what_is_not_there_is_refused(database: impl Database) {
    for wrong in ["select * from nothing", "selekt 1"] {
        let mut tx = database.begin(Isolation::Write).await.unwrap();
        refusal(tx.query(sql(wrong)).await);
        refusal(tx.execute(sql(wrong)).await);
    }
}
