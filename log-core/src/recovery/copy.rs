//! Copies bytes to `quarantine`, before they are cut off or given up.
//!
//! Floor 4 of log-core.
//!
//! Invariants
//! - A copy is durable, whole and in place when it has a name.
//! - Copied again after a crash, it has the same name and replaces the first copy.

use std::io::{ErrorKind, IoSlice};
use std::path::{Path, PathBuf};

use crate::checkpoint;
use crate::error::LogError;
use crate::fs::{File, Fs};

/// Where the copies of a log's bytes go: `quarantine` in the data directory, three levels above
/// the log's own directory, so that deleting a topic leaves them.
pub(crate) fn quarantine_of(dir: &Path) -> PathBuf {
    let root = dir.ancestors().nth(3).or_else(|| dir.parent());
    root.unwrap_or(dir).join(QUARANTINE)
}

/// The log's directory as a part of a file name: its last two names.
pub(crate) fn log_name(dir: &Path) -> String {
    let last: Vec<_> = dir.iter().rev().take(2).collect();
    let names: Vec<_> = last
        .into_iter()
        .rev()
        .map(|name| name.to_string_lossy())
        .collect();
    names.join("-")
}

/// Copies the bytes `[from, to)` of `file`, as far as it has them, to `quarantine/name`.
pub(crate) fn copy_aside(
    fs: &dyn Fs,
    quarantine: &Path,
    name: &str,
    file: &dyn File,
    from: u64,
    to: u64,
) -> Result<PathBuf, LogError> {
    let io = |error| LogError::io("copy to quarantine", quarantine, error);
    fs.create_dir(quarantine).map_err(io)?;
    if let Some(parent) = quarantine.parent() {
        fs.sync_dir(parent).map_err(io)?;
    }
    let target = quarantine.join(name);
    let source = quarantine.join(format!("{name}{}", checkpoint::TEMPORARY_SUFFIX));
    match fs.remove(&source) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let copy = fs.create(&source).map_err(io)?;
    let to = to.min(file.len().map_err(io)?);
    let mut at = from;
    while at < to {
        let length = usize::try_from(to - at).unwrap_or(usize::MAX);
        let piece = file.read_at(at, length.min(PIECE_BYTES)).map_err(io)?;
        if piece.is_empty() {
            return Err(io(ErrorKind::UnexpectedEof.into()));
        }
        copy.write_at(at - from, &[IoSlice::new(&piece)])
            .map_err(io)?;
        at += piece.len() as u64;
    }
    copy.sync().map_err(io)?;
    fs.rename(&source, &target).map_err(io)?;
    fs.sync_dir(quarantine).map_err(io)?;
    Ok(target)
}

/// Where copies go, in the data directory.
pub(crate) const QUARANTINE: &str = "quarantine";
/// What one step of a copy holds in memory.
const PIECE_BYTES: usize = 1 << 20;
