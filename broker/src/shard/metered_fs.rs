//! A disk that counts how long its syncs take, whoever asks for them.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - It changes nothing: each call is handed on once, and its outcome is handed back.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use highwater_log::fs::{DirLock, File, Fs, OpenMode};
use highwater_proto::clock::Clock;

use crate::metrics::Metrics;

/// A disk, and where its syncs are counted.
#[derive(Debug)]
pub(super) struct MeteredFs {
    disk: Arc<dyn Fs>,
    meter: Meter,
}

#[derive(Debug)]
struct MeteredFile {
    file: Arc<dyn File>,
    meter: Meter,
}

#[derive(Clone)]
struct Meter {
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl MeteredFs {
    /// The disk itself, where nothing is counted.
    pub(super) fn over(
        disk: Arc<dyn Fs>,
        clock: &Arc<dyn Clock>,
        metrics: &Arc<Metrics>,
    ) -> Arc<dyn Fs> {
        if !metrics.is_on {
            return disk;
        }
        let (clock, metrics) = (Arc::clone(clock), Arc::clone(metrics));
        let meter = Meter { clock, metrics };
        Arc::new(Self { disk, meter })
    }

    fn metered(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        let meter = self.meter.clone();
        Arc::new(MeteredFile { file, meter })
    }
}

impl Meter {
    fn time(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let begun = self.clock.now().mono;
        let synced = sync();
        let took = self.clock.now().mono.since(begun);
        self.metrics.syncs.observe_time(took);
        if synced.is_err() {
            self.metrics.failed_syncs.increment();
        }
        synced
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meter")
    }
}

impl Fs for MeteredFs {
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.disk.create(path).map(|file| self.metered(file))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(path, mode)?;
        Ok(match mode {
            // What is only read is never synced.
            OpenMode::Read | OpenMode::Mapped => file,
            OpenMode::Append | OpenMode::Recover => self.metered(file),
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn lock(&self, dir: &Path) -> io::Result<DirLock> {
        self.disk.lock(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free_bytes(dir)
    }

    fn total_bytes(&self, dir: &Path) -> io::Result<Option<u64>> {
        self.disk.total_bytes(dir)
    }

    fn parallel_syncs(&self) -> usize {
        self.disk.parallel_syncs()
    }

    fn release_unused(&self) {
        self.disk.release_unused();
    }
}

impl File for MeteredFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn is_empty(&self) -> io::Result<bool> {
        self.file.is_empty()
    }

    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.file.write_at(position, parts)
    }

    fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        self.file.read_at(position, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.meter.time(|| self.file.sync())
    }
}
