//! The two images of a simulated disk: what programs see now, and what a power cut leaves.
//!
//! Invariants
//! - `durable` changes only by [`Change::reach_disk`](super::change::Change::reach_disk).
//! - Every change that is not durable yet stands in a list of the owner, oldest first.
//! - A copy of a disk shares all bytes and names with it until one of the two changes them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

/// What a disk tears at: a sector is written whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;
/// What a file system gives to a file at once, and what it may not have cleaned.
pub(super) const BLOCK_BYTES: usize = 4096;
/// What a name costs on a disk whose space is limited.
pub(super) const NAME_BYTES: u64 = 64;

/// The number of a file or directory; the root's is 0. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(usize);

pub(super) const ROOT: NodeId = NodeId(0);

#[derive(Clone, Debug)]
pub(super) struct Disk {
    nodes: Vec<Node>,
    /// By file, the directory in which it was made.
    homes: BTreeMap<NodeId, NodeId>,
    /// Blocks that were cut off files, with the homes of these: free, and not cleaned.
    freed: Vec<(NodeId, Bytes)>,
}

/// A value as programs see it now and as the disk has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Twofold<T> {
    pub(super) now: Arc<T>,
    pub(super) durable: Arc<T>,
}

impl<T> Twofold<T> {
    /// What programs see becomes what the disk has.
    pub(super) fn forget(&mut self) {
        self.now = Arc::clone(&self.durable);
    }
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    Dir(Twofold<BTreeMap<String, NodeId>>),
    File(Twofold<Vec<u8>>),
}

