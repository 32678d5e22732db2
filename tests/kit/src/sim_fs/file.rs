//! An open file of the simulated disk.

use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use highwater_log::fs::File;

use super::disk::{Change, NodeId};
use super::{AfterFailedSync, Errno, Fate, Op, SimFs, State};

#[derive(Debug)]
pub(super) struct SimFile {
    fs: SimFs,
    node: NodeId,
    /// The name at the time of the open, for messages.
    path: PathBuf,
    writes: bool,
}

impl SimFile {
    pub(super) fn new(fs: &SimFs, node: NodeId, path: &Path, writes: bool) -> Self {
        Self {
            fs: fs.clone(),
            node,
            path: path.to_owned(),
            writes,
        }
    }

    fn expect_writes(&self) -> io::Result<()> {
        if self.writes {
            return Ok(());
        }
        let why = format!("{} was opened for reading", self.path.display());
        Err(io::Error::new(ErrorKind::PermissionDenied, why))
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.fs.state();
        state.alive()?;
        Ok(state.disk.file(self.node).now.len() as u64)
    }

    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.expect_writes()?;
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let mut state = self.fs.state();
        let fate = state.begin(Op::Write, &self.path)?;
        let result = match fate {
            Fate::Works => Ok(()),
            Fate::Fails(fault) => {
                let done = state.rng.below(bytes.len() + 1);
                bytes.truncate(done);
                Err(fault.errno.error())
            }
            Fate::Dies => state.alive(),
        };
        if !bytes.is_empty() {
            let position = index(position)?;
            state.change(Change::Write {
                file: self.node,
                position,
                bytes,
            });
        }
        result
    }

    fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        let mut state = self.fs.state();
        state.look(Op::Read)?;
        let bytes = &state.disk.file(self.node).now;
        let start = index(position)?.min(bytes.len());
        let end = start.saturating_add(len).min(bytes.len());
        Ok(Bytes::copy_from_slice(&bytes[start..end]))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.expect_writes()?;
        let mut state = self.fs.state();
        state.alive()?;
        let len = index(len)?;
        if len > state.disk.file(self.node).now.len() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "set_len only cuts"));
        }
        let fate = state.begin(Op::SetLen, &self.path)?;
        if let Fate::Fails(fault) = fate {
            return Err(fault.errno.error());
        }
        state.change(Change::Cut {
            file: self.node,
            len,
        });
        state.alive()
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.fs.state();
        let part = |change: Change| match change.file() {
            Some(file) if file == self.node => (Some(change), None),
            _ => (None, Some(change)),
        };
        match state.begin(Op::Sync, &self.path)? {
            Fate::Works => {
                let changes = state.take_changes(part);
                state.make_durable(&changes);
                Ok(())
            }
            Fate::Fails(fault) => {
                if fault.after_sync != AfterFailedSync::Dirty {
                    // What is taken is forgotten: it never becomes durable.
                    state.take_changes(part);
                }
                if fault.after_sync == AfterFailedSync::CleanOld {
                    let file = state.disk.file(self.node);
                    file.now.clone_from(&file.durable);
                }
                Err(fault.errno.error())
            }
            Fate::Dies => state.alive(),
        }
    }
}

impl State {
    fn change(&mut self, change: Change) {
        change.show(&mut self.disk);
        self.changes.push(change);
    }
}

fn index(position: u64) -> io::Result<usize> {
    usize::try_from(position).map_err(|_| Errno::NoSpace.error())
}
