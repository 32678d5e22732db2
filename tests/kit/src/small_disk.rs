//! A disk with a size, which others fill, too: it has no room for more and says so.
//!
//! Invariants
//! - Files and directories take whole blocks. A write for which there is no room writes what fits
//!   and answers ENOSPC; so does the creation of a name when there is no block left.
//! - Whatever is removed is free at once; overwriting what is there needs no room.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use highwater_log::fs::{DirLock, File, Fs, OpenMode};

/// What a file takes is a multiple of this.
pub const BLOCK_BYTES: u64 = 4096;

/// A disk of a size over one without an end. Clones are handles of the same disk.
#[derive(Clone, Debug)]
pub struct SmallDisk {
    below: Arc<dyn Fs>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    capacity_bytes: u64,
    /// What others hold, who share the disk.
    others_bytes: AtomicU64,
    /// Whether the disk tells how much of it is free: a quota may not.
    tells: AtomicU64,
    refused: AtomicU64,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    /// The blocks of each name.
    blocks: BTreeMap<PathBuf, u64>,
    sum: u64,
}

impl SmallDisk {
    /// A disk of so many bytes over one that may hold something in `root`.
    #[must_use]
    pub fn new(below: Arc<dyn Fs>, root: &Path, capacity_bytes: u64) -> Self {
        let mut used = Used::default();
        count(&*below, root, &mut used);
        let state = State {
            capacity_bytes,
            others_bytes: AtomicU64::new(0),
            tells: AtomicU64::new(1),
            refused: AtomicU64::new(0),
            used: Mutex::new(used),
        };
        Self {
            below,
            state: Arc::new(state),
        }
    }

    /// Others take all but so many bytes of what is free.
    pub fn leave_free(&self, bytes: u64) {
        let used = self.state.used().sum * BLOCK_BYTES;
        let others = self.state.capacity_bytes.saturating_sub(used + bytes);
        self.state.others_bytes.store(others, Ordering::SeqCst);
    }

    /// Others give back all that they hold.
    pub fn others_leave(&self) {
        self.state.others_bytes.store(0, Ordering::SeqCst);
    }

    /// From now on it claims that all of it is free, as under a quota that only writes meet.
    pub fn keep_quiet(&self) {
        self.state.tells.store(0, Ordering::SeqCst);
    }

    /// What is free now, in bytes.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.state.free_bytes(&self.state.used())
    }

    /// How many calls found no room.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.state.refused.load(Ordering::SeqCst)
    }

    /// The length of a file now; `None` if there is none.
    #[must_use]
    pub fn length(&self, path: &Path) -> Option<u64> {
        self.below.open(path, OpenMode::Read).ok()?.len().ok()
    }

    fn wrap(&self, path: &Path, below: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(SmallFile {
            below,
            path: path.to_owned(),
            state: Arc::clone(&self.state),
        })
    }
}

impl State {
    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn free_bytes(&self, used: &Used) -> u64 {
        let taken = used.sum * BLOCK_BYTES + self.others_bytes.load(Ordering::SeqCst);
        self.capacity_bytes.saturating_sub(taken)
    }

    fn refuse<T>(&self) -> io::Result<T> {
        self.refused.fetch_add(1, Ordering::SeqCst);
        Err(io::Error::new(
            ErrorKind::StorageFull,
            "no room (simulated)",
        ))
    }

    /// Takes blocks for a new name.
    fn name(&self, path: &Path, make: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut used = self.used();
        if used.blocks.contains_key(path) {
            return make();
        }
        if self.free_bytes(&used) < BLOCK_BYTES {
            return self.refuse();
        }
        make()?;
        used.set(path, 1);
        Ok(())
    }
}

impl Used {
    fn set(&mut self, path: &Path, blocks: u64) {
        let before = self.blocks.insert(path.to_owned(), blocks).unwrap_or(0);
        self.sum = self.sum + blocks - before;
    }

