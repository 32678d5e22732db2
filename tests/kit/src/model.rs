//! What a log was told and what it answered, and from that what must be in it after a crash.
//!
//! A batch is known by its bytes behind the 16 that the log writes itself; workloads never send
//! the same bytes twice, so that each stored batch leads back to one that was sent.
//!
//! Invariants
//! - The model never looks at the log but through [`Contents`], which a reader of the log got.
//! - What is firm stays firm until the log start passes it.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use highwater_log::config::Durability;
use highwater_log::types::LogId;
use highwater_proto::batch::{BatchHeader, Batches, PREFIX_BYTES, sequence_add};

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
    sent: Vec<Sent>,
    by_body: HashMap<Bytes, usize>,
    /// Base offset and batch of what a power cut must not take: acknowledged as durable, or read.
    firm: BTreeMap<i64, usize>,
    /// The same for what the death of the process must not take: acknowledged as written.
    written: BTreeMap<i64, usize>,
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
    acked: bool,
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
            sent: Vec::new(),
            by_body: HashMap::new(),
            firm: BTreeMap::new(),
            written: BTreeMap::new(),
        }
    }

    /// A batch leaves for the log. Answers its number, which later calls name it by.
    pub fn send(&mut self, batch: &Bytes) -> usize {
        let number = self.sent.len();
        let old = self.by_body.insert(batch.slice(PREFIX_BYTES..), number);
        assert_eq!(old, None, "a workload sent the same bytes twice");
        self.sent.push(Sent {
            batch: batch.clone(),
            acked: false,
        });
        number
    }

    /// The log answered where the batch stands.
    pub fn acked(&mut self, number: usize, base: i64, durable: bool) -> Result<(), Violation> {
        self.sent[number].acked = true;
        self.note(base, number)?;
        self.written.insert(base, number);
        if durable && self.durability == Durability::Fsync {
            self.firm.insert(base, number);
        }
        Ok(())
    }

    /// A reader found this, and other offsets have been synced up to `synced`.
    pub fn read(&mut self, contents: &Contents, synced: i64) -> Result<(), Violation> {
        for stored in &contents.batches {
            let number = self.number_of(stored)?;
            self.note(stored.base, number)?;
            self.written.insert(stored.base, number);
            if self.durability == Durability::Fsync || stored.last < synced {
                self.firm.insert(stored.base, number);
            }
        }
        self.start_min = self.start_min.max(contents.start);
        Ok(())
    }

    /// Recovery has decided: what it kept is firm, what it dropped may be sent again.
    pub fn recovered(&mut self, contents: &Contents) -> Result<(), Violation> {
        self.written.clear();
        self.firm.clear();
        self.start_max = self.start_max.max(contents.start);
        self.read(contents, i64::MAX)
    }

    /// Whether anything must be in the log after a power cut.
    #[must_use]
    pub fn is_firm(&self) -> bool {
        !self.firm.is_empty()
    }

    /// What a power cut must not take: base offset and bytes, without the first 16, of each batch.
    #[must_use]
    pub fn expected(&self) -> Vec<(i64, Bytes)> {
        let body = |number: usize| self.sent[number].batch.slice(PREFIX_BYTES..);
        let firm = self
            .firm
            .iter()
            .filter(|(base, _)| **base >= self.start_min);
        firm.map(|(base, number)| (*base, body(*number))).collect()
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
        let unacked = self.sent.iter().enumerate().filter(|(_, sent)| !sent.acked);
        unacked
            .map(|(number, sent)| (number, sent.batch.clone()))
            .collect()
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
        self.by_body
            .get(&stored.bytes[PREFIX_BYTES..])
            .copied()
            .ok_or_else(|| {
                let text = format!("offset {} holds a batch that was never sent", stored.base);
                violation(Oracle::NothingInvented, text)
            })
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
    for stored in &contents.batches {
        if stored.base != next {
            let text = format!("offset {next} was to come, {} came", stored.base);
            return Err(violation(Oracle::NothingLost, text));
        }
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
