//! What the errors of tokio-postgres mean.
//!
//! Floor 1 of client. Pure.

use std::error::Error as _;
use std::io;

use tokio_postgres::Error;

use crate::sql::error::SqlError;
use crate::sql::meaning::of_state;

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
        return of_state(said.code().code(), said.message(), said.routine());
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
