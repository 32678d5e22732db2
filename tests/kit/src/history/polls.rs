//! Anomalies in the order of what one consumer reads.
//!
//! Invariants
//! - What a process read before it was assigned anew does not bind it.
//! - A power cut moves a consumer of a `page-cache` topic once, perhaps long behind it: what was
//!   fetched before is handed out first.

use std::ops::Range;

use super::contract::Contract;
use super::index::Index;
use super::report::Anomaly;
use super::report::Report;
use super::types::Durability;
use super::types::History;
use super::types::Operation;
use super::types::Step;

/// Looks at every poll of every process.
pub(super) fn check(
    history: &History,
    index: &Index,
    contract: &Contract<'_>,
    report: &mut Report,
) {
    let polls = Polls {
        history,
        index,
        contract,
    };
    let mut process = u32::MAX;
    let mut positions = Vec::new();
    for at in &index.order {
        let operation = &history.operations[*at as usize];
        if operation.process != process {
            process = operation.process;
            positions = vec![Position::default(); history.partitions.len()];
        }
        for step in &operation.steps {
            match step {
                Step::Assign(partitions) => {
                    positions.fill(Position::default());
                    for (partition, next) in partitions {
                        positions[*partition as usize].next = *next;
                        let cuts = contract.cuts_before(operation.start_us);
                        positions[*partition as usize].cuts = cuts;
                    }
                }
                Step::Poll(reads) => {
                    for read in reads {
                        let position = &mut positions[read.partition as usize];
                        polls.read(
                            (*at, operation),
                            position,
                            read.partition,
                            read.offset,
                            report,
                        );
                    }
                }
                _ => {}
            }
        }
    }
}

/// Where a process stands in a partition.
#[derive(Clone, Copy, Default)]
struct Position {
    /// The offset behind the last one.
    next: Option<u64>,
    /// The operation of the last one.
    operation: Option<u32>,
    /// How many power cuts have moved it, or lay before.
    cuts: usize,
}

struct Polls<'a> {
    history: &'a History,
    index: &'a Index,
    contract: &'a Contract<'a>,
}

impl Polls<'_> {
    fn read(
        &self,
        (at, operation): (u32, &Operation),
        position: &mut Position,
        partition: u32,
        offset: u64,
        report: &mut Report,
    ) {
        let is_within = position.operation.replace(at) == Some(at);
        let next = position.next.replace(offset + 1);
        let Some(next) = next.filter(|next| *next != offset) else {
            return;
        };
        let anomaly = match (offset < next, is_within) {
            (true, true) => Anomaly::IntNonmonotonicPoll,
            (true, false) => Anomaly::NonmonotonicPoll,
            (false, _) if self.skipped(partition, next..offset).is_none() => return,
            (false, true) => Anomaly::IntPollSkip,
            (false, false) => Anomaly::PollSkip,
        };
        let cuts = match self.contract.durability(partition) {
            Durability::Fsync => 0,
            Durability::PageCache => self.contract.cuts_begun(operation.end_us),
        };
        let is_excused = cuts > position.cuts;
        position.cuts += usize::from(is_excused);
        report.count(anomaly, is_excused, || {
            format!(
                "{} at {} us: {offset} of {} where {next} was next",
                self.history.processes[operation.process as usize].name,
                operation.start_us,
                self.history.partitions[partition as usize].name
            )
        });
    }

    /// An offset that has a value for ever, if there is one in the range.
    fn skipped(&self, partition: u32, range: Range<u64>) -> Option<u64> {
        let table = &self.index.tables[partition as usize];
        table.within(range).find(|offset| {
            table.at(*offset).any(|version| {
                let sent = version
                    .sent
                    .map(|number| &self.index.sends[number as usize]);
                !self
                    .contract
                    .may_vanish((partition, *offset), version, sent)
            })
        })
    }
}
