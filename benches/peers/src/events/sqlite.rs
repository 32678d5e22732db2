//! A file of SQLite's for the crates that reach it through sqlx.

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::Failure;
use crate::disk;

/// One connection: SQLite has one writer at a time, and connections that wait for one another by
/// its busy handler are slower. Fails unless each commit is synced.
pub(super) fn pool(runtime: &Runtime) -> Result<(SqlitePool, TempDir), Failure> {
    let folder = disk::folder()?;
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("events.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(1);
    let pool = runtime.block_on(async {
        let pool = pool.connect_with(options).await?;
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
            .fetch_one(&pool)
            .await?;
        let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
            .fetch_one(&pool)
            .await?;
        match (mode.as_str(), synchronous) {
            ("wal", FULL) => Ok(pool),
            other => Err::<_, Failure>(format!("SQLite runs with {other:?}").into()),
        }
    })?;
    Ok((pool, folder))
}

/// `synchronous=FULL` as SQLite answers.
const FULL: i64 = 2;
