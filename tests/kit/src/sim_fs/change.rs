//! One change of a simulated disk, from the moment at which programs see it until it is durable.
//!
//! Invariants
//! - A change that is shown and then reaches the disk does the same to both images.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::disk::{Disk, NodeId, SECTOR_BYTES, Twofold};

/// One change that is seen now and not yet durable.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Bytes from a position on, over and behind what is there.
    Write {
        file: NodeId,
        position: usize,
        bytes: Bytes,
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

impl Change {
    /// The change is seen by every program.
    pub(super) fn show(&self, disk: &mut Disk) {
        self.apply(disk, |file| &mut file.now, |dir| &mut dir.now);
    }

    /// The change survives a power cut from now on.
    pub(super) fn reach_disk(&self, disk: &mut Disk) {
        if let Self::Cut { file, len } = self {
            disk.free_from(*file, *len);
        }
        self.apply(disk, |file| &mut file.durable, |dir| &mut dir.durable);
    }

    fn apply<N>(
        &self,
        disk: &mut Disk,
        bytes_of: impl Fn(&mut Twofold<Vec<u8>>) -> &mut Arc<Vec<u8>>,
        names_of: N,
    ) where
        N: Fn(&mut Twofold<BTreeMap<String, NodeId>>) -> &mut Arc<BTreeMap<String, NodeId>>,
    {
        match self {
            Self::Write {
                file,
                position,
                bytes,
            } => {
                let content = Arc::make_mut(bytes_of(disk.file(*file)));
                put(content, *position, bytes);
            }
            Self::Cut { file, len } => Arc::make_mut(bytes_of(disk.file(*file))).truncate(*len),
            Self::Link { dir, name, node } => {
                Arc::make_mut(names_of(disk.dir(*dir))).insert(name.clone(), *node);
            }
            Self::Unlink { dir, name } => {
                Arc::make_mut(names_of(disk.dir(*dir))).remove(name);
            }
            Self::Move { from, to, node } => {
                let source = Arc::make_mut(names_of(disk.dir(from.0)));
                // The source may hold another file by now, or none, if changes are reordered.
                if source.get(&from.1) == Some(node) {
                    source.remove(&from.1);
                }
                Arc::make_mut(names_of(disk.dir(to.0))).insert(to.1.clone(), *node);
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
            pieces.push(Self::Write {
                file: *file,
                position: at,
                bytes: bytes.slice(done..done + count),
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
