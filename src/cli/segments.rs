//! The segments below a folder.
//!
//! Floor 1 of cli.

use std::path::{Path, PathBuf};

use highwater_log::error::LogError;
use highwater_log::fs::Fs;

use crate::cli::failure::Failure;

/// The `.log` files of a data directory, of one log, or the one file itself; in the order of
/// their names.
pub(crate) fn segments(fs: &dyn Fs, path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.exists() {
        return Err(Failure::Failed(format!("there is no {}", path.display())));
    }
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    walk(fs, path, DEPTH_MAX, &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(fs: &dyn Fs, dir: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let names = fs
        .list(dir)
        .map_err(|error| LogError::io("list", dir, error))?;
    for name in names {
        let path = dir.join(&name);
        if path.is_dir() {
            if depth > 0 {
                walk(fs, &path, depth - 1, found)?;
            }
        } else if is_segment(&name) {
            found.push(path);
        }
    }
    Ok(())
}

/// A segment is named by its first offset.
fn is_segment(name: &str) -> bool {
    let digits = name.strip_suffix(".log").unwrap_or_default();
    digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// A data directory has its logs in logs/TOPIC/PARTITION.
const DEPTH_MAX: usize = 4;
