//! The seam between the relay and what it reads: which rows are next, and what is written when
//! they are published.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - What was given is not given again before `open`, whether or not it was confirmed; after it,
//!   whatever was not confirmed is given again.
//! - Rows of one key come in the order in which they were written.

use std::time::Duration;

use super::error::OutboxError;
use super::table::Table;
use crate::sql::Database;
use crate::sql::Isolation;
use crate::sql::SqlRow;

/// Gives the rows of a table to the relay.
pub(super) trait Capture<D: Database>: Send + 'static {
    /// What the transaction of [`Self::next`] has to see.
    const READS: Isolation;

    /// Whether [`Self::next`] may stand in a transaction that writes, too: then the relay shows its
    /// lead in the transaction in which it finds rows, and need not begin another one for that.
    const READS_WHERE_IT_WRITES: bool;

    /// Whether it is sure that no other relay of this table is at work, so that the lead may be
    /// taken at once; otherwise the relay waits until the leader has been silent for a lease.
    /// PostgreSQL knows it by an advisory lock, which the capture keeps from then on.
    fn is_alone(
        &mut self,
        database: &D,
        table: &str,
    ) -> impl Future<Output = Result<bool, OutboxError>> + Send;

    /// Looks at the table and at the position, in the transaction that takes the lead; forgets
    /// what it has given. Returns what is stored from now on.
    ///
    /// # Errors
    /// `WrongTable`, and `ForeignDatabase` or `RestoredDatabase` unless `adopt` says that it is
    /// to begin anew.
    fn open(
        &mut self,
        tx: &mut D::Tx,
        table: &Table,
        stored: &Stored,
        adopt: Adopt,
    ) -> impl Future<Output = Result<Stored, OutboxError>> + Send;

    /// The next rows behind those that it gave last, at most so many; it reads only. A call that
    /// failed, or was dropped, has given nothing.
    fn next(
        &mut self,
        tx: &mut D::Tx,
        table: &Table,
        room: Room,
    ) -> impl Future<Output = Result<Batch, OutboxError>> + Send;

    /// Writes what has to be written when a batch is published or parked, and deletes at most
    /// 1,000 rows that are not needed any more: in the transaction that stores the position and
    /// proves that the relay still leads.
    fn confirm(
        &mut self,
        tx: &mut D::Tx,
        table: &Table,
        batch: &Confirmed,
    ) -> impl Future<Output = Result<(), OutboxError>> + Send;

    /// What waits behind a stored position.
    fn backlog(
        &mut self,
        tx: &mut D::Tx,
        table: &Table,
        stored: &Stored,
    ) -> impl Future<Output = Result<Backlog, OutboxError>> + Send;
}

/// What a relay's row in the table of progress says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    /// How far it is, in the capture's own words; empty at the first start.
    pub(super) position: String,
    /// The database that the position belongs to; empty at the first start.
    pub(super) system_id: String,
}

/// What is done with a position that does not belong to this database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Adopt {
    /// The relay ends with an error.
    #[default]
    Refuse,
    /// It begins with the first row that is there.
    Begin,
}

/// How much a batch may hold. A first row that is larger comes alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) rows: usize,
    /// Of payloads and headers, about.
    pub(super) bytes: usize,
}

/// Rows to be published.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    pub(super) rows: Vec<Row>,
    /// The position once they are published.
    pub(super) position: String,
    /// Whether more rows are known to be there.
    pub(super) has_more: bool,
}

/// A row of the table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Its number in the column of the order.
    pub(super) seq: i64,
    /// When it was written, in milliseconds since 1970 by the database's clock, if the table says.
    pub(super) created_ms: Option<i64>,
    /// The values of [`Table::columns`], in their order.
    pub(super) values: SqlRow,
}

/// A batch that is done with.
#[derive(Clone, Debug, Default)]
pub(super) struct Confirmed {
    /// The rows, in the order in which they were given.
    pub(super) seqs: Vec<i64>,
    pub(super) position: String,
}

/// What waits to be published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backlog {
    /// How many rows, about.
    pub(super) rows: u64,
    /// How long the oldest of them has been there, by the database's clock.
    pub(super) oldest: Option<Duration>,
}
