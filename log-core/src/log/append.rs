//! How batches get into a log.
//!
//! Floor 6 of log-core.
//!
//! Invariants
//! - The batches of one call that fit into the active segment are one group: one vectored write.
//! - A group is in the log whole or not at all; one that failed leaves offsets and producers as
//!   they were before it.
//! - Offsets are given without a gap, under the current leader epoch.

use bytes::Bytes;
use highwater_proto::batch::{
    BatchError, BatchHeader, PREFIX_BYTES, ProducedBatch, check_crc, prefix,
};
use highwater_proto::clock::Now;

use super::Log;
use super::keyed::{Placed, Sent};
use crate::config::{Durability, TimestampType};
use crate::error::LogError;
use crate::producers::{Undo, Verdict};
use crate::recovery::log_ms;
use crate::segment::{Stored, WriteFailed, corrupt};
use crate::types::{LeaderEpoch, Offset};

/// What became of one batch.
#[derive(Clone, Debug)]
pub struct Appended {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The offset of its last record.
    pub last_offset: Offset,
    /// The time that the log stamped the records with, in milliseconds, if it did.
    pub log_append_time_ms: Option<i64>,
    /// The first offset of the log.
    pub start_offset: Offset,
    /// Whether the batch was stored before: nothing was written, and the offsets are those of the
    /// first copy. Prefix and rest are empty then.
    pub duplicate: bool,
    /// The first bytes of the stored batch.
    pub prefix: [u8; PREFIX_BYTES],
    /// The bytes behind them, shared with what the producer sent.
    pub rest: Bytes,
    /// The revision of each record in its stream, in a log with a key index. Empty for a duplicate.
    pub revisions: Vec<u64>,
}

/// Batches that have their offsets and are not written yet.
#[derive(Debug)]
struct Group {
    /// The offset behind the group.
    end: Offset,
    bytes: u64,
    stored: Vec<Stored>,
    /// What the key index will know of them.
    placed: Placed,
    undo: Vec<Undo>,
    /// The answers that depend on the group begin here.
    answers_from: usize,
}

impl Log {
    /// Appends batches in order: an answer for each. A batch that is refused does not hold up the
    /// others. What was written is safe from a crash of the process; from a power cut once it is
    /// synced.
    pub fn append(
        &mut self,
        batches: &[ProducedBatch],
        now: Now,
    ) -> Vec<Result<Appended, LogError>> {
        let batches: Vec<Sent> = batches.iter().cloned().map(Sent::from).collect();
        self.append_all(&batches, now)
    }

    /// As [`Self::append`], with expectations: a batch is refused with [`LogError::Conflict`] if
    /// something is not so. That may tell of records which are not durable yet.
    pub fn append_all(&mut self, batches: &[Sent], now: Now) -> Vec<Result<Appended, LogError>> {
        let mut answers = Vec::with_capacity(batches.len());
        let mut group = Group {
            end: self.marks.end(),
            bytes: 0,
            stored: Vec::with_capacity(batches.len()),
            placed: std::mem::take(&mut self.placed),
            undo: Vec::new(),
            answers_from: 0,
        };
        for sent in batches {
            let answer = self.stage(sent, now, &mut group, &mut answers);
            answers.push(answer);
        }
        self.flush(&mut group, &mut answers, now);
        self.placed = group.placed;
        answers
    }

    /// Appends a batch as this log stored it once, with its offsets and its epoch: the replay of a
    /// journal. Its first offset must be the log's end.
    pub fn append_recovered(&mut self, stored: Bytes, now: Now) -> Result<(), LogError> {
        self.expect_healthy()?;
        let header = BatchHeader::parse(&stored)?;
        if header.total_bytes() != stored.len() {
            let (announced, actual) = (header.batch_length, stored.len());
            return Err(BatchError::BadLength { announced, actual }.into());
        }
        check_crc(&stored)?;
        let end = self.marks.end();
        if header.base_offset != end.0 || header.last_offset_delta < 0 {
            let why = format!(
                "the journal goes on at {}, the log at {end}",
                header.base_offset
            );
            let position = self.writer.tally().position;
            return Err(corrupt(&self.dir, self.writer.base(), position, why));
        }
        let next = Offset(header.last_offset()).plus(1);
        if !self.fits(stored.len() as u64, next, 0) {
            self.roll(now)?;
        }
        self.raise_epoch(LeaderEpoch(header.leader_epoch));
        let (head, rest) = (stored.slice(..PREFIX_BYTES), stored.slice(PREFIX_BYTES..));
        let mut prefix = [0; PREFIX_BYTES];
        prefix.copy_from_slice(&head);
        let undo = self.note_producer(&header, now);
        let placed = self.recovered_keys(&stored, end)?;
        let mut group = Group {
            placed,
            end: next,
            bytes: stored.len() as u64,
            stored: vec![Stored {
                header,
                prefix,
                rest,
            }],
            undo: undo.into_iter().collect(),
            answers_from: 0,
        };
        self.write(&mut group, now)
    }

