//! The data directory: its lock, its format, the mark of a clean stop, and where each log lies.
//!
//! Floor 5 of log-core.
//!
//! Invariants
//! - One handle at a time: the lock is held for as long as the value lives.
//! - The mark of a clean stop is gone, durably, before anything else is written.
//! - Nothing is deleted because nobody claims it: it is moved to `lost+found`, and only when asked.
//! - Directories are named by a topic's id and a partition's number; no name comes from outside.

mod clean;
mod final_sync;
mod mend;
mod meter;
mod names;
mod peek;
#[cfg(test)]
mod tests;
mod version;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use highwater_proto::clock::Now;

use self::final_sync::FinalSync;
pub(crate) use self::mend::mend_version;
pub(crate) use self::meter::Meter;
use self::meter::Metered;
pub(crate) use self::names::{log_dir, log_named};
pub(crate) use self::peek::Peek;
use self::version::{Features, OURS};
use crate::checkpoint::{self, RecoveryPoint};
use crate::config::LogConfig;
use crate::envelope::EnvelopeError;
use crate::error::LogError;
use crate::fs::{DirLock, Fs, OpenMode};
use crate::keys::KeySeed;
use crate::log::{Log, Recovered, RecoveryStart};
use crate::recovery_points::RecoveryPoints;
use crate::types::{LeaderEpoch, LogId, Offset, Position};

/// A locked data directory, before its logs are opened by a shard.
///
/// ```
/// use std::path::Path;
/// use std::sync::Arc;
/// use highwater_log::data_dir::DataDir;
/// use highwater_log::fs::mem::MemFs;
///
/// let dir = DataDir::open(Arc::new(MemFs::new()), Path::new("/data"))?;
/// assert!(dir.is_new() && dir.logs()?.is_empty());
/// # Ok::<(), highwater_log::error::LogError>(())
/// ```
#[derive(Debug)]
pub struct DataDir {
    fs: Arc<dyn Fs>,
    root: PathBuf,
    is_new: bool,
    /// The logs' ends at a clean stop.
    clean: Option<BTreeMap<LogId, Offset>>,
    points: BTreeMap<LogId, RecoveryPoint>,
    points_file: RecoveryPoints,
    meter: Arc<Meter>,
    key_seed: KeySeed,
    lock: Option<DirLock>,
}

impl DataDir {
    /// Locks the directory, which is created with those above it if it is missing, and reads what
    /// says how to open its logs.
    ///
    /// # Errors
    /// [`LogError::Locked`] if another process or handle has it; [`LogError::TooNew`] if a newer
    /// version wrote it; [`LogError::Corrupt`] if there are logs and `VERSION` is missing or
    /// damaged, which no crash does; the disk's.
    pub fn open(fs: Arc<dyn Fs>, root: &Path) -> Result<Self, LogError> {
        let meter = Arc::new(Meter::new());
        let below = Arc::new(Metered {
            below: fs,
            meter: Arc::clone(&meter),
        });
        let fs: Arc<dyn Fs> = Arc::new(FinalSync { below });
        let made_count = create_dirs(&*fs, root)?;
        let lock = lock(&*fs, root)?;
        let is_new = check_version(&*fs, root, made_count)?;
        create_dir(&*fs, root, LOGS)?;
        let clean = read_clean(&*fs, root)?;
        let mode = if clean.is_some() {
            OpenMode::Read
        } else {
            OpenMode::Recover
        };
        let (points_file, points) = RecoveryPoints::open(Arc::clone(&fs), root, mode)?;
        let root = root.to_owned();
        Ok(Self {
            fs,
            root,
            is_new,
            clean,
            points,
            points_file,
            meter,
            key_seed: KeySeed::default(),
            lock: Some(lock),
        })
    }

