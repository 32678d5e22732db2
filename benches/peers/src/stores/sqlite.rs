//! SQLite with its write-ahead log: a transaction for each call.
//!
//! One connection behind a mutex: SQLite has one writer at a time, and connections that wait for
//! one another by its busy handler are slower.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::Store;
use crate::Failure;
use crate::figures::Class;

struct Sqlite {
    connection: Mutex<Connection>,
}

pub(super) fn open(folder: &Path, class: Class) -> Result<Box<dyn Store>, Failure> {
    let connection = connect(&folder.join("log.db"), class)?;
    connection.execute_batch("CREATE TABLE log (id INTEGER PRIMARY KEY, value BLOB NOT NULL)")?;
    Ok(Box::new(Sqlite {
        connection: Mutex::new(connection),
    }))
}

/// A connection whose commits have this class.
pub(crate) fn connect(file: &Path, class: Class) -> Result<Connection, Failure> {
    let synchronous = match class {
        Class::Lazy => return Err("SQLite hands over all that it commits".into()),
        Class::Cached => "NORMAL",
        Class::Synced => "FULL",
    };
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    let mode =
        connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))?;
    match mode == "wal" {
        true => Ok(connection),
        false => Err(format!("SQLite journals in the mode {mode}").into()),
    }
}

impl Store for Sqlite {
    fn append(&self, values: &[Vec<u8>]) -> Result<(), Failure> {
        let connection = self.connection.lock();
        let mut connection = connection.unwrap_or_else(PoisonError::into_inner);
        if let [value] = values {
            // A statement alone is a transaction.
            connection.prepare_cached(INSERT)?.execute([value])?;
            return Ok(());
        }
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(INSERT)?;
            for value in values {
                insert.execute([value])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn read_back(self: Box<Self>, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let connection = self.connection.into_inner();
        let connection = connection.unwrap_or_else(PoisonError::into_inner);
        let mut select = connection.prepare("SELECT value FROM log ORDER BY id")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            each(row.get_ref(0)?.as_blob()?);
        }
        Ok(())
    }
}

const INSERT: &str = "INSERT INTO log (value) VALUES (?1)";
