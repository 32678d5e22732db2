//! Histories that are right: clients of a model of the broker, with faults.
//!
//! Invariants
//! - A history follows from its seed and its size alone.
//! - The model takes from a log what the contract lets a fault take, and no more.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use super::types::Durability;
use super::types::Fault;
use super::types::FaultKind;
use super::types::History;
use super::types::Operation;
use super::types::Outcome;
use super::types::Partition;
use super::types::Process;
use super::types::Read;
use super::types::Role;
use super::types::Step;
use crate::rng::Rng;

/// A right history of about this many operations, with some faults.
#[must_use]
pub fn made(seed: u64, operations: usize) -> History {
    let mut model = Model::new(seed);
    let fault_every = (operations / 5).max(20);
    while model.history.operations.len() < operations {
        model.now_us += 1 + model.rng.below(60) as u64;
        let process = model.rng.below(model.clients.len());
        if model.clients[process].free_us > model.now_us {
            continue;
        }
        match model.history.processes[process].role {
            Role::Assigned | Role::Subscribed => model.consume(process),
            Role::Admin => model.committed(process),
            _ => model.produce(process),
        }
        if model.rng.below(20) == 0 {
            let at = model.rng.below(model.logs.len());
            model.logs[at].synced = model.logs[at].values.len();
        }
        if model.rng.below(fault_every) == 0 {
            model.fault();
        }
    }
    model.drain();
    model.history
}

/// One partition.
struct Log {
    durability: Durability,
    values: Vec<u64>,
    /// How many of them a power cut does not take.
    synced: usize,
}

impl Log {
    fn visible(&self) -> usize {
        match self.durability {
            Durability::Fsync => self.synced,
            Durability::PageCache => self.values.len(),
        }
    }
}

/// One process.
#[derive(Default)]
struct Client {
    /// When its last operation ended.
    free_us: u64,
    /// Its partitions, with the next offset to fetch and the next one behind what was handed out.
    positions: BTreeMap<usize, [usize; 2]>,
    fetched: VecDeque<Read>,
}

