//! SQLite with next to nothing around it: the least that a store of events on it has to do, in one
//! prepared statement and without a thread in between.

use std::sync::{Arc, Mutex, PoisonError};

use highwater_proto::exchange::BoxFuture;
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{Note, Notes, Store};
use crate::Failure;
use crate::disk;
use crate::figures::Class;
use crate::stores::sqlite;

struct Alone {
    connection: Mutex<Connection>,
    _folder: TempDir,
}

pub(super) fn open(_: &Runtime) -> Result<Arc<dyn Store>, Failure> {
    let folder = disk::folder()?;
    let connection = sqlite::connect(&folder.path().join("events.db"), Class::Synced)?;
    connection.execute_batch(TABLE)?;
    Ok(Arc::new(Alone {
        connection: Mutex::new(connection),
        _folder: folder,
    }))
}

impl Alone {
    fn insert(&self, stream: &str, revision: u64, note: &Note) -> Result<(), Failure> {
        let data = serde_json::to_vec(note)?;
        let connection = self.connection.lock();
        let connection = connection.unwrap_or_else(PoisonError::into_inner);
        // A statement alone is a transaction.
        connection
            .prepare_cached(INSERT)?
            .execute((stream, i64::try_from(revision)?, data))?;
        Ok(())
    }

    fn select(&self, stream: &str) -> Result<Notes, Failure> {
        let connection = self.connection.lock();
        let connection = connection.unwrap_or_else(PoisonError::into_inner);
        let mut select = connection.prepare_cached(SELECT)?;
        let mut rows = select.query([stream])?;
        let mut notes = Notes::default();
        while let Some(row) = rows.next()? {
            notes.take(&serde_json::from_slice(row.get_ref(0)?.as_blob()?)?);
        }
        Ok(notes)
    }
}

impl Store for Alone {
    fn append<'a>(
        &'a self,
        stream: &'a str,
        revision: u64,
        note: Note,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move { self.insert(stream, revision, &note) })
    }

    fn load<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Result<Notes, Failure>> {
        Box::pin(async move { self.select(stream) })
    }
}

/// Its key is the expectation.
const TABLE: &str = "CREATE TABLE events (
    stream   TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    data     BLOB    NOT NULL,
    PRIMARY KEY (stream, revision)
) WITHOUT ROWID";
const INSERT: &str = "INSERT INTO events (stream, revision, data) VALUES (?1, ?2, ?3)";
const SELECT: &str = "SELECT data FROM events WHERE stream = ?1 ORDER BY revision";
