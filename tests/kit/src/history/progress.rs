//! How far consumers are behind, and whether one is stuck.
//!
//! Invariants
//! - Data is there for a consumer if it was acknowledged at or above its position, and somebody
//!   read it.
//! - A consumer is stuck only while it polls; a restart of the broker gives it its time again.

use super::Limits;
use super::index::Index;
use super::report::Anomaly;
use super::report::Report;
use super::types::History;
use super::types::Operation;
use super::types::Outcome;
use super::types::Role;
use super::types::Step;

/// Looks at every poll of every process.
pub(super) fn check(history: &History, index: &Index, limits: &Limits, report: &mut Report) {
    let mut progress = Progress {
        history,
        limits,
        acked: acked(history, index),
        positions: Vec::new(),
        assigned: Vec::new(),
    };
    let mut process = u32::MAX;
    for at in &index.order {
        let operation = &history.operations[*at as usize];
        if operation.process != process {
            process = operation.process;
            progress.positions = vec![Position::default(); history.partitions.len()];
            progress.assigned.clear();
        }
        progress.operation(operation, report);
    }
}

/// When a record at or above an offset was first acknowledged.
#[derive(Clone, Copy)]
struct Acked {
    offset: u64,
    earliest_us: u64,
}

/// By partition, sorted by offset.
fn acked(history: &History, index: &Index) -> Vec<Vec<Acked>> {
    let mut all: Vec<Vec<Acked>> = vec![Vec::new(); history.partitions.len()];
    for sent in index.sends.iter().filter(|sent| sent.is_read) {
        if let Some(offset) = sent.acked {
            let earliest_us = history.operations[sent.operation as usize].end_us;
            all[sent.partition as usize].push(Acked {
                offset,
                earliest_us,
            });
        }
    }
    for acked in &mut all {
        acked.sort_by_key(|it| it.offset);
        let mut earliest_us = u64::MAX;
        for it in acked.iter_mut().rev() {
            earliest_us = earliest_us.min(it.earliest_us);
            it.earliest_us = earliest_us;
        }
    }
    all
}

/// Where a process stands in a partition.
#[derive(Clone, Copy, Default)]
struct Position {
    next: Option<u64>,
    /// When it last moved.
    moved_us: u64,
    is_assigned: bool,
    is_told: bool,
}

struct Progress<'a> {
    history: &'a History,
    limits: &'a Limits,
    acked: Vec<Vec<Acked>>,
    positions: Vec<Position>,
    assigned: Vec<u32>,
}

impl Progress<'_> {
    fn operation(&mut self, operation: &Operation, report: &mut Report) {
        let mut is_poll = false;
        for step in &operation.steps {
            match step {
                Step::Assign(partitions) => {
                    self.positions.fill(Position::default());
                    self.assigned.clear();
                    for (partition, next) in partitions {
                        self.moved(*partition, *next, operation.end_us);
                    }
                }
                Step::Poll(reads) => {
                    is_poll = true;
                    for read in reads {
                        self.moved(read.partition, Some(read.offset + 1), operation.end_us);
                    }
                }
                _ => {}
            }
        }
        if is_poll {
            for at in 0..self.assigned.len() {
                self.behind(operation, self.assigned[at], report);
            }
        }
    }

    fn moved(&mut self, partition: u32, next: Option<u64>, moved_us: u64) {
        let position = &mut self.positions[partition as usize];
        if !position.is_assigned {
            self.assigned.push(partition);
        }
        *position = Position {
            next,
            moved_us,
            is_assigned: true,
            is_told: false,
        };
    }

    fn behind(&mut self, operation: &Operation, partition: u32, report: &mut Report) {
        let position = &mut self.positions[partition as usize];
        let Some(next) = position.next else { return };
        let acked = &self.acked[partition as usize];
        let first = acked.partition_point(|it| it.offset < next);
        let now_us = operation.start_us;
        let Some(acked) = acked.get(first).filter(|it| it.earliest_us < now_us) else {
            return;
        };
        let process = &self.history.processes[operation.process as usize];
        let lag_us = now_us - acked.earliest_us;
        if operation.result == Outcome::Ok && process.role != Role::Drain {
            report.worst_lag_us = report.worst_lag_us.max(lag_us);
        }
        if lag_us <= self.limits.stuck_us || position.is_told {
            return;
        }
        let restarts = self.history.faults.iter().map(|fault| fault.end_us);
        let restart_us = restarts.filter(|end_us| *end_us <= now_us).max();
        let since_us = position
            .moved_us
            .max(acked.earliest_us)
            .max(restart_us.unwrap_or(0));
        if now_us.saturating_sub(since_us) > self.limits.stuck_us {
            position.is_told = true;
            report.count(Anomaly::StuckConsumer, false, || {
                format!(
                    "{} stands before {next} of {} since {since_us} us, and polls at {now_us} us",
                    process.name, self.history.partitions[partition as usize].name
                )
            });
        }
    }
}
