//! The parts of a segment by themselves, on bytes in memory.
//!
//! Floor 3 of log-core: tests.

use std::io::IoSlice;
use std::sync::Arc;

use highwater_proto::batch::prefix;
use highwater_proto::batch_builder::BatchBuilder;
use highwater_proto::compress::Codec;
use proptest::prelude::*;

use super::check::bad_range;
use super::*;
use crate::epochs::Epochs;
use crate::fs::mem::MemFs;
use crate::fs::{File, Fs};
use crate::types::LeaderEpoch;

/// Stored batches of one record each, from offset 10 on, of epoch 3.
fn batches(sizes: &[usize]) -> Vec<Vec<u8>> {
    let of = |(slot, size): (usize, &usize)| {
        let mut builder = BatchBuilder::new(Codec::None);
        builder
            .append(1_000, None, Some(&vec![b'v'; *size]), &[])
            .unwrap();
        let bytes = builder.build().unwrap();
        let header = BatchHeader::parse(&bytes).unwrap();
        let base = 10 + i64::try_from(slot).unwrap();
        [&prefix(base, header.batch_length, 3)[..], &bytes[16..]].concat()
    };
    sizes.iter().enumerate().map(of).collect()
}

fn tally_of(batches: &[Vec<u8>]) -> Tally {
    let mut tally = Tally::empty(Offset(10));
    for batch in batches {
        let header = BatchHeader::parse(batch).unwrap();
        tally.add(
            &header,
            Offset(header.last_offset()).plus(1),
            head_of(batch).unwrap(),
        );
    }
    tally
}

fn boundaries(batches: &[Vec<u8>]) -> (Boundary, Boundary) {
    let tally = tally_of(batches);
    let from = Boundary {
        offset: Offset(10),
        position: 0,
        sum: 0,
    };
    (
        from,
        Boundary {
            offset: tally.end,
            position: tally.position,
            sum: tally.sum,
        },
    )
}

/// A right batch with the same offset and length, and another record.
fn of_another_log(batch: &[u8]) -> Vec<u8> {
    let mut batch = batch.to_vec();
    let value = batch.len() - 2;
    batch[value] ^= 1;
    let crc = highwater_proto::batch::crc_of(&batch).to_be_bytes();
    batch[SUMMED_BYTES - 4..SUMMED_BYTES].copy_from_slice(&crc);
    batch
}

fn file_of_bytes(bytes: &[u8]) -> Arc<dyn File> {
    let file = MemFs::new().create(Path::new("/f")).unwrap();
    file.write_at(0, &[IoSlice::new(bytes)]).unwrap();
    file
}

/// The slot of the batch that holds a byte, and where it begins.
fn holder(batches: &[Vec<u8>], at: usize) -> (usize, usize) {
    let mut begin = 0;
    for (slot, batch) in batches.iter().enumerate() {
        if at < begin + batch.len() {
            return (slot, begin);
        }
        begin += batch.len();
    }
    unreachable!("the byte lies in a batch");
}

