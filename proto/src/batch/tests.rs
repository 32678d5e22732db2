//! Batches: golden bytes, each rule that a produced batch must keep, and scans of damaged buffers.
//!
//! Floor 3 of proto.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::batch_builder::{BatchBuilder, Producer};
use crate::hex::unhex;

/// One record, key "k", value "v", no producer.
const ONE: &str = "0000000000000000 0000003a ffffffff 02 e99b8dd8 0000 00000000 0000018bcfe56800 \
    0000018bcfe56800 ffffffffffffffff ffff ffffffff 00000001 10 00 00 00 02 6b 02 76 00";

/// Two records of producer 1000, epoch 0, sequence 0.
const TWO: &str = "0000000000000000 00000054 ffffffff 02 b3c95b6c 0000 00000001 0000018bcfe56800 \
    0000018bcfe56805 00000000000003e8 0000 00000000 00000002 \
    36 00 00 00 0c 4e3134323238 0e 7b2261223a317d 04 02 68 02 31 02 68 02 32 0c 00 0a 02 01 01 00";

/// The marker of a committed transaction at offset 7.
const COMMIT: &str = "0000000000000007 00000042 00000000 02 a1ac499f 0030 00000000 \
    0000018bcfe56800 0000018bcfe56800 00000000000003e8 0000 ffffffff 00000001 \
    20 00 00 00 08 00000001 0c 000000000000 00";

const LIMITS: ProduceLimits = ProduceLimits {
    batch_bytes_max: 1 << 20,
    decompressed_bytes_max: None,
};

fn validate(bytes: &[u8]) -> Result<ProducedBatch, BatchError> {
    validate_produced(&Bytes::copy_from_slice(bytes), &LIMITS)
}

/// A batch in which some bytes are others, with the checksum that belongs to it.
fn changed(hex: &str, position: usize, bytes: &[u8]) -> Vec<u8> {
    sealed(unhex(hex), position, bytes)
}

fn sealed(mut batch: Vec<u8>, position: usize, bytes: &[u8]) -> Vec<u8> {
    batch[position..position + bytes.len()].copy_from_slice(bytes);
    let crc = crc_of(&batch);
    batch[CRC_POSITION..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// Bit by bit, as the polynomial is defined.
fn crc_by_the_book(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 0 {
                crc >> 1
            } else {
                (crc >> 1) ^ 0x82f6_3b78
            }
        })
    })
}

#[test]
fn crc_vectors() {
    let behind_header = |bytes: &[u8]| crc_of(&[&[0; CRC_FROM], bytes].concat());
    assert_eq!(behind_header(b"123456789"), 0xe306_9283);
    assert_eq!(behind_header(&[0; 32]), 0x8a91_36aa);
    assert_eq!(behind_header(&[0xff; 32]), 0x62a8_ab43);
    assert_eq!(behind_header(b""), 0);
    assert_eq!(crc_of(b"short"), 0);
}

#[test]
fn golden_headers() {
    let one = unhex(ONE);
    let header = BatchHeader::parse(&one).unwrap();
    let expected = BatchHeader {
        base_offset: 0,
        batch_length: 58,
        leader_epoch: -1,
        crc: 0xe99b_8dd8,
        attributes: 0,
        last_offset_delta: 0,
        base_timestamp: 1_700_000_000_000,
        max_timestamp: 1_700_000_000_000,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        records_count: 1,
    };
    assert_eq!(header, expected);
    assert_eq!((header.total_bytes(), header.last_sequence()), (70, -1));
    assert!(!header.is_idempotent() && !header.is_control() && !header.is_transactional());

    let header = BatchHeader::parse(&unhex(TWO)).unwrap();
    assert!(header.is_idempotent());
    assert_eq!((header.last_offset(), header.last_sequence()), (1, 1));

    let header = BatchHeader::parse(&unhex(COMMIT)).unwrap();
    assert!(header.is_control() && header.is_transactional());
    assert_eq!((header.last_offset(), header.leader_epoch), (7, 0));

    for hex in [ONE, TWO, COMMIT] {
        let batch = unhex(hex);
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!(check_crc(&batch), Ok(()));
        assert_eq!(header.to_bytes(), batch[..HEADER_BYTES]);
        let prefix = prefix(header.base_offset, header.batch_length, header.leader_epoch);
        assert_eq!(prefix, batch[..PREFIX_BYTES]);
    }
}

