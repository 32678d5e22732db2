//! Cuts off a torn tail, and keeps a copy of what may be more than that.
//!
//! Floor 4 of log-core.
//!
//! Invariants
//! - The copy is durable before the cut is made.
//! - A second recovery after a crash between the two makes the same copy under the same name.

use std::io::{ErrorKind, IoSlice};
use std::path::{Path, PathBuf};

use super::active::Tail;
use super::{Quarantined, Recovery};
use crate::checkpoint;
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
        let quarantine = &quarantine_of(self.dir);
        let position = tail.tally.position;
        let io = |error| LogError::io("copy to quarantine", quarantine, error);
        self.fs.create_dir(quarantine).map_err(io)?;
        if let Some(parent) = quarantine.parent() {
            self.fs.sync_dir(parent).map_err(io)?;
        }
        let name = format!("{}-{:020}-{position}.cut", log_name(self.dir), base.0);
        let target = quarantine.join(&name);
        let source = quarantine.join(name + checkpoint::TEMPORARY_SUFFIX);
        match self.fs.remove(&source) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let copy = self.fs.create(&source).map_err(io)?;
        let mut at = position;
        while at < bytes {
            let length = usize::try_from(bytes - at).unwrap_or(usize::MAX);
            let piece = tail.file.read_at(at, length.min(PIECE_BYTES)).map_err(io)?;
            if piece.is_empty() {
                return Err(io(ErrorKind::UnexpectedEof.into()));
            }
            copy.write_at(at - position, &[IoSlice::new(&piece)])
                .map_err(io)?;
            at += piece.len() as u64;
        }
        copy.sync().map_err(io)?;
        self.fs.rename(&source, &target).map_err(io)?;
        self.fs.sync_dir(quarantine).map_err(io)?;
        Ok(target)
    }
}

/// Where copies go: `quarantine` in the data directory, three levels above the log's own
/// directory, so that deleting a topic leaves them.
fn quarantine_of(dir: &Path) -> PathBuf {
    dir.ancestors()
        .nth(3)
        .or_else(|| dir.parent())
        .unwrap_or(dir)
        .join("quarantine")
}

/// The log's directory as a part of a file name: its last two names.
fn log_name(dir: &Path) -> String {
    let mut names: Vec<_> = dir
        .iter()
        .rev()
        .take(2)
        .map(|name| name.to_string_lossy())
        .collect();
    names.reverse();
    names.join("-")
}

/// What one step of a copy holds in memory.
const PIECE_BYTES: usize = 1 << 20;
