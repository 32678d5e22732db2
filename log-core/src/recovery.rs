//! Opens the directory of a log: trusts what was noted, reads what was not, and tells a torn tail
//! from damage.
//!
//! Floor 4 of log-core.
//!
//! Invariants
//! - Below the recovery point nothing is cut or deleted: what is not what was written is listed
//!   and answers an error when it is read; the rest is served.
//! - Above it the log ends at the last batch that continues it. What is cut off there is copied
//!   aside first if a right batch stands in it.
//! - The cut is made and synced, and so is everything that is kept, before anybody reads or
//!   appends.
//! - A crash at any moment of it leaves a directory that gives the same log again.
//! - No checksum covers a batch's leader epoch above the recovery point; but no batch is appended
//!   under an epoch before checkpoint or recovery point have it. One that neither has is damage.
//! - After a clean stop nothing is scanned and nothing is written.

mod active;
mod copy;
mod cut;
mod replay;
mod report;
mod sealed;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use highwater_proto::clock::Now;

pub(crate) use self::copy::{QUARANTINE, copy_aside, log_name, quarantine_of};
pub(crate) use self::replay::{Restored, SNAPSHOT_BYTES_MAX};
pub use self::report::{Quarantined, Recovered, RecoveryStart};
pub(crate) use self::sealed::{INDEX_BYTES_MAX, forget_index};
use crate::checkpoint::{Damage, LogCheckpoint, SealedInfo, TEMPORARY_SUFFIX, read_whole};
use crate::config::LogConfig;
use crate::envelope::EnvelopeError;
use crate::epochs::Epochs;
use crate::error::LogError;
use crate::fs::{Fs, OpenMode};
use crate::segment::{ActiveWriter, BadRange, Sealed, SegmentFile};
use crate::types::{LeaderEpoch, Offset, Position};

/// A log, read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) sealed: Vec<Arc<Sealed>>,
    pub(crate) writer: ActiveWriter,
    pub(crate) epochs: Epochs,
    /// Entries of the history that the checkpoint has.
    pub(crate) epochs_saved: usize,
    pub(crate) start: Offset,
    pub(crate) restored: Restored,
    /// Whether the checkpoint and the snapshot must be written, and the names in the directory
    /// synced, before the log is served: they are not what would be written now.
    pub(crate) is_changed: bool,
    pub(crate) report: Recovered,
}

/// One opening of a directory.
struct Recovery<'a> {
    fs: &'a Arc<dyn Fs>,
    dir: &'a Arc<Path>,
    config: &'a LogConfig,
    from: &'a RecoveryStart,
    now_ms: i64,
    checkpoint: LogCheckpoint,
    has_checkpoint: bool,
    /// What the stop adds to every age.
    stop_ms: i64,
    names: BTreeSet<String>,
    is_changed: bool,
    epochs: Vec<(LeaderEpoch, Offset)>,
    report: Recovered,
}

/// Reads the log in `dir`, which exists.
pub(crate) fn recover(
    fs: &Arc<dyn Fs>,
    dir: &Arc<Path>,
    config: &LogConfig,
    from: &RecoveryStart,
    now: Now,
) -> Result<Opened, LogError> {
    let names = fs
        .list(dir)
        .map_err(|error| LogError::io("list", dir, error))?;
    if !from.clean && !names.is_empty() {
        // Names that were just given may be seen and not be there after a power cut: what a
        // checkpoint forgets is removed below, and what is as it should be is not written again.
        fs.sync_dir(dir)
            .map_err(|error| LogError::io("sync", dir, error))?;
    }
    let mut recovery = Recovery {
        fs,
        dir,
        config,
        from,
        now_ms: log_ms(now),
        checkpoint: LogCheckpoint::default(),
        has_checkpoint: false,
        stop_ms: 0,
        names: names.into_iter().collect(),
        is_changed: false,
        epochs: Vec::new(),
        report: Recovered::default(),
    };
    recovery.remove_temporaries()?;
    recovery.load_checkpoint(now)?;
    recovery.run()
}

