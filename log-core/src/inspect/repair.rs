//! Gives up what is lost in a data directory, so that everything else can be read and written.
//!
//! Floor 8 of log-core.
//!
//! Invariants
//! - No healthy byte is removed or moved, and no offset gets another meaning: what is given up
//!   stays where it is, as a hole that reads pass over.
//! - Every damaged byte is in `quarantine`, durably, before anything is done about it.
//! - Cut off at any step and begun again it ends in the same; where nothing is wrong it gives up
//!   nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_proto::clock::Now;

use super::{Finding, FindingKind};
use crate::data_dir::{DataDir, LOGS, VERSION, log_dir, log_named, mend_version};
use crate::error::LogError;
use crate::fs::{Fs, OpenMode};
use crate::journal::FILES;
use crate::log::Quarantined;
use crate::recovery::{copy_aside, log_name, quarantine_of};
use crate::segment::SegmentFile;
use crate::shard::{Shard, ShardConfig, ShardRecovered};
use crate::types::{LogId, Offset, Position};

/// Something that is not there any more, and that a repair gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Why.
    pub kind: FindingKind,
    /// The log, if it belongs to one.
    pub log: Option<LogId>,
    /// The file, or the directory of the log.
    pub file: PathBuf,
    /// The first of the bytes, if it is about bytes.
    pub position: Option<Position>,
    /// How many bytes.
    pub bytes: u64,
    /// The offsets that they held, the last one not included, as far as that is known. Every
    /// offset is one record at most.
    pub offsets: Option<(Offset, Offset)>,
    /// Where the bytes are kept; nothing if there are none, or if nothing was done yet.
    pub copy: Option<PathBuf>,
}

impl Loss {
    /// What a repair would do about a finding; `None` if a start heals it.
    #[must_use]
    pub fn of(finding: &Finding) -> Option<Self> {
        finding.kind.is_damage().then(|| Self {
            kind: finding.kind,
            log: log_of(&finding.file),
            file: finding.file.clone(),
            position: finding.position,
            bytes: finding.bytes,
            offsets: finding.offsets,
            copy: None,
        })
    }

    /// How many records that may be: none where the offsets are not known.
    #[must_use]
    pub fn records_max(&self) -> u64 {
        let (first, end) = self.offsets.unwrap_or_default();
        u64::try_from(end.0.saturating_sub(first.0)).unwrap_or(0)
    }
}

/// A data directory that is being repaired: locked, and its logs open.
///
/// ```
/// use std::path::Path;
/// use std::sync::Arc;
/// use highwater_log::data_dir::DataDir;
/// use highwater_log::fs::{Fs, mem::MemFs};
/// use highwater_log::inspect::{Event, Repair, verify};
/// use highwater_proto::clock::Now;
///
/// let (fs, root): (Arc<dyn Fs>, _) = (Arc::new(MemFs::new()), Path::new("/data"));
/// drop(DataDir::open(Arc::clone(&fs), root)?);
/// let mut findings = Vec::new();
/// verify(&fs, root, &mut |event| match event {
///     Event::Finding(finding) => findings.push(finding),
///     Event::Segment { .. } => {}
/// })?;
/// let mut repair = Repair::begin(&fs, root, &findings, Now::default())?;
/// for log in repair.shard().log_ids() {
///     repair.give_up(log, Now::default())?;
/// }
/// assert!(repair.losses().is_empty());
/// repair.finish(Now::default())?;
/// # Ok::<(), highwater_log::error::LogError>(())
/// ```
#[derive(Debug)]
pub struct Repair {
    root: PathBuf,
    shard: Arc<Shard>,
    losses: Vec<Loss>,
}

impl Repair {
    /// Locks the directory and recovers it as a start does. `findings` are those of a
    /// [`verify`](super::verify) just before.
    ///
    /// # Errors
    /// [`LogError::Locked`] if a broker uses the directory; [`LogError::TooNew`];
    /// [`LogError::Corrupt`] if it is no data directory; the disk's.
    pub fn begin(
        fs: &Arc<dyn Fs>,
        root: &Path,
        findings: &[Finding],
        now: Now,
    ) -> Result<Self, LogError> {
        let has = |kind| findings.iter().any(|finding| finding.kind == kind);
        let mut losses = Vec::new();
        if has(FindingKind::Version) {
            losses.push(Loss {
                kind: FindingKind::Version,
                log: None,
                file: root.join(VERSION),
                position: None,
                bytes: 0,
                offsets: None,
                copy: mend_version(&**fs, root)?,
            });
        }
        let dir = DataDir::open(Arc::clone(fs), root)?;
        for finding in findings {
            if finding.kind == FindingKind::CorruptTail {
                losses.extend(keep_tail(&**fs, finding)?);
            }
        }
        // A gap is known only when the logs are open, and then the journal is empty.
        let journal = match has(FindingKind::JournalDamage) || has(FindingKind::OffsetGap) {
            true => dir.copy_aside(&FILES)?,
            false => Vec::new(),
        };
        let (shard, recovered) = Shard::open(dir, Vec::new(), ShardConfig::default(), now)?;
        let mut repair = Self {
            root: root.to_owned(),
            shard,
            losses,
        };
        repair.take_lost(root, &recovered, journal.first().cloned());
        Ok(repair)
    }

