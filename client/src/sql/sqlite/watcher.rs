//! Whether anybody has committed: `PRAGMA data_version` on a connection that never does.
//!
//! Floor 1 of client. On the connection that commits, the pragma does not change.
//!
//! Invariants
//! - It is cheap enough for every millisecond: a look at shared memory, which waits for nobody.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use rusqlite::Connection;

use crate::sql::error::SqlError;

#[derive(Default)]
pub(super) struct Watcher {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    data_version: i64,
    /// How often it was another one: the pragma's numbers of two connections do not compare.
    version: i64,
}

impl Watcher {
    /// A number that changes when anybody has committed; `None` if there is no connection.
    pub(super) fn version(&self) -> Option<Result<i64, SqlError>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = state.connection.take()?;
        let asked = data_version(&connection);
        if let Ok(data_version) = asked
            && data_version != state.data_version
        {
            state.data_version = data_version;
            state.version += 1;
        }
        match asked {
            // Somebody has it for himself, such as to recover it: the next look will tell.
            Ok(_) | Err(SqlError::Conflict(_)) => {
                state.connection = Some(connection);
                Some(Ok(state.version))
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// Takes a connection to look with, unless there is one. Blocks.
    pub(super) fn watch(&self, connection: Connection) -> Result<i64, SqlError> {
        let data_version = data_version(&connection)?;
        connection.busy_timeout(Duration::ZERO)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.connection.is_none() {
            state.connection = Some(connection);
            state.data_version = data_version;
            // What was committed while nobody looked is not known.
            state.version += 1;
        }
        Ok(state.version)
    }
}

/// SQLite's own number: of the commits of others than this connection.
pub(super) fn data_version(connection: &Connection) -> Result<i64, SqlError> {
    let mut pragma = connection.prepare_cached("pragma data_version")?;
    Ok(pragma.query_row([], |row| row.get(0))?)
}
