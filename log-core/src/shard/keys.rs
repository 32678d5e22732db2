//! The key indexes of logs are kept small and whole.
//!
//! Floor 7 of log-core.
//!
//! Invariants
//! - Neither appends nor lookups wait for a merge. Appends wait while damage is mended.

use super::{Shard, Slot};
use crate::error::LogError;
use crate::types::LogId;

impl Shard {
    /// Makes anew what of the key indexes was found damaged, and merges their files as long as
    /// there are many of a size. It reads and writes megabytes, and is called again after as many
    /// appends: on a thread for slow work, or by a caller without threads from time to time. The
    /// logs that it could not do it for, and why. A failed sync makes the shard read-only, as any
    /// does; all else costs nothing but time.
    pub fn merge_keys(&self) -> Vec<(LogId, LogError)> {
        let slots = self.all_slots().into_iter();
        let failed = slots.filter_map(|slot| Some((slot.id, self.merge_keys_of(&slot).err()?)));
        failed.collect()
    }

    fn merge_keys_of(&self, slot: &Slot) -> Result<(), LogError> {
        let Some(index) = slot.reader.key_index() else {
            return Ok(());
        };
        while !self.is_closed() {
            if index.damaged().is_some() {
                self.with_log(slot.id, |log| log.heal_keys())?;
            }
            match index.merge(slot.reader.start(), slot.reader.synced()) {
                Ok(true) => {}
                Ok(false) => break,
                // It has come upon damage, which is mended first.
                Err(LogError::Corrupt { .. }) if index.damaged().is_some() => {}
                // Names that a sync could not save are not saved by a later one either, and other
                // files of the directory may count on theirs.
                Err(error @ LogError::Io { op: "sync", .. }) => return Err(self.poison(&error)),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
