//! A read of a whole segment, with every check and over damage.
//!
//! Floor 3 of log-core.
//!
//! Invariants
//! - Nothing is changed. What is not a right batch in its place is listed as damage, and the next
//!   right batch is searched for behind it.

use std::io;

use highwater_proto::batch::BatchHeader;

use super::{BadRange, Check, Found, Indexes, Scan, Tally, find_valid};
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
    /// batch of another epoch than the history says is damaged.
    pub(crate) fn of(
        file: &dyn File,
        base: Offset,
        bytes: u64,
        end: Offset,
        history: &Epochs,
    ) -> io::Result<Self> {
        Self::watched(file, base, bytes, end, history, &mut |_| {})
    }

    /// The same; `watch` is told before each right batch what was counted so far.
    pub(crate) fn watched(
        file: &dyn File,
        base: Offset,
        bytes: u64,
        end: Offset,
        history: &Epochs,
        watch: &mut dyn FnMut(&Tally),
    ) -> io::Result<Self> {
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
            match scan.next(Check::Crc)? {
                Found::Batch { header, .. } if is_of_other_epoch(&header, history) => {
                    let first = Offset(header.base_offset);
                    survey.skip(position, scan.position(), first, scan.expected());
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
                    let first = scan.expected();
                    let found = find_valid(file, position + 1, limit, first)?
                        .filter(|(_, header)| header.base_offset < end.0)
                        .map(|(position, header)| (position, Offset(header.base_offset)));
                    let (behind, offset) = found.unwrap_or((bytes, end));
                    survey.skip(position, behind, first, offset);
                    scan.jump(behind.min(limit), offset);
                }
            }
        }
        if survey.tally.end < end || survey.tally.position < bytes {
            let (position, first) = (survey.tally.position, survey.tally.end);
            survey.skip(position, bytes.max(position), first, end);
        }
        Ok(survey)
    }

    /// Reads a sealed segment and compares it with what it was when it was sealed. If every batch
    /// is right and the sum is not, it cannot be told which one is wrong, and all are.
    pub(crate) fn of_sealed(
        file: &dyn File,
        info: &SealedInfo,
        history: &Epochs,
    ) -> io::Result<Self> {
        let survey = Self::of(file, info.base, info.bytes, info.end, history)?;
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
            });
        }
        self
    }

    /// Counts bytes as damaged. An index begins at the segment's begin, whatever stands there.
    fn skip(&mut self, position: u64, position_end: u64, first: Offset, end: Offset) {
        if position < position_end && self.indexes.offsets.entries().is_empty() {
            self.indexes.note(first, &self.tally, INDEX_INTERVAL_BYTES);
        }
        self.bad.push(BadRange {
            position,
            position_end,
            first,
            end,
        });
        self.tally.position = position_end;
        self.tally.end = end;
    }
}

fn is_of_other_epoch(header: &BatchHeader, history: &Epochs) -> bool {
    let known = history.at(Offset(header.base_offset));
    known.is_some_and(|epoch| epoch.0 != header.leader_epoch)
}

/// A rebuilt index has an entry for every 32 KiB, as one that was written with the defaults.
const INDEX_INTERVAL_BYTES: u32 = 32 << 10;
