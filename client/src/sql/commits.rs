//! Word of commits, for those who wait for rows.
//!
//! Floor 1 of client.

use std::future;

use tokio::sync::watch;

/// Tells that something was committed through a [`Database`](super::Database) of this process.
///
/// It is a hint: others may commit without a word here, and what was committed may be of no
/// interest to whoever waits. Commits between two calls are told once.
#[derive(Clone, Debug)]
pub struct Commits {
    seen: Option<watch::Receiver<u64>>,
}

impl Commits {
    /// Of a database that does not tell.
    #[must_use]
    pub const fn untold() -> Self {
        Self { seen: None }
    }

    #[cfg(feature = "rusqlite")]
    pub(super) fn told_by(sender: &watch::Sender<u64>) -> Self {
        Self {
            seen: Some(sender.subscribe()),
        }
    }

    /// Resolves when something was committed since the last call, or since this was made; never,
    /// where the database does not tell or is closed. A call that is dropped loses nothing.
    pub async fn next(&mut self) {
        if let Some(seen) = &mut self.seen
            && seen.changed().await.is_ok()
        {
            return;
        }
        future::pending().await
    }
}
