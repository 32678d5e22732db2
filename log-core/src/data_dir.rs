//! The data directory: its lock, its format, the mark of a clean stop, and where each log lies.
//!
//! Floor 6 of log-core.
//!
//! Invariants
//! - One handle at a time: the lock is held for as long as the value lives.
//! - The mark of a clean stop is gone, durably, before anything else is written.
//! - Nothing is deleted because nobody claims it: it is moved to `lost+found`, and only when asked.
//! - Directories are named by a topic's id and a partition's number; no name comes from outside.

mod clean;
mod final_sync;
#[cfg(test)]
mod tests;
mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_proto::clock::Now;

use self::final_sync::FinalSync;
use self::version::{Features, OURS};
use crate::checkpoint::{self, RecoveryPoint};
use crate::config::LogConfig;
use crate::envelope::EnvelopeError;
use crate::error::LogError;
use crate::fs::{DirLock, Fs, OpenMode};
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
        let fs: Arc<dyn Fs> = Arc::new(FinalSync { below: fs });
        create_dirs(&*fs, root)?;
        let lock = fs.lock(root).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => LogError::Locked {
                dir: root.to_owned(),
                why: error.to_string(),
            },
            _ => LogError::io("lock", root, error),
        })?;
        let is_new = check_version(&*fs, root)?;
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

    /// The logs that are there, known to anybody or not, in order.
    pub fn logs(&self) -> Result<Vec<LogId>, LogError> {
        let mut logs = Vec::new();
        let dir = self.root.join(LOGS);
        for name in self.list(&dir)? {
            let Some(topic) = topic_of(&name) else {
                continue;
            };
            for name in self.list(&dir.join(&name))? {
                logs.extend(partition_of(&name).map(|partition| LogId { topic, partition }));
            }
        }
        logs.sort_unstable();
        Ok(logs)
    }

    /// Makes the names of the logs' directories durable, after an unclean stop: one that a process
    /// has made before it died may be seen and not be there after a power cut.
    pub(crate) fn sync_names(&self) -> Result<(), LogError> {
        let logs = self.root.join(LOGS);
        let sync = |dir: &Path| {
            self.fs
                .sync_dir(dir)
                .map_err(|error| LogError::io("sync", dir, error))
        };
        for name in self.list(&logs)? {
            if topic_of(&name).is_some() {
                sync(&logs.join(name))?;
            }
        }
        sync(&logs)
    }

    /// What lies under `logs` and belongs to none of the `known` logs, as paths below the data
    /// directory, in order.
    pub fn unclaimed(&self, known: &BTreeSet<LogId>) -> Result<Vec<PathBuf>, LogError> {
        let topics: BTreeSet<[u8; 16]> = known.iter().map(|log| log.topic).collect();
        let mut unclaimed = Vec::new();
        for name in self.list(&self.root.join(LOGS))? {
            let below = Path::new(LOGS).join(&name);
            let Some(topic) = topic_of(&name).filter(|topic| topics.contains(topic)) else {
                unclaimed.push(below);
                continue;
            };
            for name in self.list(&self.root.join(&below))? {
                let log = partition_of(&name).map(|partition| LogId { topic, partition });
                if !log.is_some_and(|log| known.contains(&log)) {
                    unclaimed.push(below.join(&name));
                }
            }
        }
        unclaimed.sort_unstable();
        Ok(unclaimed)
    }

    /// Moves what [`Self::unclaimed`] lists to `lost+found`; answers where each went, as a path
    /// below the data directory. None of it may be open.
    pub(crate) fn set_aside(&self, known: &BTreeSet<LogId>) -> Result<Vec<PathBuf>, LogError> {
        let unclaimed = self.unclaimed(known)?;
        if unclaimed.is_empty() {
            return Ok(Vec::new());
        }
        create_dir(&*self.fs, &self.root, LOST)?;
        let lost = self.root.join(LOST);
        let mut taken: BTreeSet<String> = self.list(&lost)?.into_iter().collect();
        let mut moved = Vec::new();
        for below in unclaimed {
            let parts: Vec<_> = below
                .iter()
                .skip(1)
                .filter_map(|part| part.to_str())
                .collect();
            let wanted = parts.join("-");
            let name = (1..)
                .map(|n| {
                    if n == 1 {
                        wanted.clone()
                    } else {
                        format!("{wanted}.{n}")
                    }
                })
                .find(|name| taken.insert(name.clone()))
                .expect("there are more numbers than names");
            let (source, target) = (self.root.join(&below), lost.join(&name));
            let parent = source.parent().expect("it lies under logs").to_owned();
            self.fs
                .rename(&source, &target)
                .map_err(|error| LogError::io("move", &source, error))?;
            // The new name first: a crash in between shows it twice rather than nowhere.
            for dir in [&lost, &parent] {
                self.fs
                    .sync_dir(dir)
                    .map_err(|error| LogError::io("sync", dir, error))?;
            }
            tracing::warn!(from = %source.display(), to = %target.display(), "nobody claims it");
            moved.push(Path::new(LOST).join(name));
        }
        Ok(moved)
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
            point: None,
            clean: false,
        };
        let (fs, dir) = (Arc::clone(&self.fs), self.log_dir(id));
        let (mut log, _recovered) = Log::open(fs, dir, config, start, now)?;
        log.raise_epoch(epoch);
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
                point: self.points.get(&id).cloned(),
                clean,
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
        self.root
            .join(LOGS)
            .join(id.topic_dir())
            .join(id.partition.to_string())
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, LogError> {
        match self.fs.list(dir) {
            // A file where a directory is expected: it has no children, and nobody claims it.
            Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(Vec::new()),
            other => other.map_err(|error| LogError::io("list", dir, error)),
        }
    }
}

