//! Real files on a disk that forgets: until it is synced, every write, length and name lives in
//! this process only, so that killing the process is a power cut.
//!
//! Writes go to an overlay of the file, which `sync` writes through; a created file stands under a
//! hidden name until `sync_dir` gives it its own; a rename or removal is a note until then. What
//! is hidden is wiped by the next life. A seed lets sectors, lengths and names reach the disk
//! early, out of order and torn, as a kernel does.
//!
//! Invariants
//! - A program sees what it would see on the real disk.
//! - After the death of the process the directory holds what was synced and, with a seed, a part
//!   of what was not.
//! - One life at a time uses a directory.
//!
//! Not modelled: a directory that is moved to another one has both names, or none, only for a
//! moment; the simulated disk has that for longer.

mod content;
mod evictor;
mod names;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use highwater_log::fs::os::OsFs;
use highwater_log::fs::{DirLock, File, Fs, LOCK_FILE, OpenMode};

use self::content::Content;
use self::evictor::Evictor;
use self::names::{Id, Names, error};

/// A disk that forgets. Paths outside of its directory go to the real disk unchanged.
///
/// ```
/// use std::io::IoSlice;
/// use highwater_kit::volatile_fs::VolatileFs;
/// use highwater_log::fs::{File, Fs, OpenMode};
///
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("kept");
/// let fs = VolatileFs::new(dir.path(), None);
/// let file = fs.create(&path)?;
/// file.write_at(0, &[IoSlice::new(b"synced")])?;
/// file.sync()?;
/// fs.sync_dir(dir.path())?;
/// file.write_at(6, &[IoSlice::new(b", and more")])?;
/// assert_eq!(file.len()?, 16);
///
/// // The next life finds what was synced.
/// let fs = VolatileFs::new(dir.path(), None);
/// assert_eq!(fs.open(&path, OpenMode::Read)?.read_at(0, 99)?, "synced");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct VolatileFs {
    names: Mutex<Names>,
    evictor: Arc<Evictor>,
}

impl VolatileFs {
    /// A new life of the directory `root`, which exists. With a seed some of what is not synced
    /// reaches the disk early.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, seed: Option<u64>) -> Self {
        Self::over(root.into(), Evictor::new(seed))
    }

    /// The same, with syncs that take their time if there is a seed, which `pause` lets pass: a
    /// disk that answers at once leaves no time to be killed in.
    #[must_use]
    pub fn pausing(root: impl Into<PathBuf>, seed: Option<u64>, pause: fn(Duration)) -> Self {
        Self::over(root.into(), Evictor::new(seed).pausing(pause))
    }

    fn over(root: PathBuf, evictor: Evictor) -> Self {
        Self {
            names: Mutex::new(Names::new(root)),
            evictor: Arc::new(evictor),
        }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        // A test that failed elsewhere may still look at this disk.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a change of names: one of them may go to the disk.
    fn evict(&self, names: &mut Names) -> io::Result<()> {
        match self.evictor.names() {
            true => names.evict(&self.evictor),
            false => Ok(()),
        }
    }
}

impl Fs for VolatileFs {
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = self.names();
        match names.find(dir) {
            Some(id) => names.list(id?).map_err(|kind| error(kind, dir)),
            None => OsFs::new().list(dir),
        }
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut names = self.names();
        let Some(place) = names.split(dir) else {
            return OsFs::new().create_dir(dir);
        };
        let (parent, name) = place?;
        match names.get(parent, &name) {
            Some(id) if names.is_dir(id) => return Ok(()),
            Some(_) => return Err(error(ErrorKind::AlreadyExists, dir)),
            None => names.create_dir(parent, name)?,
        }
        self.evict(&mut names)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut names = self.names();
        let Some(place) = names.split(path) else {
            return OsFs::new().create(path);
        };
        let (dir, name) = place?;
        if names.get(dir, &name).is_some() {
            return Err(error(ErrorKind::AlreadyExists, path));
        }
        let content = names.create(dir, name, &self.evictor)?;
        self.evict(&mut names)?;
        Ok(Arc::new(VolatileFile {
            content,
            writes: true,
        }))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut names = self.names();
        let Some(id) = names.find(path) else {
            return OsFs::new().open(path, mode);
        };
        let content = names.content(id?, &self.evictor)?;
        drop(names);
        if mode == OpenMode::Recover {
            content.sync()?;
        }
        let writes = matches!(mode, OpenMode::Append | OpenMode::Recover);
        Ok(Arc::new(VolatileFile { content, writes }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = self.names();
        let (Some(id), Some(place)) = (names.find(from), names.split(to)) else {
            return OsFs::new().rename(from, to);
        };
        let (id, place) = (id?, place?);
        if let Some(replaced) = names.get(place.0, &place.1).filter(|other| *other != id) {
            if names.is_dir(replaced) {
                return Err(error(ErrorKind::IsADirectory, to));
            }
            if names.is_dir(id) {
                return Err(error(ErrorKind::NotADirectory, to));
            }
        }
        names.rename(id, place);
        self.evict(&mut names)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut names = self.names();
        let Some(id) = names.find(path) else {
            return OsFs::new().remove(path);
        };
        let id = id?;
        if names.is_dir(id) && !names.is_empty(id) {
            return Err(error(ErrorKind::DirectoryNotEmpty, path));
        }
        names.remove(id);
        self.evict(&mut names)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut names = self.names();
        match names.find(dir) {
            Some(id) => {
                let id = expect_dir(&names, id?, dir)?;
                names.sync(id)
            }
            None => OsFs::new().sync_dir(dir),
        }
    }

    fn lock(&self, dir: &Path) -> io::Result<DirLock> {
        let mut names = self.names();
        let Some(id) = names.find(dir) else {
            return OsFs::new().lock(dir);
        };
        let id = expect_dir(&names, id?, dir)?;
        let lock = OsFs::new().lock(&names.real_path(id))?;
        names.appeared(id, LOCK_FILE);
        Ok(lock)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        OsFs::new().free_bytes(&self.real_dir(dir)?)
    }

    fn total_bytes(&self, dir: &Path) -> io::Result<Option<u64>> {
        OsFs::new().total_bytes(&self.real_dir(dir)?)
    }

    fn parallel_syncs(&self) -> usize {
        OsFs::new().parallel_syncs()
    }
}

impl VolatileFs {
    fn real_dir(&self, dir: &Path) -> io::Result<PathBuf> {
        let mut names = self.names();
        match names.find(dir) {
            Some(id) => expect_dir(&names, id?, dir).map(|id| names.real_path(id)),
            None => Ok(dir.to_owned()),
        }
    }
}

fn expect_dir(names: &Names, id: Id, path: &Path) -> io::Result<Id> {
    match names.is_dir(id) {
        true => Ok(id),
        false => Err(error(ErrorKind::NotADirectory, path)),
    }
}

impl fmt::Debug for VolatileFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("VolatileFs");
        shown
            .field("evictor", &self.evictor)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct VolatileFile {
    content: Arc<Content>,
    writes: bool,
}

impl VolatileFile {
    fn expect_writes(&self) -> io::Result<()> {
        match self.writes {
            true => Ok(()),
            false => Err(io::Error::new(
                ErrorKind::PermissionDenied,
                "the file was opened for reading",
            )),
        }
    }
}

impl File for VolatileFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content.len())
    }

    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.expect_writes()?;
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        self.content.write_at(position, Bytes::from(bytes))
    }

    fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        self.content.read_at(position, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.expect_writes()?;
        self.content.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.content.sync()
    }
}
