//! The shard's journal: one write and one sync make the small batches of many logs durable.
//!
//! Floor 5 of log-core.
//!
//! Two files are used in turn. A life of a file goes from its first group to the checkpoint that
//! made its logs durable in their own files; then the file is free for its next life, which
//! overwrites the old bytes, so that a sync has no new length to make durable. What the next life
//! will need beyond them is filled with zeros ahead, in the background.
//!
//! Invariants
//! - A group is durable when [`Journal::append`] answers `true`; groups of a life are written one
//!   after the other, each after the sync of the one before.
//! - A file is overwritten only after every log in its life is synced up to what the life holds.
//! - Stale bytes never pass for a group: the life's salt, the sequence and the CRC must agree.

mod fill;
mod format;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use highwater_proto::batch::PREFIX_BYTES;
use highwater_proto::clock::Now;

use self::format::{BLOCK, BLOCK_BYTES, ENTRY_HEAD_BYTES, GROUP_HEAD_BYTES, GroupHead, LifeHeader};
use crate::envelope::EnvelopeError;
use crate::error::LogError;
use crate::error::is_full;
use crate::fs::{File, Fs, OpenMode};
use crate::types::{LogId, Offset};

/// A batch as its log stores it: the log's prefix, and the rest as its producer sent it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) prefix: [u8; PREFIX_BYTES],
    pub(crate) rest: Bytes,
}

impl Stored {
    pub(crate) fn len(&self) -> usize {
        PREFIX_BYTES + self.rest.len()
    }
}

/// What one cycle adds for one log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JournalEntry<'a> {
    pub(crate) log: LogId,
    /// The log's next offset after these batches.
    pub(crate) end: Offset,
    pub(crate) batches: &'a [Stored],
}

/// What was found at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replayed {
    /// Groups handed over, each whole.
    pub(crate) groups: u64,
    /// Stretches that were durable and cannot be read: a later group of the same life can.
    pub(crate) damaged: u64,
}

/// Both files.
#[derive(Debug)]
pub(crate) struct Journal {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    bytes_max: u64,
    slots: [Slot; 2],
    current: usize,
    next_number: u64,
    seed: u64,
}

#[derive(Debug)]
struct Slot {
    path: PathBuf,
    file: Option<Arc<dyn File>>,
    /// Of the file; overwriting does not change it.
    length: u64,
    /// Whether the file's name is known to be durable.
    is_named: bool,
    /// Whose groups the file held when it was opened.
    found: Option<LifeHeader>,
    /// Nothing: the file is free.
    life: Option<Life>,
    /// Whether somebody fills the free file: it is not to be used until that is done.
    is_filling: bool,
}

#[derive(Debug)]
struct Life {
    header: LifeHeader,
    /// The sequence of the next group.
    groups: u64,
    /// Where the next group goes.
    position: u64,
    /// The end of each log's last batch in this life.
    ends: BTreeMap<LogId, Offset>,
}

