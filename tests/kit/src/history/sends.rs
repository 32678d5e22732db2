//! Anomalies in the order of what is sent: the log is in the order of its acknowledgements.
//!
//! Invariants
//! - A send that began when another was acknowledged stands behind it, whoever sent them.
//! - What a power cut may take is not compared with what was sent behind the cut.

use std::collections::HashMap;

use super::contract::Contract;
use super::index::Index;
use super::index::Sent;
use super::report::Anomaly;
use super::report::Report;
use super::types::Durability;
use super::types::History;
use super::types::Role;

/// Looks at every acknowledged send.
pub(super) fn check(
    history: &History,
    index: &Index,
    contract: &Contract<'_>,
    report: &mut Report,
) {
    let mut by_partition: Vec<Vec<Acked<'_>>> = vec![Vec::new(); history.partitions.len()];
    for sent in &index.sends {
        let Some(offset) = sent.acked else { continue };
        let operation = &history.operations[sent.operation as usize];
        by_partition[sent.partition as usize].push(Acked {
            start_us: operation.start_us,
            end_us: operation.end_us,
            offset,
            sent,
        });
    }
    for (partition, acked) in history.partitions.iter().zip(by_partition) {
        let sends = Sends {
            name: &partition.name,
            contract,
        };
        sends.within(&acked, report);
        sends.between(acked, report);
    }
}

#[derive(Clone, Copy)]
struct Acked<'a> {
    start_us: u64,
    end_us: u64,
    offset: u64,
    sent: &'a Sent,
}

struct Sends<'a> {
    name: &'a str,
    contract: &'a Contract<'a>,
}

impl Sends<'_> {
    /// int-nonmonotonic-send. A producer that sends again what was disturbed may change the order,
    /// unless it is idempotent.
    fn within(&self, acked: &[Acked<'_>], report: &mut Report) {
        for pair in acked.windows(2) {
            let [one, other] = [pair[0], pair[1]];
            if one.sent.operation != other.sent.operation || one.offset < other.offset {
                continue;
            }
            let is_excused = self.contract.role(one.sent) != Role::Idempotent
                && self.contract.was_disturbed(one.sent);
            report.count(Anomaly::IntNonmonotonicSend, is_excused, || {
                self.sentence(one, other)
            });
        }
    }

    /// nonmonotonic-send.
    fn between(&self, acked: Vec<Acked<'_>>, report: &mut Report) {
        let (mut by_start, mut by_end) = (acked.clone(), acked);
        by_start.sort_by_key(|it| it.start_us);
        by_end.sort_by_key(|it| it.end_us);
        let mut ended = by_end.into_iter().peekable();
        let mut firm: Option<Acked<'_>> = None;
        // By the number of power cuts before them.
        let mut weak: HashMap<usize, Acked<'_>> = HashMap::new();
        for it in by_start {
            while let Some(before) = ended.next_if(|before| before.end_us < it.start_us) {
                let cuts = self.contract.cuts_before(before.start_us);
                let highest = match self.may_be_cut(before) {
                    true => weak.entry(cuts).or_insert(before),
                    false => firm.get_or_insert(before),
                };
                if highest.offset < before.offset {
                    *highest = before;
                }
            }
            let weak = weak.get(&self.contract.cuts_begun(it.end_us));
            let above = |before: &&Acked<'_>| before.offset >= it.offset;
            if let Some(before) = firm.iter().chain(weak).find(above) {
                report.count(Anomaly::NonmonotonicSend, false, || {
                    self.sentence(*before, it)
                });
            }
        }
    }

    fn may_be_cut(&self, acked: Acked<'_>) -> bool {
        self.contract.durability(acked.sent.partition) == Durability::PageCache
            || self.contract.role(acked.sent) == Role::One
    }

    fn sentence(&self, one: Acked<'_>, other: Acked<'_>) -> String {
        format!(
            "{} of {} us stands at {} of {}, and {} of {} us behind it at {}",
            one.sent.value,
            one.start_us,
            one.offset,
            self.name,
            other.sent.value,
            other.start_us,
            other.offset
        )
    }
}
