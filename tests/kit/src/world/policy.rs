//! What the policies of a log allow: what retention may take and must take, what a start may read,
//! and what may be left of a log that is gone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use highwater_log::checkpoint::TEMPORARY_SUFFIX;
use highwater_log::reader::{LogReader, SegmentInfo};
use highwater_log::shard::ShardRecovered;
use highwater_log::types::LogId;

use super::{Stop, World};
use crate::client::{self, B, DATA_DIR, INDEX_INTERVAL_BYTES, RETENTION_MS, dir};
use crate::oracle::{Oracle, Violation, violation};

impl World {
    /// Retention runs: what it may take was too old, or too much.
    ///
    /// # Errors
    /// What stopped it; what it took or left against the policy.
    pub fn retention(&mut self) -> Result<(), Stop> {
        for (id, reader) in self.readers() {
            let start_max = self.start_max(id, &reader);
            let log = self.client.log(id);
            log.start_max = log.start_max.max(start_max);
        }
        let applied = self.shard().apply_retention(self.client.now);
        self.allow(applied)?;
        for (id, reader) in self.readers() {
            let start_max = self.client.log(id).start_max;
            if reader.start().0 > start_max {
                let start = reader.start();
                let text = format!("retention moved the start to {start}, beyond {start_max}");
                return Err(violation(Oracle::Retention, text).in_log(id).into());
            }
            let segments = reader.segments();
            if segments.len() > 1 && self.is_surplus(id, &segments) {
                let text = format!("retention.bytes is exceeded: {segments:?}");
                return Err(violation(Oracle::Retention, text).in_log(id).into());
            }
        }
        self.observe()
    }

    /// After `retention.ms` without an append only the active segment is left, and it is empty.
    pub(super) fn expect_nothing_old(&self) -> Result<(), Stop> {
        for (id, reader) in self.readers() {
            if reader.start() < reader.end() {
                let segments = reader.segments();
                let text = format!("retention.ms is over, and there are {segments:?}");
                return Err(violation(Oracle::Retention, text).in_log(id).into());
            }
        }
        Ok(())
    }

    /// The last offset that retention may move the start to.
    fn start_max(&self, id: LogId, reader: &LogReader) -> i64 {
        let (start, end) = (reader.start().0, reader.end().0);
        let young_ms = self.client.mono_ms() - RETENTION_MS + 1;
        let log = &self.client.model.logs[&id];
        let young = log.first_since(young_ms, end);
        let mut start_max = start;
        let mut segments = reader.segments();
        while let Some(first) = segments.first().copied() {
            let is_old = first.end.0 <= young;
            let goes = is_old || (segments.len() > 1 && self.is_surplus(id, &segments));
            if !goes {
                break;
            }
            start_max = start_max.max(first.end.0);
            segments.remove(0);
        }
        start_max
    }

    /// Whether the log holds enough without its first segment.
    fn is_surplus(&self, id: LogId, segments: &[SegmentInfo]) -> bool {
        let left: u64 = segments.iter().skip(1).map(|segment| segment.bytes).sum();
        id == B && left >= self.shape.retention_bytes
    }

    fn readers(&self) -> Vec<(LogId, LogReader)> {
        let ids = self.client.ids().into_iter();
        ids.filter_map(|id| Some((id, self.shard().reader(id)?)))
            .collect()
    }

    /// The recovery points were written just now: what is synced lies below them.
    pub(super) fn pointed(&mut self) {
        if self.disk.fired() > 0 || self.is_poisoned() {
            return;
        }
        for (id, reader) in self.readers() {
            if reader.synced() == reader.end() {
                self.client.log(id).unpointed_bytes = 0;
            }
        }
    }

    /// Everything that is there lies below the recovery points.
    fn rest(&mut self) {
        let logs = self.client.model.logs.values_mut();
        logs.for_each(|log| log.unpointed_bytes = 0);
    }

