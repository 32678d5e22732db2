//! What is so with sqlx on PostgreSQL alone.

use std::sync::OnceLock;

use highwater_client::sql::{Dialect, SqlError, SqlTx, SqlValue};
use highwater_kit::postgres::Postgres as Cluster;
use sqlx::Postgres;
use sqlx::postgres::PgPoolOptions;

use crate::commit;
use crate::pools::Pooled;
use crate::refusal;
use crate::sql;

/// The cluster of this test binary; it ends with it.
pub(crate) fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::start).as_ref()
}

/// A new, empty database.
pub(crate) async fn database() -> Option<Pooled<Postgres>> {
    Some(connect(&cluster()?.database(), 8).await)
}

pub(crate) async fn connect(url: &str, connections_max: u32) -> Pooled<Postgres> {
    let options = PgPoolOptions::new().max_connections(connections_max);
    Pooled {
        pool: options.connect(url).await.unwrap(),
        dialect: Dialect::Postgres,
    }
}

const UUID: &str = "0198f3a2-77aa-7bcd-8eef-0123456789ab";

#[tokio::test]
async fn values_go_out_in_binary_as_the_type_that_is_expected() {
    let Some(database) = database().await else {
        return;
    };
    let types = [
        "create type mood as enum ('well', 'ill')",
        "create domain age as smallint check (value >= 0)",
    ];
    commit(&database, &types).await;
    let mut tx = database.pool.begin().await.unwrap();
    let values = [
        ("smallint", SqlValue::from(-7)),
        ("integer", 7.into()),
        ("integer", "-7".into()),
        ("bigint", i64::MIN.into()),
        ("boolean", 1.into()),
        ("boolean", "false".into()),
        ("oid", 4_294_967_295_i64.into()),
        ("age", 7.into()),
        ("text", 7.into()),
        ("xid8", 7.into()),
        ("xid8", "18446744073709551615".into()),
        ("varchar(40)", "a".into()),
        ("char(1)", "a".into()),
        ("name", "a".into()),
        ("mood", "ill".into()),
        ("uuid", UUID.into()),
        ("json", "{\"a\": 1}".into()),
        ("jsonb", "{\"a\": 1}".into()),
        ("jsonb", 7.into()),
        ("bytea", vec![0, 255].into()),
        ("integer", SqlValue::Null),
        ("bytea", SqlValue::Null),
        ("timestamptz", SqlValue::Null),
    ];
    for (table, (kind, value)) in values.into_iter().enumerate() {
        let create = format!("create table t{table} (v {kind})");
        SqlTx::execute(&mut tx, sql(&create)).await.unwrap();
        let insert = sql(&format!("insert into t{table} values ($1)"));
        let done = SqlTx::execute(&mut tx, insert.bind(value.clone())).await;
        assert_eq!(done, Ok(1), "{kind}");
        let cast = match value {
            SqlValue::Bytes(_) => "$1::bytea",
            SqlValue::Integer(_) => "$1::bigint::text",
            SqlValue::Null | SqlValue::Text(_) => "$1::text",
        };
        let same = format!("select count(*) from t{table} where v = ({cast})::{kind} or v is null");
        let same = match kind {
            "json" => same.replace("v = ", "v::text = ").replace("::json ", " "),
            "jsonb" | "xid8" | "boolean" => same.replace("bigint::text", "text"),
            _ => same,
        };
        let found = SqlTx::query(&mut tx, sql(&same).bind(value)).await;
        assert_eq!(found.unwrap()[0].integer(0), Ok(1), "{kind}");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_said_and_the_transaction_goes_on() {
    let Some(database) = database().await else {
        return;
    };
    let mut tx = database.pool.begin().await.unwrap();
    for (kind, value, sentence) in [
        (
            "timestamptz",
            SqlValue::from("2026-11-26 11:00:00+00"),
            "a text does not fit `timestamptz`: let the statement cast `$n::text::timestamptz`",
        ),
        (
            "numeric",
            7.into(),
            "7 does not fit `numeric`: let the statement cast `$n::bigint`",
        ),
        (
            "smallint",
            70_000.into(),
            "70000 does not fit `int2`: let the statement cast `$n::bigint`",
        ),
        (
            "uuid",
            "no uuid".into(),
            "a text does not fit `uuid`: let the statement cast `$n::text::uuid`",
        ),
        (
            "jsonb",
            b"[7]".to_vec().into(),
            "bytes do not fit `jsonb`: let the statement cast `$n::bytea`",
        ),
        (
            "bytea",
            "a".into(),
            "a text does not fit `bytea`: let the statement cast `$n::text::bytea`",
        ),
    ] {
        let select = sql(&format!("select ($1::{kind}) is null"));
        let said = refusal(SqlTx::query(&mut tx, select.bind(value)).await);
        assert_eq!(said, format!("the database refused it: {sentence}"));
    }
    let cast = sql("select ($1::text::timestamptz)::text, $2::bigint::numeric::text");
    let cast = cast.bind("2026-11-26 11:00:00+00").bind(7);
    let found = SqlTx::query(&mut tx, cast).await.unwrap();
    assert!(found[0].text(0).unwrap().starts_with("2026-11-26"));
    assert_eq!(found[0].text(1), Ok("7"));
}

#[tokio::test]
async fn values_of_these_types_come_back_and_of_others_it_is_said() {
    let Some(database) = database().await else {
        return;
    };
    let types = [
        "create type mood as enum ('well', 'ill')",
        "create domain age as smallint",
    ];
    commit(&database, &types).await;
    let mut tx = database.pool.begin().await.unwrap();
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
        ("'a'::char(2)", "a ".into()),
        ("'a'::name", "a".into()),
        ("'a'", "a".into()),
        ("'{\"a\":1}'::json", "{\"a\":1}".into()),
        ("'{\"a\":1}'::jsonb", "{\"a\": 1}".into()),
        ("'0198F3A2-77AA-7BCD-8EEF-0123456789AB'::uuid", UUID.into()),
        ("'\\x00ff'::bytea", vec![0, 255].into()),
        ("'ill'::mood", "ill".into()),
        ("7::age", 7.into()),
        ("null::point", SqlValue::Null),
        ("pg_sleep(0)", SqlValue::Null),
    ] {
        let select = sql(&format!("select {expression}"));
        let found = SqlTx::query(&mut tx, select).await;
        assert_eq!(found.unwrap()[0].0, [value], "{expression}");
    }
    for (other, kind) in [
        ("now()", "timestamptz"),
        ("1.5::numeric", "numeric"),
        ("pg_current_snapshot()", "pg_snapshot"),
    ] {
        let select = sql(&format!("select 1, {other} as other"));
        let error = SqlTx::query(&mut tx, select).await.unwrap_err();
        assert!(matches!(error, SqlError::Row(_)), "{error:?}");
        let sentence = format!("column 1, `other`: a value of the type `{kind}` is not read here");
        assert!(error.to_string().contains(&sentence), "{error}");
    }
}

/// What sqlx has prepared stays as it was: the server would refuse it for ever.
#[tokio::test]
async fn a_statement_outlives_a_change_of_its_table() {
    let Some(cluster) = cluster() else {
        return;
    };
    let database = connect(&cluster.database(), 1).await;
    commit(&database, &["create table t (id smallint)"]).await;
    let select = || sql("select * from t");
    let insert = || sql("insert into t (id) values ($1)").bind(70_000);
    let mut tx = database.pool.begin().await.unwrap();
    assert_eq!(SqlTx::query(&mut tx, select()).await, Ok(vec![]));
    refusal(SqlTx::execute(&mut tx, insert()).await);
    assert_eq!(SqlTx::query(&mut tx, select()).await, Ok(vec![]));
    tx.rollback().await.unwrap();
    let wider = "alter table t alter column id type bigint";
    commit(&database, &[wider, "alter table t add column name text"]).await;

    let mut tx = database.pool.begin().await.unwrap();
    assert_eq!(SqlTx::execute(&mut tx, insert()).await, Ok(1));
    let met = SqlTx::query(&mut tx, select()).await;
    assert!(matches!(met, Err(SqlError::Conflict(_))), "{met:?}");
    tx.rollback().await.unwrap();
    let mut tx = database.pool.begin().await.unwrap();
    assert_eq!(SqlTx::execute(&mut tx, insert()).await, Ok(1));
    let found = SqlTx::query(&mut tx, select()).await.unwrap();
    assert_eq!(found[0].0, [70_000.into(), SqlValue::Null]);
}
