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

mod change;
mod crash;
mod disk;
mod fault;
mod file;
mod seam;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::change::{Change, put};
pub use self::crash::Crash;
use self::disk::{Disk, NAME_BYTES, NodeId};
use self::fault::Armed;
pub use self::fault::{AfterFailedSync, Errno, Fault, Op};
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
    trace: Vec<(Op, Arc<Path>)>,
    crash_at: Option<usize>,
    dead: bool,
    faults: Vec<Armed>,
    fired: u64,
    /// A sync of names failed and took them along: see [`SimFs::remount`].
    has_lost_names: bool,
    locked: BTreeSet<NodeId>,
    /// How large the disk is, and what it answers when it is full.
    capacity: Option<(u64, Errno)>,
    /// What is told about the free space, if not the truth.
    free_bytes: Option<u64>,
    /// Whether syncs answer without doing anything.
    lies: bool,
    stalls: Vec<Stall>,
}

/// What happens while a call hangs.
struct Stall {
    on: Op,
    /// How many calls of the kind come before it.
    left: u64,
    meanwhile: Box<dyn FnOnce() + Send>,
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

    /// Locks the disk for a call, after whatever is to happen while the call hangs.
    fn state_for(&self, op: Op) -> MutexGuard<'_, State> {
        let mut state = self.state();
        if let Some(meanwhile) = state.stalled(op) {
            drop(state);
            meanwhile();
            return self.state();
        }
        state
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

    /// Sets what [`Fs::free_bytes`](highwater_log::fs::Fs::free_bytes) answers, whatever there is.
    pub fn set_free_bytes(&self, bytes: u64) {
        self.state().free_bytes = Some(bytes);
    }

    /// From now on names and files have so many bytes more than now; then a write leaves what
    /// fits, and a new name does not fit at all.
    pub fn limit_room(&self, bytes: u64, errno: Errno) {
        let mut state = self.state();
        state.capacity = Some((state.disk.used_bytes() + bytes, errno));
    }

    /// The disk is large again.
    pub fn unlimit_room(&self) {
        self.state().capacity = None;
    }

    /// Whether no call is to fail, as far as this disk knows.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let state = self.state();
        state.faults.is_empty() && state.capacity.is_none()
    }

    /// Whether syncs, of bytes and of names, answer without doing anything.
    pub fn lie_about_syncs(&self, lies: bool) {
        self.state().lies = lies;
    }

    /// The `nth` call of one kind from now on, from 1, takes its time: before it does anything,
    /// this happens. It may call the disk itself.
    pub fn stall(&self, on: Op, nth: u64, meanwhile: impl FnOnce() + Send + 'static) {
        let left = nth.checked_sub(1).expect("calls are counted from 1");
        let meanwhile = Box::new(meanwhile);
        self.state().stalls.push(Stall {
            on,
            left,
            meanwhile,
        });
    }

    /// A number that two disks share if programs see the same on them.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let state = self.state();
        // After the death of the process alone the next power cut takes more.
        state.disk.sum_now() ^ state.changes.len() as u64
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
        Some(state.disk.file(id).now.to_vec())
    }

    /// Gives a file other bytes, on the disk and in every cache.
    pub fn rewrite(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        let id = state.disk.find(path).expect("the file to rewrite exists");
        state.changes.retain(|change| change.file() != Some(id));
        let file = state.disk.file(id);
        file.durable = Arc::new(bytes.to_vec());
        file.forget();
    }

    /// Bit rot: changes a byte of a file, on the disk and in every cache.
    pub fn damage(&self, path: &Path, position: usize, xor: u8) {
        self.change_in_place(path, |content| {
            if let Some(byte) = content.get_mut(position) {
                *byte ^= xor;
            }
        });
    }

    /// A write of others, or of zeros, that hit this place of a file: on the disk and in every
    /// cache. The file does not grow by it.
    pub fn overwrite(&self, path: &Path, position: usize, bytes: &[u8]) {
        self.change_in_place(path, |content| {
            let room = content.len().saturating_sub(position).min(bytes.len());
            if room > 0 {
                put(content, position, &bytes[..room]);
            }
        });
    }

    fn change_in_place(&self, path: &Path, change: impl Fn(&mut Vec<u8>)) {
        let mut state = self.state();
        let id = state.disk.find(path).expect("the file to damage exists");
        let file = state.disk.file(id);
        change(Arc::make_mut(&mut file.now));
        change(Arc::make_mut(&mut file.durable));
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
            capacity: None,
            free_bytes: None,
            lies: false,
            stalls: Vec::new(),
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
        self.begin_in(op, &Arc::from(path))
    }

    fn begin_in(&mut self, op: Op, path: &Arc<Path>) -> io::Result<Fate> {
        self.alive()?;
        let number = self.trace.len();
        self.trace.push((op, Arc::clone(path)));
        if self.crash_at == Some(number) {
            self.dead = true;
            return Ok(Fate::Dies);
        }
        let needs_name = matches!(op, Op::CreateDir | Op::Create | Op::Rename);
        let fault = self.fault(op).or_else(|| {
            let is_full = needs_name && self.room() < NAME_BYTES;
            is_full.then(|| self.full(op)).flatten()
        });
        Ok(fault.map_or(Fate::Works, Fate::Fails))
    }

    /// How many bytes the disk may still take.
    fn room(&self) -> u64 {
        match self.capacity {
            Some((bytes, _)) => bytes.saturating_sub(self.disk.used_bytes()),
            None => 1 << 40,
        }
    }

    /// The failure of a call for which there is no room.
    fn full(&mut self, op: Op) -> Option<Fault> {
        let (_, errno) = self.capacity?;
        self.fired += 1;
        Some(Fault {
            on: op,
            nth: 1,
            sticky: false,
            errno,
            after_sync: AfterFailedSync::default(),
        })
    }

    /// What is to happen before this call of the kind goes on.
    fn stalled(&mut self, op: Op) -> Option<Box<dyn FnOnce() + Send>> {
        let mut hit = None;
        for (index, stall) in self.stalls.iter_mut().enumerate() {
            if stall.on == op {
                match stall.left.checked_sub(1) {
                    Some(left) => stall.left = left,
                    None => hit = Some(index),
                }
            }
        }
        hit.map(|index| self.stalls.remove(index).meanwhile)
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
        let mut left = Vec::with_capacity(self.changes.len());
        for (now, later) in self.changes.drain(..).map(part) {
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
