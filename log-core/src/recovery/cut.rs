//! Cuts off a torn tail, and keeps a copy of what may be more than that.
//!
//! Floor 4 of log-core.
//!
//! Invariants
//! - The copy is durable before the cut is made.
//! - A second recovery after a crash between the two makes the same copy under the same name.

use std::path::PathBuf;

use super::active::Tail;
use super::copy::{copy_aside, log_name, quarantine_of};
use super::{Quarantined, Recovery};
use crate::error::LogError;
use crate::segment::{SegmentFile, find_valid};
use crate::types::{Offset, Position};

impl Recovery<'_> {
    /// Cuts the file of `bytes` bytes behind the batches that were taken; the caller syncs it.
    pub(super) fn cut(&mut self, base: Offset, tail: &Tail, bytes: u64) -> Result<(), LogError> {
        let path = SegmentFile::Log.path(self.dir, base);
        let position = tail.tally.position;
        let behind = find_valid(&*tail.file, position, bytes, tail.tally.end)
            .map_err(|error| LogError::io("read", &path, error))?;
        if let Some((_, header)) = behind {
            let copy = self.copy_aside(base, tail, bytes)?;
            tracing::error!(
                file = %path.display(), position, copy = %copy.display(),
                "right batches stand behind the end of the log; they are copied aside first"
            );
            self.report.quarantined.push(Quarantined {
                segment: base,
                position: Position(position),
                bytes: bytes - position,
                first: tail.tally.end,
                end: Offset(header.last_offset()).plus(1),
                copy: Some(copy),
            });
        }
        self.report.torn_bytes += bytes - position;
        tail.file
            .set_len(position)
            .map_err(|error| LogError::io("cut", &path, error))
    }

    /// Copies the bytes behind the batches that were taken to a file of its own, durably.
    fn copy_aside(&self, base: Offset, tail: &Tail, bytes: u64) -> Result<PathBuf, LogError> {
        let position = tail.tally.position;
        let name = format!("{}-{:020}-{position}.cut", log_name(self.dir), base.0);
        let quarantine = quarantine_of(self.dir);
        copy_aside(&**self.fs, &quarantine, &name, &*tail.file, position, bytes)
    }
}
