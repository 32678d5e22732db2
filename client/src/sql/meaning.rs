//! What the codes of SQLite and PostgreSQL mean, whichever library tells them.
//!
//! Floor 1 of client. Pure.
//!
//! Invariants
//! - The detail of an error, which has values of rows in it, is not repeated.

use super::error::SqlError;

/// An error of PostgreSQL by its SQLSTATE; `routine` is the place in the server that raised it.
#[cfg(any(feature = "tokio-postgres", feature = "sqlx-postgres"))]
pub(super) fn of_state(state: &str, message: &str, routine: Option<&str>) -> SqlError {
    let why = format!("{message} (SQLSTATE {state})");
    let class = state.get(..2).unwrap_or_default();
    match (state, class) {
        // Too many or too few values for a statement.
        ("08P01", _) => SqlError::Refused(why),
        // In whose commit it broke, or for how long it did nothing.
        ("40003" | "25P03" | "25P04", _) => SqlError::Unavailable(why),
        ("40002", _) => SqlError::Constraint(why),
        // A lock or a statement took too long.
        ("55P03" | "55006" | "57014", _) => SqlError::Conflict(why),
        _ if is_stale(state, routine) => SqlError::Conflict(why),
        (_, "08" | "53" | "57" | "58") => SqlError::Unavailable(why),
        (_, "40") => SqlError::Conflict(why),
        (_, "23" | "44") => SqlError::Constraint(why),
        _ => SqlError::Refused(why),
    }
}

/// Whether a table has other columns than when the statement was prepared.
#[cfg(any(feature = "tokio-postgres", feature = "sqlx-postgres"))]
pub(super) fn is_stale(state: &str, routine: Option<&str>) -> bool {
    state == "0A000" && routine == Some("RevalidateCachedQuery")
}

/// An error of SQLite by its result code, extended or not.
#[cfg(any(feature = "rusqlite", feature = "sqlx-sqlite"))]
pub(super) fn of_code(code: i32, why: String) -> SqlError {
    const ABORT: i32 = 4;
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const NOMEM: i32 = 7;
    const INTERRUPT: i32 = 9;
    const IOERR: i32 = 10;
    const FULL: i32 = 13;
    const CANTOPEN: i32 = 14;
    const PROTOCOL: i32 = 15;
    const SCHEMA: i32 = 17;
    const CONSTRAINT: i32 = 19;
    match code & 0xff {
        BUSY | LOCKED | PROTOCOL | ABORT | INTERRUPT | SCHEMA => SqlError::Conflict(why),
        CANTOPEN | FULL | NOMEM | IOERR => SqlError::Unavailable(why),
        CONSTRAINT => SqlError::Constraint(why),
        _ => SqlError::Refused(why),
    }
}
