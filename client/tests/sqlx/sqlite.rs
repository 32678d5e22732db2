//! What is so with sqlx on SQLite alone.

use std::path::PathBuf;

use highwater_client::sql::{Dialect, SqlError, SqlTx, SqlValue};
use sqlx::Sqlite;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use tempfile::TempDir;

use crate::number;
use crate::pools::Pooled;
use crate::refusal;
use crate::sql;
use crate::with_table;

/// A database in a file, which goes with it.
pub(crate) struct File {
    pub(crate) database: Pooled<Sqlite>,
    folder: TempDir,
}

impl File {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("test.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        // Those who write take turns.
        let pool = SqlitePoolOptions::new().max_connections(1);
        let database = Pooled {
            pool: pool.connect_with(options).await.unwrap(),
            dialect: Dialect::Sqlite,
        };
        Self { database, folder }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("test.db")
    }
}

/// sqlx itself takes null for a value that is missing, and leaves out one that is too many.
#[tokio::test]
async fn no_parameter_is_null_because_its_value_is_missing() {
    let file = File::new().await;
    with_table(&file.database).await;
    let mut tx = file.database.pool.begin().await.unwrap();
    for (text, sentence) in [
        (
            "insert into t (id, name) values ($1, $2)",
            "the statement has 2 parameters and 1 values",
        ),
        (
            "insert into t (id) values (7)",
            "the statement has 0 parameters and 1 values",
        ),
        (
            "insert into t (name) values ($2)",
            "the statement's parameter $2 is none of $1 to $1",
        ),
    ] {
        let said = refusal(SqlTx::execute(&mut tx, sql(text).bind("a")).await);
        assert!(said.ends_with(sentence), "{said}");
    }
    let quoted = sql("insert into t (id, name) values ($1, '$2 it''s $3')").bind(7);
    assert_eq!(SqlTx::execute(&mut tx, quoted).await, Ok(1));
    assert_eq!(number(&mut tx, "select count(*) from t").await, 1);
}

/// Whoever goes on after the error would have the event without the change that it tells of.
#[tokio::test]
async fn a_transaction_that_sqlite_has_ended_takes_no_more_statements() {
    let file = File::new().await;
    with_table(&file.database).await;
    let mut tx = file.database.pool.begin().await.unwrap();
    let insert = "insert or rollback into t (id) values (1)";
    assert_eq!(SqlTx::execute(&mut tx, sql(insert)).await, Ok(1));
    let twice = SqlTx::execute(&mut tx, sql(insert)).await;
    assert!(matches!(twice, Err(SqlError::Constraint(_))), "{twice:?}");
    let event = sql("insert into t (id) values (2)");
    let said = refusal(SqlTx::execute(&mut tx, event).await);
    assert!(said.contains("the transaction is over"), "{said}");
    refusal(SqlTx::query(&mut tx, sql("select 1")).await);
    tx.commit().await.unwrap_err();
    let other = rusqlite::Connection::open(file.path()).unwrap();
    let count = other.query_row("select count(*) from t", [], |row| row.get::<_, i64>(0));
    assert_eq!(count, Ok(0));
}

#[tokio::test]
async fn what_cannot_be_read_is_said() {
    let file = File::new().await;
    let mut tx = file.database.pool.begin().await.unwrap();
    for (select, sentence) in [
        ("select 1.5", "column 0 has a floating point number"),
        (
            "select 1, cast(x'ff' as text)",
            "column 1 has text that is not UTF-8",
        ),
    ] {
        let said = SqlTx::query(&mut tx, sql(select)).await.unwrap_err();
        assert!(matches!(said, SqlError::Row(_)), "{said:?}");
        assert!(said.to_string().contains(sentence), "{said}");
    }
    let kinds = sql("select 1, 'a', x'00', null, 1 = 1");
    let found = SqlTx::query(&mut tx, kinds).await.unwrap();
    let wanted: [SqlValue; 5] = [
        1.into(),
        "a".into(),
        vec![0].into(),
        SqlValue::Null,
        1.into(),
    ];
    assert_eq!(found[0].0, wanted);
}
