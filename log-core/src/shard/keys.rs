//! The key indexes of logs are kept small and whole.
//!
//! Floor 7 of log-core.
//!
//! Invariants
//! - Neither appends nor lookups wait for a merge. Appends wait while damage is mended.

use super::Shard;
use crate::error::LogError;
use crate::types::LogId;

impl Shard {
    /// Makes anew what of the key indexes was found damaged, and merges their files as long as
    /// there are many of a size. It reads and writes megabytes, and is called again after as many
    /// appends: on a thread for slow work, or by a caller without threads from time to time. The
    /// logs that it could not do it for, and why. A failed sync makes the shard read-only, as any
    /// does; all else costs nothing but time.
    pub fn merge_keys(&self) -> Vec<(LogId, LogError)> {
        let mut failed = Vec::new();
        for slot in self.all_slots() {
            let Some(index) = slot.reader.key_index() else {
                continue;
            };
            if index.damaged().is_some()
                && let Err(error) = self.with_log(slot.id, |log| log.heal_keys())
            {
                failed.push((slot.id, error));
            }
            while !self.is_closed() && index.wants_merge(slot.reader.synced()) {
                if let Err(error) = index.merge(slot.reader.start(), slot.reader.synced()) {
                    // Names that a sync could not save are not saved by a later one either, and
                    // other files of the directory may count on theirs.
                    let is_final = matches!(error, LogError::Io { op: "sync", .. });
                    let error = if is_final { self.poison(&error) } else { error };
                    failed.push((slot.id, error));
                    break;
                }
            }
        }
        failed
    }
}
