//! What went wrong in a database, told apart by what may be done next.
//!
//! Floor 1 of client.

use thiserror::Error;

/// A statement, a commit or a connection failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SqlError {
    /// The database was not reached, or the connection broke: the transaction may be lost, or, if
    /// it was in its commit, done.
    #[error("the database is not there: {0}")]
    Unavailable(String),
    /// Others were in the way (busy, deadlock, serialization): the transaction can be tried again.
    #[error("the transaction met another one: {0}")]
    Conflict(String),
    /// A constraint refused a row.
    #[error("a constraint of the database refused it: {0}")]
    Constraint(String),
    /// The table, the column or the statement is not right: trying again does not help.
    #[error("the database refused it: {0}")]
    Refused(String),
    /// A row does not have what it should.
    #[error("a row is not what was expected: {0}")]
    Row(String),
}

impl SqlError {
    /// Whether the whole transaction may succeed if it is run again.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Conflict(_))
    }
}
