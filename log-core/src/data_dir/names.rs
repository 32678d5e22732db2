//! What lies under `logs`: whose it is, and what is nobody's.
//!
//! Floor 5 of log-core.
//!
//! Invariants
//! - Only the one way to write an id names a log; whatever else lies there is left alone.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{DataDir, LOGS, LOST, create_dir};
use crate::error::LogError;
use crate::fs::Fs;
use crate::types::LogId;

impl DataDir {
    /// The logs that are there, known to anybody or not, in order.
    pub fn logs(&self) -> Result<Vec<LogId>, LogError> {
        logs_in(&*self.fs, &self.root)
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
        for name in list(&*self.fs, &logs)? {
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
        for name in list(&*self.fs, &self.root.join(LOGS))? {
            let below = Path::new(LOGS).join(&name);
            let Some(topic) = topic_of(&name).filter(|topic| topics.contains(topic)) else {
                unclaimed.push(below);
                continue;
            };
            for name in list(&*self.fs, &self.root.join(&below))? {
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
        let mut taken: BTreeSet<String> = list(&*self.fs, &lost)?.into_iter().collect();
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
}

/// The log that has directories of these names.
pub(crate) fn log_named(topic: &str, partition: &str) -> Option<LogId> {
    Some(LogId {
        topic: topic_of(topic)?,
        partition: partition_of(partition)?,
    })
}

/// Where a log lies.
pub(crate) fn log_dir(root: &Path, id: LogId) -> PathBuf {
    root.join(LOGS)
        .join(id.topic_dir())
        .join(id.partition.to_string())
}

/// The logs below `root`, in order.
pub(super) fn logs_in(fs: &dyn Fs, root: &Path) -> Result<Vec<LogId>, LogError> {
    let mut logs = Vec::new();
    let dir = root.join(LOGS);
    for name in list(fs, &dir)? {
        let Some(topic) = topic_of(&name) else {
            continue;
        };
        for name in list(fs, &dir.join(&name))? {
            logs.extend(partition_of(&name).map(|partition| LogId { topic, partition }));
        }
    }
    logs.sort_unstable();
    Ok(logs)
}

fn list(fs: &dyn Fs, dir: &Path) -> Result<Vec<String>, LogError> {
    match fs.list(dir) {
        // A file where a directory is expected: it has no children, and nobody claims it.
        Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(Vec::new()),
        other => other.map_err(|error| LogError::io("list", dir, error)),
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
