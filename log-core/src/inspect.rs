//! Looks at logs on a disk and says what is there and what is wrong, and gives up what is lost: for
//! tools, never for a running broker.
//!
//! Floor 8 of log-core.
//!
//! Invariants
//! - Nothing is changed but by a [`Repair`]. What a start would mend is only named.
//! - A data directory is locked while it is looked at; a single log directory or file is not, so
//!   that what a broker writes meanwhile may look torn.
//! - Memory is bounded by the largest batch and the indexes of one segment.

mod dump;
mod index;
mod log;
mod repair;
mod survey;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Buf as _;
use highwater_proto::clock::Now;

pub use self::dump::{Dump, Stretch, dump};
use self::log::LogCheck;
use self::repair::log_of;
pub use self::repair::{Loss, Repair};
pub use self::survey::{Survey, survey};
use crate::data_dir::{Peek, VERSION};
use crate::error::LogError;
use crate::fs::{Fs, OpenMode};
use crate::journal::Journal;
use crate::segment::SegmentFile;
use crate::types::{LogId, Offset, Position};

/// Something that is not as a clean stop leaves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The file, or the directory of the log.
    pub file: PathBuf,
    /// The first byte that it concerns, if it concerns bytes.
    pub position: Option<Position>,
    /// How many bytes, as far as that is known.
    pub bytes: u64,
    /// The offsets that it concerns, the last one not included, if it concerns any.
    pub offsets: Option<(Offset, Offset)>,
    /// A sentence about it.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if let Some(position) = self.position {
            write!(f, "byte {position}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FindingKind {
    /// The last segment ends within a batch, as a crash leaves it; the next start cuts it there.
    TornTail,
    /// Batches stand in the journal only; the next start puts them into their log.
    JournalOnly,
    /// An index does not match its segment; the next start or read makes it anew.
    Index,
    /// A small file beside the segments is missing or damaged; the next start makes it anew.
    State,
    /// Bytes that were durable are not what was written.
    CorruptBatch,
    /// Behind the recovery point a right batch stands behind a wrong one, which a power cut can
    /// cause in bytes that nobody was promised; or the log was closed cleanly. The next start
    /// copies aside what has right batches in it, and cuts it off.
    CorruptTail,
    /// Records are missing between two offsets.
    OffsetGap,
    /// The journal holds what it cannot give back.
    JournalDamage,
    /// `VERSION` is missing or damaged, so that the directory cannot be opened.
    Version,
}

impl FindingKind {
    /// Whether records are lost, or were lost at an earlier start, or no start is possible. All
    /// else heals by itself.
    #[must_use]
    pub const fn is_damage(self) -> bool {
        matches!(
            self,
            Self::CorruptBatch
                | Self::CorruptTail
                | Self::OffsetGap
                | Self::JournalDamage
                | Self::Version
        )
    }
}

/// What a check tells while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A segment is being read.
    Segment {
        /// Its `.log` file.
        file: PathBuf,
        /// How many bytes that is.
        bytes: u64,
    },
    /// Something was found.
    Finding(Finding),
}

/// What a check has read and found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Logs that were read.
    pub logs: u64,
    /// Their segments.
    pub segments: u64,
    /// Batches that are right.
    pub batches: u64,
    /// The bytes of the segments.
    pub bytes: u64,
    /// All findings.
    pub findings: u64,
    /// Those of them that need a repair.
    pub damaged: u64,
    /// Ranges that earlier repairs gave up; nothing is wrong with them any more.
    pub holes: u64,
}

/// Reads everything in a data directory, or in the directory of one log, and checks it against
/// its checksums, its indexes and its checkpoints. What is found goes to `tell` at once.
///
/// # Errors
/// [`LogError::Locked`] if a broker uses the data directory; [`LogError::TooNew`];
/// [`LogError::Corrupt`] if the directory is neither of the two; the disk's.
///
/// ```
/// use std::path::Path;
/// use std::sync::Arc;
/// use highwater_log::data_dir::DataDir;
/// use highwater_log::fs::{Fs, mem::MemFs};
/// use highwater_log::inspect::verify;
///
/// let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
/// drop(DataDir::open(Arc::clone(&fs), Path::new("/data"))?);
/// let verified = verify(&fs, Path::new("/data"), &mut |event| println!("{event:?}"))?;
/// assert_eq!(verified.damaged, 0);
/// # Ok::<(), highwater_log::error::LogError>(())
/// ```
pub fn verify(
    fs: &Arc<dyn Fs>,
    dir: &Path,
    tell: &mut dyn FnMut(Event),
) -> Result<Verified, LogError> {
    let names = fs
        .list(dir)
        .map_err(|error| LogError::io("list", dir, error))?;
    let mut teller = Teller {
        tell,
        verified: Verified::default(),
    };
    let is_log = names.iter().any(|name| SegmentFile::parse(name).is_some());
    if is_log {
        verify_log_dir(fs, dir, &mut teller)?;
    } else {
        verify_data_dir(fs, dir, &mut teller)?;
    }
    Ok(teller.verified)
}

