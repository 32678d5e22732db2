//! A history: what clients did to a broker, when, and what came back.
//!
//! Invariants
//! - Nothing here says what is right: a history is what was seen, in any order.
//! - Moments are microseconds since the beginning of the run, by one monotonic clock.

use serde::Deserialize;
use serde::Serialize;

/// What the clients of one run did and saw.
///
/// ```
/// use highwater_kit::history::{Durability, History, Operation, Outcome, Partition, Process};
/// use highwater_kit::history::{Read, Role, Step};
///
/// let mut history = History::default();
/// history.partitions.push(Partition { name: "t/0".to_owned(), durability: Durability::Fsync });
/// history.processes.push(Process { name: "producer".to_owned(), role: Role::Idempotent });
/// history.processes.push(Process { name: "drain".to_owned(), role: Role::Drain });
/// let sent = Step::Send { partition: 0, value: 77, offset: Some(0) };
/// history.operations.push(Operation::new(0, [10, 20], Outcome::Ok, vec![sent]));
/// let read = Step::Poll(vec![Read { partition: 0, offset: 0, value: 77 }]);
/// history.operations.push(Operation::new(1, [30, 40], Outcome::Ok, vec![read]));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// What the steps call a partition is its place in here.
    pub partitions: Vec<Partition>,
    /// What an operation calls a process is its place in here.
    pub processes: Vec<Process>,
    /// What was done to the broker.
    pub faults: Vec<Fault>,
    /// What was done with it.
    pub operations: Vec<Operation>,
}

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// For people: `topic/0`.
    pub name: String,
    /// The switch of its topic.
    pub durability: Durability,
}

/// When a batch of a topic counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// Once the disk has it.
    Fsync,
    /// Once the kernel has it.
    PageCache,
}

/// One client, which does one thing after the other, or sends several records at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// For people.
    pub name: String,
    /// What is promised to it.
    pub role: Role,
}

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// An idempotent producer with `acks=all`.
    Idempotent,
    /// A producer with `acks=all` that may send a record twice.
    All,
    /// The same with `acks=1`.
    One,
    /// The same with `acks=0`: what it is told is not an answer.
    Zero,
    /// A consumer that chooses its partitions.
    Assigned,
    /// A consumer to which a group gives partitions.
    Subscribed,
    /// A consumer that reads every partition from its first record to its end, behind the last
    /// fault and the last send.
    Drain,
    /// It neither sends nor reads records.
    Admin,
}

/// Something that was done to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// When: before the signal was sent.
    pub start_us: u64,
    /// When it was known to serve again.
    pub end_us: u64,
}

/// What can be done to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// It was asked to stop and did.
    Stop,
    /// The process was killed.
    Kill,
    /// What was not synced is gone.
    PowerCut,
}

/// What a process asked for, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Who: a place in [`History::processes`].
    pub process: u32,
    /// When, before it was asked for.
    pub start_us: u64,
    /// When the answer was there, or nobody waited for it any longer.
    pub end_us: u64,
    /// What became of it.
    pub result: Outcome,
    /// What it was.
    pub steps: Vec<Step>,
}

impl Operation {
    /// An operation of `process` from the first moment until the second.
    #[must_use]
    pub const fn new(
        process: u32,
        [start_us, end_us]: [u64; 2],
        result: Outcome,
        steps: Vec<Step>,
    ) -> Self {
        Self {
            process,
            start_us,
            end_us,
            result,
            steps,
        }
    }
}

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done.
    Ok,
    /// It has surely had no effect, and never will.
    Fail,
    /// Nobody knows: it was done, or will be, or not.
    Info,
}

/// A part of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A record was sent.
    Send {
        /// Where to: a place in [`History::partitions`].
        partition: u32,
        /// What: no two sends of a history have the same.
        value: u64,
        /// Where it stands now, if that was told.
        offset: Option<u64>,
    },
    /// Records came.
    Poll(Vec<Read>),
    /// From here on the process reads these partitions and no others; what it has read before does
    /// not bind it. The number is the offset that it reads next, if it is known. Also the note of
    /// a rebalance that was seen.
    Assign(Vec<(u32, Option<u64>)>),
    /// A group's offset was committed: the next one to be read.
    Commit {
        /// For people, and to tell groups apart.
        group: u32,
        /// A place in [`History::partitions`].
        partition: u32,
        /// The next offset to be read.
        offset: u64,
    },
    /// A group's offset was asked for.
    Committed {
        /// As above.
        group: u32,
        /// As above.
        partition: u32,
        /// What came back; nothing if there is none.
        offset: Option<u64>,
    },
}

/// A record that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, u64, u64)", into = "(u32, u64, u64)")]
pub struct Read {
    /// Where: a place in [`History::partitions`].
    pub partition: u32,
    /// Where in it.
    pub offset: u64,
    /// What.
    pub value: u64,
}

impl From<(u32, u64, u64)> for Read {
    fn from((partition, offset, value): (u32, u64, u64)) -> Self {
        Self {
            partition,
            offset,
            value,
        }
    }
}

impl From<Read> for (u32, u64, u64) {
    fn from(read: Read) -> Self {
        (read.partition, read.offset, read.value)
    }
}