    /// Whether the directory was made just now.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Whether the last stop was clean. A new directory was not stopped at all.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.clean.is_some()
    }

    /// Measures the directory, once, and counts what becomes of it from now on. Nothing may have
    /// been opened yet.
    pub(crate) fn measure(&self) -> Result<Arc<Meter>, LogError> {
        self.meter.begin(&*self.fs, &self.root)?;
        Ok(Arc::clone(&self.meter))
    }

    /// Hashes the keys of logs that get their key index from now on with this.
    pub(crate) fn set_key_seed(&mut self, seed: KeySeed) {
        self.key_seed = seed;
    }

    /// Makes a log; one that an earlier attempt has left is opened.
    pub(crate) fn create_log(
        &self,
        id: LogId,
        config: LogConfig,
        epoch: LeaderEpoch,
        now: Now,
    ) -> Result<Log, LogError> {
        let topic = id.topic_dir();
        create_dir(&*self.fs, &self.root.join(LOGS), &topic)?;
        create_dir(
            &*self.fs,
            &self.root.join(LOGS).join(topic),
            &id.partition.to_string(),
        )?;
        let start = RecoveryStart {
            epoch,
            key_seed: self.key_seed,
            ..RecoveryStart::unknown(id)
        };
        let (fs, dir) = (Arc::clone(&self.fs), self.log_dir(id));
        let (mut log, _recovered) = Log::open(fs, dir, config, start, now)?;
        log.note_epoch(epoch, now)?;
        Ok(log)
    }

    /// Opens a log that is there.
    ///
    /// After a clean stop the log must end where it ended then. If it does not, it is opened again
    /// as after a crash.
    pub(crate) fn open_log(
        &self,
        id: LogId,
        config: &LogConfig,
        now: Now,
    ) -> Result<(Log, Recovered), LogError> {
        let open = |clean| {
            let start = RecoveryStart {
                id,
                point: self.points.get(&id).cloned(),
                clean,
                is_newest: self.points_file.is_whole(),
                epoch: LeaderEpoch(0),
                key_seed: self.key_seed,
            };
            let (fs, dir) = (Arc::clone(&self.fs), self.log_dir(id));
            Log::open(fs, dir, config.clone(), start, now)
        };
        let Some(end) = self.stopped_at(id) else {
            return open(false);
        };
        let (log, recovered) = open(true)?;
        if log.marks().end() == end {
            return Ok((log, recovered));
        }
        let found = log.marks().end();
        tracing::error!(log = %id, expected = %end, %found, "the log does not end where it was closed");
        drop(log);
        open(false)
    }

    /// Where a log ended at the last stop, if that was clean.
    pub(crate) fn stopped_at(&self, id: LogId) -> Option<Offset> {
        self.clean.as_ref()?.get(&id).copied()
    }

    /// Removes the mark of a clean stop: from now on a stop is unclean.
    pub(crate) fn mark_in_use(&self) -> Result<(), LogError> {
        let path = self.root.join(CLEAN);
        match self.fs.remove(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|error| LogError::io("remove", &path, error))?,
        }
        self.fs
            .sync_dir(&self.root)
            .map_err(|error| LogError::io("sync", &self.root, error))
    }

    /// Marks a clean stop, once every log is synced up to the end given here.
    pub(crate) fn mark_clean(&self, ends: &BTreeMap<LogId, Offset>) -> Result<(), LogError> {
        checkpoint::replace(&*self.fs, &self.root, CLEAN, &clean::encode(ends))
    }

    /// Replaces the recovery points.
    pub(crate) fn write_points(
        &mut self,
        points: &[(LogId, RecoveryPoint)],
    ) -> Result<(), LogError> {
        self.points_file.write(points)
    }

    /// Removes what there is of a log, which is closed, and its topic's directory with the last
    /// of its logs; durable when it returns.
    pub(crate) fn remove_log(&self, id: LogId) -> Result<(), LogError> {
        let dir = self.log_dir(id);
        let topic = self.root.join(LOGS).join(id.topic_dir());
        match self.fs.list(&dir) {
            Ok(names) => {
                for name in names {
                    self.remove(&dir.join(name))?;
                }
                self.remove(&dir)?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(LogError::io("list", &dir, error)),
        }
        // Also after an earlier attempt that got no further: its names may not be gone for good.
        match self.fs.sync_dir(&topic) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => other.map_err(|error| LogError::io("sync", &topic, error))?,
        }
        if self.remove(&topic)? {
            let logs = self.root.join(LOGS);
            self.fs
                .sync_dir(&logs)
                .map_err(|error| LogError::io("sync", &logs, error))?;
        }
        Ok(())
    }

    /// Removes a file or an empty directory. Whether it is gone.
    fn remove(&self, path: &Path) -> Result<bool, LogError> {
        match self.fs.remove(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(false),
            Err(error) => Err(LogError::io("remove", path, error)),
        }
    }

    /// Lets another handle open the directory. Nothing is written after that.
    pub(crate) fn unlock(&mut self) {
        self.lock = None;
    }

    pub(crate) fn fs(&self) -> &Arc<dyn Fs> {
        &self.fs
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn log_dir(&self, id: LogId) -> PathBuf {
        log_dir(&self.root, id)
    }
}

fn lock(fs: &dyn Fs, root: &Path) -> Result<DirLock, LogError> {
    fs.lock(root).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => LogError::Locked {
            dir: root.to_owned(),
            why: error.to_string(),
        },
        _ => LogError::io("lock", root, error),
    })
}