impl Journal {
    /// Opens both files in `dir`, which need not exist. Each grows to `bytes_max` at most; with
    /// fewer than two blocks (8 KiB) there is no journal, and every cycle syncs the logs' files.
    ///
    /// # Errors
    /// The disk's; [`LogError::TooNew`] if a file was written by a newer version.
    pub(crate) fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        bytes_max: u64,
        mode: OpenMode,
        now: Now,
    ) -> Result<Self, LogError> {
        let slots = [
            Slot::open(&*fs, dir, 0, mode)?,
            Slot::open(&*fs, dir, 1, mode)?,
        ];
        let newest = slots
            .iter()
            .filter_map(|slot| slot.found)
            .map(|life| life.number)
            .max();
        Ok(Self {
            fs,
            dir: dir.to_owned(),
            bytes_max,
            slots,
            current: 0,
            next_number: newest.map_or(1, |number| number.saturating_add(1)),
            seed: now.mono.0 ^ now.wall.0.cast_unsigned().rotate_left(32),
        })
    }

    /// Hands every stored batch that the files hold to `sink`, in the order of their commits.
    pub(crate) fn replay(
        &self,
        sink: &mut dyn FnMut(LogId, Bytes) -> Result<(), LogError>,
    ) -> Result<Replayed, LogError> {
        let mut lives: Vec<_> = self
            .slots
            .iter()
            .filter_map(|slot| Some((slot.found?, slot)))
            .collect();
        lives.sort_by_key(|(life, _)| life.number);
        let mut replayed = Replayed::default();
        for (life, slot) in lives {
            slot.replay(life, &mut replayed, sink)?;
        }
        Ok(replayed)
    }

    /// Makes what the files hold unreadable, durably: called once the replayed logs are synced.
    /// Otherwise a group that could not be replayed would fit again when its log has grown.
    pub(crate) fn reset(&mut self) -> Result<(), LogError> {
        for slot in [0, 1] {
            if self.slots[slot].found.is_none() {
                continue;
            }
            let block = self.next_life().header.encode();
            let slot = &mut self.slots[slot];
            let file = slot.file.as_ref().expect("a life was found in it");
            file.write_at(0, &[IoSlice::new(&block)])
                .map_err(|error| LogError::io("write", &slot.path, error))?;
            file.sync()
                .map_err(|error| LogError::io("sync", &slot.path, error))?;
            slot.found = None;
        }
        Ok(())
    }

    /// Writes one group and syncs it. `false`: there is no room for it, nothing was done, and the
    /// caller syncs the logs' own files.
    ///
    /// # Errors
    /// The state of the file is unknown from then on; the caller poisons the shard.
    pub(crate) fn append(&mut self, entries: &[JournalEntry<'_>]) -> Result<bool, LogError> {
        let batches = entries.iter().flat_map(|entry| entry.batches);
        let entries_bytes: usize = batches.map(|batch| ENTRY_HEAD_BYTES + batch.len()).sum();
        let group_bytes = (GROUP_HEAD_BYTES + entries_bytes) as u64;
        let padded_bytes = group_bytes.next_multiple_of(BLOCK_BYTES);
        let Ok(entries_bytes) = u32::try_from(entries_bytes) else {
            return Ok(false);
        };
        let can_fit = BLOCK_BYTES.saturating_add(padded_bytes) <= self.bytes_max;
        if !can_fit || !(self.has_room(padded_bytes) || self.rotate()) {
            return Ok(false);
        }
        let mut life = match self.slots[self.current].life.take() {
            Some(life) => life,
            None => self.next_life(),
        };
        let is_written =
            self.write_group(&life, entries, entries_bytes, padded_bytes - group_bytes)?;
        if is_written {
            life.groups += 1;
            life.position += padded_bytes;
            life.ends
                .extend(entries.iter().map(|entry| (entry.log, entry.end)));
        }
        self.slots[self.current].life = (life.groups > 0).then_some(life);
        Ok(is_written)
    }

    /// Ends the life in use, if it holds anything and the other file is free to go on with.
    pub(crate) fn rotate(&mut self) -> bool {
        let other = 1 - self.current;
        let next = &self.slots[other];
        let can_begin = next.life.is_none() && !next.is_filling;
        let can = self.slots[self.current].life.is_some() && can_begin;
        if can {
            self.current = other;
        }
        can
    }

    /// The logs of the ended life, each with the offset up to which it must be synced before
    /// [`Self::free`].
    pub(crate) fn ended(&self) -> Option<Vec<(LogId, Offset)>> {
        let life = self.slots[1 - self.current].life.as_ref()?;
        Some(life.ends.iter().map(|(log, end)| (*log, *end)).collect())
    }

    /// Frees the file of the ended life.
    pub(crate) fn free(&mut self) {
        self.slots[1 - self.current].life = None;
    }

    fn has_room(&self, bytes: u64) -> bool {
        let position = self.slots[self.current]
            .life
            .as_ref()
            .map_or(BLOCK_BYTES, |l| l.position);
        position.saturating_add(bytes) <= self.bytes_max
    }

    fn next_life(&mut self) -> Life {
        let number = self.next_number;
        self.next_number += 1;
        let header = LifeHeader {
            number,
            salt: mix(self.seed.wrapping_add(number)),
        };
        Life {
            header,
            groups: 0,
            position: BLOCK_BYTES,
            ends: BTreeMap::new(),
        }
    }

    /// `false`: the disk is full; the file is as it was, but for bytes behind its last group.
    fn write_group(
        &mut self,
        life: &Life,
        entries: &[JournalEntry<'_>],
        entries_bytes: u32,
        padding_bytes: u64,
    ) -> Result<bool, LogError> {
        let mut count = 0;
        let mut heads = Vec::new();
        for entry in entries {
            for batch in entry.batches {
                let bytes = u32::try_from(batch.len()).expect("no more than all of them");
                heads.push(format::entry_head(entry.log, bytes));
                count += 1;
            }
        }
        let batches = entries.iter().flat_map(|entry| entry.batches);
        let parts: Vec<&[u8]> = heads
            .iter()
            .zip(batches)
            .flat_map(|(head, batch)| [&head[..], &batch.prefix, &batch.rest])
            .collect();
        let parts_read = parts.iter().copied();
        let head = format::group_head(life.header, life.groups, count, entries_bytes, parts_read);
        let padding = usize::try_from(padding_bytes).expect("less than a block");
        let is_first = life.groups == 0;
        let header = if is_first {
            life.header.encode()
        } else {
            Bytes::new()
        };
        let mut slices = Vec::with_capacity(parts.len() + 3);
        slices.push(IoSlice::new(&header));
        slices.push(IoSlice::new(&head));
        slices.extend(parts.iter().map(|part| IoSlice::new(part)));
        slices.push(IoSlice::new(&BLOCK[..padding]));
        let position = if is_first { 0 } else { life.position };
        self.slots[self.current].write(&*self.fs, &self.dir, position, &slices)
    }
}

impl Slot {
    fn open(fs: &dyn Fs, dir: &Path, index: usize, mode: OpenMode) -> Result<Self, LogError> {
        let path = dir.join(FILES[index]);
        let mut slot = Self {
            path,
            file: None,
            length: 0,
            is_named: false,
            found: None,
            life: None,
            is_filling: false,
        };
        let file = match fs.open(&slot.path, mode) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(slot),
            Err(error) => return Err(LogError::io("open", &slot.path, error)),
        };
        slot.length = file
            .len()
            .map_err(|error| LogError::io("measure", &slot.path, error))?;
        slot.file = Some(file);
        match LifeHeader::decode(slot.read(0, BLOCK_BYTES)?) {
            Ok(header) => slot.found = Some(header),
            Err(error @ EnvelopeError::TooNew { .. }) => {
                let why = format!("{}: {error}", slot.path.display());
                return Err(LogError::TooNew {
                    dir: dir.to_owned(),
                    why,
                });
            }
            // A crash in the first write of a life, which answered nobody.
            Err(error) => tracing::debug!(file = %slot.path.display(), %error, "no life found"),
        }
        Ok(slot)
    }

    fn read(&self, position: u64, bytes: u64) -> Result<Bytes, LogError> {
        let Some(file) = &self.file else {
            return Ok(Bytes::new());
        };
        let bytes = bytes.min(self.length.saturating_sub(position));
        let bytes = usize::try_from(bytes).expect("a journal fits into memory");
        file.read_at(position, bytes)
            .map_err(|error| LogError::io("read", &self.path, error))
    }

    /// Replays the groups of `life`, and those behind a damaged one too: a group is written after
    /// the sync of the one before, so that a later one proves that the damaged one was durable.
    fn replay(
        &self,
        life: LifeHeader,
        replayed: &mut Replayed,
        sink: &mut dyn FnMut(LogId, Bytes) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let mut position = BLOCK_BYTES;
        let mut next_sequence = 0;
        while position < self.length {
            let Some((sequence, group)) = self.group_at(position, life, next_sequence)? else {
                position += BLOCK_BYTES;
                continue;
            };
            let Some(entries) = format::group_entries(&group) else {
                position += BLOCK_BYTES;
                continue;
            };
            if sequence != next_sequence {
                tracing::error!(file = %self.path.display(), position, "the journal is damaged");
                replayed.damaged += 1;
            }
            for (log, batch) in entries {
                sink(log, batch)?;
            }
            replayed.groups += 1;
            next_sequence = sequence + 1;
            position += (group.len() as u64).next_multiple_of(BLOCK_BYTES);
        }
        Ok(())
    }

    /// The bytes of what may be a group of `life`, at least the `sequence_min`th.
    fn group_at(
        &self,
        position: u64,
        life: LifeHeader,
        sequence_min: u64,
    ) -> Result<Option<(u64, Bytes)>, LogError> {
        let head = self.read(position, GROUP_HEAD_BYTES as u64)?;
        let of_life = |head: &GroupHead| head.salt == life.salt && head.sequence >= sequence_min;
        let Some(head) = GroupHead::decode(head).filter(of_life) else {
            return Ok(None);
        };
        Ok(Some((head.sequence, self.read(position, head.bytes)?)))
    }

    fn write(
        &mut self,
        fs: &dyn Fs,
        dir: &Path,
        position: u64,
        slices: &[IoSlice<'_>],
    ) -> Result<bool, LogError> {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => match fs.create(&self.path) {
                Ok(file) => file,
                Err(error) if is_full(&error) => return Ok(false),
                Err(error) => return Err(LogError::io("create", &self.path, error)),
            },
        };
        let written = file.write_at(position, slices);
        let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        self.file = Some(Arc::clone(&file));
        match written {
            Ok(()) => self.length = self.length.max(position + bytes as u64),
            Err(error) if is_full(&error) => {
                file.set_len(self.length)
                    .map_err(|error| LogError::io("cut", &self.path, error))?;
                return Ok(false);
            }
            Err(error) => return Err(LogError::io("write", &self.path, error)),
        }
        file.sync()
            .map_err(|error| LogError::io("sync", &self.path, error))?;
        if !self.is_named {
            fs.sync_dir(dir)
                .map_err(|error| LogError::io("sync", dir, error))?;
            self.is_named = true;
        }
        Ok(true)
    }
}

/// SplitMix64's finalizer: every bit of the seed moves every bit of the salt.
const fn mix(seed: u64) -> u64 {
    let a = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ (b >> 31)
}

/// The two files, used in turn.
pub(crate) const FILES: [&str; 2] = ["journal-0", "journal-1"];
