//! Writes a run.
//!
//! Floor 3 of log-core.
//!
//! Invariants
//! - The file has its name only when all of it is written, and one that replaces others when all of
//!   it is durable.

use std::io::{ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BufMut;

use super::bloom::BloomBuilder;
use super::entry::{Packed, key_of};
use super::run::{BLOCK_BYTES, BLOCK_ENTRIES, Cover, FENCE_BYTES, Foot, Run, SUMMED_BYTES};
use crate::checkpoint::TEMPORARY_SUFFIX;
use crate::error::LogError;
use crate::fs::{File, Fs};
use crate::keys::KeyHash;

/// A run that is being written: entries come in order.
#[derive(Debug)]
pub(super) struct RunWriter {
    path: PathBuf,
    temporary: PathBuf,
    file: Arc<dyn File>,
    cover: Cover,
    is_merged: bool,
    /// Blocks that are not in the file yet, the last one as far as it goes.
    buffer: Vec<u8>,
    /// Entries of the last block of the buffer.
    in_block: usize,
    written: u64,
    entries: u64,
    keys: u64,
    last_key: Option<KeyHash>,
    fences: Vec<u8>,
    /// Of the sums of all blocks.
    sum: crc32fast::Hasher,
    bloom: BloomBuilder,
}

impl RunWriter {
    /// Begins the file of a run of at most `keys_max` keys.
    pub(super) fn create(
        fs: &dyn Fs,
        dir: &Path,
        cover: Cover,
        (keys_max, is_merged): (u64, bool),
    ) -> Result<Self, LogError> {
        let name = cover.file_name();
        let temporary = dir.join(format!("{name}{TEMPORARY_SUFFIX}"));
        let created = match fs.create(&temporary) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                fs.remove(&temporary).and_then(|()| fs.create(&temporary))
            }
            other => other,
        };
        let file = created.map_err(|error| LogError::io("create", &temporary, error))?;
        Ok(Self {
            path: dir.join(name),
            temporary,
            file,
            cover,
            is_merged,
            buffer: Vec::with_capacity(BUFFER_BYTES + BLOCK_BYTES),
            in_block: 0,
            written: 0,
            entries: 0,
            keys: 0,
            last_key: None,
            fences: Vec::new(),
            sum: crc32fast::Hasher::new(),
            bloom: BloomBuilder::new(keys_max),
        })
    }

    pub(super) fn push(&mut self, packed: &Packed) -> Result<(), LogError> {
        if self.in_block == 0 {
            self.fences.extend_from_slice(&packed[..FENCE_BYTES]);
        }
        self.buffer.extend_from_slice(packed);
        self.in_block += 1;
        self.entries += 1;
        let key = key_of(packed);
        if self.last_key != Some(key) {
            self.last_key = Some(key);
            self.keys += 1;
            self.bloom.add(key);
        }
        if self.in_block == BLOCK_ENTRIES {
            self.end_block();
            if self.buffer.len() >= BUFFER_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Ends the file and gives it its name. One that replaces others is synced before that: who
    /// sees the name may remove them.
    pub(super) fn finish(mut self, fs: &dyn Fs) -> Result<Run, LogError> {
        if self.in_block > 0 {
            self.end_block();
        }
        let foot_at = self.written + self.buffer.len() as u64;
        let filter = self.bloom.fold(self.keys);
        let mut bloom = Vec::with_capacity(filter.bytes());
        filter.put(&mut bloom);
        let foot = Foot {
            cover: self.cover,
            is_merged: self.is_merged,
            sum: std::mem::take(&mut self.sum).finalize(),
            entries: self.entries,
            keys: self.keys,
            fences: std::mem::take(&mut self.fences).into(),
            bloom: bloom.into(),
        };
        self.buffer.put(foot.encode(foot_at));
        self.flush()?;
        if self.is_merged {
            self.file
                .sync()
                .map_err(|error| LogError::io("sync", &self.temporary, error))?;
        }
        let Self {
            path,
            temporary,
            file,
            ..
        } = self;
        fs.rename(&temporary, &path)
            .map_err(|error| LogError::io("rename", &temporary, error))?;
        Ok(Run::of(path, file, foot).expect("a filter has at least one word"))
    }

    /// What is left of a run that could not be written.
    pub(super) fn abandon(fs: &dyn Fs, dir: &Path, cover: &Cover) {
        let temporary = dir.join(format!("{}{TEMPORARY_SUFFIX}", cover.file_name()));
        if let Err(error) = fs.remove(&temporary) {
            tracing::debug!(%error, "an unfinished run is left for the next start");
        }
    }

    fn end_block(&mut self) {
        let begin = self.buffer.len() / BLOCK_BYTES * BLOCK_BYTES;
        self.buffer.resize(begin + SUMMED_BYTES, 0);
        let block = self.fences.len() / FENCE_BYTES - 1;
        let sum = self.cover.block_sum(block, &self.buffer[begin..]);
        self.buffer.put_u32(sum);
        self.sum.update(&sum.to_be_bytes());
        self.in_block = 0;
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.file
            .write_at(self.written, &[IoSlice::new(&self.buffer)])
            .map_err(|error| LogError::io("write", &self.temporary, error))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// What is written at once.
const BUFFER_BYTES: usize = 256 * BLOCK_BYTES;
