//! A disk in memory: a mode for users' tests, gone with its last handle.
//!
//! Floor 1 of log-core.
//!
//! Invariants
//! - Nothing is ever lost while a handle lives: `sync` and `sync_dir` have nothing to do.
//! - A file holds chunks of at most `CHUNK_BYTES`, all but the last one full, so that growing
//!   copies at most one chunk.
//! - The lock of the names is never held while bytes are copied.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;

use crate::fs::{DirLock, File, Fs, LOCK_FILE, OpenMode};

/// A disk in memory. Clones are handles of the same disk.
///
/// ```
/// use std::io::IoSlice;
/// use std::path::Path;
/// use highwater_log::fs::{Fs, File, OpenMode, mem::MemFs};
///
/// let fs = MemFs::new();
/// let file = fs.create(Path::new("/hello"))?;
/// file.write_at(0, &[IoSlice::new(b"wor"), IoSlice::new(b"ld")])?;
/// let again = fs.open(Path::new("/hello"), OpenMode::Read)?;
/// assert_eq!(again.read_at(0, 99)?, "world");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemFs {
    names: Arc<Mutex<Names>>,
}

#[derive(Debug, Default)]
struct Names {
    nodes: BTreeMap<PathBuf, Node>,
    locked: BTreeSet<PathBuf>,
}

#[derive(Clone, Debug)]
enum Node {
    Dir,
    File(Arc<MemFile>),
}

impl MemFs {
    /// An empty disk. Its root exists; every other directory is created.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        // No code between lock and unlock leaves the map half changed.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fs for MemFs {
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names = self.names();
        names.expect_dir(dir)?;
        let children = names.nodes.keys().filter(|path| path.parent() == Some(dir));
        Ok(children
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut names = self.names();
        if names.is_dir(dir) {
            return Ok(());
        }
        names.expect_free(dir)?;
        names.nodes.insert(dir.to_owned(), Node::Dir);
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut names = self.names();
        names.expect_free(path)?;
        let file = Arc::new(MemFile::default());
        names
            .nodes
            .insert(path.to_owned(), Node::File(Arc::clone(&file)));
        Ok(file)
    }

