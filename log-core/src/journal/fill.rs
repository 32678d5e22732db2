//! Zeros ahead of the groups: the first life that needs them finds its blocks written.
//!
//! Floor 5 of log-core.
//!
//! A sync of bytes that overwrite written blocks costs about two thirds of one that makes a file
//! longer (ADR 1). The free file is filled, never the one in use, and without the journal's lock.
//! A journal that nobody uses is not filled: an idle broker writes nothing.
//!
//! Invariants
//! - Zeros are written behind the file's end only; they pass for no group.
//! - The file is not used while it is filled.

use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;

use super::format::{BLOCK, BLOCK_BYTES};
use super::{Journal, Life};
use crate::error::LogError;
use crate::error::is_full;
use crate::fs::{File, Fs};

/// The free file, in the hands of who fills it.
#[derive(Debug)]
pub(crate) struct Filling {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    path: PathBuf,
    slot: usize,
    file: Option<Arc<dyn File>>,
    is_named: bool,
    from: u64,
    to: u64,
}

impl Journal {
    /// Hands out the free file if its next life, at twice the size of the one that runs, would
    /// make it longer. It comes back through [`Self::end_filling`].
    pub(crate) fn begin_filling(&mut self) -> Option<Filling> {
        let slot = 1 - self.current;
        let needed = wanted_bytes(self.slots[self.current].life.as_ref()?, self.bytes_max);
        let free = &mut self.slots[slot];
        let to = needed.min(free.length.saturating_add(STEP_BYTES));
        if free.life.is_some() || free.is_filling || to <= free.length {
            return None;
        }
        free.is_filling = true;
        Some(Filling {
            fs: Arc::clone(&self.fs),
            dir: self.dir.clone(),
            path: free.path.clone(),
            slot,
            file: free.file.clone(),
            is_named: free.is_named,
            from: free.length,
            to,
        })
    }

    /// Takes the file back.
    pub(crate) fn end_filling(&mut self, filling: Filling) {
        let slot = &mut self.slots[filling.slot];
        slot.file = filling.file;
        slot.is_named = filling.is_named;
        slot.length = filling.from;
        slot.is_filling = false;
    }
}

impl Filling {
    /// How many zeros are to be written.
    pub(crate) fn bytes(&self) -> u64 {
        self.to - self.from
    }

    /// Writes and syncs them; on a full disk the file stays as it was.
    ///
    /// # Errors
    /// The state of the file is unknown from then on; the caller poisons the shard.
    pub(crate) fn run(&mut self) -> Result<(), LogError> {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => match self.fs.create(&self.path) {
                Ok(file) => Arc::clone(self.file.insert(file)),
                Err(error) if is_full(&error) => return Ok(()),
                Err(error) => return Err(LogError::io("create", &self.path, error)),
            },
        };
        match self.write_zeros(&*file) {
            Ok(()) => {}
            Err(error) if is_full(&error) => {
                return file
                    .set_len(self.from)
                    .map_err(|error| LogError::io("cut", &self.path, error));
            }
            Err(error) => return Err(LogError::io("write", &self.path, error)),
        }
        file.sync()
            .map_err(|error| LogError::io("sync", &self.path, error))?;
        if !self.is_named {
            self.fs
                .sync_dir(&self.dir)
                .map_err(|error| LogError::io("sync", &self.dir, error))?;
            self.is_named = true;
        }
        self.from = self.to;
        Ok(())
    }

    fn write_zeros(&self, file: &dyn File) -> std::io::Result<()> {
        let mut position = self.from;
        while position < self.to {
            let bytes = usize::try_from(self.to - position)
                .map_or(BYTES_AT_ONCE, |left| left.min(BYTES_AT_ONCE));
            let mut zeros = vec![IoSlice::new(&BLOCK); bytes / BLOCK.len()];
            zeros.push(IoSlice::new(&BLOCK[..bytes % BLOCK.len()]));
            file.write_at(position, &zeros)?;
            position += bytes as u64;
        }
        Ok(())
    }
}

/// The length that spares the next life most of its growth, in whole blocks.
fn wanted_bytes(life: &Life, bytes_max: u64) -> u64 {
    let doubled = life.position.saturating_mul(2).max(LENGTH_BYTES_MIN);
    let wanted = doubled.checked_next_power_of_two().unwrap_or(bytes_max);
    wanted.min(bytes_max) / BLOCK_BYTES * BLOCK_BYTES
}

/// A second of a slow broker's commits; more would be most of what such a broker writes.
const LENGTH_BYTES_MIN: u64 = 128 << 10;
/// What one call writes: more would hold up the commits that share the disk.
const STEP_BYTES: u64 = 8 << 20;
/// What one write takes; it needs no buffer of that size.
const BYTES_AT_ONCE: usize = 1 << 20;
