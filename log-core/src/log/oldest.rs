//! What goes first when room must be made: the oldest segment of a log.
//!
//! Floor 6 of log-core.
//!
//! Invariants
//! - The last append to a segment says how old it is, by the monotonic clock, as for retention.
//! - A segment is sealed, and with it durable, before it is removed; the log goes on behind it.

use highwater_proto::clock::Now;

use super::{Log, Retired};
use crate::error::LogError;
use crate::recovery::log_ms;

/// The oldest segment of a log that holds records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Oldest {
    pub is_sealed: bool,
    /// Milliseconds since its last append.
    pub idle_ms: i64,
}

impl Log {
    /// The oldest segment, if any holds records.
    pub(crate) fn oldest(&self, now: Now) -> Option<Oldest> {
        let view = self.shared.view.load();
        let (is_sealed, last_append_ms) = match view.sealed.first() {
            Some(sealed) => (true, sealed.last_append_ms),
            None if self.writer.is_empty() => return None,
            None => (false, self.writer.last_append_ms()),
        };
        let idle_ms = log_ms(now).saturating_sub(last_append_ms);
        Some(Oldest { is_sealed, idle_ms })
    }

    /// Removes the oldest segment; the active one is sealed first if there is no other.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn drop_oldest(&mut self, now: Now) -> Result<Retired, LogError> {
        if self.shared.view.load().sealed.is_empty() {
            self.roll(now)?;
        }
        let view = self.shared.view.load();
        let Some(oldest) = view.sealed.first() else {
            return Ok(Retired {
                start: self.marks.start(),
                ..Retired::default()
            });
        };
        let start = self.delete_records(oldest.info.end, now)?;
        Ok(Retired {
            segments: 1,
            bytes: oldest.info.bytes,
            start,
        })
    }
}
