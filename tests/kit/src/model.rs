//! What a log was told and what it answered, and from that what must be in it after a crash.
//!
//! A batch is known by its bytes behind the 16 that the log writes itself; workloads never send
//! the same bytes twice, so that each stored batch leads back to one that was sent.
//!
//! Invariants
//! - The model never looks at the log but through [`Contents`], which a reader of the log got.
//! - What is firm stays firm until the log start passes it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use highwater_log::config::Durability;
use highwater_log::types::LogId;
use highwater_proto::batch::{
    self, BatchHeader, Batches, OVERHEAD_BYTES, PREFIX_BYTES, sequence_add,
};

use crate::oracle::{Oracle, Survived, Violation, violation};

/// Every log that a workload touched.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// By id; a removed log stays, to be recognised if it comes back.
    pub logs: BTreeMap<LogId, LogModel>,
}

/// One log.
#[derive(Clone, Debug)]
pub struct LogModel {
    /// What an acknowledgement of this log means.
    pub durability: Durability,
    /// Whether somebody asked for the log's removal.
    pub removal: Removal,
    /// The log start can not be below this: it was answered, and must not go back.
    pub start_min: i64,
    /// The log start can not be above this: nobody asked for more to be deleted.
    pub start_max: i64,
    /// Up to where the consumer of this process has read.
    pub read_to: i64,
    /// Bytes sent since everything was below the log's recovery point.
    pub unpointed_bytes: u64,
    sent: Vec<Sent>,
    unacked: BTreeSet<usize>,
    /// By the checksum of the batch.
    by_crc: HashMap<u32, Vec<usize>>,
    /// Base offset and batch of what a power cut must not take: acknowledged as durable, or read.
    firm: BTreeMap<i64, usize>,
    /// The same for what the death of the process must not take: acknowledged as written.
    written: BTreeMap<i64, usize>,
    /// What was read of a page-cache log below this is firm.
    firm_to: i64,
    /// The leader epoch of each batch that was read.
    epochs: BTreeMap<i64, i32>,
}

/// How far the removal of a log has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Nobody asked for it.
    No,
    /// It was asked for; the answer is not there yet.
    Asked,
    /// It was answered: the log must not come back.
    Done,
}

#[derive(Clone, Debug)]
struct Sent {
    batch: Bytes,
    /// The monotonic time of the first sending, in milliseconds.
    first_ms: i64,
}

/// A log as a reader found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The first offset that may be read.
    pub start: i64,
    /// The offset behind the last one that may be read.
    pub end: i64,
    /// Every batch from the one that contains `start` on.
    pub batches: Vec<Stored>,
}

/// A stored batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The offset of its first record.
    pub base: i64,
    /// The offset of its last record.
    pub last: i64,
    /// The leader epoch under which it was appended.
    pub epoch: i32,
    /// The whole batch.
    pub bytes: Bytes,
}

impl Contents {
    /// Takes apart what reads from `start` to `end` gave.
    ///
    /// # Errors
    /// A violation if the bytes are not whole batches.
    pub fn parse(start: i64, end: i64, bytes: &Bytes) -> Result<Self, Violation> {
        let mut batches = Vec::new();
        for scanned in Batches::new(bytes) {
            let scanned = scanned.map_err(|e| {
                violation(Oracle::NothingInvented, format!("no batch was read: {e}"))
            })?;
            batches.push(Stored {
                base: scanned.header.base_offset,
                last: scanned.header.last_offset(),
                epoch: scanned.header.leader_epoch,
                bytes: bytes.slice_ref(scanned.bytes),
            });
        }
        Ok(Self {
            start,
            end,
            batches,
        })
    }
}

impl LogModel {
    /// A log without a batch.
    #[must_use]
    pub fn new(durability: Durability) -> Self {
        Self {
            durability,
            removal: Removal::No,
            start_min: 0,
            start_max: 0,
            read_to: 0,
            unpointed_bytes: 0,
            sent: Vec::new(),
            unacked: BTreeSet::new(),
            by_crc: HashMap::new(),
            firm: BTreeMap::new(),
            written: BTreeMap::new(),
            firm_to: 0,
            epochs: BTreeMap::new(),
        }
    }

    /// A batch leaves for the log. Answers its number, which later calls name it by.
    pub fn send(&mut self, batch: &Bytes, now_ms: i64) -> usize {
        let number = self.sent.len();
        let body = &batch[PREFIX_BYTES..];
        assert!(
            self.number_of_body(body).is_none(),
            "a workload sent the same bytes twice"
        );
        self.by_crc
            .entry(header(batch).crc)
            .or_default()
            .push(number);
        self.sent.push(Sent {
            batch: batch.clone(),
            first_ms: now_ms,
        });
        self.unacked.insert(number);
        number
    }

    /// The log answered where the batch stands.
    pub fn acked(&mut self, number: usize, base: i64, durable: bool) -> Result<(), Violation> {
        self.unacked.remove(&number);
        self.note(base, number)?;
        self.written.insert(base, number);
        if durable && self.durability == Durability::Fsync {
            self.firm.insert(base, number);
        }
        Ok(())
    }

