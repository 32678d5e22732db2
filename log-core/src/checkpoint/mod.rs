//! Small durable state beside the logs: a file that is replaced whole, and a pair of slots that
//! are written in turn.
//!
//! Floor 2 of log-core.
//!
//! Invariants
//! - A replaced file holds the old state or the new one, at every moment of a crash: the new
//!   bytes are synced under a temporary name before the rename, and the directory after it.
//! - Of an A/B pair the slot that holds the newest valid state is never the one being written.

mod pair;
mod records;

use std::io::IoSlice;
use std::path::Path;

use bytes::Bytes;

pub use self::pair::AbFile;
pub use self::records::{Damage, LogCheckpoint, MovedProducers, RecoveryPoint, SealedInfo};
use crate::error::LogError;
use crate::fs::{Fs, OpenMode};

/// Ends the names of files that are not in place yet; recovery removes them.
pub const TEMPORARY_SUFFIX: &str = ".tmp";

/// Replaces `dir/name` by `bytes`, atomically, and durable when it returns.
pub fn replace(fs: &dyn Fs, dir: &Path, name: &str, bytes: &[u8]) -> Result<(), LogError> {
    stage(fs, dir, name, bytes)?.commit(fs)?;
    fs.sync_dir(dir)
        .map_err(|source| LogError::io("sync", dir, source))
}

/// Writes and syncs the new bytes under the temporary name, for a caller that renames several
/// files and syncs their directory once.
pub(crate) fn stage(fs: &dyn Fs, dir: &Path, name: &str, bytes: &[u8]) -> Result<Staged, LogError> {
    let source = dir.join(format!("{name}{TEMPORARY_SUFFIX}"));
    let target = dir.join(name);
    let file = match fs.create(&source) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            fs.remove(&source)
                .map_err(|error| LogError::io("remove", &source, error))?;
            fs.create(&source)
        }
        other => other,
    }
    .map_err(|error| LogError::io("create", &source, error))?;
    file.write_at(0, &[IoSlice::new(bytes)])
        .map_err(|error| LogError::io("write", &source, error))?;
    file.sync()
        .map_err(|error| LogError::io("sync", &source, error))?;
    Ok(Staged { source, target })
}

/// A synced temporary file, waiting for its name.
#[derive(Debug)]
pub(crate) struct Staged {
    source: std::path::PathBuf,
    target: std::path::PathBuf,
}

impl Staged {
    /// Gives the file its name; durable once the caller has synced the directory.
    pub(crate) fn commit(self, fs: &dyn Fs) -> Result<(), LogError> {
        fs.rename(&self.source, &self.target)
            .map_err(|error| LogError::io("rename", &self.source, error))
    }
}

/// Reads a small file whole; `None` if there is none.
///
/// # Errors
/// The disk's, and [`LogError::Corrupt`] for a file larger than `bytes_max`.
pub fn read_whole(
    fs: &dyn Fs,
    path: &Path,
    mode: OpenMode,
    bytes_max: u64,
) -> Result<Option<Bytes>, LogError> {
    let file = match fs.open(path, mode) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LogError::io("open", path, error)),
    };
    let len = file
        .len()
        .map_err(|error| LogError::io("measure", path, error))?;
    let len = match usize::try_from(len) {
        Ok(len_usize) if len <= bytes_max => len_usize,
        _ => {
            return Err(LogError::Corrupt {
                file: path.to_owned(),
                position: crate::types::Position(bytes_max),
                why: format!("it has {len} bytes, more than the {bytes_max} it may have"),
            });
        }
    };
    file.read_at(0, len)
        .map(Some)
        .map_err(|error| LogError::io("read", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::mem::MemFs;

    #[test]
    fn a_replaced_file_holds_the_new_bytes_and_leaves_no_temporary() {
        let fs = MemFs::new();
        let dir = Path::new("/d");
        fs.create_dir(dir).unwrap();
        replace(&fs, dir, "state", b"first, and longer").unwrap();
        replace(&fs, dir, "state", b"second").unwrap();
        let path = dir.join("state");
        let back = read_whole(&fs, &path, OpenMode::Read, 100)
            .unwrap()
            .unwrap();
        assert_eq!(&back[..], b"second");
        assert_eq!(fs.list(dir).unwrap(), ["state"]);
    }

    #[test]
    fn a_leftover_temporary_is_overwritten() {
        let fs = MemFs::new();
        let dir = Path::new("/d");
        fs.create_dir(dir).unwrap();
        let left = fs.create(&dir.join("state.tmp")).unwrap();
        left.write_at(0, &[IoSlice::new(b"a longer rest of a crash")])
            .unwrap();
        replace(&fs, dir, "state", b"new").unwrap();
        let back = read_whole(&fs, &dir.join("state"), OpenMode::Read, 100)
            .unwrap()
            .unwrap();
        assert_eq!(&back[..], b"new");
    }

    #[test]
    fn a_missing_file_is_none_and_a_huge_one_is_corrupt() {
        let fs = MemFs::new();
        let dir = Path::new("/d");
        fs.create_dir(dir).unwrap();
        let path = dir.join("state");
        assert!(read_whole(&fs, &path, OpenMode::Read, 3).unwrap().is_none());
        replace(&fs, dir, "state", b"1234").unwrap();
        let error = read_whole(&fs, &path, OpenMode::Read, 3).unwrap_err();
        assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
    }
}
