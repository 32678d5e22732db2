//! What stands where: the sends by their values, and the values by their offsets.
//!
//! Invariants
//! - A value is sent once: a second send of it is a history that cannot be checked.
//! - A version (an offset with one of its values) is there if it was read, or acknowledged with its
//!   offset.
//! - `first_us` is a moment at which a version surely was there; at `last_us` or later it surely
//!   was there once more.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::hash::Hasher;
use std::ops::Range;

use super::types::History;
use super::types::Outcome;
use super::types::Read;
use super::types::Role;
use super::types::Step;

/// A send.
pub(super) struct Sent {
    pub(super) value: u64,
    pub(super) partition: u32,
    /// A place in the operations of the history.
    pub(super) operation: u32,
    /// Where it stands, as the broker acknowledged it.
    pub(super) acked: Option<u64>,
    /// Where it was first seen.
    pub(super) first_at: Option<u64>,
    pub(super) is_read: bool,
}

/// A value at an offset.
pub(super) struct Version {
    pub(super) value: u64,
    /// A place in the sends; nothing if nobody sent it there.
    pub(super) sent: Option<u32>,
    pub(super) first_us: u64,
    pub(super) last_us: u64,
    pub(super) is_read: bool,
    pub(super) is_drained: bool,
}

/// Versions of one partition.
#[derive(Default)]
pub(super) struct Table {
    blocks: HashMap<u64, Vec<Option<Version>>, Fast>,
    /// The second and later values of an offset.
    others: HashMap<u64, Vec<Version>, Fast>,
    /// The highest offset that was read.
    pub(super) highest_read: Option<u64>,
    /// The highest offset that a drain has read.
    pub(super) highest_drained: Option<u64>,
}

/// The whole.
pub(super) struct Index {
    pub(super) sends: Vec<Sent>,
    pub(super) tables: Vec<Table>,
    /// Values that stand at a second offset: the send and that offset.
    pub(super) twice: Vec<(u32, u64)>,
    /// The operations by process, then by time.
    pub(super) order: Vec<u32>,
    pub(super) reads: u64,
    pub(super) is_drained: bool,
}

impl Index {
    /// Reads a history that refers to nothing that is not there.
    pub(super) fn of(history: &History) -> Result<Self, u64> {
        let order = by_process(history);
        let mut index = Self {
            sends: Vec::new(),
            tables: history
                .partitions
                .iter()
                .map(|_| Table::default())
                .collect(),
            twice: Vec::new(),
            order,
            reads: 0,
            is_drained: false,
        };
        let values = index.enter_sends(history)?;
        index.enter_reads(history, &values);
        Ok(index)
    }

    fn enter_sends(&mut self, history: &History) -> Result<HashMap<u64, u32, Fast>, u64> {
        let mut values = HashMap::default();
        values.reserve(history.operations.len());
        for (at, operation) in (0..).zip(&history.operations) {
            for step in &operation.steps {
                let Step::Send {
                    partition,
                    value,
                    offset,
                } = *step
                else {
                    continue;
                };
                let number = u32::try_from(self.sends.len()).expect("below the operations' limit");
                if values.insert(value, number).is_some() {
                    return Err(value);
                }
                let role = history.processes[operation.process as usize].role;
                let is_acked = operation.result == Outcome::Ok && role != Role::Zero;
                self.sends.push(Sent {
                    value,
                    partition,
                    operation: at,
                    acked: offset.filter(|_| is_acked),
                    first_at: None,
                    is_read: false,
                });
            }
        }
        for number in 0..self.sends.len() {
            let sent = &self.sends[number];
            if let Some(offset) = sent.acked {
                let operation = &history.operations[sent.operation as usize];
                let (partition, value) = (sent.partition, sent.value);
                let number = u32::try_from(number).ok();
                let version = self.version(partition, offset, value, |_| number);
                version.see(operation.start_us, operation.end_us);
            }
        }
        Ok(values)
    }

    fn enter_reads(&mut self, history: &History, values: &HashMap<u64, u32, Fast>) {
        let order = std::mem::take(&mut self.order);
        let mut process = u32::MAX;
        // A consumer may hand out what it fetched long ago, but not before it was assigned.
        let mut since_us = 0;
        for at in &order {
            let operation = &history.operations[*at as usize];
            if operation.process != process {
                (process, since_us) = (operation.process, 0);
            }
            let is_drain = history.processes[process as usize].role == Role::Drain;
            self.is_drained |= is_drain;
            for step in &operation.steps {
                match step {
                    Step::Assign(_) => since_us = operation.start_us,
                    Step::Poll(reads) => {
                        self.reads += reads.len() as u64;
                        for read in reads {
                            self.enter_read(*read, [since_us, operation.end_us], is_drain, values);
                        }
                    }
                    _ => {}
                }
            }
        }
        self.order = order;
    }

    fn enter_read(
        &mut self,
        read: Read,
        [start_us, end_us]: [u64; 2],
        is_drain: bool,
        values: &HashMap<u64, u32, Fast>,
    ) {
        let version = self.version(read.partition, read.offset, read.value, |sends| {
            let number = *values.get(&read.value)?;
            (sends[number as usize].partition == read.partition).then_some(number)
        });
        version.see(start_us, end_us);
        version.is_drained |= is_drain;
        let is_first = !std::mem::replace(&mut version.is_read, true);
        let sent = version.sent;
        if let (true, Some(number)) = (is_first, sent) {
            self.sends[number as usize].is_read = true;
        }
        let table = &mut self.tables[read.partition as usize];
        table.highest_read = table.highest_read.max(Some(read.offset));
        if is_drain {
            table.highest_drained = table.highest_drained.max(Some(read.offset));
        }
    }