    fn open(&self, path: &Path, _mode: OpenMode) -> io::Result<Arc<dyn File>> {
        match self.names().nodes.get(path) {
            Some(Node::File(file)) => Ok(Arc::clone(file) as Arc<dyn File>),
            Some(Node::Dir) => Err(error(ErrorKind::IsADirectory, path)),
            None => Err(error(ErrorKind::NotFound, path)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = self.names();
        let is_dir = match names.nodes.get(from) {
            Some(node) => matches!(node, Node::Dir),
            None => return Err(error(ErrorKind::NotFound, from)),
        };
        match names.nodes.get(to) {
            None => names.expect_free(to)?,
            Some(Node::Dir) => return Err(error(ErrorKind::IsADirectory, to)),
            Some(Node::File(_)) if is_dir => return Err(error(ErrorKind::NotADirectory, to)),
            Some(Node::File(_)) => {}
        }
        let moved: Vec<PathBuf> = names
            .nodes
            .keys()
            .filter(|path| path.starts_with(from))
            .cloned()
            .collect();
        for path in moved {
            let below = path
                .strip_prefix(from)
                .expect("the path starts with the moved one");
            // `join("")` would add a slash.
            let target = if below.as_os_str().is_empty() {
                to.to_owned()
            } else {
                to.join(below)
            };
            let node = names
                .nodes
                .remove(&path)
                .expect("the path was listed under the same lock");
            names.nodes.insert(target, node);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut names = self.names();
        if names.nodes.keys().any(|other| other.parent() == Some(path)) {
            return Err(error(ErrorKind::DirectoryNotEmpty, path));
        }
        match names.nodes.remove(path) {
            Some(_) => Ok(()),
            None => Err(error(ErrorKind::NotFound, path)),
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.names().expect_dir(dir)
    }

    fn lock(&self, dir: &Path) -> io::Result<DirLock> {
        let mut names = self.names();
        names.expect_dir(dir)?;
        if !names.locked.insert(dir.to_owned()) {
            return Err(io::Error::new(
                ErrorKind::WouldBlock,
                "this process holds its lock",
            ));
        }
        names
            .nodes
            .entry(dir.join(LOCK_FILE))
            .or_insert_with(|| Node::File(Arc::default()));
        Ok(DirLock::new(MemLock {
            fs: self.clone(),
            dir: dir.to_owned(),
        }))
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.names().expect_dir(dir)?;
        Ok(u64::MAX)
    }
}

impl Names {
    fn is_dir(&self, path: &Path) -> bool {
        // The root of a relative path is the empty one.
        let is_root = path.parent().is_none() || path.as_os_str().is_empty();
        is_root || matches!(self.nodes.get(path), Some(Node::Dir))
    }

    fn expect_dir(&self, path: &Path) -> io::Result<()> {
        if self.is_dir(path) {
            return Ok(());
        }
        let taken = self.nodes.contains_key(path);
        Err(error(
            if taken {
                ErrorKind::NotADirectory
            } else {
                ErrorKind::NotFound
            },
            path,
        ))
    }

    /// `path` can be created: its directory exists and it does not.
    fn expect_free(&self, path: &Path) -> io::Result<()> {
        if self.nodes.contains_key(path) || path.parent().is_none() {
            return Err(error(ErrorKind::AlreadyExists, path));
        }
        self.expect_dir(path.parent().expect("checked above"))
    }
}

struct MemLock {
    fs: MemFs,
    dir: PathBuf,
}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.fs.names().locked.remove(&self.dir);
    }
}

/// A chunk is large enough that its bookkeeping is noise and small enough that growing is cheap.
const CHUNK_BYTES: usize = 64 << 10;

#[derive(Debug, Default)]
struct MemFile {
    chunks: RwLock<Vec<Vec<u8>>>,
}

impl File for MemFile {
    fn len(&self) -> io::Result<u64> {
        let chunks = self.chunks.read().unwrap_or_else(PoisonError::into_inner);
        Ok(len_of(&chunks) as u64)
    }

    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut at = index(position)?;
        let mut chunks = self.chunks.write().unwrap_or_else(PoisonError::into_inner);
        let mut gap = at.saturating_sub(len_of(&chunks));
        while gap > 0 {
            // A disk fills what was skipped with zeros.
            let zeros = gap.min(CHUNK_BYTES);
            let end = len_of(&chunks);
            put(&mut chunks, end, &vec![0; zeros]);
            gap -= zeros;
        }
        for part in parts {
            put(&mut chunks, at, part);
            at += part.len();
        }
        Ok(())
    }

    fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        let chunks = self.chunks.read().unwrap_or_else(PoisonError::into_inner);
        let end = len_of(&chunks);
        let mut at = index(position)?.min(end);
        let mut left = len.min(end - at);
        let mut bytes = Vec::with_capacity(left);
        while left > 0 {
            let within = &chunks[at / CHUNK_BYTES][at % CHUNK_BYTES..];
            let part = &within[..left.min(within.len())];
            bytes.extend_from_slice(part);
            at += part.len();
            left -= part.len();
        }
        Ok(bytes.into())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = index(len)?;
        let mut chunks = self.chunks.write().unwrap_or_else(PoisonError::into_inner);
        if len > len_of(&chunks) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "set_len only cuts"));
        }
        chunks.truncate(len.div_ceil(CHUNK_BYTES));
        if let Some(last) = chunks.last_mut() {
            last.truncate(len - (len - 1) / CHUNK_BYTES * CHUNK_BYTES);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

fn len_of(chunks: &[Vec<u8>]) -> usize {
    chunks
        .last()
        .map_or(0, |last| (chunks.len() - 1) * CHUNK_BYTES + last.len())
}

/// Writes over and behind what is there; `at` is at most the length.
fn put(chunks: &mut Vec<Vec<u8>>, mut at: usize, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        if at / CHUNK_BYTES == chunks.len() {
            chunks.push(Vec::new());
        }
        let chunk = &mut chunks[at / CHUNK_BYTES];
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

fn index(position: u64) -> io::Result<usize> {
    usize::try_from(position).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))
}

fn error(kind: ErrorKind, path: &Path) -> io::Error {
    io::Error::new(kind, format!("{}: {kind}", path.display()))
}