#[test]
fn a_valid_batch_is_given_back_untouched() {
    let bytes = Bytes::from(unhex(TWO));
    let batch = validate_produced(&bytes, &LIMITS).unwrap();
    assert_eq!(batch.bytes().as_ptr(), bytes.as_ptr());
    assert_eq!(batch.into_bytes(), bytes);
}

fn check(cases: impl IntoIterator<Item = (Vec<u8>, BatchError)>) {
    for (bytes, error) in cases {
        assert_eq!(validate(&bytes), Err(error));
    }
}

#[test]
fn anything_but_one_whole_batch_is_refused() {
    let length = |announced: i32| {
        let bytes = changed(ONE, 8, &announced.to_be_bytes());
        (
            bytes,
            BatchError::BadLength {
                announced,
                actual: 70,
            },
        )
    };
    let v0 = changed(ONE, 16, &[0])[..34].to_vec();
    check([
        (Vec::new(), BatchError::Empty),
        (
            unhex(ONE)[..60].to_vec(),
            BatchError::Truncated {
                wanted: 61,
                left: 60,
            },
        ),
        (changed(ONE, 16, &[1]), BatchError::BadMagic { magic: 1 }),
        (v0, BatchError::BadMagic { magic: 0 }),
        (
            [unhex(ONE), unhex(TWO)].concat(),
            BatchError::MultipleBatches,
        ),
    ]);
    check([48, -1, i32::MIN, 57, 59, i32::MAX].map(length));
}

#[test]
fn each_rule_of_the_header_has_an_error_of_its_own() {
    let count = |last_offset_delta, records_count: i32| {
        let mut bytes = unhex(ONE);
        bytes[23..27].copy_from_slice(&i32::to_be_bytes(last_offset_delta));
        let bytes = sealed(bytes, 57, &records_count.to_be_bytes());
        (
            bytes,
            BatchError::BadCount {
                last_offset_delta,
                records_count,
            },
        )
    };
    check(
        [
            (0, 2),
            (0, 0),
            (-1, 0),
            (0, -1),
            (1, 1),
            (i32::MAX, i32::MIN),
        ]
        .map(|(d, c)| count(d, c)),
    );
    let reserved = |attributes: i16| {
        let bytes = changed(ONE, 21, &attributes.to_be_bytes());
        (bytes, BatchError::ReservedAttributes { attributes })
    };
    check([0x40, 0x80, i16::MIN].map(reserved));
    let codec = |id| (changed(ONE, 22, &[id]), BatchError::UnknownCodec { id });
    check([5, 6, 7].map(codec));
    check([
        (
            changed(ONE, 7, &[1]),
            BatchError::BaseOffsetNotZero { base_offset: 1 },
        ),
        (changed(COMMIT, 7, &[0]), BatchError::ControlBatch),
    ]);
}

#[test]
fn producer_id_epoch_and_sequence_go_together() {
    let refused = |attributes: i16, id: i64, epoch: i16, base_sequence: i32| {
        let mut bytes = unhex(ONE);
        bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
        bytes[43..51].copy_from_slice(&id.to_be_bytes());
        bytes[51..53].copy_from_slice(&epoch.to_be_bytes());
        let bytes = sealed(bytes, 53, &base_sequence.to_be_bytes());
        (
            bytes,
            BatchError::BadProducer {
                id,
                epoch,
                base_sequence,
            },
        )
    };
    // No sequence, no epoch, an id that nobody gives out, and a transaction of nobody.
    check([
        refused(0, 1000, 0, -1),
        refused(0, 1000, -1, 0),
        refused(0, -2, 0, 0),
        refused(0x10, -1, -1, -1),
    ]);
    assert!(
        validate(&changed(TWO, 21, &[0, 0x10])).is_ok(),
        "a transaction of producer 1000"
    );
}