    /// The version of an offset with a value, made if it is not there.
    fn version(
        &mut self,
        partition: u32,
        offset: u64,
        value: u64,
        sent: impl FnOnce(&[Sent]) -> Option<u32>,
    ) -> &mut Version {
        let table = &mut self.tables[partition as usize];
        let place = block_of(offset);
        let block = table
            .blocks
            .entry(place.0)
            .or_insert_with(|| std::iter::repeat_with(|| None).take(BLOCK).collect());
        let slot = &mut block[place.1];
        let first = slot.get_or_insert_with(|| Version::of(value));
        if first.value == value {
            return found(first, offset, sent, &mut self.sends, &mut self.twice);
        }
        let others = table.others.entry(offset).or_default();
        let at = others.iter().position(|version| version.value == value);
        let at = at.unwrap_or_else(|| {
            others.push(Version::of(value));
            others.len() - 1
        });
        found(
            &mut others[at],
            offset,
            sent,
            &mut self.sends,
            &mut self.twice,
        )
    }
}

/// Looks for the send of a version that was not seen before.
fn found<'a>(
    version: &'a mut Version,
    offset: u64,
    sent: impl FnOnce(&[Sent]) -> Option<u32>,
    sends: &mut [Sent],
    twice: &mut Vec<(u32, u64)>,
) -> &'a mut Version {
    if version.first_us == NEVER {
        version.sent = sent(sends);
        if let Some(number) = version.sent {
            match &mut sends[number as usize].first_at {
                Some(_) => twice.push((number, offset)),
                nowhere => *nowhere = Some(offset),
            }
        }
    }
    version
}

/// The operations of each process, in the order of their beginnings.
fn by_process(history: &History) -> Vec<u32> {
    let mut processes: Vec<Vec<(u64, u32)>> = vec![Vec::new(); history.processes.len()];
    for (at, operation) in (0..).zip(&history.operations) {
        processes[operation.process as usize].push((operation.start_us, at));
    }
    // What one process did mostly stands in its order already.
    processes.iter_mut().for_each(|all| all.sort());
    let all = processes.into_iter().flatten();
    all.map(|(_, at)| at).collect()
}

impl Version {
    const fn of(value: u64) -> Self {
        Self {
            value,
            sent: None,
            first_us: NEVER,
            last_us: 0,
            is_read: false,
            is_drained: false,
        }
    }

    /// It was there at some moment between these.
    fn see(&mut self, start_us: u64, end_us: u64) {
        self.first_us = self.first_us.min(end_us);
        self.last_us = self.last_us.max(start_us);
    }
}

impl Table {
    /// All versions, those of one offset behind each other.
    pub(super) fn versions(&self) -> Vec<(u64, &Version)> {
        let mut numbers: Vec<u64> = self.blocks.keys().copied().collect();
        numbers.sort_unstable();
        let mut all = Vec::new();
        for number in numbers {
            for (offset, slot) in (number * OFFSETS..).zip(&self.blocks[&number]) {
                all.extend(slot.as_ref().map(|version| (offset, version)));
                if slot.is_some() && !self.others.is_empty() {
                    let others = self.others.get(&offset).into_iter().flatten();
                    all.extend(others.map(|version| (offset, version)));
                }
            }
        }
        all
    }

    /// The versions of an offset.
    pub(super) fn at(&self, offset: u64) -> impl Iterator<Item = &Version> {
        let place = block_of(offset);
        let block = self.blocks.get(&place.0);
        let first = block.and_then(|block| block[place.1].as_ref());
        first
            .into_iter()
            .chain(self.others.get(&offset).into_iter().flatten())
    }

    /// The offsets of a range that have a version.
    pub(super) fn within(&self, range: Range<u64>) -> impl Iterator<Item = u64> {
        let mut numbers: Vec<u64> = match (range.end - range.start) / OFFSETS {
            few if few <= self.blocks.len() as u64 => {
                (range.start / OFFSETS..=range.end / OFFSETS).collect()
            }
            _ => self.blocks.keys().copied().collect(),
        };
        numbers.sort_unstable();
        let blocks = numbers.into_iter().filter_map(|number| {
            let block = self.blocks.get(&number)?;
            Some((number * OFFSETS..).zip(block))
        });
        let there = blocks.flatten().filter(|(_, slot)| slot.is_some());
        there
            .map(|(offset, _)| offset)
            .filter(move |offset| range.contains(offset))
    }
}

/// The block of an offset, and its place in there.
fn block_of(offset: u64) -> (u64, usize) {
    let place = usize::try_from(offset % OFFSETS).expect("below the size of a block");
    (offset / OFFSETS, place)
}

/// Offsets a block.
const BLOCK: usize = 64;
const OFFSETS: u64 = BLOCK as u64;

/// The moment at which a version was seen that was not seen yet.
const NEVER: u64 = u64::MAX;

/// Hashes one number by multiplying it: the numbers are our own.
#[derive(Default)]
pub(super) struct Multiply(u64);

pub(super) type Fast = BuildHasherDefault<Multiply>;

impl Hasher for Multiply {
    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // The golden ratio; the high bits are mixed best and the map takes the low ones, too.
        let mixed = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
