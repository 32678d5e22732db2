//! A simulated disk: deterministic, in memory, with power cuts and failures.
//!
//! It keeps two images, what programs see and what a power cut leaves, and the ordered list of
//! changes between them. `sync` makes one file's bytes and length durable, `sync_dir` one
//! directory's names; nothing else does, but for what a [`Crash`] lets through.
//!
//! Invariants
//! - The same calls on the same seed give the same disk.
//! - Each call that can change the disk has a number, counted from 0; with
//!   [`SimFs::crash_at`] the process dies inside that call: its change may be on the disk, in
//!   part, and every later call fails.
//! - A lock is gone after a crash, whoever held it.

mod crash;
mod disk;
mod fault;
mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use highwater_log::fs::{DirLock, File, Fs, LOCK_FILE, OpenMode};

pub use self::crash::Crash;
use self::disk::{Change, Disk, NodeId, error};
use self::fault::Armed;
pub use self::fault::{AfterFailedSync, Errno, Fault, Op};
use self::file::SimFile;
use crate::rng::Rng;

/// A simulated disk. Clones are handles of the same disk.
#[derive(Clone)]
pub struct SimFs {
    state: Arc<Mutex<State>>,
}

struct State {
    disk: Disk,
    /// What is seen and not durable, oldest first.
    changes: Vec<Change>,
    rng: Rng,
    /// The calls that could change the disk, in order.
    trace: Vec<(Op, PathBuf)>,
    crash_at: Option<usize>,
    dead: bool,
    faults: Vec<Armed>,
    fired: u64,
    /// A sync of names failed and took them along: see [`SimFs::remount`].
    has_lost_names: bool,
    locked: BTreeSet<NodeId>,
    free_bytes: u64,
}

impl SimFs {
    /// An empty disk. The seed decides how much of a failed write is there.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::from_state(State::new(Disk::new(), seed))
    }

    fn from_state(state: State) -> Self {
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that failed elsewhere may still print this disk.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls that can change the disk there were: the number of the next one.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.state().trace.len()
    }

    /// The call with a number, for messages.
    #[must_use]
    pub fn describe(&self, operation: usize) -> String {
        match self.state().trace.get(operation) {
            Some((op, path)) => format!("operation {operation}: {op:?} {}", path.display()),
            None => format!("operation {operation}: beyond the last one"),
        }
    }

    /// How many calls of one kind there were, of those that can change the disk.
    #[must_use]
    pub fn calls(&self, op: Op) -> usize {
        let state = self.state();
        state
            .trace
            .iter()
            .filter(|(called, _)| *called == op)
            .count()
    }

    /// The process dies inside the call with this number.
    pub fn crash_at(&self, operation: usize) {
        self.state().crash_at = Some(operation);
    }

    /// Whether the process has died.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// How many changes are not durable: the longest prefix that [`Crash::Prefix`] takes.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.state().changes.len()
    }

    /// The disk that a crash right now leaves, without locks and faults. This one stays as it is.
    #[must_use]
    pub fn image(&self, crash: Crash, rng: &mut Rng) -> Self {
        let state = self.state();
        let crash = match crash {
            Crash::Killed if state.has_lost_names => Crash::Nothing,
            crash => crash,
        };
        let mut disk = state.disk.clone();
        crash::cut_power(&mut disk, &state.changes, crash, rng);
        let mut after = State::new(disk, rng.bits());
        if crash == Crash::Killed {
            after.changes.clone_from(&state.changes);
        }
        Self::from_state(after)
    }

    /// What comes before a new process can work. Names go through the journal of a file system;
    /// if that failed, the file system takes no more changes until it is mounted again, and then
    /// shows what the disk has. (The bytes of a file go past the journal: after their failed sync
    /// nothing stops the next process, and its page cache may lie.)
    pub fn remount(&self) {
        let mut state = self.state();
        if std::mem::take(&mut state.has_lost_names) {
            state.changes.clear();
            state.disk.forget_cache();
        }
    }

    /// Makes a call fail. Faults add up.
    pub fn inject(&self, fault: Fault) {
        self.state().faults.push(Armed::new(fault));
    }

    /// The disk works again.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// How many calls have failed by injection.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.state().fired
    }

    /// Sets what [`Fs::free_bytes`] answers.
    pub fn set_free_bytes(&self, bytes: u64) {
        self.state().free_bytes = bytes;
    }

    /// Every file, in order.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.state()
            .disk
            .files()
            .into_iter()
            .map(|(path, _)| path)
            .collect()
    }

    /// The bytes of a file as programs see them; `None` if there is no such file.
    #[must_use]
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let mut state = self.state();
        let id = state
            .disk
            .find(path)
            .ok()
            .filter(|id| !state.disk.is_dir(*id))?;
        Some(state.disk.file(id).now.clone())
    }

    /// Gives a file other bytes, on the disk and in every cache.
    pub fn rewrite(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        let id = state.disk.find(path).expect("the file to rewrite exists");
        state.changes.retain(|change| change.file() != Some(id));
        let file = state.disk.file(id);
        file.now = bytes.to_vec();
        file.durable = bytes.to_vec();
    }

    /// Bit rot: changes a byte of a file, on the disk and in every cache.
    pub fn damage(&self, path: &Path, position: usize, xor: u8) {
        let mut state = self.state();
        let id = state.disk.find(path).expect("the file to damage exists");
        let file = state.disk.file(id);
        for image in [&mut file.now, &mut file.durable] {
            if let Some(byte) = image.get_mut(position) {
                *byte ^= xor;
            }
        }
    }
}