/// The monotonic clock in milliseconds, as a log counts ages.
pub(crate) fn log_ms(now: Now) -> i64 {
    i64::try_from(now.mono.0 / 1_000_000).unwrap_or(i64::MAX)
}

impl Recovery<'_> {
    fn run(mut self) -> Result<Opened, LogError> {
        let point_start = self
            .from
            .point
            .as_ref()
            .map(|point| point.start)
            .unwrap_or_default();
        let start = self.checkpoint.start.max(point_start);
        let bases = self.bases(start)?;
        self.report_missing(start, bases.first().copied());
        let start = start.max(bases.first().copied().unwrap_or(start));
        // A crash within a roll may leave the checkpoint that seals the last segment, and not the
        // name of the next one.
        let is_sealed = bases.last().is_some_and(|last| self.noted(*last).is_some());
        let mut sealed_bases = bases.clone();
        let active_base = if is_sealed { None } else { sealed_bases.pop() };
        let mut sealed = Vec::with_capacity(sealed_bases.len() + 1);
        for (slot, base) in sealed_bases.iter().enumerate() {
            let next = bases.get(slot + 1).copied();
            let next = next.unwrap_or_else(|| self.end_without_active(*base, start));
            sealed.push(Arc::new(self.open_sealed(*base, next)?));
        }
        let writer = self.open_active(active_base, &mut sealed, start)?;
        let end = writer.tally().end;
        let start = start.max(
            sealed
                .first()
                .map_or_else(|| writer.base(), |first| first.info.base),
        );
        let (epochs, epochs_saved) = self.history(start, end);
        let restored = self.replay(&sealed, &writer)?;
        self.is_changed |= restored.is_stale
            || epochs.entries().len() > epochs_saved + EPOCHS_UNSAVED_MAX
            || !self.is_noted(start, &sealed, &writer);
        Ok(Opened {
            sealed,
            writer,
            epochs,
            epochs_saved,
            start,
            restored,
            is_changed: self.is_changed,
            report: self.report,
        })
    }

    /// Removes what a crash left under a temporary name.
    fn remove_temporaries(&mut self) -> Result<(), LogError> {
        let left: Vec<String> = self
            .names
            .iter()
            .filter(|name| name.ends_with(TEMPORARY_SUFFIX))
            .cloned()
            .collect();
        for name in left {
            self.remove(&name)?;
        }
        Ok(())
    }

    /// Reads the checkpoint. Without one, everything is read from the segments themselves.
    fn load_checkpoint(&mut self, now: Now) -> Result<(), LogError> {
        let path = self.dir.join(CHECKPOINT_FILE);
        // It was synced before it got its name.
        let decoded = match read_whole(&**self.fs, &path, OpenMode::Read, CHECKPOINT_BYTES_MAX)? {
            Some(bytes) => LogCheckpoint::decode(bytes, Some(self.from.id)),
            None => Err(EnvelopeError::Short {
                have: 0,
                need: crate::envelope::ENVELOPE_BYTES,
            }),
        };
        match decoded {
            Ok(checkpoint) => {
                self.stop_ms = checkpoint.stop_ms(now.wall.0);
                self.checkpoint = checkpoint;
                self.has_checkpoint = true;
            }
            Err(error @ EnvelopeError::TooNew { .. }) => {
                let why = format!("{}: {error}", path.display());
                return Err(LogError::TooNew {
                    dir: self.dir.to_path_buf(),
                    why,
                });
            }
            Err(error) => {
                self.is_changed = true;
                let is_new = !self
                    .names
                    .iter()
                    .any(|name| SegmentFile::parse(name).is_some());
                if !is_new {
                    tracing::warn!(file = %path.display(), %error, "the checkpoint is made anew");
                }
            }
        }
        Ok(())
    }

    /// The first offsets of the segments to open, in order. Removes what retention had forgotten
    /// already, what a roll left that did not come to its end, and indexes without a log.
    fn bases(&mut self, start: Offset) -> Result<Vec<Offset>, LogError> {
        let parsed = self
            .names
            .iter()
            .filter_map(|name| SegmentFile::parse(name));
        let (logs, others): (Vec<_>, Vec<_>) =
            parsed.partition(|(_, file)| *file == SegmentFile::Log);
        let mut bases: Vec<Offset> = logs.into_iter().map(|(base, _)| base).collect();
        while bases.len() > 1 && bases[1] <= start {
            self.remove_segment(bases.remove(0))?;
        }
        if let [.., before, last] = bases[..] {
            let is_noted = self.noted(before).is_some();
            if !is_noted && self.log_bytes(last)? == 0 {
                self.remove_segment(last)?;
                bases.pop();
            }
        }
        for (base, file) in others {
            if !bases.contains(&base) {
                let path = file.path(self.dir, base);
                let name = path
                    .file_name()
                    .and_then(|name| name.to_str())
                    .map(str::to_owned);
                if let Some(name) = name.filter(|name| self.names.contains(name)) {
                    self.remove(&name)?;
                }
            }
        }
        Ok(bases)
    }

    /// Reports segments that the checkpoint names and whose files are gone from the begin of the
    /// log: nothing is left of them that could answer a read.
    fn report_missing(&mut self, start: Offset, first: Option<Offset>) {
        let is_missing =
            |info: &&SealedInfo| info.end > start && first.is_none_or(|first| info.base < first);
        let missing: Vec<_> = self
            .checkpoint
            .sealed
            .iter()
            .filter(is_missing)
            .copied()
            .collect();
        for info in missing {
            let whole = BadRange {
                position: 0,
                position_end: info.bytes,
                first: info.base.max(start),
                end: info.end,
                is_hole: false,
            };
            self.report_damage(info.base, &[whole]);
        }
    }

    /// Where the log ends if its last segment is sealed: behind it, if the one that followed is
    /// gone with bytes that were durable.
    fn end_without_active(&self, last: Offset, start: Offset) -> Offset {
        let end = self.noted(last).map_or(last, |info| info.end);
        let synced = self.from.point.as_ref().map(|point| point.offset);
        let sealed = self.checkpoint.sealed.last().map(|info| info.end);
        let reached = synced.max(sealed).filter(|reached| *reached > start);
        reached.map_or(end, |reached| reached.max(end))
    }

    /// The checkpoint's line about the segment.
    fn noted(&self, base: Offset) -> Option<SealedInfo> {
        self.checkpoint
            .sealed
            .iter()
            .find(|info| info.base == base)
            .copied()
    }

    /// Damage of the segment that an earlier start found.
    fn noted_damage(&self, base: Offset) -> Vec<BadRange> {
        bad_ranges(&self.checkpoint.damage, base)
    }

    /// Reports damage that the checkpoint does not name.
    fn report_damage(&mut self, base: Offset, bad: &[BadRange]) {
        let noted = self.noted_damage(base);
        for range in bad.iter().filter(|range| !noted.contains(range)) {
            self.is_changed = true;
            tracing::error!(
                file = %SegmentFile::Log.path(self.dir, base).display(),
                position = range.position,
                first = range.first.0,
                end = range.end.0,
                "stored batches are damaged; reads of them answer an error"
            );
            self.report.quarantined.push(Quarantined {
                segment: base,
                position: Position(range.position),
                bytes: range.position_end - range.position,
                first: range.first,
                end: range.end,
                copy: None,
            });
        }
    }

    /// The epoch history from all that is known about it, and how much of it the checkpoint has.
    fn history(&mut self, start: Offset, end: Offset) -> (Epochs, usize) {
        let mut known = self.checkpoint.epochs.clone();
        known.extend(
            self.from
                .point
                .iter()
                .flat_map(|point| point.epochs.iter().copied()),
        );
        known.append(&mut self.epochs);
        known.sort_unstable();
        let mut epochs = Epochs::from_entries(known);
        epochs.cut_to(end);
        epochs.begin_at(start);
        if epochs.entries().is_empty() {
            epochs.raise(self.from.epoch, start);
        }
        let noted = &self.checkpoint.epochs;
        let entries = epochs.entries();
        let same = entries.iter().zip(noted).take_while(|(a, b)| a == b);
        let saved = same.count();
        let is_begin = match &noted[saved..] {
            [] => true,
            // It got no batch: the next one took its place.
            [(_, first)] => entries.get(saved).is_some_and(|(_, next)| next == first),
            _ => false,
        };
        // Else it has epochs of records that are gone.
        self.is_changed |= !is_begin;
        (epochs, saved)
    }

    /// Whether the checkpoint says of the segments what a new one would.
    fn is_noted(&self, start: Offset, sealed: &[Arc<Sealed>], writer: &ActiveWriter) -> bool {
        let ageless = |info: &SealedInfo| SealedInfo {
            last_append_ms: 0,
            ..*info
        };
        let noted = self.checkpoint.sealed.iter().map(ageless);
        let mut damage = Vec::new();
        for sealed in sealed {
            damage.extend(damage_of(sealed.info.base, &sealed.bad().noted()));
        }
        damage.extend(damage_of(writer.base(), &writer.shared().bad().noted()));
        self.has_checkpoint
            && self.checkpoint.start == start
            && noted.eq(sealed.iter().map(|sealed| ageless(&sealed.info)))
            && self.checkpoint.damage == damage
    }

    fn log_bytes(&self, base: Offset) -> Result<u64, LogError> {
        let path = SegmentFile::Log.path(self.dir, base);
        let file = self.fs.open(&path, OpenMode::Read);
        let len = file.and_then(|file| file.len());
        len.map_err(|error| LogError::io("measure", &path, error))
    }

    fn remove_segment(&mut self, base: Offset) -> Result<(), LogError> {
        for file in SegmentFile::ALL {
            let path = file.path(self.dir, base);
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .map(str::to_owned);
            if let Some(name) = name.filter(|name| self.names.contains(name)) {
                self.remove(&name)?;
            }
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), LogError> {
        let path = self.dir.join(name);
        self.names.remove(name);
        self.is_changed |= !self.from.clean;
        match self.fs.remove(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(LogError::io("remove", &path, error))
            }
            _ => Ok(()),
        }
    }
}

