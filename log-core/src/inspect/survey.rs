//! Reads the small files of a data directory, and says what the next start will find.
//!
//! Floor 8 of log-core.
//!
//! Invariants
//! - No segment is read: it takes as long for a terabyte as for a megabyte.
//! - Nothing is changed, but for the holder's name in the lock file.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use highwater_proto::clock::Now;

use crate::checkpoint::{LogCheckpoint, read_whole};
use crate::data_dir::{LOST, Peek};
use crate::error::LogError;
use crate::fs::{Fs, OpenMode};
use crate::journal::Journal;
use crate::recovery::{CHECKPOINT_BYTES_MAX, CHECKPOINT_FILE, QUARANTINE};

/// What the small files of a data directory say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Topics with at least one log.
    pub topics: u64,
    /// Logs: one a partition that was used.
    pub logs: u64,
    /// Whether the last stop was clean, so that the next start reads nothing of the segments.
    pub was_closed: bool,
    /// Why the directory cannot be opened, if `VERSION` is missing or damaged.
    pub version_damage: Option<String>,
    /// Logs with a recovery point.
    pub points: u64,
    /// Whether both slots of the recovery points are as they were written.
    pub are_points_whole: bool,
    /// The largest record time that is noted anywhere, in milliseconds since 1970.
    pub newest_record_ms: Option<i64>,
    /// When the broker last noted something about a log, in milliseconds since 1970.
    pub newest_note_ms: Option<i64>,
    /// Commits that the journal holds; after an unclean stop the next start reads them.
    pub journal_commits: u64,
    /// Stretches of the journal that were durable and cannot be read.
    pub journal_damaged: u64,
    /// Logs whose checkpoint is damaged; the next start makes it anew from the segments.
    pub checkpoints_damaged: u64,
    /// Ranges that were durable, are damaged, and were not given up.
    pub damaged_ranges: u64,
    /// Ranges that a repair gave up.
    pub given_up_ranges: u64,
    /// The names in `quarantine`, in order.
    pub quarantined: Vec<String>,
    /// The names in `lost+found`, in order.
    pub lost: Vec<String>,
}

/// Reads the small files of a data directory, which is locked meanwhile.
///
/// # Errors
/// [`LogError::Locked`] if a broker uses it; [`LogError::TooNew`]; [`LogError::Corrupt`] if it is
/// no data directory; the disk's.
///
/// ```
/// use std::path::Path;
/// use std::sync::Arc;
/// use highwater_log::data_dir::DataDir;
/// use highwater_log::fs::{Fs, mem::MemFs};
/// use highwater_log::inspect::survey;
///
/// let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
/// drop(DataDir::open(Arc::clone(&fs), Path::new("/data"))?);
/// let survey = survey(&fs, Path::new("/data"))?;
/// assert_eq!((survey.logs, survey.version_damage), (0, None));
/// # Ok::<(), highwater_log::error::LogError>(())
/// ```
pub fn survey(fs: &Arc<dyn Fs>, root: &Path) -> Result<Survey, LogError> {
    let peek = Peek::new(fs, root)?;
    let topics: BTreeSet<[u8; 16]> = peek.logs.iter().map(|log| log.topic).collect();
    let journal = Journal::open(Arc::clone(fs), root, 0, OpenMode::Read, Now::default())?;
    let replayed = journal.replay(&mut |_, _| Ok(()))?;
    let times = peek.points.values().map(|point| point.max_timestamp);
    let mut survey = Survey {
        topics: topics.len() as u64,
        logs: peek.logs.len() as u64,
        was_closed: peek.clean.is_some(),
        version_damage: peek.version_damage.clone(),
        points: peek.points.len() as u64,
        are_points_whole: peek.is_newest,
        newest_record_ms: times.filter(|time| *time > i64::MIN).max(),
        journal_commits: replayed.groups,
        journal_damaged: replayed.damaged,
        quarantined: names(&**fs, &root.join(QUARANTINE))?,
        lost: names(&**fs, &root.join(LOST))?,
        ..Survey::default()
    };
    for id in &peek.logs {
        let path = peek.log_dir(*id).join(CHECKPOINT_FILE);
        let bytes = read_whole(&**fs, &path, OpenMode::Read, CHECKPOINT_BYTES_MAX)?;
        match bytes.map(|bytes| LogCheckpoint::decode(bytes, Some(*id))) {
            None => {}
            Some(Ok(checkpoint)) => survey.add(&checkpoint),
            Some(Err(_)) => survey.checkpoints_damaged += 1,
        }
    }
    Ok(survey)
}

impl Survey {
    fn add(&mut self, checkpoint: &LogCheckpoint) {
        let times = checkpoint.sealed.iter().map(|sealed| sealed.max_timestamp);
        let newest = times.filter(|time| *time > i64::MIN).max();
        self.newest_record_ms = self.newest_record_ms.max(newest);
        self.newest_note_ms = self.newest_note_ms.max(Some(checkpoint.written_ms));
        let given_up = checkpoint.damage.iter().filter(|range| range.is_hole);
        let given_up = given_up.count() as u64;
        self.given_up_ranges += given_up;
        self.damaged_ranges += checkpoint.damage.len() as u64 - given_up;
    }
}

/// The names in a folder that need not exist, in order.
fn names(fs: &dyn Fs, dir: &Path) -> Result<Vec<String>, LogError> {
    match fs.list(dir) {
        Ok(mut names) => {
            names.sort_unstable();
            Ok(names)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(LogError::io("list", dir, error)),
    }
}
