//! A disk in memory: a mode for users' tests, gone with its last handle.
//!
//! Floor 1 of log-core.
//!
//! Invariants
//! - While a handle lives nothing is lost. What a power cut would leave is known all the same: the
//!   names of each directory at its last `sync_dir`, the bytes of each file at its last `sync`.
//! - The lock of the names is never held while bytes are copied.

mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fs::{DirLock, File, Fs, LOCK_FILE, OpenMode};
use file::MemFile;

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

/// All directories that have a name, or would have one after a power cut; a file lives as long as a
/// name or a handle of it.
#[derive(Debug)]
struct Names {
    dirs: BTreeMap<DirId, Dir>,
    dirs_count: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct DirId(u64);

#[derive(Debug, Default)]
struct Dir {
    entries: Entries,
    /// What the entries were at the last `sync_dir`.
    synced: Entries,
    is_locked: bool,
}

type Entries = BTreeMap<OsString, Node>;

#[derive(Clone, Debug)]
enum Node {
    Dir(DirId),
    File(Arc<MemFile>),
}

impl MemFs {
    /// An empty disk. Its root exists; every other directory is created.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another disk: what this one would be after a power cut at this moment. Names that no
    /// `sync_dir` has made durable are gone, or are back; files end where, and are as, their last
    /// `sync` has left them. This disk goes on; nobody should be writing to it meanwhile.
    ///
    /// ```
    /// use std::io::IoSlice;
    /// use std::path::Path;
    /// use highwater_log::fs::{Fs, File, OpenMode, mem::MemFs};
    ///
    /// let fs = MemFs::new();
    /// let file = fs.create(Path::new("/log"))?;
    /// fs.sync_dir(Path::new("/"))?;
    /// file.write_at(0, &[IoSlice::new(b"kept")])?;
    /// file.sync()?;
    /// file.write_at(4, &[IoSlice::new(b", lost")])?;
    /// fs.create(Path::new("/lost"))?;
    ///
    /// let left = fs.after_power_cut();
    /// assert_eq!(left.list(Path::new("/"))?, ["log"]);
    /// assert_eq!(left.open(Path::new("/log"), OpenMode::Read)?.read_at(0, 99)?, "kept");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn after_power_cut(&self) -> Self {
        // The files are copied once the lock is released.
        let dirs: Vec<(DirId, Entries)> = {
            let names = self.names();
            let synced = names.dirs.iter().map(|(id, dir)| (*id, dir.synced.clone()));
            synced.collect()
        };
        let mut left = Names::default();
        // A file that was renamed may have its old name here and its new one there.
        let mut files: BTreeMap<*const MemFile, Arc<MemFile>> = BTreeMap::new();
        for (id, entries) in dirs {
            let mut kept = |node: Node| match node {
                Node::Dir(id) => Node::Dir(id),
                Node::File(file) => {
                    let synced = files.entry(Arc::as_ptr(&file));
                    Node::File(Arc::clone(
                        synced.or_insert_with(|| Arc::new(file.synced())),
                    ))
                }
            };
            let entries = entries.into_iter().map(|(name, node)| (name, kept(node)));
            let entries: Entries = entries.collect();
            let dir = Dir {
                synced: entries.clone(),
                entries,
                is_locked: false,
            };
            left.dirs_count = left.dirs_count.max(id.0 + 1);
            left.dirs.insert(id, dir);
        }
        left.forget_lost_dirs();
        Self {
            names: Arc::new(Mutex::new(left)),
        }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        // No code between lock and unlock leaves the map half changed.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fs for MemFs {
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names = self.names();
        let entries = names.dir(dir)?.entries.keys();
        Ok(entries
            .filter_map(|name| Some(name.to_str()?.to_owned()))
            .collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut names = self.names();
        if names.dir(dir).is_ok() {
            return Ok(());
        }
        let (parent, name) = names.free(dir)?;
        let id = DirId(names.dirs_count);
        names.dirs_count += 1;
        names.dirs.insert(id, Dir::default());
        names.put(parent, name, Node::Dir(id));
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut names = self.names();
        let (parent, name) = names.free(path)?;
        let file = Arc::new(MemFile::default());
        names.put(parent, name, Node::File(Arc::clone(&file)));
        Ok(file)
    }

