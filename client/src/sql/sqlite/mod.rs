//! SQLite as a database of outbox and inbox, by rusqlite.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - What is committed is on the disk: WAL with `synchronous = FULL`.
//! - Within this process writing transactions take turns on one connection, in the order in which
//!   they asked; only other processes are waited for by trying again.
//! - A connection is in one place: the pool, a transaction, or the thread that works with it.

mod statement;
mod thread;
mod tx;
mod watcher;

use std::fmt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;

use self::thread::blocking;
use self::tx::Held;
use self::watcher::Watcher;
use super::commits::Commits;
use super::error::SqlError;
use super::pool::Pool;
use super::{Database, Dialect, Isolation};

pub use self::tx::SqliteTx;

/// A SQLite database: a file, or one in memory for tests. Clones share their connections.
///
/// ```
/// use highwater_client::sql::{Database, Isolation, OwnedTx, SqlStatement, SqlTx, Sqlite};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), highwater_client::sql::SqlError> {
/// let database = Sqlite::in_memory().await?; // or Sqlite::open("orders.db")
///
/// let mut tx = database.begin(Isolation::Write).await?;
/// tx.execute(SqlStatement::new("create table orders (id integer primary key, state text)"))
///     .await?;
/// let insert = SqlStatement::new("insert into orders (state) values ($1)").bind("paid");
/// assert_eq!(tx.execute(insert).await?, 1);
/// tx.with(|connection| connection.execute("update orders set state = 'sent'", []))
///     .await?;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sqlite {
    shared: Arc<Shared>,
}

struct Shared {
    place: Place,
    /// A pool of one. In memory the readers have the same.
    writers: Arc<Pool<Connection>>,
    readers: Arc<Pool<Connection>>,
    /// Connections to write with that there have been.
    writers_opened: AtomicI64,
    commits: watch::Sender<u64>,
    watcher: Watcher,
}

enum Place {
    File(PathBuf),
    Memory,
}

impl Sqlite {
    /// Opens a file, or makes it. Its journal becomes a write-ahead log (WAL).
    ///
    /// Foreign keys are checked, commits are synced, and a transaction waits 5 s for the one of
    /// another process. Open a file once and clone what you get: the clones take turns and hear of
    /// each other's commits.
    ///
    /// # Errors
    /// `Unavailable` if the file cannot be opened, `Refused` if it is no database of SQLite or
    /// stands where no WAL can be, such as on a network share.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, SqlError> {
        Self::at(Place::File(path.as_ref().to_owned())).await
    }

    /// A new, empty database in memory, which ends with the last clone. It has one connection:
    /// transactions take turns, the reading ones too.
    ///
    /// # Errors
    /// `Unavailable` if there is no memory.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn in_memory() -> Result<Self, SqlError> {
        Self::at(Place::Memory).await
    }

    /// Tells [`Database::commits`] of a commit that was not made through this database: on a
    /// connection of your own.
    pub fn committed(&self) {
        self.shared.tell();
    }

    async fn at(place: Place) -> Result<Self, SqlError> {
        let writers = Arc::new(Pool::new(1));
        let shared = Arc::new(Shared {
            readers: match place {
                Place::File(_) => Arc::new(Pool::new(READERS_MAX)),
                Place::Memory => Arc::clone(&writers),
            },
            place,
            writers,
            writers_opened: AtomicI64::new(1),
            commits: watch::Sender::new(0),
            watcher: Watcher::default(),
        });
        let slot = shared.writers.slot().await?;
        let opener = Arc::clone(&shared);
        let connection = blocking(move || opener.connect()).await??;
        slot.give_back(connection);
        Ok(Self { shared })
    }
}

impl Database for Sqlite {
    type Tx = SqliteTx;

    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn begin(&self, isolation: Isolation) -> Result<SqliteTx, SqlError> {
        let shared = Arc::clone(&self.shared);
        let slot = match isolation {
            Isolation::Write => shared.writers.slot().await?,
            Isolation::Snapshot => shared.readers.slot().await?,
        };
        let held = blocking(move || {
            let connection = match (slot.idle(), &shared.place) {
                (Some(connection), _) => connection,
                (None, Place::File(_)) => {
                    if isolation == Isolation::Write {
                        shared.writers_opened.fetch_add(1, Ordering::Relaxed);
                    }
                    shared.connect()?
                }
                (None, Place::Memory) => {
                    return Err(SqlError::Unavailable("its memory is gone".to_owned()));
                }
            };
            Held::begin(connection, slot, shared, isolation)
        })
        .await??;
        Ok(SqliteTx::new(held))
    }

    async fn version(&self) -> Result<Option<i64>, SqlError> {
        let shared = Arc::clone(&self.shared);
        if let Place::Memory = shared.place {
            let commits = *shared.commits.borrow();
            return Ok(i64::try_from(commits).ok());
        }
        let version = match shared.watcher.version() {
            Some(version) => version,
            None => blocking(move || shared.watcher.watch(shared.connect()?)).await?,
        };
        version.map(Some)
    }

    async fn work<R: Send + 'static>(&self, work: impl Future<Output = R> + Send + 'static) -> R {
        thread::on_one(work).await
    }

    fn commits(&self) -> Commits {
        Commits::told_by(&self.shared.commits)
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.shared.place {
            Place::File(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Place::Memory => f.write_str("Sqlite(in memory)"),
        }
    }
}

impl Shared {
    fn tell(&self) {
        self.commits.send_modify(|count| *count += 1);
    }

    /// Opens a connection. Blocks.
    fn connect(&self) -> Result<Connection, SqlError> {
        let connection = match &self.place {
            Place::File(path) => Connection::open(path)?,
            Place::Memory => Connection::open_in_memory()?,
        };
        connection.busy_timeout(BUSY_MAX)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        let journal: String =
            connection.query_row("pragma journal_mode = wal", [], |row| row.get(0))?;
        if let Place::File(path) = &self.place
            && journal != "wal"
        {
            return Err(SqlError::Refused(format!(
                "{} cannot have a write-ahead log, only a journal of the kind `{journal}`: a \
                 database on a network share has none",
                path.display()
            )));
        }
        connection.execute_batch("pragma synchronous = full; pragma foreign_keys = on")?;
        Ok(connection)
    }
}

/// Connections that read, beside the one that writes.
const READERS_MAX: usize = 8;
/// Statements that a connection keeps prepared.
const STATEMENTS_MAX: usize = 128;
const BUSY_MAX: Duration = Duration::from_secs(5);