/// Creates `dir` and those above it that are missing.
fn create_dirs(fs: &dyn Fs, dir: &Path) -> Result<(), LogError> {
    match fs.list(dir) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(LogError::io("list", dir, error)),
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_dirs(fs, parent)?;
    }
    fs.create_dir(dir)
        .map_err(|error| LogError::io("create", dir, error))
}

/// Makes the name of a new data directory durable, and those above it: an earlier start may have
/// made them and died. Whatever cannot be synced further up was not made by us.
fn sync_names_above(fs: &dyn Fs, root: &Path) -> Result<(), LogError> {
    for (above, dir) in root.ancestors().skip(1).enumerate() {
        // With the dot a symbolic link is followed: only the data directory itself must be none.
        match fs.sync_dir(&dir.join(".")) {
            Ok(()) => {}
            Err(error)
                if above > 0
                    || matches!(
                        error.kind(),
                        ErrorKind::PermissionDenied | ErrorKind::NotFound
                    ) =>
            {
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
fn check_version(fs: &dyn Fs, root: &Path) -> Result<bool, LogError> {
    let file = root.join(VERSION);
    let corrupt = |why: String| LogError::Corrupt {
        file: file.clone(),
        position: Position(0),
        why,
    };
    let Some(bytes) = checkpoint::read_whole(fs, &file, OpenMode::Read, SMALL_FILE_BYTES_MAX)?
    else {
        let names = fs
            .list(root)
            .map_err(|error| LogError::io("list", root, error))?;
        // `VERSION` is durable before `logs` is created.
        if names.iter().any(|name| name == LOGS) {
            return Err(corrupt("it is missing, and there are logs".to_owned()));
        }
        sync_names_above(fs, root)?;
        checkpoint::replace(fs, root, VERSION, &OURS.encode())?;
        return Ok(true);
    };
    let features = match Features::decode(bytes) {
        Ok(features) => features,
        Err(error @ EnvelopeError::TooNew { .. }) => {
            return Err(LogError::TooNew {
                dir: root.to_owned(),
                why: error.to_string(),
            });
        }
        Err(error) => return Err(corrupt(error.to_string())),
    };
    if let Some(why) = features.refusal() {
        return Err(LogError::TooNew {
            dir: root.to_owned(),
            why,
        });
    }
    if features.with_ours() != features {
        checkpoint::replace(fs, root, VERSION, &features.with_ours().encode())?;
    }
    Ok(false)
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

/// The topic id that a directory's name stands for.
fn topic_of(name: &str) -> Option<[u8; 16]> {
    let is_hex = name
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if name.len() != 32 || !is_hex {
        return None;
    }
    Some(u128::from_str_radix(name, 16).ok()?.to_be_bytes())
}

/// The partition number that a directory's name stands for; only the one way to write it counts.
fn partition_of(name: &str) -> Option<u32> {
    name.parse()
        .ok()
        .filter(|partition: &u32| partition.to_string() == name)
}

const LOGS: &str = "logs";
const LOST: &str = "lost+found";
const VERSION: &str = "VERSION";
const CLEAN: &str = "CLEAN";
const SMALL_FILE_BYTES_MAX: u64 = 4096;
/// The mark of more than two million logs.
const CLEAN_BYTES_MAX: u64 = 64 << 20;
