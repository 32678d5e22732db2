//! A disk that notes what is asked of it: how many bytes are read, and a sum of every call with its
//! arguments and its answer.
//!
//! Invariants
//! - It changes nothing: the disk below sees the same calls.
//! - The sum follows from the calls alone: two runs with the same sum made the same calls, in the
//!   same order, and got the same answers.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use highwater_log::fs::{DirLock, File, Fs, OpenMode};

/// What was noted. Clones are handles of the same notes.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    notes: Arc<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    log_bytes: AtomicU64,
    other_bytes: AtomicU64,
    /// Nothing: nobody asked for a sum.
    sum: Option<Mutex<DefaultHasher>>,
}

impl Watch {
    /// Notes that go on to a sum of all events.
    #[must_use]
    pub fn summing() -> Self {
        // The keys of this hasher are constants.
        let sum = Some(Mutex::new(DefaultHasher::new()));
        Self {
            notes: Arc::new(Notes {
                sum,
                ..Notes::default()
            }),
        }
    }

    /// The disk, watched.
    #[must_use]
    pub fn over(&self, disk: Arc<dyn Fs>) -> Arc<dyn Fs> {
        Arc::new(WatchedFs {
            disk,
            watch: self.clone(),
        })
    }

    /// Bytes read so far: of segments, and of all other files.
    #[must_use]
    pub fn read_bytes(&self) -> [u64; 2] {
        let notes = &self.notes;
        [&notes.log_bytes, &notes.other_bytes].map(|bytes| bytes.load(Ordering::Relaxed))
    }

    /// Adds an event to the sum.
    pub fn note(&self, event: impl fmt::Debug) {
        if let Some(sum) = &self.notes.sum {
            let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
            format!("{event:?}").hash(&mut *sum);
        }
    }

    /// The sum of all events so far; 0 without one.
    #[must_use]
    pub fn sum(&self) -> u64 {
        let sum = self.notes.sum.as_ref();
        sum.map_or(0, |sum| {
            sum.lock().unwrap_or_else(PoisonError::into_inner).finish()
        })
    }

    /// Adds a call and what it answered.
    fn call<T: fmt::Debug>(
        &self,
        call: fmt::Arguments<'_>,
        answer: io::Result<T>,
    ) -> io::Result<T> {
        if self.notes.sum.is_some() {
            match &answer {
                Ok(value) => self.note(format_args!("{call} {value:?}")),
                Err(error) => self.note(format_args!("{call} {error}")),
            }
        }
        answer
    }
}

#[derive(Debug)]
struct WatchedFs {
    disk: Arc<dyn Fs>,
    watch: Watch,
}

impl WatchedFs {
    fn file(&self, path: &Path, file: io::Result<Arc<dyn File>>) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(WatchedFile {
            file: file?,
            is_log: path.extension().is_some_and(|end| end == "log"),
            path: path.to_owned(),
            watch: self.watch.clone(),
        }))
    }
}

impl Fs for WatchedFs {
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let answer = self.disk.list(dir);
        self.watch.call(format_args!("list {dir:?}"), answer)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let answer = self.disk.create_dir(dir);
        self.watch.call(format_args!("create_dir {dir:?}"), answer)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let answer = self.file(path, self.disk.create(path));
        let told = answer.as_ref().map(|_| ()).map_err(copy);
        let _told = self.watch.call(format_args!("create {path:?}"), told);
        answer
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let answer = self.file(path, self.disk.open(path, mode));
        let told = answer.as_ref().map(|_| ()).map_err(copy);
        let _told = self
            .watch
            .call(format_args!("open {path:?} {mode:?}"), told);
        answer
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let answer = self.disk.rename(from, to);
        self.watch
            .call(format_args!("rename {from:?} {to:?}"), answer)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let answer = self.disk.remove(path);
        self.watch.call(format_args!("remove {path:?}"), answer)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let answer = self.disk.sync_dir(dir);
        self.watch.call(format_args!("sync_dir {dir:?}"), answer)
    }

    fn lock(&self, dir: &Path) -> io::Result<DirLock> {
        let answer = self.disk.lock(dir);
        self.watch.call(format_args!("lock {dir:?}"), answer)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let answer = self.disk.free_bytes(dir);
        self.watch.call(format_args!("free_bytes {dir:?}"), answer)
    }

    fn total_bytes(&self, dir: &Path) -> io::Result<Option<u64>> {
        let answer = self.disk.total_bytes(dir);
        self.watch.call(format_args!("total_bytes {dir:?}"), answer)
    }

    fn parallel_syncs(&self) -> usize {
        self.disk.parallel_syncs()
    }
}

#[derive(Debug)]
struct WatchedFile {
    file: Arc<dyn File>,
    path: PathBuf,
    is_log: bool,
    watch: Watch,
}

impl File for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        let answer = self.file.len();
        self.watch.call(format_args!("len {:?}", self.path), answer)
    }

    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let answer = self.file.write_at(position, parts);
        let call = format_args!("write {:?} {position} {parts:?}", self.path);
        self.watch.call(call, answer)
    }

    fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        let answer = self.file.read_at(position, len);
        if let Ok(bytes) = &answer {
            let notes = &self.watch.notes;
            let count = match self.is_log {
                true => &notes.log_bytes,
                false => &notes.other_bytes,
            };
            count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        let call = format_args!("read {:?} {position} {len}", self.path);
        self.watch.call(call, answer)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let answer = self.file.set_len(len);
        self.watch
            .call(format_args!("set_len {:?} {len}", self.path), answer)
    }

    fn sync(&self) -> io::Result<()> {
        let answer = self.file.sync();
        self.watch
            .call(format_args!("sync {:?}", self.path), answer)
    }
}

fn copy(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}
