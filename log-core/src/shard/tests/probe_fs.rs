//! A disk in memory that notes what is done to it, fails when a test says so, and loses what was
//! not synced when its power is cut.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::fs::mem::MemFs;
use crate::fs::{DirLock, File, Fs, OpenMode};
use crate::sync::{Condvar, Mutex, lock};

/// What is noted and may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Write,
    Sync,
    SyncDir,
    Remove,
}

type Hook = Box<dyn FnMut(Op, &Path) -> io::Result<()> + Send>;

/// Clones are handles of the same disk.
#[derive(Clone, Debug)]
pub(super) struct ProbeFs {
    below: MemFs,
    probe: Arc<Mutex<Probe>>,
}

struct Probe {
    done: Vec<(Op, PathBuf)>,
    hook: Option<Arc<Mutex<Hook>>>,
    free_bytes: u64,
    asked_free: u64,
    releases: u64,
    synced: BTreeMap<PathBuf, Bytes>,
    gate: Option<Arc<Gate>>,
}

/// Where syncs of segments wait until so many are under way.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) arrived: Mutex<usize>,
    pub(super) awaited: usize,
    all: Condvar,
}

impl Gate {
    pub(super) fn new(awaited: usize) -> Self {
        Self {
            arrived: Mutex::new(0),
            awaited,
            all: Condvar::new(),
        }
    }

    fn pass(&self) {
        let mut arrived = lock(&self.arrived);
        *arrived += 1;
        self.all.notify_all();
        while *arrived < self.awaited {
            let (held, waited) = self.all.wait_timeout(arrived, GATE_WAIT_MAX).unwrap();
            assert!(!waited.timed_out(), "the others do not come");
            arrived = held;
        }
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probe")
    }
}

impl ProbeFs {
    pub(super) fn new() -> Self {
        Self::on(MemFs::new())
    }

    fn on(below: MemFs) -> Self {
        let probe = Probe {
            done: Vec::new(),
            hook: None,
            free_bytes: u64::MAX,
            asked_free: 0,
            releases: 0,
            synced: BTreeMap::new(),
            gate: None,
        };
        Self {
            below,
            probe: Arc::new(Mutex::new(probe)),
        }
    }

    /// What was done since the last call to files whose names end so, as `Sync journal-0`.
    pub(super) fn take(&self, op: Op, name_end: &str) -> usize {
        let is_it = |(done, path): &(Op, PathBuf)| {
            *done == op && path.to_str().expect("ours").ends_with(name_end)
        };
        let mut probe = lock(&self.probe);
        let count = probe.done.iter().filter(|done| is_it(done)).count();
        probe.done.retain(|done| !is_it(done));
        count
    }

    /// How often memory of reads was given back.
    pub(super) fn releases(&self) -> u64 {
        lock(&self.probe).releases
    }

    pub(super) fn forget(&self) {
        lock(&self.probe).done.clear();
    }

    /// Runs before each operation, which fails if it does. It is not called by what it does itself.
    pub(super) fn set_hook(&self, hook: impl FnMut(Op, &Path) -> io::Result<()> + Send + 'static) {
        lock(&self.probe).hook = Some(Arc::new(Mutex::new(Box::new(hook))));
    }

    pub(super) fn clear_hook(&self) {
        lock(&self.probe).hook = None;
    }

    /// Syncs of segments run at the same time, and pass the gate together.
    pub(super) fn set_gate(&self, gate: Arc<Gate>) {
        lock(&self.probe).gate = Some(gate);
    }

    pub(super) fn set_free_bytes(&self, bytes: u64) {
        lock(&self.probe).free_bytes = bytes;
    }

    pub(super) fn asked_free(&self) -> u64 {
        lock(&self.probe).asked_free
    }

    /// The bytes of a file now.
    pub(super) fn contents(&self, path: &Path) -> Bytes {
        let file = self.below.open(path, OpenMode::Read).expect("it is there");
        let bytes = usize::try_from(file.len().expect("memory")).expect("small");
        file.read_at(0, bytes).expect("memory")
    }