    /// A start that just succeeded read, since the counts given here, no more than what lies above
    /// the recovery points, of the segments that go on what their indexes lack, nothing of sealed
    /// ones, and a little of other files for each log and segment.
    pub(super) fn check_work(
        &mut self,
        before: [u64; 2],
        recovered: &ShardRecovered,
    ) -> Result<(), Violation> {
        // A key index reads again what no run of it holds, and every run that nobody has synced.
        if self.disk.fired() > 0 || self.was_faulty || self.is_damaged || self.shape.keys {
            self.rest();
            return Ok(());
        }
        for (id, found) in &recovered.logs {
            // One whose creation died is nobody's.
            let Some(log) = self.client.model.logs.get(id) else {
                continue;
            };
            let segments = self.reader(*id).segments();
            // A roll that was cut short is done again.
            let sealed = segments.iter().rev().nth(1).map_or(0, |s| s.bytes);
            let above = log.unpointed_bytes + sealed;
            if found.bytes_scanned > above {
                let scanned = found.bytes_scanned;
                let text = format!("{scanned} bytes were scanned, {above} are above the point");
                return Err(violation(Oracle::RecoveryWork, text).in_log(*id));
            }
        }
        let now = self.watch.read_bytes();
        let [log_bytes, other_bytes] = [now[0] - before[0], now[1] - before[1]];
        let (mut log_max, mut other_max) = (0, START_BYTES + 4 * self.shape.journal_bytes);
        let mut unpointed = 0;
        for (id, reader) in self.readers() {
            let segments = reader.segments();
            // A roll that was cut short is done again, so that the segment before is read, too.
            let active: u64 = segments.iter().rev().take(2).map(|s| s.bytes).sum();
            let log = self.client.log(id);
            unpointed += log.unpointed_bytes;
            log_max += SCANS * log.unpointed_bytes;
            // Its index is synced when it is sealed, and so is the snapshot of the producers.
            log_max += match client::is_idempotent(id) {
                true => 2 * active,
                false => active,
            };
            let entries = active / u64::from(INDEX_INTERVAL_BYTES);
            other_max += LOG_BYTES + SEGMENT_BYTES * segments.len() as u64 + ENTRY_BYTES * entries;
        }
        self.rest();
        if log_bytes <= log_max && other_bytes <= other_max {
            return Ok(());
        }
        let text = format!(
            "a start with {unpointed} bytes above the recovery points read {log_bytes} bytes of \
             segments, at most {log_max} were to be read, and {other_bytes} of other files, at \
             most {other_max}"
        );
        Err(violation(Oracle::RecoveryWork, text))
    }

    /// After a start every file below `logs` belongs to a log that is open, and has its name.
    pub(super) fn check_files(&self) -> Result<(), Stop> {
        if self.disk.fired() > 0 || self.is_damaged {
            return Ok(());
        }
        let logs = Path::new(DATA_DIR).join("logs");
        let dirs: BTreeSet<PathBuf> = self.shard().log_ids().into_iter().map(dir).collect();
        let is_stray = |path: &PathBuf| {
            let is_temporary = path.to_string_lossy().ends_with(TEMPORARY_SUFFIX);
            let is_ours = path.parent().is_some_and(|parent| dirs.contains(parent));
            path.starts_with(&logs) && (is_temporary || !is_ours)
        };
        match self.disk.files().into_iter().find(is_stray) {
            None => Ok(()),
            Some(path) => {
                let text = format!("{} is left behind a start", path.display());
                Err(violation(Oracle::Retention, text).into())
            }
        }
    }
}

/// How often a byte above the recovery point may be read: to check it, to look for batches behind
/// the cut, to copy them aside, and for the windows of the producers.
const SCANS: u64 = 4;
/// Of each log: its checkpoint and the windows of a producer.
const LOG_BYTES: u64 = 2048;
/// Of each segment: its line in the checkpoint and the ends of its indexes.
const SEGMENT_BYTES: u64 = 256;
/// Two entries, one of each index.
const ENTRY_BYTES: u64 = 64;
/// The small files of a data directory, twice.
const START_BYTES: u64 = 16 << 10;
