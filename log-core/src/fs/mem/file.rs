//! A file in memory, and what of it was synced.
//!
//! Floor 1 of log-core.
//!
//! Invariants
//! - The bytes stand in chunks of at most `CHUNK_BYTES`, all but the last one full, so that growing
//!   copies at most one chunk.
//! - What is only appended is kept once: of a chunk that is changed below the synced length, what
//!   was synced is set aside before.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use crate::fs::File;

/// A chunk is large enough that its bookkeeping is noise and small enough that growing is cheap.
const CHUNK_BYTES: usize = 64 << 10;

#[derive(Debug, Default)]
pub(super) struct MemFile {
    content: RwLock<Content>,
}

#[derive(Debug, Default)]
struct Content {
    chunks: Vec<Vec<u8>>,
    synced_len: usize,
    /// Chunks as they were synced, of those that have changed since.
    aside: BTreeMap<usize, Vec<u8>>,
}

impl MemFile {
    /// The file as its last sync has left it.
    pub(super) fn synced(&self) -> Self {
        let content = self.read();
        let chunks: Vec<Vec<u8>> = (0..content.synced_len.div_ceil(CHUNK_BYTES))
            .map(|slot| {
                let aside = content.aside.get(&slot);
                let chunk = aside.unwrap_or_else(|| &content.chunks[slot]);
                let end = content.synced_len - slot * CHUNK_BYTES;
                chunk[..end.min(CHUNK_BYTES)].to_vec()
            })
            .collect();
        Self {
            content: RwLock::new(Content {
                chunks,
                synced_len: content.synced_len,
                aside: BTreeMap::new(),
            }),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Content> {
        self.content.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Content> {
        self.content.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl File for MemFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.read().len() as u64)
    }

    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut at = index(position)?;
        let mut content = self.write();
        let mut gap = at.saturating_sub(content.len());
        while gap > 0 {
            // A disk fills what was skipped with zeros.
            let zeros = gap.min(CHUNK_BYTES);
            let end = content.len();
            content.put(end, &vec![0; zeros]);
            gap -= zeros;
        }
        for part in parts {
            content.put(at, part);
            at += part.len();
        }
        Ok(())
    }

    fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        let content = self.read();
        let end = content.len();
        let mut at = index(position)?.min(end);
        let mut left = len.min(end - at);
        let mut bytes = Vec::with_capacity(left);
        while left > 0 {
            let within = &content.chunks[at / CHUNK_BYTES][at % CHUNK_BYTES..];
            let part = &within[..left.min(within.len())];
            bytes.extend_from_slice(part);
            at += part.len();
            left -= part.len();
        }
        Ok(bytes.into())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = index(len)?;
        let mut content = self.write();
        if len > content.len() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "set_len only cuts"));
        }
        content.cut(len);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut content = self.write();
        content.synced_len = content.len();
        content.aside.clear();
        Ok(())
    }
}

impl Content {
    fn len(&self) -> usize {
        let last = self.chunks.last();
        last.map_or(0, |last| (self.chunks.len() - 1) * CHUNK_BYTES + last.len())
    }

    /// Writes over and behind what is there; `at` is at most the length.
    fn put(&mut self, mut at: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let slot = at / CHUNK_BYTES;
            if slot == self.chunks.len() {
                self.chunks.push(Vec::new());
            }
            self.set_aside(at);
            let chunk = &mut self.chunks[slot];
            let start = at % CHUNK_BYTES;
            let count = bytes.len().min(CHUNK_BYTES - start);
            let (now, later) = bytes.split_at(count);
            let over = count.min(chunk.len() - start);
            chunk[start..start + over].copy_from_slice(&now[..over]);
            chunk.extend_from_slice(&now[over..]);
            at += count;
            bytes = later;
        }
    }

    fn cut(&mut self, len: usize) {
        if !len.is_multiple_of(CHUNK_BYTES) {
            self.set_aside(len);
        }
        let first_to_go = len.div_ceil(CHUNK_BYTES);
        for (slot, chunk) in (first_to_go..).zip(self.chunks.drain(first_to_go..)) {
            if slot * CHUNK_BYTES < self.synced_len {
                self.aside.entry(slot).or_insert(chunk);
            }
        }
        if let Some(last) = self.chunks.last_mut() {
            last.truncate(len - (first_to_go - 1) * CHUNK_BYTES);
        }
    }

    /// Keeps what was synced of the chunk that is about to change from `at` on.
    fn set_aside(&mut self, at: usize) {
        if at < self.synced_len {
            let slot = at / CHUNK_BYTES;
            let synced = self.aside.entry(slot);
            synced.or_insert_with(|| self.chunks[slot].clone());
        }
    }
}

fn index(position: u64) -> io::Result<usize> {
    usize::try_from(position).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))
}
