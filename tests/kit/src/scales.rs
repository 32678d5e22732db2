//! A disk that knows what the files of each directory take, and took at most.
//!
//! Invariants
//! - It changes nothing: the disk below sees the same calls.
//! - A peak is the true one: it is noted with each write, not looked at now and then.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use highwater_log::fs::{DirLock, File, Fs, OpenMode};

/// A disk that weighs what it holds, from its first file on. Clones are handles of the same disk.
#[derive(Clone, Debug)]
pub struct Scales {
    below: Arc<dyn Fs>,
    weights: Arc<Mutex<Weights>>,
}

#[derive(Debug, Default)]
struct Weights {
    files: BTreeMap<PathBuf, u64>,
    dirs: BTreeMap<PathBuf, Weight>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Weight {
    bytes: u64,
    bytes_max: u64,
}

impl Scales {
    /// Over a disk that holds nothing yet.
    #[must_use]
    pub fn over(below: Arc<dyn Fs>) -> Self {
        Self {
            below,
            weights: Arc::default(),
        }
    }

    /// The most bytes that the files of this directory have taken at a time since the last
    /// question; those of directories in it do not count.
    #[must_use]
    pub fn take_peak(&self, dir: &Path) -> u64 {
        let mut weights = self.weights();
        let Some(weight) = weights.dirs.get_mut(dir) else {
            return 0;
        };
        let bytes = weight.bytes;
        std::mem::replace(&mut weight.bytes_max, bytes)
    }

    fn weights(&self) -> MutexGuard<'_, Weights> {
        self.weights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, path: &Path, below: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(Weighed {
            below,
            path: path.to_owned(),
            scales: self.clone(),
        })
    }
}

impl Weights {
    fn set(&mut self, path: &Path, bytes: u64) {
        let before = match bytes {
            0 => self.files.remove(path),
            _ => self.files.insert(path.to_owned(), bytes),
        };
        let dir = path.parent().unwrap_or(path);
        let weight = match self.dirs.get_mut(dir) {
            Some(weight) => weight,
            None => self.dirs.entry(dir.to_owned()).or_default(),
        };
        weight.bytes = weight.bytes + bytes - before.unwrap_or(0);
        weight.bytes_max = weight.bytes_max.max(weight.bytes);
    }
}

impl Fs for Scales {
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.below.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.below.create_dir(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = self.below.create(path)?;
        self.weights().set(path, file.len()?);
        Ok(self.file(path, file))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        Ok(self.file(path, self.below.open(path, mode)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.below.rename(from, to)?;
        let mut weights = self.weights();
        let bytes = weights.files.get(from).copied().unwrap_or(0);
        weights.set(from, 0);
        weights.set(to, bytes);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.below.remove(path)?;
        self.weights().set(path, 0);
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
}

#[derive(Debug)]
struct Weighed {
    below: Arc<dyn File>,
    path: PathBuf,
    scales: Scales,
}

impl File for Weighed {
    fn len(&self) -> io::Result<u64> {
        self.below.len()
    }

    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.below.write_at(position, parts)?;
        let bytes = self.below.len()?;
        self.scales.weights().set(&self.path, bytes);
        Ok(())
    }

    fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        self.below.read_at(position, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.below.set_len(len)?;
        self.scales.weights().set(&self.path, len);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.below.sync()
    }
}

#[cfg(test)]
mod tests {
    use highwater_log::fs::mem::MemFs;

    use super::*;

    #[test]
    fn a_peak_is_kept_until_it_is_asked_for() {
        let disk = Scales::over(Arc::new(MemFs::new()));
        let dir = Path::new("/logs");
        disk.create_dir(dir).unwrap();
        assert_eq!(disk.take_peak(dir), 0);
        let [old, new, other] = ["/logs/old", "/logs/new", "/other"].map(Path::new);
        let file = disk.create(old).unwrap();
        file.write_at(0, &[IoSlice::new(b"12345")]).unwrap();
        disk.create(other)
            .unwrap()
            .write_at(0, &[IoSlice::new(b"elsewhere")])
            .unwrap();
        let opened = disk.open(old, OpenMode::Append).unwrap();
        opened.set_len(3).unwrap();
        disk.rename(old, new).unwrap();
        assert_eq!(disk.take_peak(dir), 5);
        assert_eq!(disk.take_peak(dir), 3);
        disk.remove(new).unwrap();
        assert_eq!(disk.take_peak(dir), 3);
        assert_eq!(disk.take_peak(dir), 0);
    }
}