#[test]
fn records_that_are_not_compressed_are_walked() {
    let cases = [
        // The offset delta of the second record; a length that ends before its last byte; a key
        // that is longer than its record.
        (TWO, 92, 4, "an offset delta that does not count up"),
        (TWO, 89, 0x0a, "1 byte must follow"),
        (TWO, 93, 0x10, "8 bytes must follow"),
        // The count of headers of the first record, wild and too small; a length below -1.
        (TWO, 80, 0x80, "announced"),
        (TWO, 80, 2, "the value ends 4 bytes before its input"),
        (TWO, 93, 3, "a length of -2"),
    ];
    for (hex, position, byte, why) in cases {
        let error = validate(&changed(hex, position, &[byte])).unwrap_err();
        assert!(matches!(error, BatchError::BadRecords { .. }), "{error}");
        assert!(
            error.to_string().contains(why),
            "{error} does not say {why:?}"
        );
    }
    let mut longer = unhex(ONE);
    longer.push(0);
    longer[11] += 1;
    let crc = crc_of(&longer);
    longer[CRC_POSITION..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
    let error = validate(&longer).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the value ends 1 byte before its input"),
        "{error}"
    );
}

#[test]
fn sizes_are_limited_before_anything_is_read() {
    let limits = ProduceLimits {
        batch_bytes_max: 69,
        ..LIMITS
    };
    let broken = Bytes::from(changed(ONE, 57, &[9]));
    let error = validate_produced(&broken, &limits).unwrap_err();
    assert_eq!(error, BatchError::TooLarge { bytes: 70, max: 69 });
}

