//! Reads of the segment that is being written, on a disk that counts them.
//!
//! Floor 3 of log-core: tests.

use std::io::{self, IoSlice};
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use highwater_proto::batch::{BatchHeader, PREFIX_BYTES, prefix};
use highwater_proto::batch_builder::BatchBuilder;
use highwater_proto::compress::Codec;

use super::*;
use crate::fs::Fs as _;
use crate::fs::mem::MemFs;
use crate::segment::Tally;

/// A file in memory that counts how often it is read.
#[derive(Debug)]
struct Counted {
    file: Arc<dyn File>,
    reads: AtomicUsize,
}

impl File for Counted {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.file.write_at(position, parts)
    }

    fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.file.read_at(position, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

/// A segment of batches of one record each, and what its file must hold of each.
struct Rig {
    file: Arc<Counted>,
    writer: ActiveWriter,
    kept: Vec<Vec<u8>>,
}

impl Rig {
    /// Batches of about 160 bytes, in intervals of `interval_bytes`.
    fn new(batches: usize, interval_bytes: u32) -> Self {
        Self::of(&vec![90; batches], interval_bytes)
    }

    /// Batches with values of so many bytes.
    fn of(values: &[usize], interval_bytes: u32) -> Self {
        let fs = MemFs::new();
        let file = Arc::new(Counted {
            file: fs.create(Path::new("/f")).unwrap(),
            reads: AtomicUsize::new(0),
        });
        let recovered = RecoveredSegment {
            file: Arc::clone(&file) as _,
            tally: Tally::empty(Offset(0)),
            indexes: Indexes::default(),
            bad: Vec::new(),
            saved: None,
            since_ms: 0,
            last_append_ms: 0,
        };
        let dir: Arc<Path> = Arc::from(Path::new("/"));
        let mut writer = ActiveWriter::adopt(&fs, &dir, Offset(0), interval_bytes, recovered);
        let mut kept = Vec::new();
        for (base, value_bytes) in (0..).zip(values) {
            let batch = stored(base, *value_bytes);
            kept.push([&batch.prefix[..], &batch.rest].concat());
            writer.write(&fs, &[batch], 0).unwrap();
        }
        file.reads.store(0, Ordering::Relaxed);
        Self { file, writer, kept }
    }

    fn read(&self, from: i64, bytes_max: usize) -> Result<Bytes, LogError> {
        let end = i64::try_from(self.kept.len()).unwrap();
        let piece = self.writer.shared().read(&Ask {
            from: Offset(from),
            bytes_max,
            at_least_one: true,
            limit: Offset(end),
            verify: Verify::First,
        })?;
        Ok(piece.expect("there is a batch").bytes)
    }

    fn reads(&self) -> usize {
        self.file.reads.swap(0, Ordering::Relaxed)
    }

    fn flip(&self, at: usize) {
        let byte = self.file.file.read_at(at as u64, 1).unwrap();
        let flipped = [byte[0] ^ 4];
        let file = &self.file.file;
        file.write_at(at as u64, &[IoSlice::new(&flipped)]).unwrap();
    }

    /// What a read of each batch gives; nothing for an error. From the last one on, so that damage
    /// is first met by reads that begin behind it.
    fn answers(&self, bytes_max: usize) -> Vec<Option<Bytes>> {
        let bases = 0..i64::try_from(self.kept.len()).unwrap();
        let answers = bases.rev().map(|base| self.read(base, bytes_max).ok());
        let mut answers: Vec<_> = answers.collect();
        answers.reverse();
        answers
    }
}

fn stored(base: i64, value_bytes: usize) -> Stored {
    let mut builder = BatchBuilder::new(Codec::None);
    let value = vec![b'v'; value_bytes];
    builder
        .append(1_000 + base, None, Some(&value), &[])
        .unwrap();
    let bytes = builder.build().unwrap();
    let mut header = BatchHeader::parse(&bytes).unwrap();
    header.base_offset = base;
    Stored {
        header,
        prefix: prefix(base, header.batch_length, 0),
        rest: bytes.slice(PREFIX_BYTES..),
    }
}

#[test]
fn the_first_read_checks_intervals_in_what_it_brings_in() {
    let rig = Rig::new(40, 300);
    assert_eq!(rig.read(0, 1 << 20).unwrap(), rig.kept.concat());
    assert_eq!(rig.reads(), 1);
    // What it has checked is not looked at again.
    assert_eq!(rig.read(7, 1 << 20).unwrap(), rig.kept[7..].concat());
    assert_eq!(rig.reads(), 1);

    // An interval that the read holds in part is brought in whole to be checked, once.
    let rig = Rig::new(40, 300);
    let two = rig.kept[0].len() + rig.kept[1].len();
    assert_eq!(rig.read(1, two).unwrap(), rig.kept[1..3].concat());
    let first = rig.reads();
    assert!((1..=3).contains(&first), "{first} reads");
    assert_eq!(rig.read(1, two).unwrap(), rig.kept[1..3].concat());
    assert_eq!(rig.reads(), 1);
}

#[test]
fn a_flipped_bit_costs_its_batch_whatever_is_read_and_is_forgotten_when_it_is_gone() {
    let begin = |rig: &Rig, slot: usize| rig.kept[..slot].iter().map(Vec::len).sum::<usize>();
    let whole = Rig::new(9, 300);
    let bytes = begin(&whole, 9);
    for at in (0..bytes).step_by(11) {
        let hit = (0..9).rfind(|slot| begin(&whole, *slot) <= at).unwrap();
        let within = at - begin(&whole, hit);
        // The leader epoch is covered by the interval's sum alone.
        if (12..16).contains(&within) {
            continue;
        }
        for bytes_max in [1, 200, 500, 1 << 20] {
            let rig = Rig::new(9, 300);
            rig.flip(at);
            for (slot, answer) in rig.answers(bytes_max).into_iter().enumerate() {
                let context = format!("byte {at}, batch {slot}, {bytes_max} bytes");
                match answer {
                    None => assert_eq!(slot, hit, "{context}"),
                    Some(read) => {
                        assert_ne!(slot, hit, "{context}");
                        assert!(rig.kept[slot..].concat().starts_with(&read), "{context}");
                        assert!(read.len() >= rig.kept[slot].len(), "{context}");
                    }
                }
            }
            rig.flip(at);
            for (slot, answer) in rig.answers(bytes_max).into_iter().enumerate() {
                let read = answer.expect("the damage is gone");
                assert!(rig.kept[slot..].concat().starts_with(&read));
            }
        }
    }
}

/// The read that finds the damage ends within the header of what comes behind it.
#[test]
fn a_batch_behind_damage_is_found_where_the_read_ends_in_its_header() {
    for over in 1..HEADER_BYTES {
        let read = LEAD_BYTES_MAX + HEADER_BYTES;
        let overhead = stored(0, LEAD_BYTES_MAX).rest.len() + PREFIX_BYTES - LEAD_BYTES_MAX;
        // One interval, which the fourth batch ends.
        let rig = Rig::of(&[read - over - overhead, 90, 8000, 90], 72 << 10);
        assert_eq!(rig.kept[0].len(), read - over);
        rig.flip(1000);
        assert_eq!(rig.read(1, 1).unwrap(), rig.kept[1]);
    }
}
