//! The history checker: whether what clients saw can be what the contract allows.
//!
//! The anomalies are those of Jepsen's Kafka workload and some of the contract's own
//! ([`Anomaly`]); what the contract allows is counted apart. Transactions do not exist yet, and so
//! `precommitted-read` and the cycles `G0` and `G1c` are left out; `int-send-skip`, which is always
//! allowed, is not looked for.

mod commits;
mod contract;
mod form;
mod index;
pub mod made;
mod polls;
mod progress;
mod records;
mod report;
mod sends;
mod types;

use std::error;
use std::fmt;
use std::thread;

use contract::Contract;
use index::Index;

pub use report::Anomaly;
pub use report::Report;
pub use report::Seen;
pub use types::Durability;
pub use types::Fault;
pub use types::FaultKind;
pub use types::History;
pub use types::Operation;
pub use types::Outcome;
pub use types::Partition;
pub use types::Process;
pub use types::Read;
pub use types::Role;
pub use types::Step;

/// What the checker cannot read from a history.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How old a record of a `page-cache` topic may be when a power cut takes it: `flush.ms` and
    /// the time of one sync.
    pub page_cache_window_us: u64,
    /// How long a consumer may stand before data.
    pub stuck_us: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // `flush.ms` is 100 by default; a disk that others use may need seconds for a sync.
            page_cache_window_us: 5_100_000,
            stuck_us: 30_000_000,
        }
    }
}

/// Why a history cannot be checked: a mistake of those who recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongHistory(pub String);

impl fmt::Display for WrongHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for WrongHistory {}

impl History {
    /// Looks for anomalies.
    ///
    /// # Errors
    /// If the history does not say what it must: it refers to what is not there, a value is sent
    /// twice, an operation ends before it begins, a drain began before the last fault was over.
    pub fn check(&self, limits: &Limits) -> Result<Report, WrongHistory> {
        self.sound().map_err(WrongHistory)?;
        let index = Index::of(self).map_err(|value| {
            WrongHistory(format!(
                "the value {value} is sent twice: each must be unique"
            ))
        })?;
        let contract = Contract::of(self, limits);
        let checks: [&(dyn Fn(&mut Report) + Sync); 5] = [
            &|report| records::check(self, &index, &contract, report),
            &|report| polls::check(self, &index, &contract, report),
            &|report| sends::check(self, &index, &contract, report),
            &|report| progress::check(self, &index, limits, report),
            &|report| commits::check(self, &index, report),
        ];
        let mut report = Report {
            operations: self.operations.len() as u64,
            reads: index.reads,
            is_drained: index.is_drained,
            ..Report::default()
        };
        thread::scope(|scope| {
            let each = checks.map(|check| {
                scope.spawn(|| {
                    let mut report = Report::default();
                    check(&mut report);
                    report
                })
            });
            for checked in each {
                report.add(checked.join().expect("a check does not panic"));
            }
        });
        Ok(report)
    }

    fn sound(&self) -> Result<(), String> {
        if u32::try_from(self.operations.len()).is_err() {
            return Err("a history has at most 4,294,967,295 operations".to_owned());
        }
        let last_fault_us = self.faults.iter().map(|fault| fault.end_us).max();
        for (number, operation) in self.operations.iter().enumerate() {
            let wrong = |why: &str| Err(format!("operation {number} {why}"));
            let Some(process) = self.processes.get(operation.process as usize) else {
                return wrong("is of a process that is not there");
            };
            if operation.end_us < operation.start_us {
                return wrong("ends before it begins");
            }
            if process.role == Role::Drain && last_fault_us > Some(operation.start_us) {
                return wrong("is of a drain and began before the last fault was over");
            }
            if !operation.steps.iter().all(|step| self.is_known(step)) {
                return wrong("refers to a partition or an offset that cannot be");
            }
        }
        Ok(())
    }

    fn is_known(&self, step: &Step) -> bool {
        let is_place = |partition: u32, offset: Option<u64>| {
            let is_offset = offset.is_none_or(|offset| i64::try_from(offset).is_ok());
            is_offset && (partition as usize) < self.partitions.len()
        };
        match step {
            Step::Send {
                partition, offset, ..
            }
            | Step::Committed {
                partition, offset, ..
            } => is_place(*partition, *offset),
            Step::Commit {
                partition, offset, ..
            } => is_place(*partition, Some(*offset)),
            Step::Poll(reads) => reads
                .iter()
                .all(|read| is_place(read.partition, Some(read.offset))),
            Step::Assign(all) => all
                .iter()
                .all(|(partition, next)| is_place(*partition, *next)),
        }
    }
}

#[cfg(test)]
mod tests;