    /// A reader found this, from wherever it began to read on, and other offsets have been synced
    /// up to `synced`.
    pub fn read(&mut self, contents: &Contents, synced: i64) -> Result<(), Violation> {
        for stored in &contents.batches {
            let number = self.number_of(stored)?;
            self.note(stored.base, number)?;
            self.written.insert(stored.base, number);
            self.epochs.insert(stored.base, stored.epoch);
            if self.durability == Durability::Fsync {
                self.firm.insert(stored.base, number);
            }
        }
        self.read_to = self.read_to.max(contents.end);
        self.start_min = self.start_min.max(contents.start);
        self.synced_up_to(synced);
        Ok(())
    }

    /// What was read, or acknowledged, and is synced is firm on every log.
    fn synced_up_to(&mut self, synced: i64) {
        let mut firm_to = self.firm_to;
        for (base, number) in self.written.range(firm_to..) {
            let end = self.end_of(*base, *number);
            if end > synced {
                break;
            }
            self.firm.insert(*base, *number);
            firm_to = end;
        }
        self.firm_to = firm_to;
    }

    /// Recovery has decided: what it kept is firm, what it dropped may be sent again.
    pub fn recovered(&mut self, contents: &Contents) -> Result<(), Violation> {
        self.written.clear();
        self.firm.clear();
        self.epochs.clear();
        self.firm_to = 0;
        self.read_to = 0;
        self.start_max = self.start_max.max(contents.start);
        self.read(contents, i64::MAX)
    }

    /// Whether anything must be in the log after a power cut.
    #[must_use]
    pub fn is_firm(&self) -> bool {
        !self.firm.is_empty()
    }

    /// What a power cut must not take, and was read once: base offset and bytes of each batch, as
    /// the log stores it.
    #[must_use]
    pub fn expected(&self) -> Vec<(i64, Vec<u8>)> {
        let firm = self.firm.range(self.start_min..);
        firm.filter_map(|(base, number)| Some((*base, self.stored(*base, *number)?)))
            .collect()
    }

    /// A batch with what the log writes before it; nothing if nobody has seen its epoch.
    fn stored(&self, base: i64, number: usize) -> Option<Vec<u8>> {
        let epoch = *self.epochs.get(&base)?;
        let body = &self.sent[number].batch[PREFIX_BYTES..];
        let length = body.len() + PREFIX_BYTES - OVERHEAD_BYTES;
        let length = i32::try_from(length).expect("batches of tests are small");
        let mut stored = batch::prefix(base, length, epoch).to_vec();
        stored.extend_from_slice(body);
        Some(stored)
    }

    /// Whether the batch was sent to this log, and by that may be in it.
    ///
    /// # Errors
    /// It was not.
    pub fn was_sent(&self, stored: &Stored) -> Result<(), Violation> {
        self.number_of(stored).map(drop)
    }

    /// The sequence number that a producer of this log sends next.
    #[must_use]
    pub fn next_sequence(&self) -> i32 {
        self.sent.last().map_or(0, |sent| {
            sequence_add(header(&sent.batch).last_sequence(), 1)
        })
    }

    /// The batches that were never acknowledged, oldest first: what a client sends again.
    #[must_use]
    pub fn unacked(&self) -> Vec<(usize, Bytes)> {
        let batch = |number: &usize| (*number, self.sent[*number].batch.clone());
        self.unacked.iter().map(batch).collect()
    }

