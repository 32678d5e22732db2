//! The names of the simulated disk, as the log's I/O seam asks for them.
//!
//! Invariants
//! - Each call that can change the disk takes its number before it does anything.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use highwater_log::fs::{DirLock, File, Fs, LOCK_FILE, OpenMode};

use super::change::Change;
use super::disk::{NodeId, error};
use super::file::SimFile;
use super::{AfterFailedSync, Fate, Op, SimFs};

impl Fs for SimFs {
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.look(Op::List)?;
        let id = state.disk.find_dir(dir)?;
        Ok(state.disk.dir(id).now.keys().cloned().collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.alive()?;
        if state.disk.find_dir(dir).is_ok() {
            return Ok(());
        }
        let (parent, name) = state.disk.split_free(dir)?;
        let fate = state.begin(Op::CreateDir, dir)?;
        let node = state.disk.new_dir();
        state.rename_like(
            fate,
            Change::Link {
                dir: parent,
                name,
                node,
            },
        )
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut state = self.state_for(Op::Create);
        state.alive()?;
        let (dir, name) = state.disk.split_free(path)?;
        let fate = state.begin(Op::Create, path)?;
        let node = state.disk.new_file(dir);
        state.rename_like(fate, Change::Link { dir, name, node })?;
        Ok(Arc::new(SimFile::new(self, node, path, true)))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut state = self.state();
        state.look(Op::Open)?;
        let node = state.disk.find(path)?;
        if state.disk.is_dir(node) {
            return Err(error(ErrorKind::IsADirectory, path));
        }
        drop(state);
        let writes = matches!(mode, OpenMode::Append | OpenMode::Recover);
        let file = SimFile::new(self, node, path, writes);
        if mode == OpenMode::Recover {
            file.sync()?;
            let mut state = self.state();
            // A disk that lies about flushes reads from the cache that it did not flush.
            if !state.lies {
                state.disk.file(node).forget();
            }
        }
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state_for(Op::Rename);
        state.alive()?;
        let node = state.disk.find(from)?;
        let source = state.disk.split(from)?;
        let target = state.disk.split(to)?;
        if let Ok(replaced) = state.disk.find(to) {
            if state.disk.is_dir(replaced) {
                return Err(error(ErrorKind::IsADirectory, to));
            }
            if state.disk.is_dir(node) {
                return Err(error(ErrorKind::NotADirectory, to));
            }
        }
        let fate = state.begin(Op::Rename, to)?;
        state.rename_like(
            fate,
            Change::Move {
                from: source,
                to: target,
                node,
            },
        )
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.alive()?;
        let node = state.disk.find(path)?;
        let (dir, name) = state.disk.split(path)?;
        if state.disk.is_dir(node) && !state.disk.dir(node).now.is_empty() {
            return Err(error(ErrorKind::DirectoryNotEmpty, path));
        }
        let fate = state.begin(Op::Remove, path)?;
        state.rename_like(fate, Change::Unlink { dir, name })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state_for(Op::SyncDir);
        state.alive()?;
        let id = state.disk.find_dir(dir)?;
        let part = |change: Change| change.by_sync_of_dir(id);
        match state.begin(Op::SyncDir, dir)? {
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
                    state.has_lost_names = true;
                }
                Err(fault.errno.error())
            }
            Fate::Dies => state.alive(),
        }
    }

    fn lock(&self, dir: &Path) -> io::Result<DirLock> {
        let mut state = self.state();
        state.look(Op::Lock)?;
        let id = state.disk.find_dir(dir)?;
        if !state.locked.insert(id) {
            return Err(io::Error::new(
                ErrorKind::WouldBlock,
                "a simulated process holds its lock",
            ));
        }
        let name = LOCK_FILE.to_owned();
        if !state.disk.dir(id).now.contains_key(&name) {
            let node = state.disk.new_file(id);
            state.rename_like(
                Fate::Works,
                Change::Link {
                    dir: id,
                    name,
                    node,
                },
            )?;
        }
        Ok(DirLock::new(SimLock {
            fs: self.clone(),
            dir: id,
        }))
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let mut state = self.state();
        state.look(Op::FreeBytes)?;
        state.disk.find_dir(dir)?;
        Ok(state.free_bytes.unwrap_or_else(|| state.room()))
    }
}

struct SimLock {
    fs: SimFs,
    dir: NodeId,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.fs.state().locked.remove(&self.dir);
    }
}
