//! The I/O seam: where the log's bytes and names live.
//!
//! Floor 1 of log-core. Implementations: `os` (real files), `mem` (a mode for users' tests); a
//! test outside this crate can be the disk, too.
//!
//! Invariants that every implementation keeps
//! - A name (create, rename, remove) is durable only after `sync_dir` of its directory.
//! - Bytes and length are durable only after `File::sync`.
//! - An operation that answers an error may have happened in part; the caller assumes the worst.
//! - `set_len` only cuts: nothing is ever extended ahead of its data.

pub mod mem;
pub mod os;

use std::any::Any;
use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

/// Where names live.
pub trait Fs: Debug + Send + Sync + 'static {
    /// The names in a directory, without `.` and `..`, in no particular order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Creates a directory whose parent exists; succeeds if it is there already.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Creates a new, empty file for reading and writing; fails if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Opens a file that exists.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;

    /// Gives a file or directory another name. A file replaces the file that had the name; a
    /// directory replaces nothing. Both names lie in the same file system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file or an empty directory. Open files and mappings of it stay valid.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Locks a directory, through a file [`LOCK_FILE`] in it, against every other process and
    /// handle, or fails with `WouldBlock` and a sentence that names the holder.
    fn lock(&self, dir: &Path) -> io::Result<DirLock>;

    /// Bytes that this process may still write on the file system of `dir`.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;

    /// The size of the file system of `dir`, in bytes; `None` where there is no such size.
    fn total_bytes(&self, dir: &Path) -> io::Result<Option<u64>> {
        let _ = dir;
        Ok(None)
    }

    /// How many syncs of different files are worth running at the same time. One for a disk whose
    /// calls must come in a fixed order.
    fn parallel_syncs(&self) -> usize {
        1
    }

    /// Gives back memory that was kept for reads and that none has taken since the last call.
    fn release_unused(&self) {}
}

/// The file that holds a directory's lock. It stays behind when the lock is released.
pub const LOCK_FILE: &str = "LOCK";

/// Where bytes live. Positions and lengths are in bytes.
pub trait File: Debug + Send + Sync + 'static {
    /// The length of the file now.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds no byte.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Writes all slices, one after the other, from `position` on. After an error the bytes from
    /// `position` on are unknown.
    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()>;

    /// Reads at most `len` bytes from `position` on; fewer only at the end of the file. A file
    /// opened as [`OpenMode::Mapped`] answers without a copy, and the `Bytes` hold its map.
    fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes>;

    /// Cuts the file to `len` bytes; fails with `InvalidInput` if it holds fewer.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes bytes and length durable (fdatasync). An error is final: the state of the file on
    /// the disk is unknown from then on, and calling again proves nothing.
    fn sync(&self) -> io::Result<()>;
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Positional reads.
    Read,
    /// Reads of a sealed file without a copy. The file must not change while any `Bytes` lives.
    Mapped,
    /// Reads and writes.
    Append,
    /// Reads and writes after an unclean stop: what the page cache holds is not trusted. The file
    /// is synced, its cached pages are dropped, and reads come from the disk.
    Recover,
}

/// Holds a directory's lock until it is dropped.
pub struct DirLock {
    _holder: Box<dyn Any + Send + Sync>,
}

impl DirLock {
    /// Wraps whatever keeps the lock while it lives.
    pub fn new(holder: impl Any + Send + Sync) -> Self {
        Self {
            _holder: Box::new(holder),
        }
    }
}

impl Debug for DirLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DirLock")
    }
}
