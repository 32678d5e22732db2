//! What only PostgreSQL does.

use std::sync::OnceLock;

use highwater_client::sql::{
    Database, Isolation, OwnedTx, PgTx, Postgres, SqlError, SqlTx, SqlValue,
};
use highwater_kit::postgres::Postgres as Cluster;
use tokio_postgres::NoTls;

use crate::commit;
use crate::number;
use crate::number_now;
use crate::refusal;
use crate::sql;
use crate::with_table;

/// The cluster of this test binary; it ends with it.
fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::start).as_ref()
}

/// A new, empty database.
pub(crate) async fn database() -> Option<Postgres> {
    Some(Postgres::connect(&cluster()?.database()).await.unwrap())
}

async fn begin(database: &Postgres) -> PgTx {
    database.begin(Isolation::Write).await.unwrap()
}

/// The number of the server's process that serves a transaction.
async fn process(tx: &mut PgTx) -> i64 {
    number(tx, "select pg_backend_pid()").await
}

#[tokio::test]
async fn numbers_and_texts_go_out_as_whatever_type_is_expected() {
    let Some(database) = database().await else {
        return;
    };
    let mut tx = begin(&database).await;
    tx.execute(sql("create type mood as enum ('well', 'ill')"))
        .await
        .unwrap();
    tx.execute(sql("create domain age as smallint check (value >= 0)"))
        .await
        .unwrap();
    let uuid = "0198f3a2-77aa-7bcd-8eef-0123456789ab";
    let values = [
        ("smallint", SqlValue::from(-7)),
        ("integer", 7.into()),
        ("bigint", i64::MIN.into()),
        ("numeric", 7.into()),
        ("double precision", 7.into()),
        ("boolean", 1.into()),
        ("oid", 7.into()),
        ("age", 7.into()),
        ("text", 7.into()),
        ("xid8", 7.into()),
        ("xid8", "18446744073709551615".into()),
        ("varchar(40)", "a".into()),
        ("char(1)", "a".into()),
        ("name", "a".into()),
        ("mood", "ill".into()),
        ("uuid", uuid.into()),
        ("json", "{\"a\": 1}".into()),
        ("jsonb", "{\"a\": 1}".into()),
        ("timestamptz", "2026-11-26 11:00:00+00".into()),
        ("pg_snapshot", "10:20:12,14".into()),
        ("bytea", vec![0, 255].into()),
        ("integer", SqlValue::Null),
        ("bytea", SqlValue::Null),
    ];
    for (table, (kind, value)) in values.into_iter().enumerate() {
        let create = format!("create table t{table} (v {kind})");
        tx.execute(sql(&create)).await.unwrap();
        let insert = format!("insert into t{table} values ($1)");
        let insert = sql(&insert).bind(value.clone());
        assert_eq!(tx.execute(insert).await, Ok(1), "{kind}");
        let same =
            format!("select count(*) from t{table} where v::text = $1::{kind}::text or v is null");
        let found = tx.query(sql(&same).bind(value)).await.unwrap();
        assert_eq!(found[0].integer(0), Ok(1), "{kind}");
    }
}

#[tokio::test]
async fn values_of_these_types_come_back_and_of_others_it_is_said() {
    let Some(database) = database().await else {
        return;
    };
    let mut tx = begin(&database).await;
    tx.execute(sql("create type mood as enum ('well', 'ill')"))
        .await
        .unwrap();
    tx.execute(sql("create domain age as smallint"))
        .await
        .unwrap();
    let uuid = "0198f3a2-77aa-7bcd-8eef-0123456789ab";
    for (expression, value) in [
        ("true", SqlValue::from(1)),
        ("false", 0.into()),
        ("(-7)::smallint", (-7).into()),
        ("(-7)::int", (-7).into()),
        ("(-9223372036854775808)::bigint", i64::MIN.into()),
        ("4294967295::oid", 4_294_967_295_i64.into()),
        (
            "'18446744073709551615'::xid8",
            "18446744073709551615".into(),
        ),
        ("'a'::text", "a".into()),
        ("'a'::varchar", "a".into()),
        ("'a'::char(2)", "a ".into()),
        ("'a'::name", "a".into()),
        ("'a'", "a".into()),
        ("'{\"a\":1}'::json", "{\"a\":1}".into()),
        ("'{\"a\":1}'::jsonb", "{\"a\": 1}".into()),
        ("'0198F3A2-77AA-7BCD-8EEF-0123456789AB'::uuid", uuid.into()),
        ("'\\x00ff'::bytea", vec![0, 255].into()),
        ("'ill'::mood", "ill".into()),
        ("7::age", 7.into()),
        ("null::uuid", SqlValue::Null),
        ("null::point", SqlValue::Null),
        ("pg_sleep(0)", SqlValue::Null),
    ] {
        let found = tx.query(sql(&format!("select {expression}"))).await;
        assert_eq!(found.unwrap()[0].0, [value], "{expression}");
    }
    for other in [
        "now()",
        "1.5::numeric",
        "1.5::real",
        "pg_current_snapshot()",
    ] {
        let select = format!("select 1, {other} as other");
        let error = tx.query(sql(&select)).await.unwrap_err();
        assert!(matches!(error, SqlError::Row(_)), "{error:?}");
        let said = error.to_string();
        assert!(
            said.contains("column 1, `other`: a value of the type") && said.contains("to text"),
            "{said}"
        );
        let cast = format!("select ({other})::text");
        tx.query(sql(&cast)).await.unwrap()[0].text(0).unwrap();
    }
}

