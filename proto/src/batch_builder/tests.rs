//! The builder: golden bytes, exact sizes, reuse of its buffers, and what it refuses.
//!
//! Floor 4 of proto.

use super::*;
use crate::batch::{ProduceLimits, validate_produced};
use crate::hex::unhex;

const TIME: i64 = 1_700_000_000_000;

#[test]
fn golden_batches() {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(TIME, Some(b"k"), Some(b"v"), &[]).unwrap();
    let one = "0000000000000000 0000003a ffffffff 02 e99b8dd8 0000 00000000 0000018bcfe56800 \
        0000018bcfe56800 ffffffffffffffff ffff ffffffff 00000001 10 00 00 00 02 6b 02 76 00";
    assert_eq!(builder.build().unwrap(), unhex(one));

    let headers: [HeaderRef<'_>; 2] = [("h", Some(b"1")), ("h", Some(b"2"))];
    builder
        .append(TIME, Some(b"N14228"), Some(b"{\"a\":1}"), &headers)
        .unwrap();
    builder.append(TIME + 5, None, None, &[]).unwrap();
    builder.set_producer(Some(Producer {
        id: 1000,
        epoch: 0,
        base_sequence: 0,
    }));
    let two = "0000000000000000 00000054 ffffffff 02 b3c95b6c 0000 00000001 0000018bcfe56800 \
        0000018bcfe56805 00000000000003e8 0000 00000000 00000002 \
        36 00 00 00 0c 4e3134323238 0e 7b2261223a317d 04 02 68 02 31 02 68 02 32 \
        0c 00 0a 02 01 01 00";
    assert_eq!(builder.build().unwrap(), unhex(two));
}

#[test]
fn sizes_are_known_before_and_after() {
    let mut builder = BatchBuilder::new(Codec::None);
    assert_eq!(builder.bytes(), HEADER_BYTES);
    for index in 0..300_usize {
        let shift = u32::try_from(index % 64).unwrap();
        let value = vec![0; index * index];
        let key = value.get(..index);
        let headers: Vec<HeaderRef<'_>> = vec![("name", None); index % 70];
        let before = builder.bytes();
        let timestamp = 1_i64 << shift;
        let size = builder.record_bytes(timestamp, key, Some(&value), &headers);
        builder
            .append(timestamp, key, Some(&value), &headers)
            .unwrap();
        assert_eq!(builder.bytes(), before + size);
    }
    let expected = builder.bytes();
    assert_eq!(builder.records_count(), 300);
    assert_eq!(builder.build().unwrap().len(), expected);
    assert!(builder.is_empty());
    assert_eq!(builder.bytes(), HEADER_BYTES);
}

#[test]
fn a_buffer_is_used_again_when_its_batch_is_gone() {
    let mut builder = BatchBuilder::new(Codec::None);
    let mut places = Vec::new();
    for _ in 0..4 {
        builder.append(0, None, Some(&[7; 5000]), &[]).unwrap();
        places.push(builder.build().unwrap().as_ptr());
    }
    assert!(places[1..].contains(&places[0]), "{places:?}");
}

#[test]
fn the_batches_that_were_built_stay_as_they_are() {
    for codec in Codec::ALL.into_iter().filter(|codec| codec.is_built_in()) {
        let mut builder = BatchBuilder::new(codec);
        builder.append(1, Some(b"first"), None, &[]).unwrap();
        let first = builder.build().unwrap();
        let copy = first.to_vec();
        builder
            .append(2, Some(b"other"), Some(b"longer than before"), &[])
            .unwrap();
        let second = builder.build().unwrap();
        assert_eq!(first, copy);
        for batch in [first, second] {
            let limits = ProduceLimits {
                decompressed_bytes_max: Some(1 << 10),
                ..Default::default()
            };
            validate_produced(&batch, &limits).unwrap();
        }
    }
}

#[test]
fn an_empty_batch_is_refused() {
    let mut builder = BatchBuilder::new(Codec::None);
    assert_eq!(builder.build(), Err(BuildError::Empty));
    builder.append(0, None, None, &[]).unwrap();
    builder.build().unwrap();
    assert_eq!(builder.build(), Err(BuildError::Empty));
}

#[test]
fn timestamps_and_marks_stand_in_the_header() {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.set_transactional(true);
    builder.set_producer(Some(Producer {
        id: 5,
        epoch: 3,
        base_sequence: 9,
    }));
    for timestamp in [20, 30, 10] {
        builder.append(timestamp, None, None, &[]).unwrap();
    }
    let batch = validate_produced(&builder.build().unwrap(), &ProduceLimits::default()).unwrap();
    let header = batch.header();
    assert!(header.is_transactional());
    assert_eq!((header.base_timestamp, header.max_timestamp), (20, 30));
    assert_eq!(
        (
            header.producer_id,
            header.producer_epoch,
            header.base_sequence
        ),
        (5, 3, 9)
    );
    assert_eq!((header.last_offset_delta, header.last_sequence()), (2, 11));
}

#[test]
fn a_codec_that_is_off_keeps_the_records() {
    for codec in Codec::ALL.into_iter().filter(|codec| !codec.is_built_in()) {
        let mut builder = BatchBuilder::new(codec);
        builder.append(0, None, None, &[]).unwrap();
        assert_eq!(
            builder.build(),
            Err(CodecError::NotBuiltIn { codec }.into())
        );
        assert_eq!(builder.records_count(), 1);
    }
}
