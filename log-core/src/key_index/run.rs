//! One file of the key index: the entries of a range of offsets, sorted by key.
//!
//! Floor 3 of log-core.
//!
//! Layout, big-endian: blocks of 4 KiB, each 127 entries (the last one fewer, then zeros) and the
//! CRC-32 of topic, partition, first offset, end offset, the number of the block (8) and the 4,092
//! bytes before it; the foot, in an envelope: topic (16), partition (4), seed
//! (16), first offset (8), end offset (8), merged or not (1), the CRC-32 of the
//! sums of all blocks, entries (8), keys (8), the first 8 bytes of each block's
//! first key, the filter; and the tail, in an envelope: where the foot begins (8).
//!
//! Invariants
//! - A file never changes once it has its name. It is a cache: what is wrong with it is noticed
//!   before it is believed, and it is made anew from the log.
//! - Foot and filter are in memory; a look at one key reads one block if it is there, and none, but
//!   for one in a hundred, if it is not.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::bloom::Bloom;
use super::entry::{ENTRY_BYTES, Entry, Packed, floor_of, key_of};
use crate::envelope::{self, ENVELOPE_BYTES};
use crate::error::LogError;
use crate::fs::{File, Fs, OpenMode};
use crate::keys::{KeyHash, KeySeed};
use crate::types::{LogId, Offset, Position};

/// Whose run it is, and what it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cover {
    pub(crate) log: LogId,
    pub(crate) seed: KeySeed,
    /// The first offset whose record is looked for here.
    pub(crate) from: Offset,
    /// The offset behind the last one.
    pub(crate) end: Offset,
}

impl Cover {
    /// The sum of a block. It is of this block of this run only: what a power cut leaves in the
    /// place of a block may be one of another run.
    pub(super) fn block_sum(&self, block: usize, bytes: &[u8]) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&self.log.topic);
        sum.update(&self.log.partition.to_be_bytes());
        sum.update(&self.from.0.to_be_bytes());
        sum.update(&self.end.0.to_be_bytes());
        sum.update(&(block as u64).to_be_bytes());
        sum.update(bytes);
        sum.finalize()
    }

    /// The name of the file.
    pub(crate) fn file_name(&self) -> String {
        format!("{:020}-{:020}{EXTENSION}", self.from.0, self.end.0)
    }
}

/// The range that the name of a run says; `None` for any other name.
pub(crate) fn parse_name(name: &str) -> Option<(Offset, Offset)> {
    let (from, end) = name.strip_suffix(EXTENSION)?.split_once('-')?;
    let number = |digits: &str| {
        let is_ours = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        Some(Offset(digits.parse().ok().filter(|_| is_ours)?))
    };
    Some((number(from)?, number(end)?))
}

/// What stands behind the blocks.
#[derive(Clone, Debug)]
pub(super) struct Foot {
    pub(super) cover: Cover,
    /// Whether it was durable before it had its name: it has replaced others, or itself.
    pub(super) is_merged: bool,
    /// The CRC-32 of the sums of all blocks.
    pub(super) sum: u32,
    pub(super) entries: u64,
    pub(super) keys: u64,
    /// The first 8 bytes of the first key of each block.
    pub(super) fences: Bytes,
    pub(super) bloom: Bytes,
}

/// A run that is open.
#[derive(Debug)]
pub(crate) struct Run {
    path: PathBuf,
    file: Arc<dyn File>,
    cover: Cover,
    entries: u64,
    keys: u64,
    fences: Bytes,
    bloom: Bloom,
    /// Whether a power cut takes nothing of it.
    is_synced: AtomicBool,
    /// Whether an earlier life wrote it and did not sync it, or failed to: a sync by this one can
    /// succeed although the disk has lost the pages.
    is_left: bool,
}

impl Run {
    /// Opens a file that has the name of a run; `None` if it is not whole, or another log's.
    pub(crate) fn open(fs: &dyn Fs, path: &Path, log: LogId) -> Result<Option<Self>, LogError> {
        let io = |error| LogError::io("read", path, error);
        let file = fs.open(path, OpenMode::Read).map_err(io)?;
        let len = file.len().map_err(io)?;
        let Some(tail_at) = len.checked_sub(TAIL_BYTES as u64) else {
            return Ok(None);
        };
        let tail = file.read_at(tail_at, TAIL_BYTES).map_err(io)?;
        let Some(foot_at) = parse_tail(tail).filter(|at| *at <= tail_at) else {
            return Ok(None);
        };
        let foot_bytes = usize::try_from(tail_at - foot_at).unwrap_or(usize::MAX);
        let foot = file.read_at(foot_at, foot_bytes).map_err(io)?;
        let foot = parse_foot(foot).filter(|foot| {
            let blocks = foot.entries.div_ceil(BLOCK_ENTRIES as u64);
            foot.cover.log == log
                && blocks * BLOCK_BYTES as u64 == foot_at
                && blocks * FENCE_BYTES as u64 == foot.fences.len() as u64
        });
        let Some(foot) = foot else {
            return Ok(None);
        };
        let (is_left, sum) = (!foot.is_merged, foot.sum);
        match Self::of(path.to_owned(), file, foot) {
            // Nobody has synced it: a power cut may have left any part of it, and parts of an
            // earlier file in the same place.
            Some(run) if is_left && run.sum()? != Some(sum) => Ok(None),
            run => Ok(run.map(|run| Self { is_left, ..run })),
        }
    }

