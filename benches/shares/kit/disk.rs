//! Where the data of the benches lies.

#![expect(
    clippy::disallowed_methods,
    reason = "the benches measure the disk itself"
)]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder on the disk, gone with its end.
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A new, empty folder; refused on a file system that is no disk.
    pub(crate) fn new(parent: &Path, name: &str) -> Result<Self, Box<dyn Error>> {
        let path = parent.join(format!("{name}-{}", std::process::id()));
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir_all(&path)?;
        let (kind, _) = file_system(&path)?;
        if matches!(kind.as_str(), "tmpfs" | "ramfs") {
            return Err(format!("{} lies in memory: set CARGO_TARGET_DIR", path.display()).into());
        }
        Ok(Self { path })
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file of it; gives the file's path.
    pub(crate) fn put(&self, name: &str, text: &str) -> Result<String, Box<dyn Error>> {
        let path = self.path.join(name);
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{} stays: {error}", self.path.display());
        }
    }
}

/// The build folder: the benches lie in it.
pub(crate) fn target_dir() -> Result<PathBuf, Box<dyn Error>> {
    let bench = std::env::current_exe()?;
    let target = bench
        .ancestors()
        .nth(3)
        .ok_or("the bench does not lie in a build folder")?;
    Ok(target.to_owned())
}

/// What the figures depend on beside the program, for the head of the table.
pub(crate) fn describe(path: &Path) -> Result<String, Box<dyn Error>> {
    let (kind, options) = file_system(path)?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let (cores, kernel) = (std::thread::available_parallelism()?, kernel.trim());
    Ok(format!(
        "{cores} cores, Linux {kernel}, {kind} ({options}), load {load} at the start"
    ))
}

/// Kind and options of the file system that holds a path: the mount with the longest path.
fn file_system(path: &Path) -> Result<(String, String), Box<dyn Error>> {
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

/// Writes a small file.
pub(crate) fn write(dir: &Path, name: &str, text: &str) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(dir)?;
    Ok(fs::write(dir.join(name), text)?)
}

/// The size of a file in bytes.
pub(crate) fn size(path: &Path) -> Result<u64, Box<dyn Error>> {
    Ok(fs::metadata(path)?.len())
}

/// A line of `/proc/PID/status` that is a number of KiB, in bytes.
pub(crate) fn memory(pid: u32, field: &str) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or("no such line")?;
    Ok(kib.parse::<u64>()? << 10)
}

/// The CPU time that a process or a thread has taken, in user and in kernel mode, in seconds: what
/// `getrusage` tells. It is `PID`, `self` or `thread-self`.
pub(crate) fn cpu(whose: &str) -> Result<f64, Box<dyn Error>> {
    let stat = fs::read_to_string(format!("/proc/{whose}/stat"))?;
    // The name before it may hold anything, spaces and parentheses included.
    let (_, fields) = stat.rsplit_once(')').ok_or("the line holds no name")?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks = ticks.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

/// Of the numbers in `/proc`, on every architecture that Linux has today.
const TICKS_PER_SECOND: f64 = 100.0;
