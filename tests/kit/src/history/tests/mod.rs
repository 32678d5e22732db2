//! The checker: right histories, histories made wrong on purpose, and what the contract allows.

mod allowed;
mod property;
mod wrong;

use super::Durability;
use super::Fault;
use super::FaultKind;
use super::History;
use super::Limits;
use super::Operation;
use super::Outcome;
use super::Partition;
use super::Process;
use super::Read;
use super::Report;
use super::Role;
use super::Step;

/// A history of one `fsync` partition (0) and one `page-cache` partition (1), written by hand: each
/// operation takes a millisecond.
#[derive(Default)]
struct Told {
    history: History,
    now_us: u64,
}

impl Told {
    fn new() -> Self {
        let mut told = Self::default();
        for (name, durability) in [
            ("fsync/0", Durability::Fsync),
            ("cache/0", Durability::PageCache),
        ] {
            let name = name.to_owned();
            told.history.partitions.push(Partition { name, durability });
        }
        told
    }

    fn process(&mut self, role: Role) -> u32 {
        let name = format!("{role:?}");
        self.history.processes.push(Process { name, role });
        u32::try_from(self.history.processes.len() - 1).unwrap()
    }

    fn note(&mut self, process: u32, result: Outcome, steps: Vec<Step>) -> &mut Self {
        let times = [self.now_us, self.now_us + 900];
        let operation = Operation::new(process, times, result, steps);
        self.history.operations.push(operation);
        self.now_us += 1000;
        self
    }

    fn sent(&mut self, process: u32, partition: u32, value: u64, offset: u64) -> &mut Self {
        let step = send(partition, value, Some(offset));
        self.note(process, Outcome::Ok, vec![step])
    }

    fn polled(&mut self, process: u32, reads: &[(u32, u64, u64)]) -> &mut Self {
        self.note(process, Outcome::Ok, vec![poll(reads)])
    }

    fn assigned(&mut self, process: u32, partitions: &[(u32, u64)]) -> &mut Self {
        let partitions = partitions.iter().map(|(at, next)| (*at, Some(*next)));
        let step = Step::Assign(partitions.collect());
        self.note(process, Outcome::Ok, vec![step])
    }

    fn committed(&mut self, process: u32, offset: Option<u64>) -> &mut Self {
        let step = Step::Committed {
            group: 0,
            partition: 0,
            offset,
        };
        self.note(process, Outcome::Ok, vec![step])
    }

    fn commits(&mut self, process: u32, partition: u32, offset: u64) -> &mut Self {
        let step = Step::Commit {
            group: 0,
            partition,
            offset,
        };
        self.note(process, Outcome::Ok, vec![step])
    }

    fn fault(&mut self, kind: FaultKind) -> &mut Self {
        self.history.faults.push(Fault {
            kind,
            start_us: self.now_us,
            end_us: self.now_us + 900,
        });
        self.now_us += 1000;
        self
    }

    /// A new process that reads all of this, from the first record on.
    fn drain(&mut self, reads: &[(u32, u64, u64)]) -> &mut Self {
        let process = self.process(Role::Drain);
        self.assigned(process, &[(0, 0), (1, 0)]);
        self.polled(process, reads)
    }

    fn check(&self) -> Report {
        self.history.check(&Limits::default()).unwrap()
    }
}

fn send(partition: u32, value: u64, offset: Option<u64>) -> Step {
    Step::Send {
        partition,
        value,
        offset,
    }
}

fn poll(reads: &[(u32, u64, u64)]) -> Step {
    Step::Poll(reads.iter().map(|read| Read::from(*read)).collect())
}