    /// The disk after its power was cut: names stay, of the bytes only those that were synced.
    pub(super) fn without_power(&self) -> Self {
        let after = Self::on(MemFs::new());
        let synced = lock(&self.probe).synced.clone();
        copy(&self.below, &after.below, Path::new("/"), &synced);
        lock(&after.probe).synced = synced;
        after
    }

    fn at(&self, op: Op, path: &Path) -> io::Result<()> {
        let hook = {
            let mut probe = lock(&self.probe);
            probe.done.push((op, path.to_owned()));
            probe.hook.clone()
        };
        let Some(hook) = hook.filter(|_| !IN_HOOK.get()) else {
            return Ok(());
        };
        let _leave = InHook::enter();
        (*lock(&hook))(op, path)
    }

    fn wrap(&self, path: &Path, below: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(ProbeFile {
            fs: self.clone(),
            path: path.to_owned(),
            below,
        })
    }
}

thread_local! {
    static IN_HOOK: Cell<bool> = const { Cell::new(false) };
}

/// The thread runs a hook, until this is dropped.
struct InHook;

impl InHook {
    fn enter() -> Self {
        IN_HOOK.set(true);
        Self
    }
}

impl Drop for InHook {
    fn drop(&mut self) {
        IN_HOOK.set(false);
    }
}

fn copy(from: &MemFs, to: &MemFs, dir: &Path, synced: &BTreeMap<PathBuf, Bytes>) {
    for name in from.list(dir).expect("a directory") {
        let path = dir.join(name);
        if from.list(&path).is_ok() {
            to.create_dir(&path).expect("memory");
            copy(from, to, &path, synced);
        } else {
            let file = to.create(&path).expect("memory");
            let bytes = synced.get(&path).cloned().unwrap_or_default();
            file.write_at(0, &[IoSlice::new(&bytes)]).expect("memory");
        }
    }
}

impl Fs for ProbeFs {
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.below.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.below.create_dir(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.wrap(path, self.below.create(path)?))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        Ok(self.wrap(path, self.below.open(path, mode)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.below.rename(from, to)?;
        let mut probe = lock(&self.probe);
        if let Some(bytes) = probe.synced.remove(from) {
            probe.synced.insert(to.to_owned(), bytes);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.at(Op::Remove, path)?;
        lock(&self.probe).synced.remove(path);
        self.below.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.at(Op::SyncDir, dir)?;
        self.below.sync_dir(dir)
    }

    fn lock(&self, dir: &Path) -> io::Result<DirLock> {
        self.below.lock(dir)
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let mut probe = lock(&self.probe);
        probe.asked_free += 1;
        Ok(probe.free_bytes)
    }

    fn parallel_syncs(&self) -> usize {
        lock(&self.probe)
            .gate
            .as_ref()
            .map_or(1, |gate| gate.awaited)
    }

    fn release_unused(&self) {
        lock(&self.probe).releases += 1;
    }
}

#[derive(Debug)]
struct ProbeFile {
    fs: ProbeFs,
    path: PathBuf,
    below: Arc<dyn File>,
}

impl File for ProbeFile {
    fn len(&self) -> io::Result<u64> {
        self.below.len()
    }

    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.fs.at(Op::Write, &self.path)?;
        self.below.write_at(position, parts)
    }

    fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        self.below.read_at(position, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.below.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        // What is written while the sync runs may not be in it.
        let bytes = self
            .below
            .read_at(0, usize::try_from(self.below.len()?).expect("small"))?;
        let gate = lock(&self.fs.probe).gate.clone();
        if let Some(gate) = gate.filter(|_| self.path.extension() == Some("log".as_ref())) {
            gate.pass();
        }
        self.fs.at(Op::Sync, &self.path)?;
        lock(&self.fs.probe).synced.insert(self.path.clone(), bytes);
        Ok(())
    }
}

/// Long enough for any machine; it is waited for only if the test fails.
const GATE_WAIT_MAX: Duration = Duration::from_secs(30);