#[cfg(feature = "gzip")]
#[test]
fn compressed_records_are_opened_only_if_asked() {
    let mut builder = BatchBuilder::new(Codec::Gzip);
    builder.append(0, None, Some(&[0; 1000]), &[]).unwrap();
    let good = builder.build().unwrap();
    let mut bad = good.to_vec();
    bad[HEADER_BYTES + 12] ^= 0xff;
    let crc = crc_of(&bad);
    bad[CRC_POSITION..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
    let bad = Bytes::from(bad);

    assert!(validate_produced(&bad, &LIMITS).is_ok());
    let deep = |max| ProduceLimits {
        decompressed_bytes_max: Some(max),
        ..LIMITS
    };
    assert!(validate_produced(&good, &deep(1100)).is_ok());
    assert!(matches!(
        validate_produced(&bad, &deep(1100)),
        Err(BatchError::Codec(_))
    ));
    assert!(matches!(
        validate_produced(&good, &deep(999)),
        Err(BatchError::Codec(_))
    ));
}

#[test]
fn the_log_can_stamp_a_batch() {
    let original = Bytes::from(unhex(TWO));
    let stamped = validate_produced(&original, &LIMITS)
        .unwrap()
        .with_log_append_time(42);
    assert_eq!(
        stamped.header().timestamp_type(),
        TimestampType::LogAppendTime
    );
    assert_eq!(
        BatchHeader::parse(stamped.bytes()).as_ref(),
        Ok(stamped.header())
    );
    assert_eq!(
        validate_produced(stamped.bytes(), &LIMITS).as_ref(),
        Ok(&stamped)
    );
    assert_eq!(stamped.header().max_timestamp, 42);
    assert_eq!(stamped.bytes()[HEADER_BYTES..], original[HEADER_BYTES..]);
    assert_eq!(original, unhex(TWO), "the shared bytes were changed");

    assert_eq!(set_log_append_time(original, 42), stamped.bytes());
    let alone = Bytes::from(unhex(TWO));
    let place = alone.as_ptr();
    let stamped_in_place = set_log_append_time(alone, 42);
    assert_eq!(stamped_in_place.as_ptr(), place);
    assert_eq!(stamped_in_place, stamped.bytes());
    assert_eq!(
        set_log_append_time(Bytes::from_static(b"no batch"), 42),
        "no batch"
    );
}

#[test]
fn sequences_wrap_to_zero() {
    assert_eq!(sequence_add(i32::MAX - 1, 1), i32::MAX);
    assert_eq!(sequence_add(i32::MAX, 5), 4);
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(0, None, None, &[]).unwrap();
    builder.append(0, None, None, &[]).unwrap();
    builder.set_producer(Some(Producer {
        id: 1,
        epoch: 0,
        base_sequence: i32::MAX,
    }));
    let batch = validate(&builder.build().unwrap()).unwrap();
    assert_eq!(batch.header().last_sequence(), 0);
}

#[test]
fn a_scan_ends_at_zeros_at_the_end_or_at_an_error() {
    let batches = [unhex(ONE), unhex(TWO)].concat();
    let scan = |bytes: &[u8]| {
        let mut scan = Batches::new(bytes);
        let found: Vec<_> = scan
            .by_ref()
            .map(|batch| batch.map(|batch| batch.position))
            .collect();
        assert!(scan.next().is_none());
        (found, scan.position())
    };
    let whole = vec![Ok(0), Ok(70)];
    assert_eq!(scan(&[]), (vec![], 0));
    assert_eq!(scan(&batches), (whole.clone(), 166));
    for zeros in [1, 11, 12, 13, 60, 61, 500] {
        let padded = [&batches[..], &vec![0; zeros]].concat();
        assert_eq!(scan(&padded), (whole.clone(), 166), "{zeros}");
    }
    for cut in 71..82 {
        let (found, position) = scan(&batches[..cut]);
        // Fewer than 12 bytes, all of them zeros: no batch was begun as far as one can see.
        let ended = batches[70..cut].iter().all(|&byte| byte == 0);
        assert_eq!(
            (found.len(), position),
            (if ended { 1 } else { 2 }, 70),
            "{cut}"
        );
    }
    let cut = (
        vec![
            Ok(0),
            Err(BatchError::Truncated {
                wanted: 96,
                left: 95,
            }),
        ],
        70,
    );
    assert_eq!(scan(&batches[..165]), cut);
    // A base offset that is not zero, and the first bytes of a length: something was begun.
    let begun = [&batches[..], &[0, 0, 0, 0, 0, 0, 0, 9, 0, 0]].concat();
    let truncated = Err(BatchError::Truncated {
        wanted: 61,
        left: 10,
    });
    assert_eq!(scan(&begun), (vec![Ok(0), Ok(70), truncated], 166));
    let mut broken = batches;
    broken[70 + 16] = 9;
    assert_eq!(
        scan(&broken),
        (vec![Ok(0), Err(BatchError::BadMagic { magic: 9 })], 70)
    );
}

proptest! {
    #[test]
    fn the_checksum_is_that_of_the_book(
        bytes in prop::collection::vec(any::<u8>(), CRC_FROM..2000),
    ) {
        prop_assert_eq!(crc_of(&bytes), crc_by_the_book(&bytes[CRC_FROM..]));
    }

    #[test]
    fn no_changed_byte_behind_the_prefix_goes_unseen(
        at in PREFIX_BYTES..96_usize,
        flip in 1_u8..,
    ) {
        let mut batch = unhex(TWO);
        batch[at] ^= flip;
        prop_assert!(validate(&batch).is_err());
    }

    #[test]
    fn any_bytes_give_an_answer(
        header in prop::collection::vec(any::<u8>(), HEADER_BYTES),
        length in 40_u8..120,
        body in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut bytes = [header, body].concat();
        bytes[8..12].copy_from_slice(&[0, 0, 0, length]);
        bytes[16] = 2;
        if let Ok(header) = BatchHeader::parse(&bytes) {
            prop_assert_eq!(&header.to_bytes()[..], &bytes[..HEADER_BYTES]);
            let _ = (header.codec(), header.last_offset(), header.last_sequence());
        }
        let crc = crc_of(&bytes);
        bytes[CRC_POSITION..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
        let _ = validate(&bytes);
        let _ = set_log_append_time(Bytes::copy_from_slice(&bytes), 1);
        let given: usize = Batches::new(&bytes).map_while(Result::ok).map(|b| b.bytes.len()).sum();
        prop_assert!(given <= bytes.len());
    }

    #[test]
    fn any_records_behind_a_valid_header_give_an_answer(
        changes in prop::collection::vec((HEADER_BYTES..96, any::<u8>()), 1..6),
    ) {
        let mut batch = unhex(TWO);
        for (at, byte) in changes {
            batch[at] = byte;
        }
        let crc = crc_of(&batch);
        batch[CRC_POSITION..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
        if let Err(error) = validate(&batch) {
            prop_assert!(matches!(error, BatchError::BadRecords { .. }), "{}", error);
        }
    }
}