    /// Gives one batch its place in the group, or says why it gets none.
    fn stage(
        &mut self,
        sent: &Sent,
        now: Now,
        group: &mut Group,
        answers: &mut [Result<Appended, LogError>],
    ) -> Result<Appended, LogError> {
        self.expect_healthy()?;
        let batch = &sent.batch;
        let bytes = batch.bytes().len();
        let segment_bytes = self.config.segment_bytes;
        if bytes as u64 > segment_bytes {
            return Err(LogError::LargerThanSegment {
                bytes,
                segment_bytes,
            });
        }
        if let Verdict::Duplicate { base_offset } = self.producers.check(batch.header())? {
            return Ok(self.duplicate(batch.header(), base_offset));
        }
        let records = i64::from(batch.header().last_offset_delta) + 1;
        let end = group.end.plus(records);
        if self.is_due(now) || !self.fits(bytes as u64, end, group.bytes) {
            self.flush(group, answers, now);
            self.roll(now)?;
            // If the group failed, the producers are what they were before it.
            if let Verdict::Duplicate { base_offset } = self.producers.check(batch.header())? {
                return Ok(self.duplicate(batch.header(), base_offset));
            }
        }
        // A repeat that the network has made is none of its own conflicts: the sequence goes first.
        let before = group.placed.len();
        self.healing(|| self.place_keys(sent, group.end, &mut group.placed))?;
        let revisions = group.placed.revisions_from(before);
        Ok(self.place(batch, revisions, now, group))
    }

    /// Gives a batch that may be stored its offsets.
    fn place(
        &mut self,
        batch: &ProducedBatch,
        revisions: Vec<u64>,
        now: Now,
        group: &mut Group,
    ) -> Appended {
        let stamped = match self.config.timestamp_type {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(batch.clone().with_log_append_time(now.wall.0)),
        };
        let log_append_time_ms = stamped.is_some().then_some(now.wall.0);
        let batch = stamped.as_ref().unwrap_or(batch);
        let mut header = *batch.header();
        header.base_offset = group.end.0;
        header.leader_epoch = self.epoch.0;
        let prefix = prefix(header.base_offset, header.batch_length, header.leader_epoch);
        let rest = batch.bytes().slice(PREFIX_BYTES..);
        group.undo.extend(self.note_producer(&header, now));
        group.bytes += batch.bytes().len() as u64;
        let appended = Appended {
            base_offset: group.end,
            last_offset: Offset(header.last_offset()),
            log_append_time_ms,
            start_offset: self.marks.start(),
            duplicate: false,
            prefix,
            rest: rest.clone(),
            revisions,
        };
        group.stored.push(Stored {
            header,
            prefix,
            rest,
        });
        group.end = appended.last_offset.plus(1);
        appended
    }

    fn duplicate(&self, header: &BatchHeader, base_offset: Offset) -> Appended {
        Appended {
            base_offset,
            last_offset: base_offset.plus(i64::from(header.last_offset_delta)),
            log_append_time_ms: None,
            start_offset: self.marks.start(),
            duplicate: true,
            prefix: [0; PREFIX_BYTES],
            rest: Bytes::new(),
            revisions: Vec::new(),
        }
    }

    /// Whether the active segment has room behind `waiting_bytes`: positions and relative offsets
    /// have 32 bits. A segment always takes its first batch.
    fn fits(&self, bytes: u64, end: Offset, waiting_bytes: u64) -> bool {
        let filled = self.writer.tally().position + waiting_bytes;
        let span = end.0.saturating_sub(self.writer.base().0);
        let has_room = filled + bytes <= self.config.segment_bytes && span <= i64::from(u32::MAX);
        has_room || filled == 0
    }

    /// Whether the active segment has reached the age at which it is sealed.
    fn is_due(&self, now: Now) -> bool {
        let age_ms = log_ms(now).saturating_sub(self.writer.since_ms());
        !self.writer.is_empty() && age_ms >= self.config.segment_ms
    }

    /// Counts a batch in its producer's window.
    fn note_producer(&mut self, header: &BatchHeader, now: Now) -> Option<Undo> {
        let undo = self.producers.apply(header, log_ms(now))?;
        self.producers_from
            .get_or_insert(Offset(header.base_offset));
        Some(undo)
    }

    /// Remembers for the recovery point whose windows have changed.
    fn note_moved(&self, ids: impl Iterator<Item = i64>) {
        let mut ids = ids.peekable();
        if ids.peek().is_some() {
            let mut synced = super::lock(&self.synced);
            ids.for_each(|id| synced.moved.note(&self.producers, id));
        }
    }

    /// Writes the group; if that fails, every answer that depends on it becomes the error.
    fn flush(&mut self, group: &mut Group, answers: &mut [Result<Appended, LogError>], now: Now) {
        let base = self.marks.end();
        if let Err(error) = self.write(group, now) {
            for answer in &mut answers[group.answers_from..] {
                let depends = match answer {
                    Ok(appended) => appended.base_offset >= base,
                    Err(LogError::Conflict(conflict)) => conflict.tells_of(base),
                    Err(_) => false,
                };
                if depends {
                    *answer = Err(error.clone());
                }
            }
        }
        group.answers_from = answers.len();
    }

    /// Writes the group and moves the marks over it, or takes it back.
    fn write(&mut self, group: &mut Group, now: Now) -> Result<(), LogError> {
        let stored = std::mem::take(&mut group.stored);
        let undo = std::mem::take(&mut group.undo);
        group.bytes = 0;
        if stored.is_empty() {
            return Ok(());
        }
        let position = self.writer.tally().position;
        if let Err(failed) = self.writer.write(&*self.fs, &stored, log_ms(now)) {
            undo.into_iter()
                .rev()
                .for_each(|undo| self.producers.undo(undo));
            group.placed.clear();
            group.end = self.marks.end();
            let WriteFailed { error, is_unknown } = failed;
            return Err(if is_unknown {
                self.poison_by(&error)
            } else {
                error
            });
        }
        let ids = stored.iter().filter(|one| one.header.is_idempotent());
        self.note_moved(ids.map(|one| one.header.producer_id));
        self.note_keys(&stored, &mut group.placed, position, group.end);
        group.placed.clear();
        self.marks.advance_end(group.end);
        if self.config.durability == Durability::PageCache {
            self.marks.advance_durable(group.end);
        }
        Ok(())
    }
}
