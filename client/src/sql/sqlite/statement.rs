//! Statements on a connection of SQLite, and in a transaction of your own.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - Each `$n` of a text has a value, and each value its `$n`.

use std::future::ready;

use rusqlite::types::ToSqlOutput;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Savepoint, Statement, Transaction};

use crate::sql::error::SqlError;
use crate::sql::meaning::of_code;
use crate::sql::row::SqlRow;
use crate::sql::statement::{SqlStatement, SqlValue};
use crate::sql::{Dialect, NO_TEXT, OVER, REAL, SqlTx};

/// In a transaction of your own: the futures are ready at once, on the thread that asks.
///
/// ```
/// use highwater_client::sql::{SqlStatement, SqlTx};
/// use rusqlite::Connection;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), highwater_client::sql::SqlError> {
/// let mut connection = Connection::open_in_memory()?;
/// let mut tx = connection.transaction()?;
/// tx.execute_batch("create table t (n integer)")?;
/// SqlTx::execute(&mut tx, SqlStatement::new("insert into t values ($1)").bind(7)).await?;
/// tx.commit()?;
/// # Ok(())
/// # }
/// ```
impl SqlTx for Transaction<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn execute(
        &mut self,
        statement: SqlStatement,
    ) -> impl Future<Output = Result<u64, SqlError>> + Send {
        ready(execute(self, &statement))
    }

    fn query(
        &mut self,
        statement: SqlStatement,
    ) -> impl Future<Output = Result<Vec<SqlRow>, SqlError>> + Send {
        ready(query(self, &statement))
    }
}

/// As in a transaction of your own.
impl SqlTx for Savepoint<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn execute(
        &mut self,
        statement: SqlStatement,
    ) -> impl Future<Output = Result<u64, SqlError>> + Send {
        ready(execute(self, &statement))
    }

    fn query(
        &mut self,
        statement: SqlStatement,
    ) -> impl Future<Output = Result<Vec<SqlRow>, SqlError>> + Send {
        ready(query(self, &statement))
    }
}

pub(super) fn execute(connection: &Connection, statement: &SqlStatement) -> Result<u64, SqlError> {
    in_transaction(connection)?;
    let mut prepared = connection.prepare_cached(&statement.text)?;
    bind(&mut prepared, &statement.binds)?;
    let before = connection.total_changes();
    let mut rows = prepared.raw_query();
    while rows.next()?.is_some() {}
    // `changes` is that of the last statement that could change rows, not of this one.
    Ok(if connection.total_changes() == before {
        0
    } else {
        connection.changes()
    })
}

pub(super) fn query(
    connection: &Connection,
    statement: &SqlStatement,
) -> Result<Vec<SqlRow>, SqlError> {
    in_transaction(connection)?;
    let mut prepared = connection.prepare_cached(&statement.text)?;
    bind(&mut prepared, &statement.binds)?;
    let columns = prepared.column_count();
    let mut rows = prepared.raw_query();
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| value(column, row.get_ref(column)?));
        found.push(SqlRow(values.collect::<Result<_, SqlError>>()?));
    }
    Ok(found)
}

/// SQLite ends a transaction by itself after some errors; what follows would be committed at once.
pub(super) fn in_transaction(connection: &Connection) -> Result<(), SqlError> {
    if connection.is_autocommit() {
        return Err(refused(OVER));
    }
    Ok(())
}

pub(super) fn refused(why: &str) -> SqlError {
    SqlError::Refused(why.to_owned())
}

/// SQLite counts `$1` and `$2` in the order of the text: it takes them as names.
fn bind(prepared: &mut Statement<'_>, binds: &[SqlValue]) -> Result<(), SqlError> {
    let count = prepared.parameter_count();
    SqlStatement::fits(count, binds.len())?;
    for index in 1..=count {
        let name = prepared.parameter_name(index).unwrap_or("?");
        let number = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok());
        let Some(value) = number.and_then(|n| binds.get(n.checked_sub(1)?)) else {
            return Err(SqlError::Refused(format!(
                "the statement's parameter {name} is none of $1 to ${count}"
            )));
        };
        let value = ToSqlOutput::Borrowed(match value {
            SqlValue::Null => ValueRef::Null,
            SqlValue::Integer(value) => ValueRef::Integer(*value),
            SqlValue::Text(value) => ValueRef::Text(value.as_bytes()),
            SqlValue::Bytes(value) => ValueRef::Blob(value),
        });
        prepared.raw_bind_parameter(index, value)?;
    }
    Ok(())
}

fn value(column: usize, found: ValueRef<'_>) -> Result<SqlValue, SqlError> {
    Ok(match found {
        ValueRef::Null => SqlValue::Null,
        ValueRef::Integer(value) => SqlValue::Integer(value),
        ValueRef::Text(value) => SqlValue::Text(text(column, value)?),
        ValueRef::Blob(value) => SqlValue::Bytes(value.to_vec()),
        ValueRef::Real(_) => {
            return Err(SqlError::Row(format!("column {column} has {REAL}")));
        }
    })
}

fn text(column: usize, found: &[u8]) -> Result<String, SqlError> {
    let text = std::str::from_utf8(found)
        .map_err(|_| SqlError::Row(format!("column {column} has {NO_TEXT}")))?;
    Ok(text.to_owned())
}

impl From<rusqlite::Error> for SqlError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error;
        let why = error.to_string();
        match error {
            Error::SqliteFailure(failure, _) => of_code(failure.extended_code, why),
            Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnIndex(_)
            | Error::InvalidColumnName(_)
            | Error::InvalidColumnType(..)
            | Error::QueryReturnedMoreThanOneRow
            | Error::QueryReturnedNoRows
            | Error::StatementChangedRows(_)
            | Error::Utf8Error(..) => Self::Row(why),
            _ => Self::Refused(why),
        }
    }
}
