//! A disk on which a failed sync is final, whoever asks next.
//!
//! Floor 5 of log-core.
//!
//! The kernel tells a failed write-back to the first sync of a file handle and forgets it: a
//! second sync of the same handle succeeds although the pages are gone. A log's file is synced by
//! the committer, by the background thread and by the writer that rolls it, so that the second of
//! them would acknowledge what the first has lost.
//!
//! Invariants
//! - One sync at a time on a handle; after one has failed, every later one fails without asking
//!   the disk.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::fs::{DirLock, File, Fs, OpenMode};
use crate::sync::{Mutex, lock};

/// The disk below, with files that remember.
#[derive(Debug)]
pub(super) struct FinalSync {
    pub(super) below: Arc<dyn Fs>,
}

#[derive(Debug)]
struct FinalSyncFile {
    below: Arc<dyn File>,
    failed: Mutex<Option<String>>,
}

fn remembering(below: Arc<dyn File>) -> Arc<dyn File> {
    Arc::new(FinalSyncFile {
        below,
        failed: Mutex::new(None),
    })
}

impl File for FinalSyncFile {
    fn len(&self) -> io::Result<u64> {
        self.below.len()
    }

    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.below.write_at(position, parts)
    }

    fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        self.below.read_at(position, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.below.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        let mut failed = lock(&self.failed);
        if let Some(why) = &*failed {
            return Err(io::Error::other(format!("an earlier sync failed: {why}")));
        }
        self.below
            .sync()
            .inspect_err(|error| *failed = Some(error.to_string()))
    }
}

impl Fs for FinalSync {
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.below.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.below.create_dir(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.below.create(path).map(remembering)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.below.open(path, mode)?;
        // What is only read is never synced: no reader pays for the memory.
        match mode {
            OpenMode::Read | OpenMode::Mapped => Ok(file),
            OpenMode::Append | OpenMode::Recover => Ok(remembering(file)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.below.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.below.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.below.sync_dir(dir)
    }

    fn lock(&self, dir: &Path) -> io::Result<DirLock> {
        self.below.lock(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.below.free_bytes(dir)
    }

    fn total_bytes(&self, dir: &Path) -> io::Result<Option<u64>> {
        self.below.total_bytes(dir)
    }

    fn parallel_syncs(&self) -> usize {
        self.below.parallel_syncs()
    }

    fn release_unused(&self) {
        self.below.release_unused();
    }
}
