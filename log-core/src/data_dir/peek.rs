//! A data directory that is only looked at.
//!
//! Floor 5 of log-core.
//!
//! Invariants
//! - Nothing is created, changed or removed, but for the holder's name in the lock file.
//! - The directory is locked if it was ever in use, so that no broker changes what is looked at.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::{LOGS, bad_version, features_of, lock, names, read_clean, read_version, too_new};
use crate::checkpoint::RecoveryPoint;
use crate::error::LogError;
use crate::fs::{DirLock, Fs, LOCK_FILE, OpenMode};
use crate::recovery_points::RecoveryPoints;
use crate::types::{LogId, Offset};

/// What the small files of a data directory say.
#[derive(Debug)]
pub(crate) struct Peek {
    pub(crate) root: PathBuf,
    pub(crate) logs: Vec<LogId>,
    /// The logs' ends at a clean stop.
    pub(crate) clean: Option<BTreeMap<LogId, Offset>>,
    pub(crate) points: BTreeMap<LogId, RecoveryPoint>,
    /// Whether they are the last ones that were written.
    pub(crate) is_newest: bool,
    /// Why no handle can be opened, if `VERSION` is missing or damaged.
    pub(crate) version_damage: Option<String>,
    _lock: Option<DirLock>,
}

impl Peek {
    /// Locks and reads the directory.
    ///
    /// # Errors
    /// As of [`DataDir::open`](super::DataDir::open), but for a `VERSION` that is damaged, or
    /// missing where there are logs; [`LogError::Corrupt`] without both.
    pub(crate) fn new(fs: &Arc<dyn Fs>, root: &Path) -> Result<Self, LogError> {
        let listed = fs
            .list(root)
            .map_err(|error| LogError::io("list", root, error))?;
        let lock = match listed.iter().any(|name| name == LOCK_FILE) {
            true => lock_if_it_can_change(&**fs, root)?,
            // A copy: whoever opens it makes the file first.
            false => None,
        };
        let version_damage = match read_version(&**fs, root) {
            Err(LogError::Corrupt { why, .. }) => Some(why),
            Err(error) => return Err(error),
            Ok(version) => damage_of(version, root, &listed)?,
        };
        let (file, points) = RecoveryPoints::open(Arc::clone(fs), root, OpenMode::Read)?;
        Ok(Self {
            is_newest: file.is_whole(),
            root: root.to_owned(),
            logs: names::logs_in(&**fs, root)?,
            clean: read_clean(&**fs, root)?,
            points,
            version_damage,
            _lock: lock,
        })
    }

    /// The recovery point of the log that lies in `dir`, if `root` is its data directory. Nothing
    /// is locked.
    pub(crate) fn point_of(
        fs: &Arc<dyn Fs>,
        root: &Path,
        dir: &Path,
    ) -> Result<Option<RecoveryPoint>, LogError> {
        if read_version(&**fs, root)?.is_none() {
            return Ok(None);
        }
        let (_, points) = RecoveryPoints::open(Arc::clone(fs), root, OpenMode::Read)?;
        let is_it = |id: &LogId| names::log_dir(root, *id) == dir;
        Ok(points
            .into_iter()
            .find(|(id, _)| is_it(id))
            .map(|(_, point)| point))
    }

    pub(crate) fn log_dir(&self, id: LogId) -> PathBuf {
        names::log_dir(&self.root, id)
    }
}

/// Why no handle can be opened with this `VERSION`.
fn damage_of(
    version: Option<Bytes>,
    root: &Path,
    listed: &[String],
) -> Result<Option<String>, LogError> {
    let Some(version) = version else {
        let has_logs = listed.iter().any(|name| name == LOGS);
        let missing = "it is missing";
        return match has_logs {
            true => Ok(Some(missing.to_owned())),
            false => Err(bad_version(root, missing)),
        };
    };
    match features_of(version, root) {
        Ok(features) => features
            .refusal_to_read()
            .map_or(Ok(None), |why| too_new(root, why)),
        Err(LogError::Corrupt { why, .. }) => Ok(Some(why)),
        Err(error) => Err(error),
    }
}

/// Nobody writes to a medium that is mounted for reading.
fn lock_if_it_can_change(fs: &dyn Fs, root: &Path) -> Result<Option<DirLock>, LogError> {
    match lock(fs, root) {
        Err(LogError::Io { source, .. }) if source.kind() == ErrorKind::ReadOnlyFilesystem => {
            Ok(None)
        }
        other => other.map(Some),
    }
}
