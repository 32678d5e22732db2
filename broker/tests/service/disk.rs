//! A disk that fails when it is told to.

use std::io::{Error, IoSlice, Result};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use highwater_log::fs::mem::MemFs;
use highwater_log::fs::{DirLock, File, Fs, OpenMode};

/// A disk in memory whose operations fail on demand.
#[derive(Clone, Debug)]
pub(crate) struct FaultyFs {
    pub(crate) below: MemFs,
    pub(crate) faults: Arc<Faults>,
}

/// What fails now.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) writes: AtomicBool,
    pub(crate) syncs: AtomicBool,
    pub(crate) removes: AtomicBool,
    pub(crate) free_bytes: AtomicU64,
}

impl FaultyFs {
    pub(crate) fn new(below: MemFs) -> Self {
        let faults = Faults {
            writes: AtomicBool::new(false),
            syncs: AtomicBool::new(false),
            removes: AtomicBool::new(false),
            free_bytes: AtomicU64::new(u64::MAX),
        };
        Self {
            below,
            faults: Arc::new(faults),
        }
    }

    fn wrap(&self, below: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(FaultyFile {
            below,
            faults: Arc::clone(&self.faults),
        })
    }
}

fn unless(fails: &AtomicBool) -> Result<()> {
    if fails.load(Ordering::SeqCst) {
        return Err(Error::other("the disk was told to fail"));
    }
    Ok(())
}

impl Fs for FaultyFs {
    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        self.below.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> Result<()> {
        unless(&self.faults.writes)?;
        self.below.create_dir(dir)
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn File>> {
        unless(&self.faults.writes)?;
        Ok(self.wrap(self.below.create(path)?))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        Ok(self.wrap(self.below.open(path, mode)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        unless(&self.faults.writes)?;
        self.below.rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        unless(&self.faults.removes)?;
        self.below.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        unless(&self.faults.syncs)?;
        self.below.sync_dir(dir)
    }

    fn lock(&self, dir: &Path) -> Result<DirLock> {
        self.below.lock(dir)
    }

    fn free_bytes(&self, _: &Path) -> Result<u64> {
        Ok(self.faults.free_bytes.load(Ordering::SeqCst))
    }
}

#[derive(Debug)]
struct FaultyFile {
    below: Arc<dyn File>,
    faults: Arc<Faults>,
}

impl File for FaultyFile {
    fn len(&self) -> Result<u64> {
        self.below.len()
    }

    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> Result<()> {
        unless(&self.faults.writes)?;
        self.below.write_at(position, parts)
    }

    fn read_at(&self, position: u64, len: usize) -> Result<Bytes> {
        self.below.read_at(position, len)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        unless(&self.faults.writes)?;
        self.below.set_len(len)
    }

    fn sync(&self) -> Result<()> {
        unless(&self.faults.syncs)?;
        self.below.sync()
    }
}
