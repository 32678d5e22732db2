//! How many bytes the files of the data directory hold, counted as they change.
//!
//! Floor 5 of log-core.
//!
//! The directory is walked once, at the start, and only if somebody wants to know: afterwards each
//! write, cut and removal is added or subtracted, so that the sum costs nothing to ask for.
//!
//! Invariants
//! - Every file counts with its length, whoever made it before the start; one that is removed
//!   counts no more, though a reader may still hold it.
//! - Nothing is counted, and no file is wrapped, unless [`Meter::begin`] was called.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::error::LogError;
use crate::fs::{DirLock, File, Fs, OpenMode};
use crate::sync::{Mutex, lock};

/// The sum, and the length of each file.
#[derive(Debug)]
pub(crate) struct Meter {
    /// `None`: nobody wants to know.
    lengths: Mutex<Option<BTreeMap<PathBuf, Arc<AtomicU64>>>>,
    sum: AtomicU64,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            lengths: Mutex::new(None),
            sum: AtomicU64::new(0),
        }
    }

    /// What all files hold, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }

    /// Walks the directory and counts from now on. Nothing in it may be open for writing.
    pub(super) fn begin(&self, fs: &dyn Fs, root: &Path) -> Result<(), LogError> {
        let mut lengths = BTreeMap::new();
        walk(fs, root, &mut lengths)?;
        let sum = lengths
            .values()
            .map(|length| length.load(Ordering::Relaxed))
            .sum();
        self.sum.store(sum, Ordering::Relaxed);
        *lock(&self.lengths) = Some(lengths);
        Ok(())
    }

    /// The counted length of a file that is opened for writing.
    fn length_of(&self, path: &Path) -> Option<Arc<AtomicU64>> {
        let mut lengths = lock(&self.lengths);
        let lengths = lengths.as_mut()?;
        Some(Arc::clone(lengths.entry(path.to_owned()).or_default()))
    }

    fn forget(&self, path: &Path) {
        if let Some(lengths) = &mut *lock(&self.lengths)
            && let Some(length) = lengths.remove(path)
        {
            self.subtract(length.swap(GONE, Ordering::Relaxed));
        }
    }

    /// A file replaces the one that had the name; a directory takes what lies in it along.
    fn rename(&self, from: &Path, to: &Path) {
        self.forget(to);
        let mut lengths = lock(&self.lengths);
        let Some(lengths) = lengths.as_mut() else {
            return;
        };
        let moved: Vec<PathBuf> = lengths
            .range(from.to_owned()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(from))
            .cloned()
            .collect();
        for path in moved {
            let below = path.strip_prefix(from).expect("it starts so");
            let target = if below.as_os_str().is_empty() {
                to.to_owned()
            } else {
                to.join(below)
            };
            let length = lengths.remove(&path).expect("it was found under this lock");
            lengths.insert(target, length);
        }
    }

    fn subtract(&self, bytes: u64) {
        if bytes != GONE {
            self.sum.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

fn walk(
    fs: &dyn Fs,
    dir: &Path,
    lengths: &mut BTreeMap<PathBuf, Arc<AtomicU64>>,
) -> Result<(), LogError> {
    let names = fs
        .list(dir)
        .map_err(|error| LogError::io("list", dir, error))?;
    for name in names {
        let path = dir.join(name);
        match walk(fs, &path, lengths) {
            Err(LogError::Io { source, .. }) if source.kind() == ErrorKind::NotADirectory => {}
            other => {
                other?;
                continue;
            }
        }
        let length = fs
            .open(&path, OpenMode::Read)
            .and_then(|file| file.len())
            .map_err(|error| LogError::io("measure", &path, error))?;
        lengths.insert(path, Arc::new(AtomicU64::new(length)));
    }
    Ok(())
}

/// The disk below, counted.
#[derive(Debug)]
pub(super) struct Metered {
    pub(super) below: Arc<dyn Fs>,
    pub(super) meter: Arc<Meter>,
}

#[derive(Debug)]
struct MeteredFile {
    below: Arc<dyn File>,
    length: Arc<AtomicU64>,
    meter: Arc<Meter>,
}

impl Metered {
    fn wrap(&self, path: &Path, below: Arc<dyn File>) -> Arc<dyn File> {
        match self.meter.length_of(path) {
            None => below,
            Some(length) => Arc::new(MeteredFile {
                below,
                length,
                meter: Arc::clone(&self.meter),
            }),
        }
    }
}

impl MeteredFile {
    fn became(&self, now: u64) {
        let change = |before| (before != GONE).then_some(now);
        let changed = self
            .length
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
        if let Ok(before) = changed {
            self.meter.sum.fetch_add(now, Ordering::Relaxed);
            self.meter.subtract(before);
        }
    }
}

impl File for MeteredFile {
    fn len(&self) -> io::Result<u64> {
        self.below.len()
    }

    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let written = self.below.write_at(position, parts);
        let bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let end = position.saturating_add(bytes);
        if let Err(error) = written {
            // How much of it was written only the disk knows.
            self.became(self.below.len().unwrap_or(end));
            return Err(error);
        }
        let before = self.length.fetch_max(end, Ordering::Relaxed);
        let longer = end.saturating_sub(before);
        self.meter.sum.fetch_add(longer, Ordering::Relaxed);
        Ok(())
    }

    fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        self.below.read_at(position, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.below.set_len(len)?;
        self.became(len);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.below.sync()
    }
}

impl Fs for Metered {
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.below.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.below.create_dir(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = self.below.create(path)?;
        Ok(self.wrap(path, file))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.below.open(path, mode)?;
        match mode {
            OpenMode::Read | OpenMode::Mapped => Ok(file),
            OpenMode::Append | OpenMode::Recover => Ok(self.wrap(path, file)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.below.rename(from, to)?;
        self.meter.rename(from, to);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.below.remove(path)?;
        self.meter.forget(path);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.below.sync_dir(dir)
    }

    fn lock(&self, dir: &Path) -> io::Result<DirLock> {
        self.below.lock(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.below.free_bytes(dir)
    }

    fn total_bytes(&self, dir: &Path) -> io::Result<Option<u64>> {
        self.below.total_bytes(dir)
    }

    fn parallel_syncs(&self) -> usize {
        self.below.parallel_syncs()
    }

    fn release_unused(&self) {
        self.below.release_unused();
    }
}

/// The length of a file that was removed while somebody holds it: it counts no more.
const GONE: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fs::mem::MemFs;

    const ROOT: &str = "/d";

    fn metered(below: &MemFs) -> (Metered, Arc<Meter>) {
        let meter = Arc::new(Meter::new());
        meter.begin(below, Path::new(ROOT)).unwrap();
        let metered = Metered {
            below: Arc::new(below.clone()),
            meter: Arc::clone(&meter),
        };
        (metered, meter)
    }

    fn walked(fs: &MemFs) -> u64 {
        let meter = Meter::new();
        meter.begin(fs, Path::new(ROOT)).unwrap();
        meter.bytes()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write(u8, u64, usize),
        Cut(u8),
        Remove(u8),
        Rename(u8, u8),
        MoveDir,
        StartAgain,
    }

    fn step() -> impl Strategy<Value = Step> {
        let file = 0..4_u8;
        prop_oneof![
            4 => (file.clone(), 0..50_u64, 1..50_usize)
                .prop_map(|(file, at, bytes)| Step::Write(file, at, bytes)),
            1 => file.clone().prop_map(Step::Cut),
            1 => file.clone().prop_map(Step::Remove),
            1 => (file.clone(), file).prop_map(|(from, to)| Step::Rename(from, to)),
            1 => Just(Step::MoveDir),
            1 => Just(Step::StartAgain),
        ]
    }

    fn path(file: u8) -> PathBuf {
        let dir = if file < 2 { "/d" } else { "/d/sub" };
        Path::new(dir).join(file.to_string())
    }

    proptest! {
        #[test]
        fn the_sum_is_what_a_walk_finds(steps in prop::collection::vec(step(), 0..40)) {
            let below = MemFs::new();
            for dir in ["/d", "/d/sub", "/d/else"] {
                below.create_dir(Path::new(dir)).unwrap();
            }
            let (mut fs, mut meter) = metered(&below);
            let mut held = Vec::new();
            for step in steps {
                match step {
                    Step::Write(file, at, bytes) => {
                        let path = path(file);
                        let file = fs.create(&path).or_else(|_| fs.open(&path, OpenMode::Append));
                        let Ok(file) = file else { continue };
                        file.write_at(at, &[IoSlice::new(&vec![1; bytes])]).unwrap();
                        held.push(file);
                    }
                    // Whoever holds a file that is gone still writes and cuts it.
                    Step::Cut(nth) => if let Some(file) = held.get(usize::from(nth)) {
                        file.set_len(file.len().unwrap() / 2).unwrap();
                        file.write_at(3, &[IoSlice::new(b"more")]).unwrap();
                    },
                    Step::Remove(file) => drop(fs.remove(&path(file))),
                    Step::Rename(from, to) if from != to => drop(fs.rename(&path(from), &path(to))),
                    Step::Rename(..) => {}
                    Step::MoveDir => {
                        if fs.rename(Path::new("/d/sub"), Path::new("/d/else/sub")).is_ok() {
                            fs.rename(Path::new("/d/else/sub"), Path::new("/d/sub")).unwrap();
                        }
                    }
                    Step::StartAgain => {
                        held.clear();
                        (fs, meter) = metered(&below);
                    }
                }
                prop_assert_eq!(meter.bytes(), walked(&below));
            }
        }
    }
}
