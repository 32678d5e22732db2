//! Records: round trips through every codec, the oracle's view of our batches and ours of its, and
//! damaged records.
//!
//! Floor 4 of proto.

use bytes::BytesMut;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as oracle;
use proptest::prelude::*;

use super::*;
use crate::batch::{ProduceLimits, check_crc, crc_of, set_log_append_time, validate_produced};
use crate::batch_builder::{BatchBuilder, HeaderRef};
use crate::hex::unhex;

const CAP: usize = 1 << 20;

/// A record as one writes it down.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plain {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl From<&Record> for Plain {
    fn from(record: &Record) -> Self {
        let vec = |bytes: &Bytes| bytes.to_vec();
        Self {
            timestamp: record.timestamp,
            key: record.key.as_ref().map(vec),
            value: record.value.as_ref().map(vec),
            headers: record
                .headers
                .iter()
                .map(|header| (header.name().into_owned(), header.value.as_ref().map(vec)))
                .collect(),
        }
    }
}

fn plain() -> impl Strategy<Value = Plain> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..200));
    let timestamp = prop_oneof![
        Just(i64::MIN),
        Just(i64::MAX),
        Just(-1),
        1_700_000_000_000..1_700_000_000_100_i64,
        any::<i64>(),
    ];
    // Two names only, so that they repeat.
    let headers = prop::collection::vec(("[ab]", bytes()), 0..6);
    (timestamp, bytes(), bytes(), headers).prop_map(|(timestamp, key, value, headers)| Plain {
        timestamp,
        key,
        value,
        headers,
    })
}

fn build(codec: Codec, records: &[Plain]) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for Plain {
        timestamp,
        key,
        value,
        headers,
    } in records
    {
        let headers: Vec<HeaderRef<'_>> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
            .collect();
        builder
            .append(*timestamp, key.as_deref(), value.as_deref(), &headers)
            .unwrap();
    }
    builder.build().unwrap()
}

fn built_in() -> Vec<Codec> {
    Codec::ALL
        .into_iter()
        .filter(|codec| codec.is_built_in())
        .collect()
}

fn read(batch: &Bytes) -> Result<Vec<Record>, BatchError> {
    RecordIter::new(batch.clone(), CAP)?.collect()
}

fn two() -> Vec<Plain> {
    let header = |value: &[u8]| ("h".to_owned(), Some(value.to_vec()));
    vec![
        Plain {
            timestamp: 1_700_000_000_000,
            key: Some(b"N14228".to_vec()),
            value: Some(b"{\"a\":1}".to_vec()),
            headers: vec![header(b"1"), header(b"2")],
        },
        Plain {
            timestamp: 1_700_000_000_005,
            key: None,
            value: None,
            headers: vec![],
        },
    ]
}

#[test]
fn records_are_slices_of_the_batch() {
    let batch = build(Codec::None, &two());
    let range = batch.as_ptr_range();
    let records = read(&batch).unwrap();
    assert_eq!(records.iter().map(Plain::from).collect::<Vec<_>>(), two());
    for bytes in [&records[0].key, &records[0].value] {
        assert!(range.contains(&bytes.as_ref().unwrap().as_ptr()));
    }
    assert_eq!(records[0].headers.len(), 2);
    assert_eq!(records[0].headers.last("h").unwrap().value.unwrap(), "2");
    assert_eq!(records[0].headers.last("g"), None);
    assert!(records[1].headers.is_empty());
}

#[test]
fn a_control_record_is_read() {
    let commit = unhex(
        "0000000000000007 00000042 00000000 02 a1ac499f 0030 00000000 0000018bcfe56800 \
         0000018bcfe56800 00000000000003e8 0000 ffffffff 00000001 \
         20 00 00 00 08 00000001 0c 000000000000 00",
    );
    let records = read(&commit.into()).unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].offset, 7);
    assert_eq!(records[0].key.as_deref(), Some(&[0, 0, 0, 1][..]));
    assert_eq!(records[0].value.as_deref(), Some(&[0; 6][..]));
}

#[test]
fn the_log_append_time_is_that_of_every_record() {
    let batch = set_log_append_time(build(Codec::None, &two()), 99);
    let times: Vec<i64> = read(&batch)
        .unwrap()
        .iter()
        .map(|record| record.timestamp)
        .collect();
    assert_eq!(times, [99, 99]);
}

#[test]
fn offsets_start_at_the_base_offset() {
    let mut batch = build(Codec::None, &two()).to_vec();
    batch[..8].copy_from_slice(&1_000_000_i64.to_be_bytes());
    let offsets: Vec<i64> = read(&batch.into())
        .unwrap()
        .iter()
        .map(|r| r.offset)
        .collect();
    assert_eq!(offsets, [1_000_000, 1_000_001]);
}

#[test]
fn a_batch_that_compaction_emptied_has_no_records() {
    for attributes in [0, 2, 4] {
        let mut batch = build(Codec::None, &two())[..HEADER_BYTES].to_vec();
        batch[8..12].copy_from_slice(&49_i32.to_be_bytes());
        batch[22] = attributes;
        batch[57..61].copy_from_slice(&[0; 4]);
        assert_eq!(read(&batch.into()), Ok(vec![]));
    }
}

#[test]
fn offsets_out_of_order_are_refused() {
    // The offset delta of the second record: as the first one's, below zero, beyond the last one.
    for delta in [0, 1, 4] {
        let mut batch = build(Codec::None, &two()).to_vec();
        batch[92] = delta;
        let mut records = RecordIter::new(batch.into(), CAP).unwrap();
        assert!(records.next().unwrap().is_ok());
        let error = records.next().unwrap().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("record 1 of the batch is malformed"),
            "{error}"
        );
        assert_eq!(records.next(), None);
    }
}