    /// Gives up what is damaged in a log: reads pass over it from now on.
    ///
    /// # Errors
    /// [`LogError::Closed`] if there is no such log; the disk's.
    pub fn give_up(&mut self, id: LogId, now: Now) -> Result<(), LogError> {
        let given_up = self.shard.with_log(id, |log| log.give_up_damage(now))?;
        let lost = given_up
            .into_iter()
            .map(|lost| loss_of(&self.root, id, lost));
        self.losses.extend(lost);
        Ok(())
    }

    /// What was given up so far.
    #[must_use]
    pub fn losses(&self) -> &[Loss] {
        &self.losses
    }

    /// The logs, for who mends what is in them.
    #[must_use]
    pub fn shard(&self) -> &Arc<Shard> {
        &self.shard
    }

    /// Syncs everything and lets go of the directory. The next start begins a new leader epoch, as
    /// after a crash.
    ///
    /// # Errors
    /// The disk's.
    pub fn finish(self, now: Now) -> Result<(), LogError> {
        self.shard.close_unmarked(now)
    }

    /// What no log has any more: segments that are gone from its begin, and what the journal had.
    fn take_lost(&mut self, root: &Path, recovered: &ShardRecovered, journal: Option<PathBuf>) {
        for (id, found) in &recovered.logs {
            let Some(reader) = self.shard.reader(*id) else {
                continue;
            };
            let start = reader.start();
            let gone = found.quarantined.iter().filter(|lost| lost.end <= start);
            let gone = gone.map(|lost| loss_of(root, *id, lost.clone()));
            self.losses.extend(gone);
        }
        for gap in &recovered.gaps {
            self.losses.push(Loss {
                kind: FindingKind::OffsetGap,
                log: Some(gap.log),
                file: log_dir(root, gap.log),
                position: None,
                bytes: 0,
                offsets: Some((gap.end, gap.journaled)),
                copy: journal.clone(),
            });
        }
        if recovered.journal_damaged > 0 {
            self.losses.push(Loss {
                kind: FindingKind::JournalDamage,
                log: None,
                file: root.to_owned(),
                position: None,
                bytes: 0,
                offsets: None,
                copy: journal,
            });
        }
    }
}

/// Copies what the opening of the log will cut off.
fn keep_tail(fs: &dyn Fs, finding: &Finding) -> Result<Option<Loss>, LogError> {
    let (path, position) = (&finding.file, finding.position.unwrap_or(Position(0)));
    let name = path.file_name().and_then(|name| name.to_str());
    let base = name.and_then(SegmentFile::parse).map(|(base, _)| base);
    let (Some(dir), Some(base), Some(loss)) = (path.parent(), base, Loss::of(finding)) else {
        return Ok(None);
    };
    let file = fs
        .open(path, OpenMode::Read)
        .map_err(|error| LogError::io("open", path, error))?;
    let name = format!("{}-{:020}-{position}.cut", log_name(dir), base.0);
    let end = position.0 + finding.bytes;
    let copy = copy_aside(fs, &quarantine_of(dir), &name, &*file, position.0, end)?;
    Ok(Some(Loss {
        copy: Some(copy),
        ..loss
    }))
}

impl Drop for Repair {
    fn drop(&mut self) {
        // After a failure; what was done so far is as durable as it says.
        self.shard.abandon();
    }
}

fn loss_of(root: &Path, id: LogId, lost: Quarantined) -> Loss {
    let dir = log_dir(root, id);
    Loss {
        kind: match lost.bytes {
            0 => FindingKind::OffsetGap,
            _ => FindingKind::CorruptBatch,
        },
        log: Some(id),
        file: SegmentFile::Log.path(&dir, lost.segment),
        position: Some(lost.position),
        bytes: lost.bytes,
        offsets: Some((lost.first, lost.end)),
        copy: lost.copy,
    }
}

/// The log whose directory, or file in it, that is.
pub(super) fn log_of(path: &Path) -> Option<LogId> {
    let names: Vec<_> = path.iter().filter_map(|name| name.to_str()).collect();
    let at = names.iter().rposition(|name| *name == LOGS)?;
    log_named(names.get(at + 1)?, names.get(at + 2)?)
}