    /// The last batches that the log is known to hold, oldest first: base offset and batch.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<(i64, Bytes)> {
        let newest = self.written.iter().rev().take(count);
        let mut newest: Vec<_> = newest
            .map(|(base, number)| (*base, self.sent[*number].batch.clone()))
            .collect();
        newest.reverse();
        newest
    }

    /// The first offset whose batch was sent at `since_ms` or later; `end` if there is none.
    #[must_use]
    pub fn first_since(&self, since_ms: i64, end: i64) -> i64 {
        let mut known = self.written.iter();
        let young = known.find(|(_, number)| self.sent[**number].first_ms >= since_ms);
        young.map_or(end, |(base, _)| (*base).min(end))
    }

    /// Compares what a reader found after a crash with what was sent and answered before it.
    ///
    /// # Errors
    /// The first oracle that objects.
    pub fn check(&self, contents: &Contents, survived: Survived) -> Result<(), Violation> {
        self.check_start(contents)?;
        check_offsets(contents)?;
        let numbers = contents
            .batches
            .iter()
            .map(|stored| Ok((stored.base, self.number_of(stored)?)))
            .collect::<Result<BTreeMap<i64, usize>, Violation>>()?;
        check_order(&numbers)?;
        check_sequences(contents)?;
        let must_be_there = match survived {
            Survived::PowerCut => &self.firm,
            Survived::Death => &self.written,
        };
        for (base, number) in must_be_there {
            // A batch that the log start has passed may be gone.
            if self.end_of(*base, *number) <= contents.start {
                continue;
            }
            match numbers.get(base) {
                Some(found) if found == number => {}
                Some(found) => {
                    let text = format!("offset {base} held batch {number}, now {found}");
                    return Err(violation(Oracle::OneValue, text));
                }
                None => {
                    let text = format!("batch {number} at offset {base} is gone");
                    return Err(violation(Oracle::NothingLost, text));
                }
            }
        }
        Ok(())
    }

    fn check_start(&self, contents: &Contents) -> Result<(), Violation> {
        if (self.start_min..=self.start_max).contains(&contents.start) {
            return Ok(());
        }
        let text = format!(
            "the log starts at {}, which must lie in {}..={}",
            contents.start, self.start_min, self.start_max
        );
        Err(violation(Oracle::NoStepBack, text))
    }

    fn number_of(&self, stored: &Stored) -> Result<usize, Violation> {
        self.number_of_body(&stored.bytes[PREFIX_BYTES..])
            .ok_or_else(|| {
                let text = format!("offset {} holds a batch that was never sent", stored.base);
                violation(Oracle::NothingInvented, text)
            })
    }

    /// The batch with these bytes behind those that the log writes itself.
    fn number_of_body(&self, body: &[u8]) -> Option<usize> {
        let crc = body.get(CRC_AT..CRC_AT + 4)?.try_into().ok()?;
        let same = self.by_crc.get(&u32::from_be_bytes(crc))?.iter();
        same.copied()
            .find(|number| self.sent[*number].batch[PREFIX_BYTES..] == *body)
    }

    /// One offset has one value, whoever tells it.
    fn note(&self, base: i64, number: usize) -> Result<(), Violation> {
        match self.written.get(&base) {
            Some(old) if *old != number => {
                let text = format!("offset {base} was answered for batches {old} and {number}");
                Err(violation(Oracle::OneValue, text))
            }
            _ => Ok(()),
        }
    }

    fn end_of(&self, base: i64, number: usize) -> i64 {
        base + i64::from(header(&self.sent[number].batch).last_offset_delta) + 1
    }
}

/// Where the checksum stands behind the prefix: after the magic byte.
const CRC_AT: usize = 1;

fn header(batch: &[u8]) -> BatchHeader {
    BatchHeader::parse(batch).expect("the bytes are those of a batch")
}

/// The batches stand one behind another, from the start to the end of the log.
fn check_offsets(contents: &Contents) -> Result<(), Violation> {
    let mut next = contents
        .batches
        .first()
        .map_or(contents.end, |first| first.base);
    if next > contents.start {
        let text = format!(
            "the log starts at {} and its first batch at {next}",
            contents.start
        );
        return Err(violation(Oracle::NothingLost, text));
    }
    let mut epoch = i32::MIN;
    for stored in &contents.batches {
        if stored.base != next {
            let text = format!("offset {next} was to come, {} came", stored.base);
            return Err(violation(Oracle::NothingLost, text));
        }
        if stored.epoch < epoch {
            let text = format!(
                "offset {next} has epoch {}, behind epoch {epoch}",
                stored.epoch
            );
            return Err(violation(Oracle::Order, text));
        }
        epoch = stored.epoch;
        next = stored.last + 1;
    }
    if next == contents.end {
        return Ok(());
    }
    let text = format!("the log ends at {}, its last batch at {next}", contents.end);
    Err(violation(Oracle::NothingLost, text))
}

/// Each producer of a workload waits for its turn, so that batches stand in the order of sending,
/// and none stands twice.
fn check_order(numbers: &BTreeMap<i64, usize>) -> Result<(), Violation> {
    let mut before: Option<usize> = None;
    for (base, number) in numbers {
        match before {
            Some(before) if before == *number => {
                let text = format!("batch {number} stands twice, again at {base}");
                return Err(violation(Oracle::ExactlyOnce, text));
            }
            Some(before) if before > *number => {
                let text = format!("batch {number} at offset {base} stands behind batch {before}");
                return Err(violation(Oracle::Order, text));
            }
            _ => before = Some(*number),
        }
    }
    Ok(())
}

/// The sequence numbers of each idempotent producer follow each other.
fn check_sequences(contents: &Contents) -> Result<(), Violation> {
    let mut next: HashMap<(i64, i16), i32> = HashMap::new();
    for stored in &contents.batches {
        let header = header(&stored.bytes);
        if !header.is_idempotent() {
            continue;
        }
        let producer = (header.producer_id, header.producer_epoch);
        let known = next.get(&producer).copied();
        let first = if contents.start == 0 { Some(0) } else { None };
        if let Some(expected) = known.or(first).filter(|next| *next != header.base_sequence) {
            let text = format!(
                "producer {} jumps from sequence {expected} to {} at offset {}",
                header.producer_id, header.base_sequence, stored.base
            );
            return Err(violation(Oracle::ExactlyOnce, text));
        }
        next.insert(producer, sequence_add(header.last_sequence(), 1));
    }
    Ok(())
}
