//! Statements in a transaction of sqlx on SQLite.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - Each `$n` of a text has a value, and each value its `$n`: sqlx would take null for what is
//!   missing.
//! - Nothing is written when the transaction is over: it would be committed at once.

use std::future::poll_fn;

use sqlx::decode::Decode;
use sqlx::error::BoxDynError;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Either, Executor, Row, SqlSafeStr, Statement};
use sqlx::{Transaction, TypeInfo, ValueRef};

use crate::sql::error::SqlError;
use crate::sql::row::SqlRow;
use crate::sql::statement::{SqlStatement, SqlValue};
use crate::sql::{Dialect, NO_TEXT, OVER, REAL, SqlTx};

/// In a transaction of your own.
///
/// ```no_run
/// use highwater_client::{Event, Outbox};
/// use sqlx::SqlitePool;
///
/// # async fn run(pool: SqlitePool) -> Result<(), Box<dyn std::error::Error>> {
/// let outbox = Outbox::to("order-events");
/// let mut tx = pool.begin_with("begin immediate").await?;
/// sqlx::query("update orders set state = 'paid'").execute(&mut *tx).await?;
/// let event = Event::new("/shop/orders", "order.paid.v1").key("order-42").data("{}");
/// outbox.enqueue(&mut tx, &event).await?;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
impl SqlTx for Transaction<'_, Sqlite> {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn execute(&mut self, statement: SqlStatement) -> Result<u64, SqlError> {
        // What SQLite counts is that of the last statement that could change rows, not of this one.
        let changes_rows = !defines(&statement.text);
        let (count, _) = run(self, statement).await?;
        Ok(if changes_rows { count } else { 0 })
    }

    async fn query(&mut self, statement: SqlStatement) -> Result<Vec<SqlRow>, SqlError> {
        let (_, rows) = run(self, statement).await?;
        rows.iter().map(row).collect()
    }
}

/// Runs one statement: how many rows it changed, and those that it gave.
async fn run(
    connection: &mut SqliteConnection,
    statement: SqlStatement,
) -> Result<(u64, Vec<SqliteRow>), SqlError> {
    in_transaction(connection).await?;
    let SqlStatement { text, binds } = statement;
    let numbers_max = parameters(&text).into_iter().max().unwrap_or(0);
    // Values are never in the text.
    let text = AssertSqlSafe(text).into_sql_str();
    let prepared = connection.prepare(text).await?;
    let count = match prepared.parameters() {
        Some(Either::Right(count)) => count,
        _ => 0,
    };
    SqlStatement::fits(count, binds.len())?;
    if numbers_max > count {
        return Err(SqlError::Refused(format!(
            "the statement's parameter ${numbers_max} is none of $1 to ${count}"
        )));
    }
    let mut values = SqliteArguments::default();
    for value in binds {
        let added = match value {
            SqlValue::Null => values.add(None::<i64>),
            SqlValue::Integer(value) => values.add(value),
            SqlValue::Text(value) => values.add(value),
            SqlValue::Bytes(value) => values.add(value),
        };
        added.map_err(|why| SqlError::Refused(why.to_string()))?;
    }
    let mut steps = connection.fetch_many(prepared.query_with(values));
    let (mut rows, mut counts) = (Vec::new(), Vec::new());
    while let Some(step) = poll_fn(|context| steps.as_mut().poll_next(context)).await {
        match step? {
            Either::Left(done) => counts.push(done.rows_affected()),
            Either::Right(row) => rows.push(row),
        }
    }
    match counts[..] {
        [count] => Ok((count, rows)),
        [] => Ok((0, rows)),
        _ => Err(SqlError::Refused(
            "the text has several statements, which were run: roll the transaction back".to_owned(),
        )),
    }
}

/// SQLite ends a transaction by itself after some errors, and sqlx does not see it. Within one a
/// second one cannot begin.
async fn in_transaction(connection: &mut SqliteConnection) -> Result<(), SqlError> {
    match connection.execute("begin").await {
        Err(sqlx::Error::Database(_)) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => {
            connection.execute("rollback").await?;
            Err(SqlError::Refused(OVER.to_owned()))
        }
    }
}

/// Whether a statement changes no rows by what it is.
fn defines(text: &str) -> bool {
    let word = text.split_whitespace().next().unwrap_or_default();
    let words = ["alter", "create", "drop", "pragma", "savepoint", "select"];
    words.iter().any(|it| word.eq_ignore_ascii_case(it))
}

/// The numbers of `$1`, `$2` and so on in a text, outside of what is quoted.
fn parameters(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut quote = None;
    let mut before = ' ';
    for (at, it) in text.char_indices() {
        match quote {
            Some(end) if it == end => quote = None,
            Some(_) => {}
            None if matches!(it, '\'' | '"' | '`') => quote = Some(it),
            None if it == '$' && !before.is_alphanumeric() && before != '_' => {
                let rest = &text[at + 1..];
                let end = rest.find(|it: char| !it.is_ascii_digit());
                let digits = &rest[..end.unwrap_or(rest.len())];
                found.extend(digits.parse::<usize>());
            }
            None => {}
        }
        before = it;
    }
    found
}

fn row(found: &SqliteRow) -> Result<SqlRow, SqlError> {
    let values = (0..found.len()).map(|column| {
        value(found, column).map_err(|why| SqlError::Row(format!("column {column} has {why}")))
    });
    Ok(SqlRow(values.collect::<Result<_, SqlError>>()?))
}

fn value(found: &SqliteRow, column: usize) -> Result<SqlValue, BoxDynError> {
    let raw = found.try_get_raw(column)?;
    if raw.is_null() {
        return Ok(SqlValue::Null);
    }
    let kind = raw.type_info().name().to_owned();
    Ok(match kind.as_str() {
        "INTEGER" => SqlValue::Integer(Decode::<Sqlite>::decode(raw)?),
        "TEXT" => {
            let bytes = <Vec<u8> as Decode<Sqlite>>::decode(raw)?;
            let text = String::from_utf8(bytes).map_err(|_| NO_TEXT)?;
            SqlValue::Text(text)
        }
        "BLOB" => SqlValue::Bytes(Decode::<Sqlite>::decode(raw)?),
        _ => return Err(REAL.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_outside_of_quotes() {
        for (text, numbers) in [
            ("insert into t values ($1, $12)", &[1, 12][..]),
            (
                "select '$3', \"$4\", `$5`, a$6, $2, 'it''s $7' || $1",
                &[2, 1],
            ),
            ("select $, $x, 1", &[]),
            ("$1", &[1]),
        ] {
            assert_eq!(parameters(text), numbers, "{text}");
        }
    }
}