#[test]
fn counts_that_do_not_fit_are_refused() {
    for (count, records) in [(1_i32, 1), (3, 2)] {
        let mut batch = build(Codec::None, &two()).to_vec();
        batch[57..61].copy_from_slice(&count.to_be_bytes());
        let results: Vec<_> = RecordIter::new(batch.into(), CAP).unwrap().collect();
        assert_eq!(results.len(), records + 1);
        assert!(matches!(
            results[records],
            Err(BatchError::BadRecords { .. })
        ));
    }
    let mut batch = build(Codec::None, &two()).to_vec();
    batch[57] = 0x80;
    assert!(matches!(
        read(&batch.into()),
        Err(BatchError::BadCount { .. })
    ));
}

#[test]
fn names_that_are_not_utf8_are_replaced() {
    let mut batch = build(Codec::None, &two()).to_vec();
    batch[82] = 0xff;
    let records = read(&batch.into()).unwrap();
    let names: Vec<_> = records[0]
        .headers
        .iter()
        .map(|h| h.name().into_owned())
        .collect();
    assert_eq!(names, ["\u{fffd}", "h"]);
}

#[test]
fn the_oracle_reads_our_batch() {
    let mut batch = build(Codec::None, &two());
    let theirs = oracle::RecordBatchDecoder::decode(&mut batch)
        .unwrap()
        .records;
    assert_eq!(theirs.len(), 2);
    assert_eq!(theirs[0].key.as_deref(), Some(&b"N14228"[..]));
    assert_eq!(
        (theirs[1].offset, theirs[1].timestamp),
        (1, 1_700_000_000_005)
    );
    assert_eq!((&theirs[1].key, &theirs[1].value), (&None, &None));
}

#[test]
fn we_read_the_batch_of_the_oracle() {
    let record = |offset: i64| oracle::Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 4,
        producer_id: 7,
        producer_epoch: 2,
        timestamp_type: oracle::TimestampType::Creation,
        offset,
        sequence: i32::try_from(offset).unwrap(),
        timestamp: 1000 - offset,
        key: Some(Bytes::from_static(b"key")),
        value: None,
        headers: [(
            StrBytes::from_static_str("h"),
            Some(Bytes::from_static(b"x")),
        )]
        .into(),
    };
    let records: Vec<_> = (0..3).map(record).collect();
    let mut bytes = BytesMut::new();
    let options = oracle::RecordEncodeOptions {
        version: 2,
        compression: oracle::Compression::None,
    };
    oracle::RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
    let batch = bytes.freeze();

    assert_eq!(check_crc(&batch), Ok(()));
    let header = *RecordIter::new(batch.clone(), CAP).unwrap().header();
    assert_eq!(
        (
            header.producer_id,
            header.producer_epoch,
            header.leader_epoch
        ),
        (7, 2, 4)
    );
    let ours = read(&batch).unwrap();
    assert_eq!(ours.len(), 3);
    for (ours, theirs) in ours.iter().zip(records) {
        assert_eq!(
            (ours.offset, ours.timestamp),
            (theirs.offset, theirs.timestamp)
        );
        assert_eq!((&ours.key, &ours.value), (&theirs.key, &theirs.value));
        assert_eq!(ours.headers.last("h").unwrap().value.unwrap(), "x");
    }
}

proptest! {
    #[test]
    fn records_round_trip_through_every_codec(
        records in prop::collection::vec(plain(), 1..20),
    ) {
        for codec in built_in() {
            let batch = build(codec, &records);
            let limits =
                ProduceLimits { decompressed_bytes_max: Some(CAP), ..ProduceLimits::default() };
            let checked = validate_produced(&batch, &limits);
            prop_assert!(checked.is_ok(), "{:?}", checked);
            let read = read(&batch).unwrap();
            prop_assert_eq!(&read.iter().map(Plain::from).collect::<Vec<_>>(), &records);
            let offsets: Vec<i64> = read.iter().map(|record| record.offset).collect();
            prop_assert_eq!(offsets, (0..).take(records.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn changed_bytes_give_records_or_one_error(
        records in prop::collection::vec(plain(), 1..6),
        codec in prop::sample::select(built_in()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut batch = build(codec, &records).to_vec();
        for (at, byte) in changes {
            let at = at.index(batch.len());
            batch[at] = byte;
        }
        if let Some(cut) = cut {
            batch.truncate(cut.index(batch.len()));
        }
        let Ok(read) = RecordIter::new(batch.into(), CAP) else { return Ok(()) };
        let mut errors = 0;
        let mut last = None;
        for record in read {
            match record {
                Ok(record) => {
                    prop_assert_eq!(errors, 0);
                    prop_assert_eq!(record.headers.iter().count(), record.headers.len());
                    prop_assert!(last.is_none_or(|last| record.offset >= last));
                    last = Some(record.offset);
                }
                Err(_) => errors += 1,
            }
        }
        prop_assert!(errors <= 1);
    }

    #[test]
    fn any_records_section_gives_an_answer(
        section in prop::collection::vec(any::<u8>(), 0..200),
        count in 0_i32..20,
    ) {
        let mut batch = build(Codec::None, &two())[..HEADER_BYTES].to_vec();
        batch.extend(&section);
        let length = i32::try_from(batch.len() - 12).unwrap();
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        batch[57..61].copy_from_slice(&count.to_be_bytes());
        batch[23..27].copy_from_slice(&count.saturating_sub(1).max(0).to_be_bytes());
        let crc = crc_of(&batch);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        let batch = Bytes::from(batch);
        // What may be produced can be read.
        if validate_produced(&batch, &ProduceLimits::default()).is_ok() {
            prop_assert_eq!(read(&batch).unwrap().len(), count as usize);
        } else {
            let _ = read(&batch);
        }
    }
}