#[tokio::test]
async fn bytes_go_out_as_bytea_only_whoever_s_transaction_it_is() {
    let Some(cluster) = cluster() else {
        return;
    };
    let url = cluster.database();
    let database = Postgres::connect(&url).await.unwrap();
    commit(&database, &["create table t (v jsonb)"]).await;
    let as_it_is = || sql("insert into t values ($1)").bind(b"[7]".to_vec());
    let cast = || sql("insert into t values (convert_from($1::bytea, 'UTF8')::jsonb)");
    let cast = || cast().bind(b"[7]".to_vec());

    let mut tx = begin(&database).await;
    let said = refusal(tx.execute(as_it_is()).await);
    assert!(said.contains("$n::bytea"), "{said}");
    assert_eq!(tx.execute(cast()).await, Ok(1));

    let (mut client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut own = client.transaction().await.unwrap();
    assert_eq!(SqlTx::execute(&mut own, cast()).await, Ok(1));
    refusal(SqlTx::execute(&mut own, as_it_is()).await);
    drop(own);
    drop(client);
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn transactions_of_your_own_take_the_same_statements() {
    let Some(cluster) = cluster() else {
        return;
    };
    let url = cluster.database();
    let database = Postgres::connect(&url).await.unwrap();
    with_table(&database).await;
    let (mut client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut tx = client.transaction().await.unwrap();
    crate::round_trip(&mut tx).await;
    tx.execute("insert into t (id) values (1)", &[])
        .await
        .unwrap();
    let few = SqlTx::execute(
        &mut tx,
        sql("insert into t (id, name) values ($1, $2)").bind(2),
    );
    let said = refusal(few.await);
    assert!(said.contains("requires 2"), "{said}");
    tx.rollback().await.unwrap();

    let mut tx = client.transaction().await.unwrap();
    crate::round_trip(&mut tx).await;
    tx.commit().await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    assert_eq!(number_now(&database, "select count(*) from t").await, 3);
}

/// PostgreSQL answers `commit` in a transaction that has failed with a rollback and no error.
#[tokio::test]
async fn the_commit_of_a_transaction_that_has_failed_is_an_error() {
    let Some(database) = database().await else {
        return;
    };
    with_table(&database).await;
    let mut tx = begin(&database).await;
    tx.execute(sql("insert into t (id) values (1)"))
        .await
        .unwrap();
    let twice = tx.execute(sql("insert into t (id) values (1)")).await;
    assert!(matches!(twice, Err(SqlError::Constraint(_))), "{twice:?}");
    let said = refusal(tx.commit().await);
    assert!(said.contains("aborted"), "{said}");
    assert_eq!(number_now(&database, "select count(*) from t").await, 0);

    // With a savepoint of your own it is whole again.
    let mut tx = begin(&database).await;
    tx.execute(sql("insert into t (id) values (1)"))
        .await
        .unwrap();
    tx.client().batch_execute("savepoint s").await.unwrap();
    tx.execute(sql("insert into t (id) values (1)"))
        .await
        .unwrap_err();
    tx.client()
        .batch_execute("rollback to savepoint s")
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(number_now(&database, "select count(*) from t").await, 1);
}

#[tokio::test]
async fn a_constraint_that_waits_for_the_commit_fails_the_commit() {
    let Some(database) = database().await else {
        return;
    };
    let table = "create table t (id int unique deferrable initially deferred)";
    commit(&database, &[table]).await;
    let mut tx = begin(&database).await;
    tx.execute(sql("insert into t values (1), (1)"))
        .await
        .unwrap();
    let failed = tx.commit().await;
    assert!(matches!(failed, Err(SqlError::Constraint(_))), "{failed:?}");
    assert_eq!(number_now(&database, "select count(*) from t").await, 0);
}

#[tokio::test]
async fn whoever_meets_another_transaction_is_told_to_try_again() {
    let Some(database) = database().await else {
        return;
    };
    with_table(&database).await;
    commit(&database, &["insert into t (id) values (1), (2)"]).await;
    let update = |id: i64| sql("update t set name = 'x' where id = $1").bind(id);

    // A lock that takes too long.
    let (mut a, mut b) = (begin(&database).await, begin(&database).await);
    a.execute(update(1)).await.unwrap();
    b.execute(sql("set local lock_timeout = '10ms'"))
        .await
        .unwrap();
    let late = b.execute(update(1)).await;
    assert!(matches!(late, Err(SqlError::Conflict(_))), "{late:?}");
    drop((a, b));

    // A deadlock: one of the two goes on.
    let (mut a, mut b) = (begin(&database).await, begin(&database).await);
    for tx in [&mut a, &mut b] {
        tx.execute(sql("set local deadlock_timeout = '10ms'"))
            .await
            .unwrap();
    }
    a.execute(update(1)).await.unwrap();
    b.execute(update(2)).await.unwrap();
    let (a_then_2, b_then_1) = {
        let crossing = async {
            let met = b.execute(update(1)).await;
            if met.is_err() {
                b.rollback().await.unwrap();
            }
            met
        };
        let first = async {
            let met = a.execute(update(2)).await;
            if met.is_err() {
                a.rollback().await.unwrap();
            }
            met
        };
        tokio::join!(first, crossing)
    };
    let met = match (a_then_2, b_then_1) {
        (Ok(1), Err(met)) | (Err(met), Ok(1)) => met,
        both => panic!("one goes on and one does not: {both:?}"),
    };
    assert!(matches!(met, SqlError::Conflict(_)), "{met:?}");
    assert!(met.is_retriable());
}

#[tokio::test]
async fn a_statement_that_is_left_is_cancelled_and_its_lock_is_free() {
    let Some(database) = database().await else {
        return;
    };
    with_table(&database).await;
    commit(&database, &["insert into t (id) values (1)"]).await;
    let update = || sql("update t set name = 'x' where id = 1");
    let mut holder = begin(&database).await;
    holder.execute(update()).await.unwrap();

    // It has a lock of its own, and waits for the holder's.
    let mut waiter = begin(&database).await;
    let process = process(&mut waiter).await;
    waiter
        .execute(sql("lock table t in share update exclusive mode"))
        .await
        .unwrap();
    let watch = async {
        let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and \
                     pid = $1::int";
        loop {
            let mut tx = database.begin(Isolation::Snapshot).await.unwrap();
            if tx.query(sql(waits).bind(process)).await.unwrap()[0].integer(0) == Ok(1) {
                break;
            }
        }
    };
    tokio::select! {
        met = waiter.execute(update()) => panic!("it does not wait: {met:?}"),
        () = watch => {}
    }
    drop(waiter);
    // Only its end frees this lock; the holder's stays.
    let mut tx = begin(&database).await;
    tx.execute(sql("set local lock_timeout = '20s'"))
        .await
        .unwrap();
    let free = tx
        .execute(sql("lock table t in share update exclusive mode"))
        .await;
    assert_eq!(free, Ok(0));
    holder.commit().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_is_ended_is_unavailable_and_the_next_one_is_new() {
    let Some(database) = database().await else {
        return;
    };
    with_table(&database).await;
    let mut tx = begin(&database).await;
    tx.execute(sql("insert into t (id) values (1)"))
        .await
        .unwrap();
    let ended = process(&mut tx).await;
    let mut other = begin(&database).await;
    let end = sql("select pg_terminate_backend($1::int)").bind(ended);
    assert_eq!(other.query(end).await.unwrap()[0].integer(0), Ok(1));
    drop(other);
    let met = tx.execute(sql("insert into t (id) values (2)")).await;
    assert!(matches!(met, Err(SqlError::Unavailable(_))), "{met:?}");
    let met = tx.commit().await;
    assert!(matches!(met, Err(SqlError::Unavailable(_))), "{met:?}");
    assert_eq!(number_now(&database, "select count(*) from t").await, 0);
}

#[tokio::test]
async fn a_server_that_was_killed_is_unavailable_until_it_is_back() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let url = cluster.database();
    let database = Postgres::connect(&url).await.unwrap();
    with_table(&database).await;
    // Several connections wait in the pool when it happens.
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(begin(&database).await);
    }
    for tx in open {
        tx.rollback().await.unwrap();
    }
    commit(&database, &["insert into t (id) values (1)"]).await;
    let mut tx = begin(&database).await;
    tx.execute(sql("insert into t (id) values (2)"))
        .await
        .unwrap();

    cluster.kill();
    let met = tx.commit().await;
    assert!(matches!(met, Err(SqlError::Unavailable(_))), "{met:?}");
    let met = database.begin(Isolation::Write).await.unwrap_err();
    assert!(matches!(met, SqlError::Unavailable(_)), "{met:?}");
    let met = Postgres::connect(&url).await.unwrap_err();
    assert!(matches!(met, SqlError::Unavailable(_)), "{met:?}");

    cluster.restart();
    assert_eq!(number_now(&database, "select count(*) from t").await, 1);
    commit(&database, &["insert into t (id) values (2)"]).await;
    assert_eq!(number_now(&database, "select count(*) from t").await, 2);
}

/// What a statement was prepared for stays as it was: the server would refuse it for ever.
#[tokio::test]
async fn a_statement_outlives_a_change_of_its_table() {
    let Some(database) = database().await else {
        return;
    };
    commit(&database, &["create table t (id smallint)"]).await;
    let select = || sql("select * from t");
    let insert = || sql("insert into t (id) values ($1)").bind(70_000);
    let mut tx = begin(&database).await;
    assert_eq!(tx.query(select()).await, Ok(vec![]));
    refusal(tx.execute(insert()).await);
    drop(tx);
    let before = sql("insert into t (id) values ($1)").bind(1);
    let mut tx = begin(&database).await;
    tx.execute(before).await.unwrap();
    tx.commit().await.unwrap();
    let wider = "alter table t alter column id type bigint";
    commit(&database, &[wider, "alter table t add column name text"]).await;

    let mut tx = begin(&database).await;
    refusal(tx.execute(insert()).await);
    drop(tx);
    let mut tx = begin(&database).await;
    assert_eq!(tx.execute(insert()).await, Ok(1));
    tx.commit().await.unwrap();

    let mut tx = begin(&database).await;
    let met = tx.query(select()).await;
    assert!(matches!(met, Err(SqlError::Conflict(_))), "{met:?}");
    drop(tx);
    let mut tx = begin(&database).await;
    assert_eq!(tx.query(select()).await.unwrap()[0].0.len(), 2);
}

#[tokio::test]
async fn what_cannot_be_connected_to_is_said_without_its_password() {
    let said = refusal(Postgres::connect("postgres://u:hunter2@localhost/d?sslmode=require").await);
    assert!(
        said.contains("sslmode=disable") && !said.contains("hunter2"),
        "{said}"
    );
    let said = refusal(Postgres::connect("postgres://u:hunter2@localhost/d?sslmode=maybe").await);
    assert!(
        said.contains("sslmode") && !said.contains("hunter2"),
        "{said}"
    );
    refusal(Postgres::connect("mysql://u@localhost/d").await);

    let nobody = Postgres::connect("postgres://u:hunter2@%2Fno%2Fsuch%2Ffolder/d").await;
    let nobody = nobody.unwrap_err();
    assert!(matches!(nobody, SqlError::Unavailable(_)), "{nobody:?}");
    assert!(!nobody.to_string().contains("hunter2"), "{nobody}");

    let Some(cluster) = cluster() else {
        return;
    };
    let said = refusal(Postgres::connect(&cluster.url("nothing")).await);
    assert!(said.contains("\"nothing\" does not exist"), "{said}");
    let url = cluster.database().replace("postgres@", "postgres:hunter2@");
    let database = Postgres::connect(&url).await.unwrap();
    assert!(!format!("{database:?}").contains("hunter2"), "{database:?}");
}

/// A transaction that ends outside of a runtime has nobody to roll it back: its connection closes.
#[test]
fn a_transaction_dropped_outside_of_a_runtime_is_rolled_back() {
    let Some(cluster) = cluster() else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (database, tx) = runtime.block_on(async {
        let database = Postgres::connect(&cluster.database()).await.unwrap();
        with_table(&database).await;
        let mut tx = begin(&database).await;
        tx.execute(sql("insert into t (id) values (1)"))
            .await
            .unwrap();
        (database, tx)
    });
    drop(tx);
    runtime.block_on(async {
        // The key is free only when the other transaction is over.
        commit(&database, &["insert into t (id) values (1)"]).await;
        assert_eq!(number_now(&database, "select count(*) from t").await, 1);
    });
}
