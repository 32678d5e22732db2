//! A read of a whole segment, with every check and over damage.
//!
//! Floor 3 of log-core.
//!
//! Invariants
//! - Nothing is changed. What is not a right batch in its place is listed as damage, and the next
//!   right batch is searched for behind it.
//! - What is noted as damaged already is not looked at again.

use std::io;

use highwater_proto::batch::BatchHeader;

use super::{BadRange, Check, Found, Indexes, Scan, Tally, find_behind_damage};
use crate::checkpoint::SealedInfo;
use crate::epochs::Epochs;
use crate::fs::File;
use crate::types::{LeaderEpoch, Offset};

/// What a whole read of a segment finds.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) tally: Tally,
    pub(crate) indexes: Indexes,
    pub(crate) bad: Vec<BadRange>,
    /// The first offset of each epoch.
    pub(crate) epochs: Vec<(LeaderEpoch, Offset)>,
}

impl Survey {
    /// Reads a segment of `bytes` bytes that ends before offset `end`; the file may be shorter. A
    /// batch of another epoch than the history says is damaged. `noted` is in order.
    pub(crate) fn of(
        file: &dyn File,
        base: Offset,
        bytes: u64,
        end: Offset,
        noted: &[BadRange],
        history: &Epochs,
    ) -> io::Result<Self> {
        let segment = Extent { base, bytes, end };
        Self::watched(file, segment, noted, history, &mut |_| {})
    }

    /// The same; `watch` is told before each right batch what was counted so far.
    pub(crate) fn watched(
        file: &dyn File,
        segment: Extent,
        noted: &[BadRange],
        history: &Epochs,
        watch: &mut dyn FnMut(&Tally),
    ) -> io::Result<Self> {
        let Extent { base, bytes, end } = segment;
        let mut noted = noted.iter().copied().peekable();
        let mut survey = Self {
            tally: Tally::empty(base),
            indexes: Indexes::default(),
            bad: Vec::new(),
            epochs: Vec::new(),
        };
        let limit = file.len()?.min(bytes);
        let mut scan = Scan::new(file, 0, limit, base);
        loop {
            let position = scan.position();
            while noted.next_if(|bad| bad.position < position).is_some() {}
            if let Some(bad) = noted.next_if(|bad| bad.position == position) {
                survey.skip(bad);
                scan.jump(bad.position_end.min(limit), bad.end);
                continue;
            }
            match scan.next(Check::Crc)? {
                Found::Batch { header, .. } if is_of_other_epoch(&header, history) => {
                    survey.skip(BadRange {
                        position,
                        position_end: scan.position(),
                        first: Offset(header.base_offset),
                        end: scan.expected(),
                        is_hole: false,
                    });
                }
                Found::Batch { header, head } => {
                    watch(&survey.tally);
                    survey
                        .indexes
                        .note(base, &survey.tally, INDEX_INTERVAL_BYTES);
                    survey.tally.add(&header, scan.expected(), head);
                    let epoch = LeaderEpoch(header.leader_epoch);
                    if survey.epochs.last().is_none_or(|(last, _)| *last < epoch) {
                        survey.epochs.push((epoch, Offset(header.base_offset)));
                    }
                }
                Found::End => break,
                Found::Invalid { .. } => {
                    let next = noted.peek().filter(|bad| bad.position < limit);
                    let end = next.map_or((bytes, end), |bad| (bad.position, bad.first));
                    let bad = damage_at(file, (position, scan.expected()), end, limit)?;
                    survey.skip(bad);
                    scan.jump(bad.position_end.min(limit), bad.end);
                }
            }
        }
        if survey.tally.end < end || survey.tally.position < bytes {
            let (position, first) = (survey.tally.position, survey.tally.end);
            survey.skip(BadRange {
                position,
                position_end: bytes.max(position),
                first,
                end,
                is_hole: false,
            });
        }
        Ok(survey)
    }

    /// Reads a sealed segment and compares it with what it was when it was sealed. If every batch
    /// is right and the sum is not, it cannot be told which one is wrong, and all are.
    pub(crate) fn of_sealed(
        file: &dyn File,
        info: &SealedInfo,
        noted: &[BadRange],
        history: &Epochs,
    ) -> io::Result<Self> {
        let survey = Self::of(file, info.base, info.bytes, info.end, noted, history)?;
        Ok(survey.compared_with(info))
    }

    /// Counts everything as damaged if no batch is and the sum is not what it was.
    #[must_use]
    pub(crate) fn compared_with(mut self, info: &SealedInfo) -> Self {
        let agrees = self.tally.sum == info.sum && self.tally.end == info.end;
        if self.bad.is_empty() && !agrees {
            self.bad.push(BadRange {
                position: 0,
                position_end: info.bytes,
                first: info.base,
                end: info.end,
                is_hole: false,
            });
        }
        self
    }

    /// Whether something is wrong that `noted` does not have.
    pub(crate) fn has_news(&self, noted: &[BadRange]) -> bool {
        self.bad.iter().any(|bad| !noted.contains(bad))
    }

    /// Counts bytes as damaged. An index begins at the segment's begin, whatever stands there.
    fn skip(&mut self, bad: BadRange) {
        if bad.position < bad.position_end && self.indexes.offsets.entries().is_empty() {
            self.indexes
                .note(bad.first, &self.tally, INDEX_INTERVAL_BYTES);
        }
        self.tally.position = bad.position_end;
        self.tally.end = bad.end;
        self.bad.push(bad);
    }
}

/// The damage that begins at a position and an offset, and ends at the next right batch, or where
/// it must end.
fn damage_at(
    file: &dyn File,
    (position, first): (u64, Offset),
    (end_position, end): (u64, Offset),
    limit: u64,
) -> io::Result<BadRange> {
    let end = end.max(first);
    let behind = find_behind_damage(file, position + 1, end_position.min(limit), first..end)?;
    let behind = behind.map(|(position, header)| (position, Offset(header.base_offset)));
    let (position_end, end) = behind.unwrap_or((end_position, end));
    Ok(BadRange {
        position,
        position_end,
        first,
        end,
        is_hole: false,
    })
}

/// Where a segment begins and what it should hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) base: Offset,
    pub(crate) bytes: u64,
    pub(crate) end: Offset,
}

fn is_of_other_epoch(header: &BatchHeader, history: &Epochs) -> bool {
    let known = history.at(Offset(header.base_offset));
    known.is_some_and(|epoch| epoch.0 != header.leader_epoch)
}

/// A rebuilt index has an entry for every 32 KiB, as one that was written with the defaults.
const INDEX_INTERVAL_BYTES: u32 = 32 << 10;
