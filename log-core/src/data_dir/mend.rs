//! What a repair does to the small files of a data directory that no start does without.
//!
//! Floor 5 of log-core.
//!
//! Invariants
//! - What is replaced is copied to `quarantine` before, durably.
//! - A directory of a newer version is not touched.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{DataDir, LOGS, VERSION, bad_version, features_of, lock, read_version};
use crate::checkpoint;
use crate::data_dir::version::OURS;
use crate::error::LogError;
use crate::fs::{Fs, OpenMode};
use crate::recovery::{QUARANTINE, copy_aside};

/// Makes a `VERSION` that is missing or damaged anew; answers the copy of a damaged one. What the
/// files use, every version that could have written them has: newer ones name themselves in the
/// other files, too.
///
/// # Errors
/// As of [`DataDir::open`]; [`LogError::Corrupt`] if there are no logs either.
pub(crate) fn mend_version(fs: &dyn Fs, root: &Path) -> Result<Option<PathBuf>, LogError> {
    let _lock = lock(fs, root)?;
    let names = fs
        .list(root)
        .map_err(|error| LogError::io("list", root, error))?;
    let version = read_version(fs, root);
    let decoded = version.and_then(|version| version.map(|v| features_of(v, root)).transpose());
    let copy = match decoded {
        Ok(None) if names.iter().any(|name| name == LOGS) => None,
        Ok(None) => return Err(bad_version(root, "it is missing, and there are no logs")),
        Ok(Some(_)) => return Ok(None),
        Err(LogError::Corrupt { .. }) => copy_file(fs, root, VERSION)?,
        Err(error) => return Err(error),
    };
    checkpoint::replace(fs, root, VERSION, &OURS.encode())?;
    Ok(copy)
}

impl DataDir {
    /// Copies files of the directory to `quarantine`, as far as there are any.
    pub(crate) fn copy_aside(&self, names: &[&str]) -> Result<Vec<PathBuf>, LogError> {
        let copy = |name: &&str| copy_file(&*self.fs, &self.root, name).transpose();
        names.iter().filter_map(copy).collect()
    }
}

/// `None` if there is no such file, or nothing in it.
fn copy_file(fs: &dyn Fs, root: &Path, name: &str) -> Result<Option<PathBuf>, LogError> {
    let path = root.join(name);
    let file = match fs.open(&path, OpenMode::Read) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| LogError::io("open", &path, error))?,
    };
    let len = file
        .len()
        .map_err(|error| LogError::io("measure", &path, error))?;
    if len == 0 {
        return Ok(None);
    }
    let quarantine = root.join(QUARANTINE);
    copy_aside(fs, &quarantine, &format!("{name}.bad"), &*file, 0, len).map(Some)
}
