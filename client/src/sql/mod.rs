//! What outbox and inbox ask of a database, in words of no driver.
//!
//! Floor 1 of client. The drivers stand behind features: `rusqlite` (`sqlite-bundled` has SQLite's
//! own source in it) for `Sqlite`, `tokio-postgres` for `Postgres`. Each takes the transactions of
//! its library as well: yours are enough to write with, and so are those of sqlx, behind `sqlx`. A
//! driver of your own implements [`SqlTx`], and [`Database`] where Highwater itself has to begin
//! transactions.
//!
//! Invariants
//! - A statement is text and values: no value is ever written into a text.
//! - A transaction that is dropped without a commit is rolled back.

#[cfg(any(feature = "tokio-postgres", feature = "sqlx-postgres"))]
mod binary;
mod commits;
mod error;
#[cfg(any(
    feature = "rusqlite",
    feature = "tokio-postgres",
    feature = "sqlx-postgres",
    feature = "sqlx-sqlite"
))]
mod meaning;
#[cfg(any(feature = "rusqlite", feature = "tokio-postgres"))]
mod pool;
#[cfg(feature = "tokio-postgres")]
mod postgres;
mod row;
#[cfg(feature = "rusqlite")]
mod sqlite;
#[cfg(any(feature = "sqlx-postgres", feature = "sqlx-sqlite"))]
mod sqlx;
mod statement;

use std::future::Future;

pub use commits::Commits;
pub use error::SqlError;
#[cfg(feature = "tokio-postgres")]
pub use postgres::{PgTx, Postgres};
pub use row::SqlRow;
#[cfg(feature = "rusqlite")]
pub use sqlite::{Sqlite, SqliteTx};
pub use statement::{SqlStatement, SqlValue};

/// Which SQL a database understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite 3.35 or newer.
    Sqlite,
    /// PostgreSQL 13 or newer.
    Postgres,
}

/// What a transaction sees of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// It writes. PostgreSQL: read committed. SQLite: `BEGIN IMMEDIATE`, so that two of them never
    /// meet half-way.
    Write,
    /// It only reads, and sees the database as of one moment. PostgreSQL: repeatable read.
    Snapshot,
}

/// An open transaction. It is the caller's: nothing here commits it or rolls it back.
///
/// The transactions of rusqlite, tokio-postgres and sqlx are some, behind their features; another
/// library's becomes one like this:
///
/// ```
/// use highwater_client::sql::{Dialect, SqlError, SqlRow, SqlStatement, SqlTx};
///
/// struct YourTx {
///     // What your library calls a transaction.
///     log: Vec<SqlStatement>,
/// }
///
/// impl SqlTx for YourTx {
///     fn dialect(&self) -> Dialect {
///         Dialect::Postgres
///     }
///
///     async fn execute(&mut self, statement: SqlStatement) -> Result<u64, SqlError> {
///         // Give it `statement.text` and `statement.binds`; turn its errors into `SqlError`.
///         self.log.push(statement);
///         Ok(1)
///     }
///
///     async fn query(&mut self, statement: SqlStatement) -> Result<Vec<SqlRow>, SqlError> {
///         self.log.push(statement);
///         Ok(Vec::new())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an open transaction",
    note = "pass the transaction itself, `&mut tx`, not a pool or a connection",
    note = "transactions of rusqlite, tokio-postgres and sqlx need the feature of that name"
)]
pub trait SqlTx {
    /// Which SQL to write.
    fn dialect(&self) -> Dialect;

    /// Runs one statement, and gives the number of rows that it changed; that of a statement which
    /// only reads means nothing.
    fn execute(
        &mut self,
        statement: SqlStatement,
    ) -> impl Future<Output = Result<u64, SqlError>> + Send;

    /// Runs one statement, and gives its rows.
    fn query(
        &mut self,
        statement: SqlStatement,
    ) -> impl Future<Output = Result<Vec<SqlRow>, SqlError>> + Send;
}

/// A transaction that owns its connection.
pub trait OwnedTx: SqlTx + Send + 'static {
    /// A number that changes when somebody has committed of whom it is not known that his commits
    /// wait for the disk: anybody but this database and its clones. So if it is that of an earlier
    /// transaction, which has changed a table and was committed, all that this one sees is on the
    /// disk. `None` where that cannot be told.
    fn strangers(&mut self) -> impl Future<Output = Result<Option<i64>, SqlError>> + Send {
        async { Ok(None) }
    }

    /// Makes it last.
    fn commit(self) -> impl Future<Output = Result<(), SqlError>> + Send;

    /// Undoes it. Dropping it does the same, later.
    fn rollback(self) -> impl Future<Output = Result<(), SqlError>> + Send;
}

/// A database in which Highwater begins transactions by itself: for relays and handlers.
pub trait Database: Clone + Send + Sync + 'static {
    /// Its transactions.
    type Tx: OwnedTx;

    /// Which SQL to write.
    fn dialect(&self) -> Dialect;

    /// Begins a transaction.
    fn begin(
        &self,
        isolation: Isolation,
    ) -> impl Future<Output = Result<Self::Tx, SqlError>> + Send;

    /// A number that changes when anybody has committed, where the database tells it cheaply;
    /// `None` where not.
    fn version(&self) -> impl Future<Output = Result<Option<i64>, SqlError>> + Send;

    /// Does work that is made of this database's transactions, where they cost the least: a driver
    /// whose statements go to another thread one by one takes the whole work there. If the future
    /// is dropped, the work is, too, at its next statement.
    fn work<R: Send + 'static>(
        &self,
        work: impl Future<Output = R> + Send + 'static,
    ) -> impl Future<Output = R> + Send {
        work
    }

    /// Word of what is committed through this database and its clones, without asking for it.
    /// A database that does not tell needs nothing here.
    fn commits(&self) -> Commits {
        Commits::untold()
    }
}

#[cfg(any(feature = "rusqlite", feature = "tokio-postgres"))]
const LEFT: &str = "the transaction is rolled back: one of its statements was left before its end";
#[cfg(any(feature = "rusqlite", feature = "sqlx-sqlite"))]
const OVER: &str = "the transaction is over: SQLite has rolled it back after an error, or a \
                    statement has ended it";
#[cfg(any(feature = "rusqlite", feature = "sqlx-sqlite"))]
const NO_TEXT: &str = "text that is not UTF-8";
#[cfg(any(feature = "rusqlite", feature = "sqlx-sqlite"))]
const REAL: &str = "a floating point number, which is not read here: let the statement cast it to \
                    text";
