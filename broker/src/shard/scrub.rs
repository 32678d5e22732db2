//! Segments that nobody reads are checked, a piece at a time.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - The disk is read on the threads for slow work; between two pieces none is held.

use highwater_log::error::LogError;
use highwater_log::log::Quarantined;
use highwater_log::reader::{Scrub, Scrubbed};
use highwater_log::types::{LogId, Offset};

use crate::shard::Shard;

impl Shard {
    /// Begins to check a segment; `None` if it is gone.
    pub async fn scrub(&self, id: LogId, segment: Offset) -> Result<Option<Scrub>, LogError> {
        match self.reader(id) {
            Some(reader) => self.blocking(move |_| reader.scrub(segment)).await,
            None => Ok(None),
        }
    }

    /// Checks a piece of about `bytes` bytes.
    pub async fn scrub_step(
        &self,
        mut scrub: Scrub,
        bytes: u64,
    ) -> Result<(Scrub, Scrubbed), LogError> {
        self.blocking(move |_| scrub.step(bytes).map(|step| (scrub, step)))
            .await
    }

    /// Reads a segment again, whole, and notes for good what is damaged; answers what was not
    /// known.
    pub async fn quarantine(
        &self,
        id: LogId,
        segment: Offset,
    ) -> Result<Vec<Quarantined>, LogError> {
        let now = self.clock.now();
        self.blocking(move |core| core.quarantine(id, segment, now))
            .await
    }
}
