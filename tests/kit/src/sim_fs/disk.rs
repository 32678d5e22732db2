//! The two images of a simulated disk: what programs see now, and what a power cut leaves.
//!
//! Invariants
//! - `durable` changes only by [`Change::reach_disk`].
//! - Every change that is not durable yet stands in a list of the owner, oldest first.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

/// What a disk tears at: a sector is written whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

/// The number of a file or directory; the root's is 0. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(usize);

pub(super) const ROOT: NodeId = NodeId(0);

#[derive(Clone, Debug)]
pub(super) struct Disk {
    nodes: Vec<Node>,
}

/// A value as programs see it now and as the disk has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Twofold<T> {
    pub(super) now: T,
    pub(super) durable: T,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    Dir(Twofold<BTreeMap<String, NodeId>>),
    File(Twofold<Vec<u8>>),
}

/// One change that is seen now and not yet durable.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Bytes from a position on, over and behind what is there.
    Write {
        file: NodeId,
        position: usize,
        bytes: Vec<u8>,
    },
    /// The file ends at a position.
    Cut { file: NodeId, len: usize },
    /// A name came to be.
    Link {
        dir: NodeId,
        name: String,
        node: NodeId,
    },
    /// A name went away.
    Unlink { dir: NodeId, name: String },
    /// A name went away and another came to be, at once.
    Move {
        from: (NodeId, String),
        to: (NodeId, String),
        node: NodeId,
    },
}

impl Disk {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::Dir(Twofold::default())],
        }
    }

    pub(super) fn new_file(&mut self) -> NodeId {
        self.nodes.push(Node::File(Twofold::default()));
        NodeId(self.nodes.len() - 1)
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
        let mut at = ROOT;
        for name in names(path) {
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
        let name = names(path)
            .last()
            .ok_or_else(|| error(ErrorKind::AlreadyExists, path))?;
        Ok((
            self.find_dir(path.parent().expect("a path with a name has a parent"))?,
            name.into(),
        ))
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

    /// The program's view becomes what the disk has: the machine was switched off and on.
    pub(super) fn forget_cache(&mut self) {
        for node in &mut self.nodes {
            match node {
                Node::Dir(dir) => dir.now.clone_from(&dir.durable),
                Node::File(file) => file.now.clone_from(&file.durable),
            }
        }
    }
}

impl Change {
    /// The change is seen by every program.
    pub(super) fn show(&self, disk: &mut Disk) {
        self.apply(disk, |file| &mut file.now, |dir| &mut dir.now);
    }

    /// The change survives a power cut from now on.
    pub(super) fn reach_disk(&self, disk: &mut Disk) {
        self.apply(disk, |file| &mut file.durable, |dir| &mut dir.durable);
    }

    fn apply(
        &self,
        disk: &mut Disk,
        bytes_of: impl Fn(&mut Twofold<Vec<u8>>) -> &mut Vec<u8>,
        names_of: impl Fn(&mut Twofold<BTreeMap<String, NodeId>>) -> &mut BTreeMap<String, NodeId>,
    ) {
        match self {
            Self::Write {
                file,
                position,
                bytes,
            } => {
                put(bytes_of(disk.file(*file)), *position, bytes);
            }
            Self::Cut { file, len } => bytes_of(disk.file(*file)).truncate(*len),
            Self::Link { dir, name, node } => {
                names_of(disk.dir(*dir)).insert(name.clone(), *node);
            }
            Self::Unlink { dir, name } => {
                names_of(disk.dir(*dir)).remove(name);
            }
            Self::Move { from, to, node } => {
                let source = names_of(disk.dir(from.0));
                // The source may hold another file by now, or none, if changes are reordered.
                if source.get(&from.1) == Some(node) {
                    source.remove(&from.1);
                }
                names_of(disk.dir(to.0)).insert(to.1.clone(), *node);
            }
        }
    }

    /// The file whose `sync` makes the change durable.
    pub(super) fn file(&self) -> Option<NodeId> {
        match self {
            Self::Write { file, .. } | Self::Cut { file, .. } => Some(*file),
            Self::Link { .. } | Self::Unlink { .. } | Self::Move { .. } => None,
        }
    }

    /// What a sync of directory `id` does to the change: the part that it makes durable, and what
    /// is left to do.
    pub(super) fn by_sync_of_dir(self, id: NodeId) -> (Option<Self>, Option<Self>) {
        match self {
            Self::Link { dir, .. } | Self::Unlink { dir, .. } if dir == id => (Some(self), None),
            Self::Move {
                ref from, ref to, ..
            } if to.0 == id && from.0 == id => (Some(self), None),
            // The old name may come back until its own directory is synced.
            Self::Move { from, to, node } if to.0 == id => (
                Some(Self::Link {
                    dir: to.0,
                    name: to.1,
                    node,
                }),
                Some(Self::Unlink {
                    dir: from.0,
                    name: from.1,
                }),
            ),
            other => (None, Some(other)),
        }
    }

    /// The sectors of a write, each a write of its own; any other change as it is.
    pub(super) fn sectors(&self) -> Vec<Self> {
        let Self::Write {
            file,
            position,
            bytes,
        } = self
        else {
            return vec![self.clone()];
        };
        let mut pieces = Vec::new();
        let mut done = 0;
        while done < bytes.len() {
            let at = position + done;
            let count = (SECTOR_BYTES - at % SECTOR_BYTES).min(bytes.len() - done);
            let bytes = bytes[done..done + count].to_vec();
            pieces.push(Self::Write {
                file: *file,
                position: at,
                bytes,
            });
            done += count;
        }
        pieces
    }
}

pub(super) fn put(bytes: &mut Vec<u8>, position: usize, new: &[u8]) {
    if bytes.len() < position + new.len() {
        bytes.resize(position + new.len(), 0);
    }
    bytes[position..position + new.len()].copy_from_slice(new);
}

fn names(path: &Path) -> impl Iterator<Item = &str> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_str().expect("names of ours are ASCII")),
        _ => None,
    })
}

pub(super) fn error(kind: ErrorKind, path: &Path) -> io::Error {
    io::Error::new(kind, format!("{}: {kind}", path.display()))
}
