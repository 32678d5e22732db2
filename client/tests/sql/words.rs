//! What the tests of all drivers say.

use highwater_client::sql::{
    Database, Dialect, Isolation, OwnedTx, SqlError, SqlStatement, SqlTx, SqlValue,
};

/// Makes tests of behaviours: each on a database of SQLite and on one of PostgreSQL.
macro_rules! on_both {
    ($($behaviour:ident)*) => {
        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $behaviour() {
                    let file = crate::sqlite::File::new().await;
                    super::$behaviour(file.database.clone()).await;
                }
            )*
        }

        #[cfg(unix)]
        mod on_postgres {
            $(
                #[tokio::test]
                async fn $behaviour() {
                    if let Some(database) = crate::postgres::database().await {
                        super::$behaviour(database).await;
                    }
                }
            )*
        }
    };
}

pub(crate) fn sql(text: &str) -> SqlStatement {
    SqlStatement::new(text.to_owned())
}

/// Runs statements in a transaction and commits it.
pub(crate) async fn commit<D: Database>(database: &D, statements: &[&str]) {
    let mut tx = database.begin(Isolation::Write).await.unwrap();
    for statement in statements {
        tx.execute(sql(statement)).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// A table `t (id, name, body)`.
pub(crate) async fn with_table<D: Database>(database: &D) {
    let bytes = match database.dialect() {
        Dialect::Sqlite => "blob",
        Dialect::Postgres => "bytea",
    };
    let table = format!("create table t (id bigint primary key, name text, body {bytes})");
    commit(database, &[&table]).await;
}

/// The only number that a statement gives.
pub(crate) async fn number(tx: &mut impl SqlTx, text: &str) -> i64 {
    let rows = tx.query(sql(text)).await.unwrap();
    assert_eq!(rows.len(), 1, "{text}");
    rows[0].integer(0).unwrap()
}

/// The only number that a statement gives in a transaction of its own.
pub(crate) async fn number_now<D: Database>(database: &D, text: &str) -> i64 {
    let mut tx = database.begin(Isolation::Snapshot).await.unwrap();
    number(&mut tx, text).await
}

/// Every kind of value goes in and comes back, whoever's transaction it is.
pub(crate) async fn round_trip(tx: &mut impl SqlTx) {
    let all_bytes: Vec<u8> = (0..=255).collect();
    let rows = [
        [SqlValue::from(i64::MIN), SqlValue::Null, SqlValue::Null],
        [SqlValue::from(i64::MAX), "".into(), SqlValue::Bytes(vec![])],
        [
            SqlValue::from(-1),
            "'; -- $1 \u{fc}\u{1f600}".into(),
            all_bytes.into(),
        ],
    ];
    for [id, name, body] in rows.clone() {
        let insert = sql("insert into t (name, body, id) values ($2, $3, $1)");
        let count = tx.execute(insert.bind(id).bind(name).bind(body)).await;
        assert_eq!(count.unwrap(), 1);
    }
    for row in rows {
        // Parameters have numbers: their order in the text is nothing, and one may stand twice.
        let select = sql("select id, name, body from t where $2 <> 'x' and (id = $1 or id = $1)");
        let found = tx.query(select.bind(row[0].clone()).bind("y")).await;
        let found = found.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, row);
    }
    assert_eq!(
        tx.query(sql("select id from t where id = 0")).await,
        Ok(vec![])
    );
}

/// The sentence of an error that is not worth another try.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, SqlError>) -> String {
    let error = result.unwrap_err();
    assert!(matches!(error, SqlError::Refused(_)), "{error:?}");
    assert!(!error.is_retriable());
    error.to_string()
}
