//! A transaction of PostgreSQL that owns its connection.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - A commit is an error unless the transaction is whole: PostgreSQL answers the commit of a
//!   transaction that has failed with a rollback, and calls it a success.
//! - A connection goes back to the pool without a transaction, or is closed.
//! - A statement whose future is dropped takes the transaction with it.

use std::fmt;

use tokio::runtime::Handle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row, Statement};

use super::error::is_broken;
use super::session::Session;
use super::value::row;
use crate::sql::error::SqlError;
use crate::sql::pool::Slot;
use crate::sql::row::SqlRow;
use crate::sql::statement::{SqlStatement, SqlValue};
use crate::sql::{Dialect, LEFT, OwnedTx, SqlTx};

/// A transaction of a [`Postgres`](super::Postgres).
pub struct PgTx {
    /// Taken when the transaction ends.
    lent: Option<(Session, Slot<Session>)>,
    /// Whether the answer to a statement has not been seen.
    under_way: bool,
    broken: bool,
}

impl PgTx {
    pub(super) const fn new(session: Session, slot: Slot<Session>) -> Self {
        Self {
            lent: Some((session, slot)),
            under_way: false,
            broken: false,
        }
    }

    /// The connection, for statements of your own. Leave the transaction open: it is ended by
    /// [`OwnedTx::commit`] and [`OwnedTx::rollback`]. What you `set` for the session stays for the
    /// next transaction: `set local` does not.
    #[must_use]
    pub fn client(&self) -> &Client {
        let (session, _) = self.lent.as_ref().expect(LENT);
        &session.client
    }

    fn session(&mut self) -> &mut Session {
        let (session, _) = self.lent.as_mut().expect(LENT);
        session
    }

    /// A statement that is prepared and has as many parameters as values.
    async fn prepared(&mut self, statement: &SqlStatement) -> Result<Statement, SqlError> {
        self.start()?;
        let prepared = self.session().prepared(statement.text.clone()).await;
        let prepared = self.seen(prepared)?;
        SqlStatement::fits(prepared.params().len(), statement.binds.len())?;
        Ok(prepared)
    }

    /// Runs what ends the transaction.
    async fn end(mut self, text: &str) -> Result<(), SqlError> {
        self.start()?;
        let ended = self.client().batch_execute(text).await;
        self.seen(ended)?;
        if let Some((session, slot)) = self.lent.take() {
            slot.give_back(session);
        }
        Ok(())
    }

    fn start(&mut self) -> Result<(), SqlError> {
        if self.under_way {
            return Err(SqlError::Refused(LEFT.to_owned()));
        }
        self.under_way = true;
        Ok(())
    }

    fn ran<R>(
        &mut self,
        text: &str,
        answer: Result<R, tokio_postgres::Error>,
    ) -> Result<R, SqlError> {
        if answer.is_err() {
            self.session().forget(text);
        }
        self.seen(answer)
    }

    fn seen<R>(&mut self, answer: Result<R, tokio_postgres::Error>) -> Result<R, SqlError> {
        self.under_way = false;
        answer.map_err(|error| {
            self.broken |= is_broken(&error);
            error.into()
        })
    }
}

impl SqlTx for PgTx {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn execute(&mut self, statement: SqlStatement) -> Result<u64, SqlError> {
        let prepared = self.prepared(&statement).await?;
        self.start()?;
        let values = values(&statement.binds);
        let count = self.client().execute(&prepared, &values).await;
        self.ran(&statement.text, count)
    }

    async fn query(&mut self, statement: SqlStatement) -> Result<Vec<SqlRow>, SqlError> {
        let prepared = self.prepared(&statement).await?;
        self.start()?;
        let values = values(&statement.binds);
        let rows: Result<Vec<Row>, _> = self.client().query(&prepared, &values).await;
        self.ran(&statement.text, rows)?.iter().map(row).collect()
    }
}

impl OwnedTx for PgTx {
    async fn commit(self) -> Result<(), SqlError> {
        // In a transaction that has failed, the select fails and the commit is not reached.
        self.end("select 1; commit").await
    }

    async fn rollback(self) -> Result<(), SqlError> {
        self.end("rollback").await
    }
}

impl Drop for PgTx {
    fn drop(&mut self) {
        let Some((session, slot)) = self.lent.take() else {
            return;
        };
        // A connection that is dropped closes, and so rolls back.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if self.broken || session.client.is_closed() {
            return;
        }
        if self.under_way {
            // A statement may wait for a lock; and the word that cancels it may come so late that
            // it meets the next one. So this connection has no next one.
            runtime.spawn(async move {
                let cancelled = session.client.cancel_token().cancel_query(NoTls).await;
                if let Err(error) = cancelled {
                    tracing::debug!(%error, "a statement of PostgreSQL was not cancelled");
                }
                drop((session, slot));
            });
        } else {
            runtime.spawn(async move {
                if session.client.batch_execute("rollback").await.is_ok() {
                    slot.give_back(session);
                }
            });
        }
    }
}

impl fmt::Debug for PgTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgTx").finish_non_exhaustive()
    }
}

fn values(binds: &[SqlValue]) -> Vec<&(dyn ToSql + Sync)> {
    let any = |value| value as &(dyn ToSql + Sync);
    binds.iter().map(any).collect()
}

const LENT: &str = "it is taken when the transaction ends, which consumes it";
