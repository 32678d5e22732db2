//! Record batches, and the formats before them.

use bytes::{Bytes, BytesMut};
use highwater_proto::batch::{
    BatchError, BatchHeader, Batches, HEADER_BYTES, OVERHEAD_BYTES, ProduceLimits, check_crc,
    crc_of, set_log_append_time, validate_produced,
};
use highwater_proto::batch_builder::{BatchBuilder, HeaderRef};
use highwater_proto::record::{Record, RecordIter};

/// T5: a batch as it is, and with its length and checksum made right, so that what they protect
/// is reached. What is accepted is read whole, restamped and built again.
pub fn t5_batch(data: &[u8]) {
    check(Bytes::copy_from_slice(data));
    check(mended(data));
}

/// The same bytes with the length and the checksum that belong to them.
fn mended(data: &[u8]) -> Bytes {
    let mut bytes = BytesMut::from(data);
    if bytes.len() < HEADER_BYTES {
        return bytes.freeze();
    }
    let length = i32::try_from(bytes.len() - OVERHEAD_BYTES).expect("fuzz inputs are small");
    bytes[..8].fill(0);
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[16] = 2;
    let crc = crc_of(&bytes);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}

fn check(bytes: Bytes) {
    scan(&bytes);
    if let Ok(header) = BatchHeader::parse(&bytes) {
        let written = header.to_bytes();
        assert_eq!(
            written[..],
            bytes[..HEADER_BYTES],
            "a header is written as it was read"
        );
    }
    let records = RecordIter::new(bytes.clone(), DECOMPRESSED_BYTES_MAX)
        .and_then(|records| records.collect::<Result<Vec<_>, _>>());
    let Ok(batch) = validate_produced(&bytes, &LIMITS) else {
        return;
    };
    let header = *batch.header();
    assert_eq!(batch.bytes(), &bytes);
    let records = records.expect("what is accepted can be read");
    assert_eq!(
        records.len(),
        header.records_count as usize,
        "as many as the header says"
    );
    let offsets = records.iter().map(|record| record.offset);
    assert!(
        offsets.eq(0..i64::from(header.records_count)),
        "offsets count up"
    );
    restamp(&bytes, &records);
    rebuild(&header, &records);
}

/// Batches of a log file end where they end, and none overlaps another.
fn scan(bytes: &Bytes) {
    let mut batches = Batches::new(bytes);
    let mut end = 0;
    for batch in batches.by_ref().map_while(Result::ok) {
        assert_eq!(batch.position, end);
        assert_eq!(batch.bytes.len(), batch.header.total_bytes());
        end += batch.bytes.len();
    }
    assert_eq!(batches.position(), end);
    assert!(end <= bytes.len());
}

fn restamp(bytes: &Bytes, records: &[Record]) {
    let stamped = set_log_append_time(bytes.clone(), 1_700_000_000_000);
    check_crc(&stamped).expect("the checksum was computed again");
    let again: Vec<_> = RecordIter::new(stamped, DECOMPRESSED_BYTES_MAX)
        .expect("the header is valid")
        .map(|record| record.expect("the records did not change"))
        .collect();
    assert_eq!(again.len(), records.len());
    for (stamped, record) in again.iter().zip(records) {
        assert_eq!(stamped.timestamp, 1_700_000_000_000);
        assert_eq!((&stamped.key, &stamped.value), (&record.key, &record.value));
        assert_eq!(stamped.headers, record.headers);
    }
}

fn rebuild(header: &BatchHeader, records: &[Record]) {
    let codec = header.codec().expect("it was accepted");
    let mut builder = BatchBuilder::new(codec);
    for record in records {
        let headers: Vec<_> = record.headers.iter().collect();
        let names: Vec<_> = headers.iter().map(|header| header.name()).collect();
        let headers: Vec<HeaderRef<'_>> = names
            .iter()
            .zip(&headers)
            .map(|(name, header)| (name.as_ref(), header.value.as_deref()))
            .collect();
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder
            .append(record.timestamp, key, value, &headers)
            .expect("it fitted before");
    }
    let built = builder
        .build()
        .expect("records that were read can be built");
    let again: Vec<_> = RecordIter::new(built, usize::MAX)
        .expect("a built batch opens")
        .map(|record| record.expect("a built record is read"))
        .collect();
    for (again, record) in again.iter().zip(records) {
        assert_eq!((&again.key, &again.value), (&record.key, &record.value));
        assert_eq!(
            (again.offset, again.timestamp),
            (record.offset, record.timestamp)
        );
    }
    assert_eq!(again.len(), records.len());
}

/// T6: message sets of the formats 0 and 1, nested or not, are named as such and never taken for
/// a batch.
pub fn t6_legacy(data: &[u8]) {
    for magic in [0, 1] {
        let mut bytes = data.to_vec();
        let Some(byte) = bytes.get_mut(16) else {
            assert!(validate_produced(&Bytes::from(bytes), &LIMITS).is_err());
            continue;
        };
        *byte = magic;
        let magic = magic.cast_signed();
        let refusal = Err(BatchError::BadMagic { magic });
        assert_eq!(BatchHeader::parse(&bytes), refusal.clone());
        let bytes = Bytes::from(bytes);
        assert_eq!(
            validate_produced(&bytes, &LIMITS),
            Err(BatchError::BadMagic { magic })
        );
        assert!(RecordIter::new(bytes.clone(), DECOMPRESSED_BYTES_MAX).is_err());
        let scanned = Batches::new(&bytes).next();
        assert!(!matches!(scanned, Some(Ok(_))), "no batch is found in it");
    }
}

const DECOMPRESSED_BYTES_MAX: usize = 1 << 20;
const LIMITS: ProduceLimits = ProduceLimits {
    batch_bytes_max: 1 << 20,
    decompressed_bytes_max: Some(DECOMPRESSED_BYTES_MAX),
};