fn verify_data_dir(fs: &Arc<dyn Fs>, root: &Path, teller: &mut Teller<'_>) -> Result<(), LogError> {
    let peek = Peek::new(fs, root)?;
    if let Some(why) = &peek.version_damage {
        teller.find(Finding {
            kind: FindingKind::Version,
            file: root.join(VERSION),
            position: Some(Position(0)),
            bytes: 0,
            offsets: None,
            what: why.clone(),
        });
    }
    let mut ends = BTreeMap::new();
    for id in &peek.logs {
        let mut check = LogCheck {
            id: Some(*id),
            fs,
            dir: &peek.log_dir(*id),
            point: peek.points.get(id),
            stopped_at: peek.clean.as_ref().and_then(|ends| ends.get(id)).copied(),
            knows_epochs: peek.is_newest,
            holes: Vec::new(),
            teller,
        };
        ends.insert(*id, check.run()?);
    }
    // After a clean stop what the journal holds is in the logs, and a start does not look at it.
    if peek.clean.is_none() {
        verify_journal(fs, &peek, &mut ends, teller)?;
    }
    Ok(())
}

/// One log, with the recovery point that its data directory holds for it, if it stands in one.
fn verify_log_dir(fs: &Arc<dyn Fs>, dir: &Path, teller: &mut Teller<'_>) -> Result<(), LogError> {
    let point = match dir.ancestors().nth(3) {
        Some(root) => Peek::point_of(fs, root, dir)?,
        None => None,
    };
    let mut check = LogCheck {
        id: log_of(dir),
        fs,
        dir,
        point: point.as_ref(),
        stopped_at: None,
        knows_epochs: false,
        holes: Vec::new(),
        teller,
    };
    check.run().map(drop)
}

/// Follows what a start would do with the journal; `ends` are those of the logs' files.
fn verify_journal(
    fs: &Arc<dyn Fs>,
    peek: &Peek,
    ends: &mut BTreeMap<LogId, Offset>,
    teller: &mut Teller<'_>,
) -> Result<(), LogError> {
    let journal = Journal::open(
        Arc::clone(fs),
        &peek.root,
        0,
        OpenMode::Read,
        Now::default(),
    )?;
    let mut pending: BTreeMap<LogId, (Offset, Offset)> = BTreeMap::new();
    let mut gaps: BTreeMap<LogId, (Offset, Offset)> = BTreeMap::new();
    let replayed = journal.replay(&mut |id, batch| {
        let base = batch.clone().try_get_i64().ok().map(Offset);
        let (Some(end), Some(base)) = (ends.get_mut(&id), base) else {
            return Ok(());
        };
        if base > *end {
            gaps.entry(id).or_insert((*end, base));
        } else if base == *end
            && let Some(header) = crate::segment::batch_at(&batch, base)
        {
            *end = Offset(header.last_offset()).plus(1);
            pending.entry(id).or_insert((base, *end)).1 = *end;
        }
        Ok(())
    })?;
    for (id, (first, end)) in pending {
        let what = format!("offsets {first} to {end} stand in the journal only");
        teller.find(Finding {
            kind: FindingKind::JournalOnly,
            file: peek.log_dir(id),
            position: None,
            bytes: 0,
            offsets: Some((first, end)),
            what,
        });
    }
    for (id, (end, journaled)) in gaps {
        let what = format!(
            "the log ends at {end} and the journal goes on at {journaled}: records are lost"
        );
        teller.find(Finding {
            kind: FindingKind::OffsetGap,
            file: peek.log_dir(id),
            position: None,
            bytes: 0,
            offsets: Some((end, journaled)),
            what,
        });
    }
    if replayed.damaged > 0 {
        let what = format!("the journal has {} unreadable stretches", replayed.damaged);
        teller.find(Finding {
            kind: FindingKind::JournalDamage,
            file: peek.root.clone(),
            position: None,
            bytes: 0,
            offsets: None,
            what,
        });
    }
    Ok(())
}

/// Passes events on and counts them.
struct Teller<'a> {
    tell: &'a mut dyn FnMut(Event),
    verified: Verified,
}

impl Teller<'_> {
    fn segment(&mut self, file: PathBuf, bytes: u64) {
        self.verified.segments += 1;
        self.verified.bytes += bytes;
        (self.tell)(Event::Segment { file, bytes });
    }

    fn find(&mut self, finding: Finding) {
        self.verified.findings += 1;
        self.verified.damaged += u64::from(finding.kind.is_damage());
        (self.tell)(Event::Finding(finding));
    }
}