    fn remove(&mut self, path: &Path) -> u64 {
        let blocks = self.blocks.remove(path).unwrap_or(0);
        self.sum -= blocks;
        blocks
    }
}

fn count(fs: &dyn Fs, dir: &Path, used: &mut Used) {
    for name in fs.list(dir).unwrap_or_default() {
        let path = dir.join(name);
        let is_file = fs.list(&path).is_err();
        let length = fs
            .open(&path, OpenMode::Read)
            .and_then(|file| file.len())
            .unwrap_or(0);
        used.set(&path, if is_file { blocks_of(length) } else { 1 });
        count(fs, &path, used);
    }
}

/// Every name takes a block: its data, or its place in the directory.
fn blocks_of(length: u64) -> u64 {
    length.div_ceil(BLOCK_BYTES).max(1)
}

#[derive(Debug)]
struct SmallFile {
    below: Arc<dyn File>,
    path: PathBuf,
    state: Arc<State>,
}

impl File for SmallFile {
    fn len(&self) -> io::Result<u64> {
        self.below.len()
    }

    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut used = self.state.used();
        let bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let length = self.below.len()?;
        let end = length.max(position + bytes);
        // A file that was removed takes what it takes until it is closed; nobody counts that.
        let Some(has) = used.blocks.get(&self.path).copied() else {
            return self.below.write_at(position, parts);
        };
        let more = blocks_of(end).saturating_sub(has);
        let free = self.state.free_bytes(&used) / BLOCK_BYTES;
        if more <= free {
            self.below.write_at(position, parts)?;
            used.set(&self.path, blocks_of(end));
            return Ok(());
        }
        let fits = ((has + free) * BLOCK_BYTES).saturating_sub(position);
        let whole: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let fits = usize::try_from(fits).unwrap_or(usize::MAX).min(whole.len());
        if fits > 0 {
            self.below
                .write_at(position, &[IoSlice::new(&whole[..fits])])?;
            used.set(&self.path, blocks_of(self.below.len()?));
        }
        self.state.refuse()
    }

    fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        self.below.read_at(position, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut used = self.state.used();
        self.below.set_len(len)?;
        if used.blocks.contains_key(&self.path) {
            used.set(&self.path, blocks_of(len));
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.below.sync()
    }
}

impl Fs for SmallDisk {
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.below.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.state.name(dir, || self.below.create_dir(dir))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut made = None;
        self.state.name(path, || {
            made = Some(self.below.create(path)?);
            Ok(())
        })?;
        let file = made.ok_or(ErrorKind::AlreadyExists)?;
        Ok(self.wrap(path, file))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.below.open(path, mode)?;
        match mode {
            OpenMode::Read | OpenMode::Mapped => Ok(file),
            OpenMode::Append | OpenMode::Recover => Ok(self.wrap(path, file)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut used = self.state.used();
        self.below.rename(from, to)?;
        used.remove(to);
        let moved: Vec<PathBuf> = used.blocks.keys().cloned().collect();
        for path in moved.into_iter().filter(|path| path.starts_with(from)) {
            let blocks = used.remove(&path);
            let below = path.strip_prefix(from).unwrap_or_else(|_| Path::new(""));
            let target = if below.as_os_str().is_empty() {
                to.to_owned()
            } else {
                to.join(below)
            };
            used.set(&target, blocks);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut used = self.state.used();
        self.below.remove(path)?;
        used.remove(path);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.below.sync_dir(dir)
    }

    fn lock(&self, dir: &Path) -> io::Result<DirLock> {
        self.below.lock(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.below.free_bytes(dir)?;
        if self.state.tells.load(Ordering::SeqCst) == 0 {
            return Ok(self.state.capacity_bytes);
        }
        Ok(self.free())
    }

    fn total_bytes(&self, dir: &Path) -> io::Result<Option<u64>> {
        self.below.total_bytes(dir)?;
        Ok(Some(self.state.capacity_bytes))
    }

    fn parallel_syncs(&self) -> usize {
        self.below.parallel_syncs()
    }
}