/// Creates `dir` and those above it that are missing; how many were.
fn create_dirs(fs: &dyn Fs, dir: &Path) -> Result<usize, LogError> {
    match fs.list(dir) {
        Ok(_) => return Ok(0),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(LogError::io("list", dir, error)),
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let made_count = parent.map_or(Ok(0), |parent| create_dirs(fs, parent))?;
    fs.create_dir(dir)
        .map_err(|error| LogError::io("create", dir, error))?;
    Ok(made_count + 1)
}

/// Makes the name of a new data directory durable, and those above it: an earlier start may have
/// made them and died. Names that were made just now must be; what cannot be synced further up was
/// not made by us.
fn sync_names_above(fs: &dyn Fs, root: &Path, made_count: usize) -> Result<(), LogError> {
    for (above, dir) in root.ancestors().skip(1).enumerate() {
        let may_be_closed = |error: &io::Error| {
            let kind = error.kind();
            above > 0 || matches!(kind, ErrorKind::PermissionDenied | ErrorKind::NotFound)
        };
        // With the dot a symbolic link is followed: only the data directory itself must be none.
        match fs.sync_dir(&dir.join(".")) {
            Ok(()) => {}
            Err(error) if above >= made_count && may_be_closed(&error) => {
                tracing::debug!(dir = %dir.display(), %error, "a directory above is not synced");
            }
            Err(error) => return Err(LogError::io("sync", dir, error)),
        }
    }
    Ok(())
}

/// Creates a directory in `root`, durably.
fn create_dir(fs: &dyn Fs, root: &Path, name: &str) -> Result<(), LogError> {
    let dir = root.join(name);
    fs.create_dir(&dir)
        .map_err(|error| LogError::io("create", &dir, error))?;
    fs.sync_dir(root)
        .map_err(|error| LogError::io("sync", root, error))
}

/// Refuses what this version must not open; marks a new directory as ours. Whether it was new.
fn check_version(fs: &dyn Fs, root: &Path, made_count: usize) -> Result<bool, LogError> {
    let Some(bytes) = read_version(fs, root)? else {
        let names = fs
            .list(root)
            .map_err(|error| LogError::io("list", root, error))?;
        // `VERSION` is durable before `logs` is created.
        if names.iter().any(|name| name == LOGS) {
            return Err(bad_version(root, "it is missing, and there are logs"));
        }
        sync_names_above(fs, root, made_count)?;
        checkpoint::replace(fs, root, VERSION, &OURS.encode())?;
        return Ok(true);
    };
    let features = features_of(bytes, root)?;
    features
        .refusal()
        .map_or(Ok(()), |why| too_new(root, why))?;
    if features.with_ours() != features {
        checkpoint::replace(fs, root, VERSION, &features.with_ours().encode())?;
    }
    Ok(false)
}

fn read_version(fs: &dyn Fs, root: &Path) -> Result<Option<Bytes>, LogError> {
    checkpoint::read_whole(
        fs,
        &root.join(VERSION),
        OpenMode::Read,
        SMALL_FILE_BYTES_MAX,
    )
}

fn features_of(version: Bytes, root: &Path) -> Result<Features, LogError> {
    Features::decode(version).or_else(|error| match error {
        EnvelopeError::TooNew { .. } => too_new(root, error.to_string()),
        error => Err(bad_version(root, &error.to_string())),
    })
}

fn too_new<T>(root: &Path, why: String) -> Result<T, LogError> {
    Err(LogError::TooNew {
        dir: root.to_owned(),
        why,
    })
}

fn bad_version(root: &Path, why: &str) -> LogError {
    LogError::Corrupt {
        file: root.join(VERSION),
        position: Position(0),
        why: why.to_owned(),
    }
}

/// The ends of the last clean stop; a damaged mark is none.
fn read_clean(fs: &dyn Fs, root: &Path) -> Result<Option<BTreeMap<LogId, Offset>>, LogError> {
    let path = root.join(CLEAN);
    let bytes = checkpoint::read_whole(fs, &path, OpenMode::Read, CLEAN_BYTES_MAX)?;
    match bytes.map(clean::decode).transpose() {
        Ok(ends) => Ok(ends),
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "not a mark of a clean stop");
            Ok(None)
        }
    }
}

pub(crate) const LOGS: &str = "logs";
pub(crate) const LOST: &str = "lost+found";
pub(crate) const VERSION: &str = "VERSION";
const CLEAN: &str = "CLEAN";
const SMALL_FILE_BYTES_MAX: u64 = 4096;
/// The mark of more than two million logs.
const CLEAN_BYTES_MAX: u64 = 64 << 20;
