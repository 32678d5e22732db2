//! An open file of the simulated disk.

use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use highwater_log::fs::File;

use super::change::Change;
use super::disk::NodeId;
use super::{AfterFailedSync, Errno, Fate, Op, SimFs, State};

#[derive(Debug)]
pub(super) struct SimFile {
    fs: SimFs,
    node: NodeId,
    /// The name at the time of the open, for messages.
    path: Arc<Path>,
    writes: bool,
}

impl SimFile {
    pub(super) fn new(fs: &SimFs, node: NodeId, path: &Path, writes: bool) -> Self {
        Self {
            fs: fs.clone(),
            node,
            path: Arc::from(path),
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
        let mut state = self.fs.state_for(Op::Len);
        state.look(Op::Len)?;
        Ok(state.disk.file(self.node).now.len() as u64)
    }

    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.expect_writes()?;
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        let position = index(position)?;
        let mut state = self.fs.state_for(Op::Write);
        let result = match state.begin_in(Op::Write, &self.path)? {
            Fate::Works => state.fit(self.node, position, &mut bytes),
            Fate::Fails(fault) => {
                let done = state.rng.below(bytes.len() + 1);
                bytes.truncate(done);
                Err(fault.errno.error())
            }
            Fate::Dies => state.alive(),
        };
        if !bytes.is_empty() {
            state.change(Change::Write {
                file: self.node,
                position,
                bytes: bytes.into(),
            });
        }
        result
    }

    fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        let mut state = self.fs.state_for(Op::Read);
        state.look(Op::Read)?;
        let bytes = &state.disk.file(self.node).now;
        let start = index(position)?.min(bytes.len());
        let end = start.saturating_add(len).min(bytes.len());
        Ok(Bytes::copy_from_slice(&bytes[start..end]))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.expect_writes()?;
        let mut state = self.fs.state_for(Op::SetLen);
        state.alive()?;
        let len = index(len)?;
        if len > state.disk.file(self.node).now.len() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "set_len only cuts"));
        }
        let fate = state.begin_in(Op::SetLen, &self.path)?;
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
        let mut state = self.fs.state_for(Op::Sync);
        let part = |change: Change| match change.file() {
            Some(file) if file == self.node => (Some(change), None),
            _ => (None, Some(change)),
        };
        match state.begin_in(Op::Sync, &self.path)? {
            Fate::Works if state.lies => Ok(()),
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
                    state.disk.file(self.node).forget();
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

    /// Leaves of the bytes of a write what the disk has room for.
    fn fit(&mut self, file: NodeId, position: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
        if self.capacity.is_none() {
            return Ok(());
        }
        let len = self.disk.file(file).now.len();
        let room = usize::try_from(self.room()).expect("a simulated disk is small");
        // What lies inside the file has its blocks.
        let end_max = len.saturating_add(room);
        if position + bytes.len() <= end_max {
            return Ok(());
        }
        bytes.truncate(end_max.saturating_sub(position));
        let full = self.full(Op::Write).expect("the room is limited");
        Err(full.errno.error())
    }
}

fn index(position: u64) -> io::Result<usize> {
    usize::try_from(position).map_err(|_| Errno::NoSpace.error())
}
