//! A transaction of SQLite that owns its connection.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - A connection goes back to the pool without a transaction, whatever happened to this one.
//!   The rollback needs no thread of its own: with a write-ahead log it writes nothing.
//! - A statement whose future is dropped takes the transaction with it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;

use super::Shared;
use super::statement::{execute, in_transaction, query, refused};
use super::thread::blocking;
use super::watcher::data_version;
use crate::sql::error::SqlError;
use crate::sql::pool::Slot;
use crate::sql::row::SqlRow;
use crate::sql::statement::SqlStatement;
use crate::sql::{Dialect, Isolation, LEFT, OwnedTx, SqlTx};

/// A transaction of a [`Sqlite`](super::Sqlite).
pub struct SqliteTx {
    /// Away while a statement runs.
    held: Option<Held>,
}

impl SqliteTx {
    pub(super) const fn new(held: Held) -> Self {
        Self { held: Some(held) }
    }

    /// Runs statements of your own on a thread that may block. Leave the transaction open: it is
    /// ended by [`OwnedTx::commit`] and [`OwnedTx::rollback`]. What you set by a pragma stays for
    /// the next transaction.
    ///
    /// # Errors
    /// What `work` gives, and `Refused` if the transaction is over.
    ///
    /// # Panics
    /// If `work` does; the transaction is rolled back.
    pub async fn with<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, SqlError> {
        self.run(|connection| {
            in_transaction(connection)?;
            Ok(work(connection)?)
        })
        .await
    }

    async fn run<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<R, SqlError> + Send + 'static,
    ) -> Result<R, SqlError> {
        let Some(held) = self.held.take() else {
            return Err(refused(LEFT));
        };
        let (held, done) = blocking(move || {
            let done = work(held.connection());
            (held, done)
        })
        .await?;
        self.held = Some(held);
        done
    }
}

impl SqlTx for SqliteTx {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn execute(&mut self, statement: SqlStatement) -> Result<u64, SqlError> {
        self.run(move |connection| execute(connection, &statement))
            .await
    }

    async fn query(&mut self, statement: SqlStatement) -> Result<Vec<SqlRow>, SqlError> {
        self.run(move |connection| query(connection, &statement))
            .await
    }
}

impl OwnedTx for SqliteTx {
    async fn strangers(&mut self) -> Result<Option<i64>, SqlError> {
        let writer = self.held.as_ref().and_then(Held::writer);
        let Some(writer) = writer else {
            return Ok(None);
        };
        let data_version = self.run(data_version).await?;
        // SQLite's number has 32 bits, and begins anew with each connection.
        Ok(Some((writer << 32) | data_version))
    }

    async fn commit(mut self) -> Result<(), SqlError> {
        self.run(|connection| {
            in_transaction(connection)?;
            Ok(connection.execute_batch("commit")?)
        })
        .await?;
        if let Some(held) = self.held.take() {
            held.tell();
        }
        Ok(())
    }

    async fn rollback(self) -> Result<(), SqlError> {
        let held = self.held.as_ref().ok_or_else(|| refused(LEFT))?;
        in_transaction(held.connection())
    }
}

impl fmt::Debug for SqliteTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteTx").finish_non_exhaustive()
    }
}

/// A connection out of the pool, on which a transaction was begun.
pub(super) struct Held {
    /// Taken by `drop` alone.
    lent: Option<(Connection, Slot<Connection>)>,
    shared: Arc<Shared>,
    isolation: Isolation,
}

impl Held {
    /// Begins to write or to read. Blocks.
    pub(super) fn begin(
        connection: Connection,
        slot: Slot<Connection>,
        shared: Arc<Shared>,
        isolation: Isolation,
    ) -> Result<Self, SqlError> {
        let begin = match isolation {
            // Whatever a transaction before it has set: commits wait for the disk.
            Isolation::Write => "pragma synchronous = full; begin immediate",
            // The first read fixes what is seen.
            Isolation::Snapshot => {
                "pragma query_only = on; begin; select 1 from sqlite_schema limit 1"
            }
        };
        let held = Self {
            lent: Some((connection, slot)),
            shared,
            isolation,
        };
        held.connection().execute_batch(begin)?;
        Ok(held)
    }

    fn connection(&self) -> &Connection {
        let (connection, _) = self.lent.as_ref().expect("it is taken by `drop` alone");
        connection
    }

    fn tell(&self) {
        if self.isolation == Isolation::Write {
            self.shared.tell();
        }
    }

    /// The number of the connection that writes, if it is this one.
    fn writer(&self) -> Option<i64> {
        let opened = self.shared.writers_opened.load(Ordering::Relaxed);
        (self.isolation == Isolation::Write).then_some(opened)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some((connection, slot)) = self.lent.take() else {
            return;
        };
        let open = !connection.is_autocommit();
        let ended = !open || connection.execute_batch("rollback").is_ok();
        let writable = self.isolation == Isolation::Write
            || connection.execute_batch("pragma query_only = off").is_ok();
        // Another connection is closed instead: closing rolls back.
        if ended && writable {
            slot.give_back(connection);
        }
    }
}
