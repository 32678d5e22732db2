//! The lead of a relay as an advisory lock, held by a transaction that does nothing else.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - The transaction has no snapshot and no number: vacuum and other relays do not notice it.
//! - The lock is a hint, since a connection can be lost without a word: what proves the lead is
//!   the fenced row.

use crate::outbox::error::OutboxError;
use crate::sql::Database;
use crate::sql::Isolation;
use crate::sql::OwnedTx;
use crate::sql::SqlStatement;
use crate::sql::SqlTx;

/// The lock, while it is held.
pub(super) struct Lead<D: Database> {
    holder: Option<D::Tx>,
}

impl<D: Database> Lead<D> {
    pub(super) const fn new() -> Self {
        Self { holder: None }
    }

    /// Takes the lock of this name, unless it is held here already; false if another has it.
    pub(super) async fn take(&mut self, database: &D, name: &str) -> Result<bool, OutboxError> {
        if let Some(mut holder) = self.holder.take()
            && holder.execute(SqlStatement::new(NO_TIMEOUT)).await.is_ok()
        {
            self.holder = Some(holder);
            return Ok(true);
        }
        // On read committed: a snapshot that is kept would hold back vacuum.
        let mut holder = database.begin(Isolation::Write).await?;
        holder.query(SqlStatement::new(NO_OTHER_TIMEOUT)).await?;
        let rows = holder.query(SqlStatement::new(LOCK).bind(name)).await?;
        holder.execute(SqlStatement::new(NO_TIMEOUT)).await?;
        let is_taken = rows.first().is_some_and(|row| row.integer(0) == Ok(1));
        if is_taken {
            self.holder = Some(holder);
        } else {
            holder.rollback().await?;
        }
        Ok(is_taken)
    }
}

/// The transaction is open and idle. This has to be its last statement, always: until the next one,
/// PostgreSQL keeps what a select has seen, and a `set` sees nothing.
const NO_TIMEOUT: &str = "set local idle_in_transaction_session_timeout = 0";

/// Of PostgreSQL 17 and newer.
const NO_OTHER_TIMEOUT: &str = "select count(set_config(name, '0', true)) from pg_settings \
     where name = 'transaction_timeout'";

/// The lock's number follows from the name; one that is not ours is met once in 2^64.
const LOCK: &str =
    "select pg_try_advisory_xact_lock(hashtextextended('highwater outbox ' || $1::text, 0))::int";
