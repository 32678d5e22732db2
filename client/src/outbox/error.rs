//! What ends a relay, or refuses an event.
//!
//! Floor 6 of client.

use thiserror::Error;

use crate::error::ClientError;
use crate::sql::SqlError;

/// An event was not put into the outbox, or a relay cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// The database did not do it.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The broker did not do it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The call, or a setting, cannot be right.
    #[error("{0}")]
    Invalid(String),
    /// The outbox has as many rows as it may have.
    #[error(
        "the outbox {table} has {rows} rows, and {rows_max} are allowed: look whether a relay runs \
         and its broker can be reached, or raise the limit"
    )]
    OutboxFull {
        /// The table.
        table: String,
        /// The rows that are there.
        rows: u64,
        /// The limit.
        rows_max: u64,
    },
    /// The table is not there, or is not as it has to be.
    #[error("the table {table} cannot be relayed: {why}")]
    WrongTable {
        /// The table.
        table: String,
        /// What it lacks, and what to do about it.
        why: String,
    },
    /// The stored position belongs to another database.
    #[error(
        "the stored position of the outbox {table} belongs to another database ({stored}, and this \
         one is {found}): rows could be left out without a word; to publish all rows that are in \
         the table, some of them again, adopt this database"
    )]
    ForeignDatabase {
        /// The table.
        table: String,
        /// The system that the position belongs to.
        stored: String,
        /// The system that was found.
        found: String,
    },
    /// The table is older than the stored position.
    #[error(
        "the rows of {table} have been numbered up to {last} only, and rows up to {published} are \
         published: the table was restored or made anew, and its next rows could be left out \
         without a word; to publish all rows that are in it, some of them again, adopt this database"
    )]
    RestoredDatabase {
        /// The table.
        table: String,
        /// The last number that was given out.
        last: i64,
        /// The number up to which rows were published.
        published: i64,
    },
    /// Commits of the database may be lost in a power failure although they were seen.
    #[error(
        "{0}: an event could be published whose transaction a power failure undoes; make the \
         database's commits durable"
    )]
    NotDurable(String),
    /// The broker would acknowledge what is only in memory.
    #[error(
        "the topic {topic} acknowledges records that a power failure loses ({why}), and the relay \
         deletes their rows: make the topic durable, or allow it with allow_memory_ack"
    )]
    MemoryAck {
        /// The topic.
        topic: String,
        /// The setting that says so.
        why: String,
    },
}