    /// The sum of the sums of all blocks; `None` if one of them is damaged.
    fn sum(&self) -> Result<Option<u32>, LogError> {
        let mut sum = crc32fast::Hasher::new();
        for block in 0..self.blocks() {
            match self.summed_block(block) {
                Ok(bytes) => sum.update(&bytes[SUMMED_BYTES..]),
                Err(LogError::Corrupt { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(sum.finalize()))
    }

    pub(super) fn of(path: PathBuf, file: Arc<dyn File>, foot: Foot) -> Option<Self> {
        let is_synced = AtomicBool::new(foot.is_merged);
        Some(Self {
            path,
            file,
            cover: foot.cover,
            entries: foot.entries,
            keys: foot.keys,
            fences: foot.fences,
            bloom: Bloom::of(foot.bloom)?,
            is_synced,
            is_left: false,
        })
    }

    pub(crate) fn cover(&self) -> &Cover {
        &self.cover
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    pub(crate) fn keys(&self) -> u64 {
        self.keys
    }

    /// The memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.fences.len() + self.bloom.bytes()
    }

    /// Whether it may hold an entry of a key. No is certain.
    pub(crate) fn may_hold(&self, key: KeyHash) -> bool {
        self.bloom.may_hold(key)
    }

    /// The last entry of a key.
    pub(crate) fn last(&self, key: KeyHash) -> Result<Option<Entry>, LogError> {
        let mut ceiling = floor_of(key, u32::MAX);
        ceiling[20..].fill(u8::MAX);
        let Some(block) = self.block_of(&ceiling)? else {
            return Ok(None);
        };
        let entries = self.block(block)?;
        let place = entries.partition_point(|entry| *entry <= ceiling);
        let last = place.checked_sub(1).map(|place| entries[place]);
        Ok(last
            .filter(|packed| key_of(packed) == key)
            .map(|packed| Entry::unpack(&packed)))
    }

    /// At most `count_max` entries of a key from a revision on, in order.
    pub(crate) fn since(
        &self,
        key: KeyHash,
        revision: u32,
        count_max: usize,
    ) -> Result<Vec<Entry>, LogError> {
        let floor = floor_of(key, revision);
        let mut found = Vec::new();
        let mut block = self.block_of(&floor)?.unwrap_or(0);
        while found.len() < count_max && block < self.blocks() {
            let entries = self.block(block)?;
            let from = entries.partition_point(|entry| *entry < floor);
            for packed in &entries[from..] {
                if key_of(packed) != key || found.len() == count_max {
                    return Ok(found);
                }
                found.push(Entry::unpack(packed));
            }
            block += 1;
        }
        Ok(found)
    }

    /// A block, checked. What is wrong once is read again: the file is given up for what is wrong
    /// twice.
    fn summed_block(&self, block: usize) -> Result<Bytes, LogError> {
        match self.read_block(block)? {
            Some(bytes) => Ok(bytes),
            None => self.read_block(block)?.ok_or_else(|| LogError::Corrupt {
                file: self.path.clone(),
                position: Position(block as u64 * BLOCK_BYTES as u64),
                why: "a part of the key index is not what was written, and is being made anew"
                    .to_owned(),
            }),
        }
    }

    /// A block; `None` if its sum does not agree.
    fn read_block(&self, block: usize) -> Result<Option<Bytes>, LogError> {
        let at = block as u64 * BLOCK_BYTES as u64;
        let bytes = self.file.read_at(at, BLOCK_BYTES);
        let bytes = bytes.map_err(|error| LogError::io("read", &self.path, error))?;
        let is_whole = bytes.len() == BLOCK_BYTES && {
            let sum = self.cover.block_sum(block, &bytes[..SUMMED_BYTES]);
            bytes[SUMMED_BYTES..] == sum.to_be_bytes()
        };
        Ok(is_whole.then_some(bytes))
    }

    /// The entries of a block.
    pub(super) fn block(&self, block: usize) -> Result<Vec<Packed>, LogError> {
        let bytes = self.summed_block(block)?;
        let left = self.entries - block as u64 * BLOCK_ENTRIES as u64;
        let count = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(BLOCK_ENTRIES);
        let packed = bytes.chunks_exact(ENTRY_BYTES).take(count);
        Ok(packed
            .map(|chunk| {
                let mut entry = [0; ENTRY_BYTES];
                entry.copy_from_slice(chunk);
                entry
            })
            .collect())
    }

    pub(super) fn blocks(&self) -> usize {
        self.fences.len() / FENCE_BYTES
    }

    /// The last block whose first entry is not above `wanted`.
    fn block_of(&self, wanted: &Packed) -> Result<Option<usize>, LogError> {
        let fence = &wanted[..FENCE_BYTES];
        let (mut low, mut high) = (
            self.fences_below(|f| f < fence),
            self.fences_below(|f| f <= fence),
        );
        // Among blocks that begin alike only the blocks themselves tell: one key has many entries.
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.block(middle)?.first() {
                Some(first) if first <= wanted => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low.checked_sub(1))
    }

    fn fences_below(&self, is_below: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.blocks());
        while low < high {
            let middle = usize::midpoint(low, high);
            let at = middle * FENCE_BYTES;
            match is_below(&self.fences[at..at + FENCE_BYTES]) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    /// Whether only a copy of it can be made durable.
    pub(super) fn is_left(&self) -> bool {
        self.is_left
    }

    /// Makes its bytes durable, once. Its name is the business of whoever syncs the directory.
    pub(crate) fn sync(&self) -> Result<(), LogError> {
        if self.is_synced.load(Ordering::Acquire) {
            return Ok(());
        }
        self.file
            .sync()
            .map_err(|error| LogError::io("sync", &self.path, error))?;
        self.is_synced.store(true, Ordering::Release);
        Ok(())
    }
}

impl Foot {
    pub(super) fn encode(&self, foot_at: u64) -> BytesMut {
        let mut body = BytesMut::new();
        body.put_slice(&self.cover.log.topic);
        body.put_u32(self.cover.log.partition);
        body.put_slice(&self.cover.seed.0);
        body.put_i64(self.cover.from.0);
        body.put_i64(self.cover.end.0);
        body.put_u8(self.is_merged.into());
        body.put_u32(self.sum);
        body.put_u64(self.entries);
        body.put_u64(self.keys);
        body.put_u64(self.fences.len() as u64);
        body.put_slice(&self.fences);
        body.put_slice(&self.bloom);
        let mut out = BytesMut::new();
        envelope::wrap_into(&mut out, FOOT_MAGIC, VERSION, &body);
        envelope::wrap_into(&mut out, TAIL_MAGIC, VERSION, &foot_at.to_be_bytes());
        out
    }
}

fn parse_tail(mut bytes: Bytes) -> Option<u64> {
    let (_, mut body) = envelope::unwrap(&mut bytes, TAIL_MAGIC, VERSION).ok()?;
    body.try_get_u64().ok()
}

fn parse_foot(mut bytes: Bytes) -> Option<Foot> {
    let (_, mut body) = envelope::unwrap(&mut bytes, FOOT_MAGIC, VERSION).ok()?;
    let (mut topic, mut seed) = ([0; 16], [0; 16]);
    body.try_copy_to_slice(&mut topic).ok()?;
    let partition = body.try_get_u32().ok()?;
    body.try_copy_to_slice(&mut seed).ok()?;
    let cover = Cover {
        log: LogId { topic, partition },
        seed: KeySeed(seed),
        from: Offset(body.try_get_i64().ok()?),
        end: Offset(body.try_get_i64().ok()?),
    };
    let is_merged = body.try_get_u8().ok()? != 0;
    let sum = body.try_get_u32().ok()?;
    let (entries, keys) = (body.try_get_u64().ok()?, body.try_get_u64().ok()?);
    let fences = usize::try_from(body.try_get_u64().ok()?).ok()?;
    (fences <= body.len()).then(|| Foot {
        cover,
        is_merged,
        sum,
        entries,
        keys,
        fences: body.split_to(fences),
        bloom: body,
    })
}

const EXTENSION: &str = ".keys";
const FOOT_MAGIC: &[u8; 8] = b"HWKEYRN\0";
const TAIL_MAGIC: &[u8; 8] = b"HWKEYEN\0";
const VERSION: u32 = 1;
const TAIL_BYTES: usize = ENVELOPE_BYTES + 8;
pub(super) const BLOCK_BYTES: usize = 4096;
pub(super) const SUMMED_BYTES: usize = BLOCK_BYTES - 4;
pub(super) const BLOCK_ENTRIES: usize = SUMMED_BYTES / ENTRY_BYTES;
pub(super) const FENCE_BYTES: usize = 8;
