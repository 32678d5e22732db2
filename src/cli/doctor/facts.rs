//! What is known about a data directory and the machine below it, before anybody judges.
//!
//! Floor 6 of cli. Values only.

use std::path::PathBuf;
use std::time::Duration;

use highwater_log::inspect::Survey;

use super::mounts::Mount;

/// Everything that is judged.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) dir: PathBuf,
    /// The clock, in milliseconds since 1970.
    pub(super) now_ms: i64,
    /// The file system; `None` where that cannot be known.
    pub(super) mount: Option<Mount>,
    /// What the kernel says about the disk's own cache: `write back` or `write through`.
    pub(super) write_cache: Option<String>,
    /// Free bytes, and those of the whole disk.
    pub(super) space: Option<(u64, u64)>,
    /// The setting; -1 for the default.
    pub(super) min_free_bytes: i64,
    /// How many files the broker, or what is started like this command, may open.
    pub(super) files_max: Option<u64>,
    /// The setting.
    pub(super) max_connections: usize,
    /// Whose the files are; `None` where there are no such owners.
    pub(super) owner: Option<Owner>,
    pub(super) contents: Contents,
    /// How long syncs take, in order, if that was measured.
    pub(super) syncs: Option<Vec<Duration>>,
}

/// What stands in the directory.
#[derive(Debug)]
pub(super) enum Contents {
    /// Nothing: the first start makes all of it.
    Empty,
    /// A broker uses it.
    Locked(String),
    /// This version cannot read it.
    TooNew(String),
    /// It is no data directory, or it cannot be read.
    Refused(String),
    /// What its small files say.
    Read(Box<Survey>),
}

/// Whose the files are, and who may touch them.
#[derive(Debug, Default)]
pub(super) struct Owner {
    /// Whether the directory itself is a symbolic link.
    pub(super) is_link: bool,
    /// The permission bits of the directory.
    pub(super) mode: u32,
    /// The directory's owner.
    pub(super) user: u32,
    /// Who runs this command.
    pub(super) me: u32,
    /// Files and folders of another owner than the directory's.
    pub(super) foreign: u64,
    /// One of them.
    pub(super) foreign_example: Option<PathBuf>,
}
