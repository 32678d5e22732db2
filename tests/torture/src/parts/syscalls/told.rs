//! What was told to clients, and what they may be told.
//!
//! Invariants
//! - The numbers of processes and partitions are those of the history.

use std::time::{Duration, Instant};

use highwater_client::ClientError;
use highwater_kit::history::{
    Durability, Fault, FaultKind, History, Operation, Outcome, Partition, Process, Role, Step,
};

/// What was told to the clients.
#[derive(Clone, Debug)]
pub(super) struct Told {
    since: Instant,
    pub(super) history: History,
    /// What is wrong and no history says.
    pub(super) wrong: Vec<String>,
    /// Whether the deletion of the topic was acknowledged.
    pub(super) is_deleted: bool,
    /// Topics whose creation was acknowledged.
    pub(super) created: Vec<&'static str>,
}

/// How long clients wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For a record to be delivered.
    pub(super) delivery: Duration,
    /// For any other answer, repetitions included.
    pub(super) answer: Duration,
    /// Whether nothing may fail that is repeated until then.
    pub(super) is_firm: bool,
}

impl Patience {
    /// The broker comes back, and everything goes on.
    pub(super) const UNTIL_IT_IS_BACK: Self = Self {
        delivery: Duration::from_secs(60),
        answer: Duration::from_secs(60),
        is_firm: true,
    };
    /// The broker may be read-only from some point on.
    pub(super) const UNTIL_IT_REFUSES: Self = Self {
        delivery: Duration::from_millis(1_500),
        answer: Duration::from_millis(5_000),
        is_firm: false,
    };
}

pub(super) const PRODUCER: u32 = 0;
pub(super) const ONE: u32 = 1;
pub(super) const ADMIN: u32 = 2;
pub(super) const READER: u32 = 3;
pub(super) const DRAIN: u32 = 4;
pub(super) const ROLES: [Role; 5] = [
    Role::Idempotent,
    Role::One,
    Role::Admin,
    Role::Assigned,
    Role::Drain,
];

/// The partitions by their places in the history.
pub(super) const PLACES: [(&str, i32); 3] = [("rolls", 0), ("rolls", 1), ("cached", 0)];
pub(super) const ROLLS: u32 = 0;
pub(super) const BESIDE: u32 = 1;
pub(super) const CACHED: u32 = 2;

/// The topic that is deleted.
pub(super) const GONE: &str = "gone";
pub(super) const GROUP: &str = "readers";

impl Told {
    pub(super) fn new() -> Self {
        let partition = |(topic, index): &(&str, i32)| Partition {
            name: format!("{topic}/{index}"),
            durability: match *topic {
                "cached" => Durability::PageCache,
                _ => Durability::Fsync,
            },
        };
        let process = |role: &Role| Process {
            name: format!("{role:?}").to_lowercase(),
            role: *role,
        };
        Self {
            since: Instant::now(),
            history: History {
                partitions: PLACES.iter().map(partition).collect(),
                processes: ROLES.iter().map(process).collect(),
                ..History::default()
            },
            wrong: Vec::new(),
            is_deleted: false,
            created: Vec::new(),
        }
    }

    pub(super) fn now_us(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(super) fn note(&mut self, process: u32, start_us: u64, result: Outcome, steps: Vec<Step>) {
        let times = [start_us, self.now_us()];
        let operation = Operation::new(process, times, result, steps);
        self.history.operations.push(operation);
    }

    /// The values that were acknowledged in a partition.
    pub(super) fn acked(&self, partition: u32) -> impl Iterator<Item = u64> {
        let operations = self.history.operations.iter();
        let acked = operations.filter(|it| it.result == Outcome::Ok);
        acked
            .flat_map(|it| &it.steps)
            .filter_map(move |step| match step {
                Step::Send {
                    partition: place,
                    value,
                    offset: Some(_),
                } if *place == partition => Some(*value),
                _ => None,
            })
    }

    /// How many records were sent.
    pub(super) fn sent(&self) -> u64 {
        let steps = self.history.operations.iter().flat_map(|it| &it.steps);
        steps
            .filter(|step| matches!(step, Step::Send { .. }))
            .count() as u64
    }

    /// The broker is disturbed, or started again, between two moments.
    pub(super) fn fault(&mut self, kind: FaultKind, start_us: u64) {
        let end_us = self.now_us();
        self.history.faults.push(Fault {
            kind,
            start_us,
            end_us,
        });
    }

    /// The end of a partition, as far as it is acknowledged.
    pub(super) fn end(&self, partition: u32) -> i64 {
        let operations = self.history.operations.iter();
        let offsets = operations.flat_map(|it| &it.steps).map(|step| match step {
            Step::Send {
                partition: place,
                offset: Some(offset),
                ..
            } if *place == partition => offset.cast_signed() + 1,
            _ => 0,
        });
        offsets.max().unwrap_or(0)
    }
}

impl Told {
    /// Whether an error is one that the contract has.
    pub(super) fn refused(&mut self, patience: Patience, error: &ClientError) {
        let said = error.to_string();
        let of_contract = [
            "KAFKA_STORAGE_ERROR",
            "NOT_COORDINATOR",
            "COORDINATOR_NOT_AVAILABLE",
        ];
        let is_of_contract = match error.code() {
            Some(code) => code.retriable() || of_contract.contains(&code.name()),
            None => {
                !said.contains("the broker answered")
                    || of_contract.iter().any(|name| said.contains(name))
            }
        };
        if patience.is_firm || !is_of_contract {
            self.wrong.push(format!("D5: a client was told: {said}"));
        }
    }
}
