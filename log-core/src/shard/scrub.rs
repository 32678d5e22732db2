//! Damage that a look at a log has found is noted by the log itself.
//!
//! Floor 7 of log-core.
//!
//! Invariants
//! - The segment is read outside of the log's lock: appends do not wait for it.

use highwater_proto::clock::Now;

use super::Shard;
use crate::error::LogError;
use crate::log::{Log, Quarantined};
use crate::sync::lock;
use crate::types::{LogId, Offset};

impl Shard {
    /// Reads a sealed segment whole, and notes for good what is damaged in it; answers what was
    /// not known. Nothing is written if there is none.
    ///
    /// # Errors
    /// The disk's.
    pub fn quarantine(
        &self,
        id: LogId,
        segment: Offset,
        now: Now,
    ) -> Result<Vec<Quarantined>, LogError> {
        let reader = self.reader(id).ok_or(LogError::Closed)?;
        match reader.survey(segment)? {
            Some(survey) => self.with_log(id, |log| log.note_damage(segment, survey, now)),
            None => Ok(Vec::new()),
        }
    }

    /// Changes one log.
    pub(crate) fn with_log<T>(
        &self,
        id: LogId,
        change: impl FnOnce(&mut Log) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        self.expect_open()?;
        let slot = self.slot(id).ok_or(LogError::Closed)?;
        let changed = lock(&slot.log).as_mut().map(change);
        self.poisoning(changed.ok_or(LogError::Closed)?)
    }
}