impl State {
    fn new(disk: Disk, seed: u64) -> Self {
        Self {
            disk,
            changes: Vec::new(),
            rng: Rng::new(seed),
            trace: Vec::new(),
            crash_at: None,
            dead: false,
            faults: Vec::new(),
            fired: 0,
            has_lost_names: false,
            locked: BTreeSet::new(),
            free_bytes: 1 << 40,
        }
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead {
            Err(io::Error::other("simulated crash: the process is dead"))
        } else {
            Ok(())
        }
    }

    /// Before a call that only looks: may fail by injection.
    fn look(&mut self, op: Op) -> io::Result<()> {
        self.alive()?;
        match self.fault(op) {
            Some(fault) => Err(fault.errno.error()),
            None => Ok(()),
        }
    }

    /// Before a call that can change the disk: gives it its number and says how it will end.
    fn begin(&mut self, op: Op, path: &Path) -> io::Result<Fate> {
        self.alive()?;
        let number = self.trace.len();
        self.trace.push((op, path.to_owned()));
        if self.crash_at == Some(number) {
            self.dead = true;
            return Ok(Fate::Dies);
        }
        Ok(self.fault(op).map_or(Fate::Works, Fate::Fails))
    }

    fn fault(&mut self, op: Op) -> Option<Fault> {
        // Every fault counts the call, whichever of them fails it.
        let hit = self
            .faults
            .iter_mut()
            .filter_map(|armed| armed.check(op))
            .last();
        self.fired += u64::from(hit.is_some());
        hit
    }

    /// A change of names, whole or not at all.
    fn rename_like(&mut self, fate: Fate, change: Change) -> io::Result<()> {
        if let Fate::Fails(fault) = fate {
            return Err(fault.errno.error());
        }
        change.show(&mut self.disk);
        self.changes.push(change);
        self.alive()
    }

    /// Splits the changes: what `part` answers first is returned, oldest first, and what it
    /// answers second stays.
    fn take_changes(
        &mut self,
        part: impl Fn(Change) -> (Option<Change>, Option<Change>),
    ) -> Vec<Change> {
        let mut taken = Vec::new();
        let mut left = Vec::new();
        for (now, later) in std::mem::take(&mut self.changes).into_iter().map(part) {
            taken.extend(now);
            left.extend(later);
        }
        self.changes = left;
        taken
    }

    /// The changes, which were just taken, are durable.
    fn make_durable(&mut self, changes: &[Change]) {
        changes
            .iter()
            .for_each(|change| change.reach_disk(&mut self.disk));
    }
}

/// How a call will end.
#[derive(Clone, Copy)]
enum Fate {
    Works,
    Fails(Fault),
    /// The process dies inside it: the change may be on the disk.
    Dies,
}

impl Fs for SimFs {
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.alive()?;
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
        let mut state = self.state();
        state.alive()?;
        let (dir, name) = state.disk.split_free(path)?;
        let fate = state.begin(Op::Create, path)?;
        let node = state.disk.new_file();
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
            let file = state.disk.file(node);
            file.now.clone_from(&file.durable);
        }
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
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
        let mut state = self.state();
        state.alive()?;
        let id = state.disk.find_dir(dir)?;
        let part = |change: Change| change.by_sync_of_dir(id);
        match state.begin(Op::SyncDir, dir)? {
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
        state.alive()?;
        let id = state.disk.find_dir(dir)?;
        if !state.locked.insert(id) {
            return Err(io::Error::new(
                ErrorKind::WouldBlock,
                "a simulated process holds its lock",
            ));
        }
        let name = LOCK_FILE.to_owned();
        if !state.disk.dir(id).now.contains_key(&name) {
            let node = state.disk.new_file();
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
        let state = self.state();
        state.alive()?;
        state.disk.find_dir(dir)?;
        Ok(state.free_bytes)
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

impl fmt::Debug for SimFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("SimFs")
            .field("operations", &state.trace.len())
            .field("changes", &state.changes.len())
            .field("dead", &state.dead)
            .finish_non_exhaustive()
    }
}
