//! What the system tells of processes, and where the data lies.

#![expect(
    clippy::disallowed_methods,
    reason = "the figures of processes stand in /proc"
)]

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Failure;

/// A folder on the disk, gone with its end; refused on a file system that is no disk.
pub(crate) fn folder() -> Result<TempDir, Failure> {
    // Below the build folder: the system's folder for such files may lie in memory.
    let parent = target_dir()?.join("peers-data");
    fs::create_dir_all(&parent)?;
    let (kind, _) = file_system(&parent)?;
    if matches!(kind.as_str(), "tmpfs" | "ramfs") {
        return Err(format!("{} lies in memory: set CARGO_TARGET_DIR", parent.display()).into());
    }
    Ok(tempfile::tempdir_in(parent)?)
}

/// The build folder of this workspace.
fn target_dir() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe()?;
    let target = program
        .ancestors()
        .nth(2)
        .ok_or("this program does not lie in a build folder")?;
    Ok(target.to_owned())
}

/// Writes the results, below the build folder.
pub(crate) fn keep(name: &str, text: &str) -> Result<PathBuf, Failure> {
    let folder = target_dir()?.join("bench");
    fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    fs::write(&path, text)?;
    Ok(path)
}

/// What the figures depend on beside the programs.
pub(crate) fn machine() -> Result<String, Failure> {
    let (kind, options) = file_system(&target_dir()?)?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let (cores, kernel) = (std::thread::available_parallelism()?, kernel.trim());
    Ok(format!(
        "{cores} cores, Linux {kernel}, {kind} ({options}), load {load} at the start"
    ))
}

/// Kind and options of the file system that holds a path: the mount with the longest path.
fn file_system(path: &Path) -> Result<(String, String), Failure> {
    let path = path.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let holder = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(|words| words.len() > 3 && path.starts_with(words[1]))
        .max_by_key(|words| words[1].len())
        .ok_or("no mount holds the build folder")?;
    Ok((holder[2].to_owned(), holder[3].to_owned()))
}

/// The last lines of a file of messages, for an error.
pub(crate) fn last_lines(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

/// The memory of a process that belongs to no file, resident, in bytes.
pub(crate) fn anonymous_bytes(process: u32) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or("the system does not tell RssAnon")?;
    Ok(kib.parse::<u64>()? << 10)
}

/// The CPU time that a process has taken, in user and in kernel mode.
pub(crate) fn cpu_seconds(process: impl ToString) -> Result<f64, Failure> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.to_string()))?;
    // The name before it may hold anything, spaces and parentheses included.
    let (_, fields) = stat.rsplit_once(')').ok_or("the line holds no name")?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks = ticks.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

/// Of the numbers in `/proc`, on every architecture that Linux has today.
const TICKS_PER_SECOND: f64 = 100.0;