/// What a checkpoint says about the damage of a segment, in order.
pub(crate) fn bad_ranges(damage: &[Damage], base: Offset) -> Vec<BadRange> {
    let here = damage.iter().filter(|damage| damage.segment == base);
    let mut ranges: Vec<_> = here
        .map(|damage| BadRange {
            position: damage.position.0,
            position_end: damage.position_end.0,
            first: damage.first,
            end: damage.end,
            is_hole: damage.is_hole,
        })
        .collect();
    ranges.sort_by_key(|bad| bad.position);
    ranges
}

/// Damage as a checkpoint has it.
pub(crate) fn damage_of(base: Offset, bad: &[BadRange]) -> impl Iterator<Item = Damage> + '_ {
    bad.iter().map(move |range| Damage {
        segment: base,
        position: Position(range.position),
        position_end: Position(range.position_end),
        first: range.first,
        end: range.end,
        is_hole: range.is_hole,
    })
}

/// The file that holds a log's [`LogCheckpoint`].
pub(crate) const CHECKPOINT_FILE: &str = "checkpoint";
/// The file that holds a snapshot of a log's producers.
pub(crate) const PRODUCERS_FILE: &str = "producers.snapshot";
/// The epochs that a log may carry from start to start in its recovery point: each unclean start
/// begins one.
const EPOCHS_UNSAVED_MAX: usize = 8;
/// More than a million segments.
pub(crate) const CHECKPOINT_BYTES_MAX: u64 = 64 << 20;
