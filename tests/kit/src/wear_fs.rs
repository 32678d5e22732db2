//! A disk that counts what wears flash out: pages that are written, and syncs.
//!
//! Invariants
//! - A page counts once for each write that touches it; a dirty page counts once for each sync that
//!   brings it to the disk.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use highwater_log::fs::{DirLock, File, Fs, OpenMode};

/// What flash is written in.
pub const PAGE_BYTES: u64 = 4096;

/// What was done to a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wear {
    /// Writes, cuts, and names that were made, changed or removed.
    pub changes: u64,
    /// Pages that writes have touched, each write for itself.
    pub touched_pages: u64,
    /// Pages that were changed and then synced: what a disk gets that caches until then.
    pub synced_pages: u64,
    /// Syncs of files.
    pub syncs: u64,
    /// Syncs of directories.
    pub dir_syncs: u64,
}

/// Counts over any disk. Clones are handles of the same disk.
#[derive(Clone, Debug)]
pub struct WearFs {
    below: Arc<dyn Fs>,
    wear: Arc<Mutex<Wear>>,
}

impl WearFs {
    /// Nothing is counted yet.
    #[must_use]
    pub fn new(below: Arc<dyn Fs>) -> Self {
        Self {
            below,
            wear: Arc::default(),
        }
    }

    /// What was done since the last call.
    #[must_use]
    pub fn take(&self) -> Wear {
        std::mem::take(&mut *lock(&self.wear))
    }

    fn changed(&self, done: io::Result<()>) -> io::Result<()> {
        lock(&self.wear).changes += 1;
        done
    }

    fn wrap(&self, below: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(WearFile {
            below,
            wear: Arc::clone(&self.wear),
            dirty: Mutex::default(),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct WearFile {
    below: Arc<dyn File>,
    wear: Arc<Mutex<Wear>>,
    dirty: Mutex<BTreeSet<u64>>,
}

impl File for WearFile {
    fn len(&self) -> io::Result<u64> {
        self.below.len()
    }

    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let pages = position / PAGE_BYTES..(position + bytes).div_ceil(PAGE_BYTES);
        {
            let mut wear = lock(&self.wear);
            wear.changes += 1;
            wear.touched_pages += pages.end - pages.start;
        }
        lock(&self.dirty).extend(pages);
        self.below.write_at(position, parts)
    }

    fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        self.below.read_at(position, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        lock(&self.wear).changes += 1;
        self.below.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        let pages = std::mem::take(&mut *lock(&self.dirty)).len() as u64;
        let mut wear = lock(&self.wear);
        wear.syncs += 1;
        wear.synced_pages += pages;
        drop(wear);
        self.below.sync()
    }
}

impl Fs for WearFs {
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.below.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.changed(self.below.create_dir(dir))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        lock(&self.wear).changes += 1;
        Ok(self.wrap(self.below.create(path)?))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        Ok(self.wrap(self.below.open(path, mode)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.changed(self.below.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.changed(self.below.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        lock(&self.wear).dir_syncs += 1;
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
}
