//! Anomalies of committed offsets: each is a register, which never forgets what was acknowledged.
//!
//! Invariants
//! - No fault excuses anything: offsets are durable when they are acknowledged, and seen when they
//!   are durable.
//! - A commit that nobody knows the end of may take effect at any later time.

use std::collections::BTreeMap;
use std::collections::HashMap;

use super::index::Index;
use super::report::Anomaly;
use super::report::Report;
use super::types::Durability;
use super::types::FaultKind;
use super::types::History;
use super::types::Outcome;
use super::types::Step;

/// Looks at every read of a committed offset.
pub(super) fn check(history: &History, index: &Index, report: &mut Report) {
    let last_fault_us = history.faults.iter().map(|fault| fault.end_us).max();
    for ((group, partition), register) in registers(history) {
        let end = index.tables[partition as usize].highest_drained;
        // Who has read what a power cut took may commit it afterwards.
        let durability = history.partitions[partition as usize].durability;
        let mut faults = history.faults.iter();
        let may_end_below = durability == Durability::PageCache
            && faults.any(|fault| fault.kind == FaultKind::PowerCut);
        let is_bound = index.is_drained && !may_end_below;
        let bound = End {
            offset: is_bound.then(|| end.map_or(0, |end| end + 1)),
            since_us: last_fault_us.unwrap_or(0),
        };
        let name = &history.partitions[partition as usize].name;
        register.check(bound, report, |read, why| {
            let offset = read
                .offset
                .map_or_else(|| "none".to_owned(), |it| it.to_string());
            let when = read.start_us;
            format!("group {group} of {name}: {offset} at {when} us, {why}")
        });
    }
}

/// Where a partition ends behind the last fault.
#[derive(Clone, Copy)]
struct End {
    offset: Option<u64>,
    since_us: u64,
}

#[derive(Clone, Copy)]
struct Written {
    offset: u64,
    start_us: u64,
    /// When it had surely taken effect.
    end_us: u64,
    is_acked: bool,
}

#[derive(Clone, Copy)]
struct Got {
    offset: Option<u64>,
    start_us: u64,
    end_us: u64,
}

/// The offset of one group in one partition.
#[derive(Default)]
struct Register {
    written: Vec<Written>,
    got: Vec<Got>,
}

fn registers(history: &History) -> BTreeMap<(u32, u32), Register> {
    let mut registers: BTreeMap<(u32, u32), Register> = BTreeMap::new();
    for operation in &history.operations {
        let is_acked = operation.result == Outcome::Ok;
        let (start_us, end_us) = (operation.start_us, operation.end_us);
        for step in &operation.steps {
            match *step {
                Step::Commit {
                    group,
                    partition,
                    offset,
                } if operation.result != Outcome::Fail => {
                    let register = registers.entry((group, partition)).or_default();
                    register.written.push(Written {
                        offset,
                        start_us,
                        end_us: if is_acked { end_us } else { u64::MAX },
                        is_acked,
                    });
                }
                Step::Committed {
                    group,
                    partition,
                    offset,
                } if is_acked => {
                    let register = registers.entry((group, partition)).or_default();
                    register.got.push(Got {
                        offset,
                        start_us,
                        end_us,
                    });
                }
                _ => {}
            }
        }
    }
    registers
}

impl Register {
    fn check(mut self, end: End, report: &mut Report, sentence: impl Fn(&Got, &str) -> String) {
        self.got.sort_by_key(|got| got.start_us);
        let past = Past::of(&self.written);
        let mut ended = self.got.clone();
        ended.sort_by_key(|got| got.end_us);
        let mut ended = ended.into_iter().peekable();
        let mut seen = Latest::default();
        for got in &self.got {
            while let Some(before) = ended.next_if(|before| before.end_us < got.start_us) {
                seen.add(before);
            }
            if let Some((anomaly, why)) = past.judge(got, seen.other_than(got.offset), end) {
                report.count(anomaly, false, || sentence(got, why));
            }
        }
    }
}

/// What was written, ready to be asked.
struct Past {
    by_offset: HashMap<u64, Vec<Written>>,
    /// By end: when the youngest of those acknowledged until then began.
    acked: Vec<(u64, u64)>,
    /// By start: the highest asked for until then.
    asked: Vec<(u64, u64)>,
}

impl Past {
    fn of(written: &[Written]) -> Self {
        let mut by_offset: HashMap<u64, Vec<Written>> = HashMap::new();
        for it in written {
            by_offset.entry(it.offset).or_default().push(*it);
        }
        let acked = written.iter().filter(|it| it.is_acked);
        Self {
            by_offset,
            acked: running_max(acked.map(|it| (it.end_us, it.start_us)).collect()),
            asked: running_max(written.iter().map(|it| (it.start_us, it.offset)).collect()),
        }
    }

    /// What is wrong with a read, which came behind one that saw something else at `seen_us`.
    fn judge(&self, got: &Got, seen_us: Option<u64>, end: End) -> Option<(Anomaly, &'static str)> {
        let replaced_us = last_before(&self.acked, got.start_us);
        let Some(offset) = got.offset else {
            return (replaced_us.is_some() || seen_us.is_some())
                .then_some((Anomaly::ZeroOffset, "although one was acknowledged"));
        };
        let same = self.by_offset.get(&offset);
        let mut begun = same
            .into_iter()
            .flatten()
            .filter(|it| it.start_us <= got.end_us);
        let since_us = replaced_us.max(seen_us).unwrap_or(0);
        if begun.any(|it| it.end_us >= since_us) {
            let is_beyond =
                got.start_us >= end.since_us && end.offset.is_some_and(|it| it < offset);
            return is_beyond.then_some((Anomaly::CommitAhead, "beyond the end of the partition"));
        }
        let asked = last_before(&self.asked, got.end_us.saturating_add(1));
        Some(match offset {
            0 => (
                Anomaly::ZeroOffset,
                "although another was acknowledged or none asked for",
            ),
            _ if asked.is_none_or(|asked| asked < offset) => {
                (Anomaly::CommitAhead, "which nobody had asked for")
            }
            _ => (Anomaly::CommitLost, "which a later one had replaced"),
        })
    }
}

/// Pairs of a moment and a number, sorted by moment; each number is the highest until then.
fn running_max(mut pairs: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    pairs.sort_unstable();
    let mut highest = 0;
    for (_, number) in &mut pairs {
        highest = highest.max(*number);
        *number = highest;
    }
    pairs
}

fn last_before(pairs: &[(u64, u64)], moment_us: u64) -> Option<u64> {
    let count = pairs.partition_point(|(at, _)| *at < moment_us);
    pairs[..count].last().map(|(_, number)| *number)
}

/// The youngest of the reads that ended, and the youngest that saw something else.
#[derive(Default)]
struct Latest {
    first: Option<Got>,
    second: Option<Got>,
}

impl Latest {
    fn add(&mut self, got: Got) {
        let is_younger = |than: Option<Got>| than.is_none_or(|it| it.start_us <= got.start_us);
        let is_same = self.first.is_some_and(|first| first.offset == got.offset);
        if is_younger(self.first) {
            if !is_same {
                self.second = self.first;
            }
            self.first = Some(got);
        } else if !is_same && is_younger(self.second) {
            self.second = Some(got);
        }
    }

    /// When the youngest one began that saw something else than this.
    fn other_than(&self, offset: Option<u64>) -> Option<u64> {
        let mut both = [self.first, self.second].into_iter().flatten();
        both.find(|it| it.offset != offset).map(|it| it.start_us)
    }
}
