//! What PostgreSQL's errors mean: by their SQLSTATE.
//!
//! Floor 1 of client. Pure.
//!
//! Invariants
//! - The detail of an error, which has values of rows in it, is not repeated.

use std::error::Error as _;
use std::io;

use tokio_postgres::Error;
use tokio_postgres::error::DbError;

use crate::sql::error::SqlError;

impl From<Error> for SqlError {
    fn from(error: Error) -> Self {
        meaning(&error)
    }
}

/// Before a connection stands, what has no cause is about reaching the server: its time was over.
pub(super) fn of_connecting(error: &Error) -> SqlError {
    match error.source() {
        None => SqlError::Unavailable(told(error)),
        Some(_) => meaning(error),
    }
}

/// Whether the connection is of no use any more.
pub(super) fn is_broken(error: &Error) -> bool {
    error.is_closed() || matches!(meaning(error), SqlError::Unavailable(_))
}

pub(super) fn told(error: &Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn meaning(error: &Error) -> SqlError {
    if let Some(said) = error.as_db_error() {
        return of_state(said);
    }
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    let by_the_network = source.is_some_and(|io| io.kind() != io::ErrorKind::InvalidInput);
    if error.is_closed() || by_the_network {
        SqlError::Unavailable(told(error))
    } else {
        SqlError::Refused(told(error))
    }
}

fn of_state(said: &DbError) -> SqlError {
    let state = said.code().code();
    let why = format!("{} (SQLSTATE {state})", said.message());
    let class = state.get(..2).unwrap_or_default();
    match (state, class) {
        // Too many or too few values for a statement.
        ("08P01", _) => SqlError::Refused(why),
        // In whose commit it broke, or for how long it did nothing.
        ("40003" | "25P03" | "25P04", _) => SqlError::Unavailable(why),
        ("40002", _) => SqlError::Constraint(why),
        // A lock or a statement took too long.
        ("55P03" | "55006" | "57014", _) => SqlError::Conflict(why),
        _ if is_stale(said) => SqlError::Conflict(why),
        (_, "08" | "53" | "57" | "58") => SqlError::Unavailable(why),
        (_, "40") => SqlError::Conflict(why),
        (_, "23" | "44") => SqlError::Constraint(why),
        _ => SqlError::Refused(why),
    }
}

/// Whether a table has other columns than when the statement was prepared.
fn is_stale(said: &DbError) -> bool {
    said.code().code() == "0A000" && said.routine() == Some("RevalidateCachedQuery")
}