proptest! {
    #[test]
    fn whole_intervals_pass_and_a_flipped_bit_is_found_where_it_is(
        sizes in prop::collection::vec(0..60_usize, 1..6), at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let batches = batches(&sizes);
        let (from, to) = boundaries(&batches);
        let mut bytes = batches.concat();
        prop_assert_eq!(assess(&bytes, from, to, &[]), []);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let (slot, begin) = holder(&batches, at);
        let first = Offset(10 + i64::try_from(slot).unwrap());
        let hit = BadRange {
            position: begin as u64,
            position_end: (begin + batches[slot].len()) as u64,
            first,
            end: first.plus(1),
            is_hole: false,
        };
        let all = BadRange {
            position: 0,
            position_end: to.position,
            first: from.offset,
            end: to.offset,
            is_hole: false,
        };
        // Only the sum covers the epoch, and it does not say which one is wrong.
        let expected = if (12..16).contains(&(at - begin)) { all } else { hit };
        prop_assert_eq!(assess(&bytes, from, to, &[]), [expected]);

        let file = file_of_bytes(&bytes);
        let history = Epochs::new(LeaderEpoch(3), Offset(0));
        let survey = Survey::of(&*file, Offset(10), to.position, to.offset, &[], &history).unwrap();
        prop_assert_eq!(survey.bad, [hit]);
        let without = Boundary { sum: survey.tally.sum, ..to };
        prop_assert_eq!(assess(&bytes, from, without, &[hit]), [], "what is noted is skipped");
    }

    #[test]
    fn a_foreign_batch_is_not_served_beside_other_damage(
        sizes in prop::collection::vec(1..60_usize, 2..6), foreign in any::<prop::sample::Index>(),
        damaged in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(),
        harm in prop_oneof![Just(None), (0..8_u8).prop_map(Some)],
    ) {
        let batches = batches(&sizes);
        let (from, to) = boundaries(&batches);
        let (foreign, damaged) = (foreign.index(sizes.len()), damaged.index(sizes.len()));
        prop_assume!(foreign != damaged);
        let mut held = batches.clone();
        held[foreign] = of_another_log(&batches[foreign]);
        match harm {
            Some(bit) => held[damaged][at.index(batches[damaged].len())] ^= 1 << bit,
            None => held[damaged].fill(0),
        }
        let all = bad_range(from, 0..batches.concat().len(), from.offset..to.offset);
        prop_assert_eq!(assess(&held.concat(), from, to, &[]), [all]);
    }

    #[test]
    fn zeros_in_a_body_cost_its_batch_only(
        sizes in prop::collection::vec(1..60_usize, 1..6), damaged in any::<prop::sample::Index>(),
        from_byte in any::<prop::sample::Index>(),
    ) {
        let batches = batches(&sizes);
        let (from, to) = boundaries(&batches);
        let damaged = damaged.index(sizes.len());
        let mut held = batches.clone();
        let body = &mut held[damaged][SUMMED_BYTES..];
        let zeros = from_byte.index(body.len());
        body[zeros..].fill(0);
        prop_assume!(held != batches);
        let begin = batches[..damaged].concat().len();
        let first = Offset(10 + i64::try_from(damaged).unwrap());
        let hit = bad_range(from, begin..begin + batches[damaged].len(), first..first.plus(1));
        prop_assert_eq!(assess(&held.concat(), from, to, &[]), [hit]);
    }

    #[test]
    fn a_survey_counts_as_the_writer_did(sizes in prop::collection::vec(0..60_usize, 1..20)) {
        let batches = batches(&sizes);
        let tally = tally_of(&batches);
        let file = file_of_bytes(&batches.concat());
        let info = sealed_info(Offset(10), &tally, 0);
        let survey = Survey::of_sealed(&*file, &info, &[], &Epochs::default()).unwrap();
        prop_assert_eq!(survey.tally, tally);
        prop_assert_eq!(survey.bad, []);
        prop_assert_eq!(survey.epochs, [(LeaderEpoch(3), Offset(10))]);
    }

    #[test]
    fn a_right_batch_is_found_behind_any_garbage(
        garbage in prop::collection::vec(prop_oneof![Just(2_u8), any::<u8>()], 0..200),
        sizes in prop::collection::vec(0..60_usize, 1..3), least in 8..12_i64,
    ) {
        let batches = batches(&sizes);
        let bytes = [&garbage[..], &batches.concat()].concat();
        let file = file_of_bytes(&bytes);
        let found = find_valid(&*file, 0, bytes.len() as u64, Offset(least)).unwrap();
        let skipped = usize::try_from((least - 10).max(0)).unwrap();
        let expected = batches.get(skipped).map(|_| {
            (garbage.len() + batches[..skipped].iter().map(Vec::len).sum::<usize>()) as u64
        });
        prop_assert_eq!(found.map(|(position, _)| position), expected);
    }

    #[test]
    fn indexes_from_two_files_are_cut_to_what_agrees(
        sizes in prop::collection::vec(0..60_usize, 2..12), interval in 1..200_u32,
        lost in 0..4_usize, position in 0..3000_u64,
    ) {
        let mut whole = Indexes::default();
        let mut tally = Tally::empty(Offset(10));
        for batch in batches(&sizes) {
            whole.note(Offset(10), &tally, interval);
            let header = BatchHeader::parse(&batch).unwrap();
            tally.add(&header, Offset(header.last_offset()).plus(1), head_of(&batch).unwrap());
        }
        let mut times = whole.times.clone();
        times.truncate(times.entries().len().saturating_sub(lost));
        let kept = Indexes::below(whole.offsets.clone(), times.clone(), position);
        let entries = kept.offsets.entries();
        prop_assert!(whole.offsets.entries().starts_with(entries));
        prop_assert!(entries.iter().all(|entry| u64::from(entry.position) < position));
        prop_assert_eq!(kept.times.entries().len(), entries.len().saturating_sub(1));
        prop_assert!(entries.len() <= times.entries().len() + 1);
    }
}

#[test]
fn file_names_are_those_of_kafka() {
    let dir = Path::new("/d");
    let path = SegmentFile::Log.path(dir, Offset(368_769));
    assert_eq!(path, Path::new("/d/00000000000000368769.log"));
    for file in SegmentFile::ALL {
        let path = file.path(dir, Offset(7));
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(SegmentFile::parse(name), Some((Offset(7), file)));
    }
    for other in [
        "7.log",
        "00000000000000000007.txt",
        "checkpoint",
        "0000000000000000000a.log",
    ] {
        assert_eq!(SegmentFile::parse(other), None);
    }
    assert_eq!(
        SegmentFile::parse("99999999999999999999.log"),
        None,
        "larger than any offset"
    );
}