    fn open(&self, path: &Path, _mode: OpenMode) -> io::Result<Arc<dyn File>> {
        match self.names().node(path)? {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(error(ErrorKind::IsADirectory, path)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = self.names();
        let node = names.node(from)?;
        let is_dir = matches!(node, Node::Dir(_));
        if is_dir && to.starts_with(from) {
            return Err(error(ErrorKind::InvalidInput, to));
        }
        let (parent, name) = match names.node(to) {
            Err(_) => names.free(to)?,
            Ok(Node::Dir(_)) => return Err(error(ErrorKind::IsADirectory, to)),
            Ok(Node::File(_)) if is_dir => return Err(error(ErrorKind::NotADirectory, to)),
            Ok(Node::File(_)) => names.place(to)?,
        };
        let (old_parent, old_name) = names.place(from)?;
        names.entries(old_parent).remove(&old_name);
        names.put(parent, name, node);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut names = self.names();
        let node = names.node(path)?;
        if let Node::Dir(id) = &node
            && !names.entries(*id).is_empty()
        {
            return Err(error(ErrorKind::DirectoryNotEmpty, path));
        }
        let (parent, name) = names.place(path)?;
        names.entries(parent).remove(&name);
        if let Node::Dir(_) = node {
            names.forget_lost_dirs();
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut names = self.names();
        let id = names.dir_id(dir)?;
        let dir = names.dir_mut(id);
        let before = std::mem::replace(&mut dir.synced, dir.entries.clone());
        if before.values().any(|node| matches!(node, Node::Dir(_))) {
            names.forget_lost_dirs();
        }
        Ok(())
    }

    fn lock(&self, dir: &Path) -> io::Result<DirLock> {
        let mut names = self.names();
        let id = names.dir_id(dir)?;
        let dir = names.dir_mut(id);
        if std::mem::replace(&mut dir.is_locked, true) {
            return Err(io::Error::new(
                ErrorKind::WouldBlock,
                "this process holds its lock",
            ));
        }
        let file = dir.entries.entry(LOCK_FILE.into());
        file.or_insert_with(|| Node::File(Arc::default()));
        Ok(DirLock::new(MemLock {
            fs: self.clone(),
            dir: id,
        }))
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.names().dir_id(dir)?;
        Ok(u64::MAX)
    }
}

impl Default for Names {
    fn default() -> Self {
        Self {
            dirs: [ROOT, RELATIVE_ROOT]
                .map(|root| (root, Dir::default()))
                .into(),
            dirs_count: 2,
        }
    }
}

impl Names {
    /// What has this name, from its root on.
    fn node(&self, path: &Path) -> io::Result<Node> {
        let root = if path.has_root() { ROOT } else { RELATIVE_ROOT };
        let names = path.components().filter_map(|part| match part {
            Component::Normal(name) => Some(name),
            _ => None,
        });
        let mut node = Node::Dir(root);
        for name in names {
            let Node::Dir(id) = node else {
                return Err(error(ErrorKind::NotADirectory, path));
            };
            let entry = self.dirs.get(&id).and_then(|dir| dir.entries.get(name));
            let found = entry.ok_or_else(|| error(ErrorKind::NotFound, path))?;
            node = found.clone();
        }
        Ok(node)
    }

    fn dir_id(&self, path: &Path) -> io::Result<DirId> {
        match self.node(path)? {
            Node::Dir(id) => Ok(id),
            Node::File(_) => Err(error(ErrorKind::NotADirectory, path)),
        }
    }

    fn dir(&self, path: &Path) -> io::Result<&Dir> {
        let id = self.dir_id(path)?;
        self.dirs
            .get(&id)
            .ok_or_else(|| error(ErrorKind::NotFound, path))
    }

    /// The directory that has, or would have, the last part of a path as an entry, and that part.
    fn place(&self, path: &Path) -> io::Result<(DirId, OsString)> {
        let name: Option<&OsStr> = path.file_name();
        match (path.parent(), name) {
            (Some(parent), Some(name)) => Ok((self.dir_id(parent)?, name.to_owned())),
            _ => Err(error(ErrorKind::AlreadyExists, path)),
        }
    }

    /// As [`Self::place`], for what does not exist yet.
    fn free(&self, path: &Path) -> io::Result<(DirId, OsString)> {
        if self.node(path).is_ok() {
            return Err(error(ErrorKind::AlreadyExists, path));
        }
        self.place(path)
    }

    fn dir_mut(&mut self, id: DirId) -> &mut Dir {
        let dir = self.dirs.get_mut(&id);
        dir.expect("a directory that has a name is in the table")
    }

    fn entries(&mut self, dir: DirId) -> &mut Entries {
        &mut self.dir_mut(dir).entries
    }

    /// Drops the directories that have no name any more, and would have none after a power cut.
    fn forget_lost_dirs(&mut self) {
        let mut kept = BTreeMap::new();
        let mut found = vec![ROOT, RELATIVE_ROOT];
        while let Some(id) = found.pop() {
            let Some(dir) = self.dirs.remove(&id) else {
                continue;
            };
            let nodes = dir.entries.values().chain(dir.synced.values());
            found.extend(nodes.filter_map(|node| match node {
                Node::Dir(id) => Some(*id),
                Node::File(_) => None,
            }));
            kept.insert(id, dir);
        }
        self.dirs = kept;
    }

    fn put(&mut self, dir: DirId, name: OsString, node: Node) {
        self.entries(dir).insert(name, node);
    }
}

struct MemLock {
    fs: MemFs,
    dir: DirId,
}

impl Drop for MemLock {
    fn drop(&mut self) {
        if let Some(dir) = self.fs.names().dirs.get_mut(&self.dir) {
            dir.is_locked = false;
        }
    }
}

fn error(kind: ErrorKind, path: &Path) -> io::Error {
    io::Error::new(kind, format!("{}: {kind}", path.display()))
}

const ROOT: DirId = DirId(0);
/// The root of relative paths.
const RELATIVE_ROOT: DirId = DirId(1);