impl Disk {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::Dir(Twofold::default())],
            homes: BTreeMap::new(),
            freed: Vec::new(),
        }
    }

    pub(super) fn new_file(&mut self, home: NodeId) -> NodeId {
        self.nodes.push(Node::File(Twofold::default()));
        let id = NodeId(self.nodes.len() - 1);
        self.homes.insert(id, home);
        id
    }

    pub(super) fn new_dir(&mut self) -> NodeId {
        self.nodes.push(Node::Dir(Twofold::default()));
        NodeId(self.nodes.len() - 1)
    }

    pub(super) fn file(&mut self, id: NodeId) -> &mut Twofold<Vec<u8>> {
        match &mut self.nodes[id.0] {
            Node::File(file) => file,
            Node::Dir(_) => panic!("node {} is a directory", id.0),
        }
    }

    pub(super) fn dir(&mut self, id: NodeId) -> &mut Twofold<BTreeMap<String, NodeId>> {
        match &mut self.nodes[id.0] {
            Node::Dir(dir) => dir,
            Node::File(_) => panic!("node {} is a file", id.0),
        }
    }

    pub(super) fn is_dir(&self, id: NodeId) -> bool {
        matches!(self.nodes[id.0], Node::Dir(_))
    }

    /// The node that a path leads to now.
    pub(super) fn find(&self, path: &Path) -> io::Result<NodeId> {
        self.follow(names(path), path)
    }

    fn follow<'a>(&self, names: impl Iterator<Item = &'a str>, path: &Path) -> io::Result<NodeId> {
        let mut at = ROOT;
        for name in names {
            let Node::Dir(dir) = &self.nodes[at.0] else {
                return Err(error(ErrorKind::NotADirectory, path));
            };
            at = *dir
                .now
                .get(name)
                .ok_or_else(|| error(ErrorKind::NotFound, path))?;
        }
        Ok(at)
    }

    pub(super) fn find_dir(&self, path: &Path) -> io::Result<NodeId> {
        match self.find(path)? {
            id if self.is_dir(id) => Ok(id),
            _ => Err(error(ErrorKind::NotADirectory, path)),
        }
    }

    /// The directory and the last name of a path, whether or not that name exists.
    pub(super) fn split(&self, path: &Path) -> io::Result<(NodeId, String)> {
        let mut above = names(path);
        let name = above
            .next_back()
            .ok_or_else(|| error(ErrorKind::AlreadyExists, path))?;
        let dir = self.follow(above, path)?;
        match self.is_dir(dir) {
            true => Ok((dir, name.to_owned())),
            false => Err(error(ErrorKind::NotADirectory, path)),
        }
    }

    /// Like [`Disk::split`], for a name that is not taken.
    pub(super) fn split_free(&mut self, path: &Path) -> io::Result<(NodeId, String)> {
        let (dir, name) = self.split(path)?;
        if self.dir(dir).now.contains_key(&name) {
            return Err(error(ErrorKind::AlreadyExists, path));
        }
        Ok((dir, name))
    }

    /// Every file that can be reached now, with its content.
    pub(super) fn files(&self) -> Vec<(PathBuf, NodeId)> {
        let mut found = Vec::new();
        let mut dirs = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, id)) = dirs.pop() {
            match &self.nodes[id.0] {
                Node::File(_) => found.push((path, id)),
                Node::Dir(dir) => {
                    dirs.extend(dir.now.iter().map(|(name, id)| (path.join(name), *id)));
                }
            }
        }
        found.sort();
        found
    }

    /// The space that names and files take now.
    pub(super) fn used_bytes(&self) -> u64 {
        let mut used = 0;
        let mut dirs = vec![ROOT];
        while let Some(id) = dirs.pop() {
            match &self.nodes[id.0] {
                Node::File(file) => used += file.now.len() as u64,
                Node::Dir(dir) => {
                    used += dir.now.len() as u64 * NAME_BYTES;
                    dirs.extend(dir.now.values());
                }
            }
        }
        used
    }

    /// The blocks of a file from `len` on become free.
    pub(super) fn free_from(&mut self, id: NodeId, len: usize) {
        let home = self.homes[&id];
        let first = len.next_multiple_of(BLOCK_BYTES);
        let content = Arc::clone(&self.file(id).durable);
        let blocks = content.get(first..).unwrap_or_default().chunks(BLOCK_BYTES);
        self.freed
            .extend(blocks.map(|block| (home, Bytes::copy_from_slice(block))));
    }

    /// The blocks that belong to no file and still hold what they held, each with the directory of
    /// its file: those of removed files, and those that were cut off.
    pub(super) fn free_blocks(&self) -> Vec<(NodeId, Bytes)> {
        let mut named = BTreeSet::new();
        let mut left = vec![ROOT];
        while let Some(id) = left.pop() {
            named.insert(id);
            if let Node::Dir(dir) = &self.nodes[id.0] {
                left.extend(dir.durable.values());
            }
        }
        let mut blocks = self.freed.clone();
        for (id, home) in self.homes.iter().filter(|(id, _)| !named.contains(*id)) {
            if let Node::File(file) = &self.nodes[id.0] {
                let held = file.durable.chunks(BLOCK_BYTES);
                blocks.extend(held.map(|block| (*home, Bytes::copy_from_slice(block))));
            }
        }
        blocks
    }

    /// The directory in which a file was made.
    pub(super) fn home(&self, id: NodeId) -> NodeId {
        self.homes[&id]
    }

    /// The program's view becomes what the disk has: the machine was switched off and on.
    pub(super) fn forget_cache(&mut self) {
        for node in &mut self.nodes {
            match node {
                Node::Dir(dir) => dir.forget(),
                Node::File(file) => file.forget(),
            }
        }
    }

    /// A number that follows from all that programs see.
    pub(super) fn sum_now(&self) -> u64 {
        let mut sum = 0;
        let mut left = vec![ROOT];
        while let Some(id) = left.pop() {
            match &self.nodes[id.0] {
                Node::File(file) => mix(&mut sum, &file.now),
                Node::Dir(dir) => {
                    for (name, child) in dir.now.iter() {
                        mix(&mut sum, name.as_bytes());
                        left.push(*child);
                    }
                }
            }
        }
        sum
    }
}

/// Takes bytes and their number into a sum, eight at a time.
fn mix(sum: &mut u64, bytes: &[u8]) {
    let mut add = |word: u64| {
        *sum = (*sum ^ word)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(29);
    };
    add(bytes.len() as u64);
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().for_each(|word| add(u64::from_le_bytes(*word)));
    rest.iter().for_each(|byte| add(u64::from(*byte)));
}

/// The names on the way to a file. (`Path::components` takes a quarter of a sweep's time.)
fn names(path: &Path) -> impl DoubleEndedIterator<Item = &str> {
    let path = path.to_str().expect("names of ours are ASCII");
    path.split(['/', '\\'])
        .filter(|name| !name.is_empty() && *name != ".")
}

pub(super) fn error(kind: ErrorKind, path: &Path) -> io::Error {
    io::Error::new(kind, format!("{}: {kind}", path.display()))
}