struct Model {
    rng: Rng,
    now_us: u64,
    next_value: u64,
    logs: Vec<Log>,
    clients: Vec<Client>,
    committed: BTreeMap<usize, usize>,
    history: History,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut model = Self {
            rng: Rng::new(seed),
            now_us: 1000,
            next_value: 0,
            logs: Vec::new(),
            clients: Vec::new(),
            committed: BTreeMap::new(),
            history: History::default(),
        };
        for number in 0..4 {
            let durability = match number % 2 {
                0 => Durability::Fsync,
                _ => Durability::PageCache,
            };
            let name = format!("topic-{number}/0");
            let partition = Partition { name, durability };
            model.history.partitions.push(partition);
            model.logs.push(Log {
                durability,
                values: Vec::new(),
                synced: 0,
            });
        }
        let producers = [
            Role::Idempotent,
            Role::Idempotent,
            Role::All,
            Role::One,
            Role::Zero,
        ];
        let consumers = [
            Role::Assigned,
            Role::Subscribed,
            Role::Subscribed,
            Role::Admin,
        ];
        for role in producers.into_iter().chain(consumers) {
            model.process(role);
        }
        model.assign(5, [0, 1, 2, 3].map(|partition| (partition, 0)).into());
        model.rebalance();
        model
    }

    fn process(&mut self, role: Role) -> usize {
        let number = self.clients.len();
        let name = format!("{role:?}-{number}");
        self.history.processes.push(Process { name, role });
        self.clients.push(Client::default());
        number
    }

    /// Notes an operation that takes effect now.
    fn note(&mut self, process: usize, result: Outcome, steps: Vec<Step>) {
        let free_us = self.clients[process].free_us;
        let start_us = free_us.max(self.now_us - self.rng.below(50) as u64);
        let end_us = self.now_us + self.rng.below(50) as u64;
        self.clients[process].free_us = end_us + 1;
        let process = u32::try_from(process).expect("few processes");
        let operation = Operation::new(process, [start_us, end_us], result, steps);
        self.history.operations.push(operation);
    }

    fn produce(&mut self, process: usize) {
        let role = self.history.processes[process].role;
        let (result, is_done) = match self.rng.below(100) {
            0..3 => (Outcome::Fail, false),
            3..6 => (Outcome::Info, false),
            6..10 => (Outcome::Info, true),
            _ => (Outcome::Ok, role != Role::Zero || self.rng.percent(95)),
        };
        let mut steps = Vec::new();
        for _ in 0..1 + self.rng.below(3) {
            let partition = self.rng.below(self.logs.len());
            let value = self.value();
            let log = &mut self.logs[partition];
            let offset = log.values.len() as u64;
            if is_done {
                log.values.push(value);
            }
            let is_synced = log.durability == Durability::Fsync && role != Role::One;
            if is_done && is_synced && role != Role::Zero {
                log.synced = log.values.len();
            }
            steps.push(Step::Send {
                partition: number(partition),
                value,
                offset: (result == Outcome::Ok && role != Role::Zero).then_some(offset),
            });
        }
        self.note(process, result, steps);
    }

    fn value(&mut self) -> u64 {
        self.next_value += 1;
        self.next_value
    }

    fn assign(&mut self, process: usize, positions: Vec<(usize, usize)>) {
        let step = positions
            .iter()
            .map(|(partition, next)| (number(*partition), Some(*next as u64)));
        let step = Step::Assign(step.collect());
        let client = &mut self.clients[process];
        client.fetched.clear();
        client.positions = positions
            .into_iter()
            .map(|(partition, next)| (partition, [next, next]))
            .collect();
        self.note(process, Outcome::Ok, vec![step]);
    }

    /// Gives the partitions to the two members of the group anew.
    fn rebalance(&mut self) {
        let mut split = [Vec::new(), Vec::new()];
        for partition in 0..self.logs.len() {
            let next = self.committed.get(&partition).copied().unwrap_or(0);
            split[self.rng.below(2)].push((partition, next));
        }
        for (process, positions) in [6, 7].into_iter().zip(split) {
            self.now_us = self.now_us.max(self.clients[process].free_us);
            self.assign(process, positions);
        }
    }

    fn consume(&mut self, process: usize) {
        let is_member = self.history.processes[process].role == Role::Subscribed;
        match self.rng.below(10) {
            0 if is_member => self.commit(process),
            1 if is_member && self.rng.percent(10) => self.rebalance(),
            _ => self.poll(process),
        }
    }

    fn poll(&mut self, process: usize) {
        self.fetch(process);
        let count = self.rng.below(40);
        let client = &mut self.clients[process];
        let count = count.min(client.fetched.len());
        let reads: Vec<Read> = client.fetched.drain(..count).collect();
        for read in &reads {
            let position = client.positions.get_mut(&(read.partition as usize));
            let offset = usize::try_from(read.offset).expect("it was one");
            position.expect("it was fetched")[1] = offset + 1;
        }
        // A poll that fails hands out what is safe all the same.
        let result = self
            .rng
            .pick(&[Outcome::Ok, Outcome::Ok, Outcome::Ok, Outcome::Info]);
        self.note(process, result, vec![Step::Poll(reads)]);
    }

    fn fetch(&mut self, process: usize) {
        let client = &mut self.clients[process];
        for (partition, [next, _]) in &mut client.positions {
            let visible = self.logs[*partition].visible();
            if *next > visible {
                // The end went back: nothing of what was fetched is lost to the client.
                *next = visible;
            }
            let until = visible.min(*next + 30);
            client.fetched.extend((*next..until).map(|offset| Read {
                partition: number(*partition),
                offset: offset as u64,
                value: self.logs[*partition].values[offset],
            }));
            *next = until;
        }
    }

    fn commit(&mut self, process: usize) {
        let positions: Vec<(usize, [usize; 2])> = self.clients[process]
            .positions
            .clone()
            .into_iter()
            .collect();
        if positions.is_empty() {
            return;
        }
        let (partition, [_, next]) = positions[self.rng.below(positions.len())];
        let log = &mut self.logs[partition];
        if next == 0 || next > log.values.len() {
            return;
        }
        let (result, is_done) = match self.rng.below(20) {
            0 => (Outcome::Info, false),
            1 => (Outcome::Info, true),
            2 => (Outcome::Fail, false),
            _ => (Outcome::Ok, true),
        };
        if is_done {
            log.synced = log.values.len();
            self.committed.insert(partition, next);
        }
        let step = Step::Commit {
            group: 0,
            partition: number(partition),
            offset: next as u64,
        };
        self.note(process, result, vec![step]);
    }

    fn committed(&mut self, process: usize) {
        let partition = self.rng.below(self.logs.len());
        let offset = self.committed.get(&partition).map(|next| *next as u64);
        let step = Step::Committed {
            group: 0,
            partition: number(partition),
            offset,
        };
        self.note(process, Outcome::Ok, vec![step]);
    }

    fn fault(&mut self) {
        let kind = self
            .rng
            .pick(&[FaultKind::Stop, FaultKind::Kill, FaultKind::PowerCut]);
        let start_us = self.now_us;
        let again = self.begin_again();
        for log in &mut self.logs {
            if kind == FaultKind::PowerCut {
                let lost = log.values.len() - log.synced;
                log.values.truncate(log.synced + self.rng.below(lost + 1));
            }
            log.synced = log.values.len();
        }
        self.now_us += 100 + self.rng.below(1000) as u64;
        let end_us = self.now_us;
        self.history.faults.push(Fault {
            kind,
            start_us,
            end_us,
        });
        self.now_us += 1;
        if let Some((partition, value)) = again {
            self.end_again(start_us, partition, value);
        }
    }

    /// A send that a fault interrupts, of a producer that sends again: it is there already.
    fn begin_again(&mut self) -> Option<(usize, u64)> {
        if self.clients[RETRIES].free_us > self.now_us || self.rng.percent(50) {
            return None;
        }
        let partition = self.rng.below(self.logs.len());
        let value = self.value();
        let log = &mut self.logs[partition];
        log.values.push(value);
        log.synced = log.values.len();
        Some((partition, value))
    }

    fn end_again(&mut self, start_us: u64, partition: usize, value: u64) {
        let log = &mut self.logs[partition];
        log.values.push(value);
        log.synced = log.values.len();
        let step = Step::Send {
            partition: number(partition),
            value,
            offset: Some(log.values.len() as u64 - 1),
        };
        self.note(RETRIES, Outcome::Ok, vec![step]);
        let sent = self.history.operations.last_mut();
        sent.expect("it was noted").start_us = start_us;
    }

    fn drain(&mut self) {
        self.now_us += 10_000;
        let process = self.process(Role::Drain);
        self.assign(process, [0, 1, 2, 3].map(|partition| (partition, 0)).into());
        for log in &mut self.logs {
            log.synced = log.values.len();
        }
        loop {
            self.fetch(process);
            let fetched = std::mem::take(&mut self.clients[process].fetched);
            if fetched.is_empty() {
                break;
            }
            self.now_us += 100;
            self.note(process, Outcome::Ok, vec![Step::Poll(fetched.into())]);
        }
    }
}

/// The producer that sends again and is not idempotent.
const RETRIES: usize = 2;

fn number(partition: usize) -> u32 {
    u32::try_from(partition).expect("few partitions")
}
