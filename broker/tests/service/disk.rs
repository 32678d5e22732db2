//! A disk that fails, or makes its callers wait, when it is told to.

use std::io::{Error, IoSlice, Result};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

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
    /// The operating system's number of the error that a write answers.
    pub(crate) write_errno: AtomicI32,
    pub(crate) syncs: AtomicBool,
    pub(crate) removes: AtomicBool,
    /// Nothing with this in its path can be removed.
    pub(crate) stuck: Mutex<Option<String>>,
    pub(crate) free_bytes: AtomicU64,
    is_held: Mutex<bool>,
    /// Syncs that wait.
    pub(crate) waiting_syncs: AtomicU64,
    let_go: Condvar,
    /// How often memory of reads was to be given back.
    pub(crate) releases: AtomicU64,
}

impl Faults {
    /// Syncs of files wait until the answer is dropped.
    pub(crate) fn hold_syncs(self: &Arc<Self>) -> Held {
        *self.is_held.lock().unwrap() = true;
        Held(Arc::clone(self))
    }

    fn wait_for_syncs(&self) {
        let held = self.is_held.lock().unwrap();
        self.waiting_syncs.fetch_add(1, Ordering::SeqCst);
        drop(self.let_go.wait_while(held, |is_held| *is_held).unwrap());
        self.waiting_syncs.fetch_sub(1, Ordering::SeqCst);
    }

    fn write(&self) -> Result<()> {
        if self.writes.load(Ordering::SeqCst) {
            return Err(Error::from_raw_os_error(
                self.write_errno.load(Ordering::SeqCst),
            ));
        }
        Ok(())
    }
}

/// Syncs wait while this lives.
pub(crate) struct Held(Arc<Faults>);

impl Drop for Held {
    fn drop(&mut self) {
        *self.0.is_held.lock().unwrap() = false;
        self.0.let_go.notify_all();
    }
}

/// Input/output error, as of a broken disk.
pub(crate) const EIO: i32 = 5;
pub(crate) const EACCES: i32 = 13;
pub(crate) const ENOSPC: i32 = 28;
pub(crate) const EROFS: i32 = 30;

impl FaultyFs {
    pub(crate) fn new(below: MemFs) -> Self {
        let faults = Faults {
            writes: AtomicBool::new(false),
            write_errno: AtomicI32::new(EIO),
            syncs: AtomicBool::new(false),
            removes: AtomicBool::new(false),
            stuck: Mutex::new(None),
            free_bytes: AtomicU64::new(u64::MAX),
            is_held: Mutex::new(false),
            waiting_syncs: AtomicU64::new(0),
            let_go: Condvar::new(),
            releases: AtomicU64::new(0),
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
        self.faults.write()?;
        self.below.create_dir(dir)
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn File>> {
        self.faults.write()?;
        Ok(self.wrap(self.below.create(path)?))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        Ok(self.wrap(self.below.open(path, mode)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.faults.write()?;
        self.below.rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        unless(&self.faults.removes)?;
        let stuck = self.faults.stuck.lock().unwrap().clone();
        if stuck.is_some_and(|stuck| path.display().to_string().contains(&stuck)) {
            return Err(Error::from_raw_os_error(EIO));
        }
        self.below.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        unless(&self.faults.syncs)?;
        self.below.sync_dir(dir)
    }

    fn lock(&self, dir: &Path) -> Result<DirLock> {
        self.faults.write()?;
        self.below.lock(dir)
    }

    fn free_bytes(&self, _: &Path) -> Result<u64> {
        Ok(self.faults.free_bytes.load(Ordering::SeqCst))
    }

    fn release_unused(&self) {
        self.faults.releases.fetch_add(1, Ordering::SeqCst);
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
        self.faults.write()?;
        self.below.write_at(position, parts)
    }

    fn read_at(&self, position: u64, len: usize) -> Result<Bytes> {
        self.below.read_at(position, len)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.faults.write()?;
        self.below.set_len(len)
    }

    fn sync(&self) -> Result<()> {
        self.faults.wait_for_syncs();
        unless(&self.faults.syncs)?;
        self.below.sync()
    }
}
