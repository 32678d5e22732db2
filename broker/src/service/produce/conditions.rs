//! What a Kafka producer expects of the streams that it appends to, by headers of its records.
//!
//! Floor 4 of broker.
//!
//! On topics with `append.conditional=true`. `es-revision: N` says which revision the record *is*:
//! it is stored if and only if the last one of its key is N - 1, and 0 is the first of all.
//! `es-expect` is `no-stream` or `exists`. A record with neither expects nothing.
//!
//! Invariants
//! - One pass over the records, which checks them as deep as any other check does.
//! - A header that is not understood is refused, never passed over: who set it relies on it.

use bytes::Bytes;
use highwater_log::error::LogError;
use highwater_log::keys::{Conflict, ConflictOf, Expect, KeySeed, Keyed, RecordKey};
use highwater_log::reader::LogReader;
use highwater_proto::batch::ProducedBatch;
use highwater_proto::record::{Headers, Record, RecordIter};

use crate::config::topic::TopicSettings;
use crate::error::{ProduceError, RefusedRecord};
use crate::service::events::{Claim, Claimed, Repeat, find_repeat, id_of};
use crate::service::produce::Produced;
use crate::service::produce::validate::{Checks, refusal};

impl Checks<'_> {
    /// The keys of a batch, hashed with the seed of its log, and what it expects of them.
    pub(super) fn keyed(
        &self,
        batch: &ProducedBatch,
        topic: &TopicSettings,
        seed: KeySeed,
    ) -> Result<Keyed, ProduceError> {
        let count = usize::try_from(batch.header().records_count).unwrap_or(usize::MAX);
        if count > RECORDS_MAX {
            return Err(ProduceError::invalid(format!(
                "es-invalid {count} records: on a topic with append.conditional=true a batch has \
                 at most {RECORDS_MAX}"
            )));
        }
        let mut records = Vec::with_capacity(count);
        let mut refused = Vec::new();
        for (index, record) in (0..).zip(self.records(batch)?) {
            let record = record.map_err(|error| refusal(error, topic))?;
            match record_key(&record, seed) {
                Ok(key) => records.push(key),
                Err(what) => {
                    let why = format!("es-invalid {what}");
                    refused.push(RefusedRecord { index, why });
                }
            }
            if refused.len() == REFUSED_MAX {
                break;
            }
        }
        let Some(first) = refused.first() else {
            let checks = Vec::new();
            return Ok(Keyed { checks, records });
        };
        Err(ProduceError::InvalidRecord {
            why: format!("record {}: {}", first.index, first.why),
            records: refused,
        })
    }
}

/// The events of a batch that names places in streams, kept until it is known whether it is stored.
#[derive(Debug)]
pub(super) struct Claims {
    reader: LogReader,
    batch: Bytes,
}

impl Claims {
    /// Those of a batch; none if it names no place.
    pub(super) fn of(reader: &LogReader, batch: &ProducedBatch, keyed: &Keyed) -> Option<Self> {
        let mut records = keyed.records.iter();
        records
            .any(|record| claimed_revision(record.expect).is_some())
            .then(|| Self {
                reader: reader.clone(),
                batch: batch.bytes().clone(),
            })
    }

    /// Where the events are, if the conflict is with themselves: their producer has lost the answer
    /// and sends them again.
    pub(super) fn repeated(
        &self,
        conflict: Conflict,
        decompressed_bytes_max: usize,
    ) -> Result<Produced, ProduceError> {
        match self.find(conflict, decompressed_bytes_max) {
            Ok(Repeat::Yes(stored)) => Ok(Produced {
                base_offset: stored.base_offset,
                log_append_time_ms: None,
                log_start_offset: self.reader.start(),
            }),
            Ok(Repeat::InPart { revision }) => Err(id_mismatch(conflict.of, revision)),
            Ok(Repeat::No) => Err(LogError::Conflict(conflict).into()),
            Err(error) => Err(ProduceError::storage(&error)),
        }
    }

    fn find(&self, conflict: Conflict, decompressed_bytes_max: usize) -> Result<Repeat, LogError> {
        let (ConflictOf::Record(index), Some(revision)) =
            (conflict.of, claimed_revision(conflict.expected))
        else {
            return Ok(Repeat::No);
        };
        let mut events = Vec::new();
        for record in RecordIter::new(self.batch.clone(), decompressed_bytes_max)? {
            let record = record?;
            events.push(Claimed {
                id: id_of(&record.headers),
                key: record.key.unwrap_or_default(),
            });
        }
        let claim = Claim { index, revision };
        find_repeat(&self.reader, &events, claim, decompressed_bytes_max)
    }
}

/// Which revision a record is that expects this; none if it may be several.
fn claimed_revision(expect: Expect) -> Option<u64> {
    match expect {
        NO_STREAM => Some(0),
        Expect::Revision(last) => last.checked_add(1),
        _ => None,
    }
}

fn id_mismatch(of: ConflictOf, revision: u64) -> ProduceError {
    let index = match of {
        ConflictOf::Record(index) | ConflictOf::Check(index) => i32::try_from(index),
    };
    ProduceError::InvalidRecord {
        why: format!(
            "some of the events are stored with these ids, and others are not: they differ at \
             revision {revision}"
        ),
        records: vec![RefusedRecord {
            index: index.unwrap_or(i32::MAX),
            why: format!("es-id-mismatch at={revision}"),
        }],
    }
}

/// The answer to a transactional batch: an abort would leave revisions that no reader of committed
/// records ever sees.
pub(super) fn in_a_transaction() -> ProduceError {
    ProduceError::invalid(
        "es-transactional: a topic with append.conditional=true takes no part in transactions",
    )
}

fn record_key(record: &Record, seed: KeySeed) -> Result<RecordKey, &'static str> {
    let key = record.key.as_ref().ok_or("no key")?;
    Ok(RecordKey {
        key: seed.hash(key),
        is_tombstone: record.value.is_none(),
        expect: expectation(&record.headers)?,
    })
}

fn expectation(headers: &Headers) -> Result<Expect, &'static str> {
    let (mut revision, mut word) = (None, None);
    for header in headers.iter() {
        let (place, twice) = match &header.name_bytes[..] {
            REVISION => (&mut revision, "es-revision twice"),
            EXPECT => (&mut word, "es-expect twice"),
            _ => continue,
        };
        if place.replace(header.value.unwrap_or_default()).is_some() {
            return Err(twice);
        }
    }
    match (revision, word) {
        (None, None) => Ok(Expect::Any),
        (Some(revision), None) => of_revision(&revision),
        (None, Some(word)) => of_word(&word),
        (Some(_), Some(_)) => Err("es-revision and es-expect together"),
    }
}

/// What is to be there before this revision.
fn of_revision(text: &Bytes) -> Result<Expect, &'static str> {
    let digits = str::from_utf8(text).ok().filter(|text| {
        // A number may be read with a sign, which no revision has.
        text.bytes().all(|byte| byte.is_ascii_digit())
    });
    let revision = digits.and_then(|digits| digits.parse::<u64>().ok());
    match revision
        .ok_or("es-revision is not a number")?
        .checked_sub(1)
    {
        None => Ok(NO_STREAM),
        Some(last) => Ok(Expect::Revision(last)),
    }
}

fn of_word(word: &Bytes) -> Result<Expect, &'static str> {
    match &word[..] {
        b"no-stream" => Ok(NO_STREAM),
        b"exists" => Ok(Expect::Exists),
        _ => Err("es-expect is neither no-stream nor exists"),
    }
}

const NO_STREAM: Expect = Expect::NoStream {
    allow_recreate: false,
};
const REVISION: &[u8] = b"es-revision";
const EXPECT: &[u8] = b"es-expect";
/// A small compressed batch may hold very many records, each of which is remembered by its key.
const RECORDS_MAX: usize = 1 << 17;
/// As many as a producer is told.
const REFUSED_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use highwater_proto::batch::{ProduceLimits, validate_produced};
    use highwater_proto::batch_builder::BatchBuilder;
    use highwater_proto::clock::Wall;
    use highwater_proto::compress::Codec;

    use super::*;
    use crate::config::BrokerConfig;
    use crate::config::dynamic::Dynamic;
    use crate::config::topic::TopicConfigs;
    use crate::metrics::Metrics;
    use crate::service::produce::ZstdAllowed;

    const SEED: KeySeed = KeySeed([7; 16]);

    type Row<'a> = (
        Option<&'a [u8]>,
        Option<&'a [u8]>,
        &'a [(&'a str, Option<&'a [u8]>)],
    );

    fn keyed_by(codec: Codec, rows: &[Row<'_>]) -> Result<Keyed, ProduceError> {
        let mut builder = BatchBuilder::new(codec);
        for (key, value, headers) in rows {
            builder.append(0, *key, *value, headers).unwrap();
        }
        let batch = builder.build().unwrap();
        let limits = ProduceLimits {
            batch_bytes_max: usize::MAX,
            ..ProduceLimits::default()
        };
        let batch = validate_produced(&batch, &limits).unwrap();
        let config = BrokerConfig::default();
        let topic = config.topic_settings(Dynamic::default(), &TopicConfigs::new());
        let metrics = Metrics::default();
        Checks::new(&config, &metrics, ZstdAllowed::Yes, Wall(0)).keyed(&batch, &topic, SEED)
    }

    /// What a record with these headers expects, or what is said of it.
    fn expected(headers: &[(&str, Option<&[u8]>)]) -> Result<Expect, String> {
        match keyed_by(Codec::None, &[(Some(b"k"), Some(b"v"), headers)]) {
            Ok(keyed) => Ok(keyed.records[0].expect),
            Err(ProduceError::InvalidRecord { records, .. }) => Err(records[0].why.clone()),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn each_header_is_the_expectation_that_it_names() {
        let rows: &[(&str, &[u8], Expect)] = &[
            ("es-revision", b"0", NO_STREAM),
            ("es-revision", b"1", Expect::Revision(0)),
            ("es-revision", b"0042", Expect::Revision(41)),
            (
                "es-revision",
                b"18446744073709551615",
                Expect::Revision(u64::MAX - 1),
            ),
            ("es-expect", b"no-stream", NO_STREAM),
            ("es-expect", b"exists", Expect::Exists),
            ("es-Revision", b"1", Expect::Any),
        ];
        for (name, value, wanted) in rows {
            let other = ("other", None);
            let headers = [other, (*name, Some(*value)), other];
            assert_eq!(expected(&headers), Ok(*wanted), "{name} {value:?}");
        }
        assert_eq!(expected(&[]), Ok(Expect::Any));
    }

    #[test]
    fn a_header_that_is_not_understood_is_refused() {
        let not_a_number = "es-invalid es-revision is not a number";
        for value in [
            &b""[..],
            b"x",
            b"-1",
            b"+1",
            b" 1",
            b"1.0",
            b"18446744073709551616",
            b"\xff",
        ] {
            let headers = [("es-revision", Some(value))];
            assert_eq!(expected(&headers), Err(not_a_number.to_owned()));
        }
        let of = |headers: &[(&str, Option<&[u8]>)]| expected(headers).unwrap_err();
        assert_eq!(of(&[("es-revision", None)]), not_a_number);
        let no_word = "es-invalid es-expect is neither no-stream nor exists";
        for value in [None, Some(&b"any"[..]), Some(b"Exists"), Some(b"")] {
            assert_eq!(of(&[("es-expect", value)]), no_word);
        }
        let (one, exists) = (Some(&b"1"[..]), Some(&b"exists"[..]));
        let twice = [("es-revision", one), ("es-revision", one)];
        assert_eq!(of(&twice), "es-invalid es-revision twice");
        let twice = [("es-expect", exists), ("es-expect", exists)];
        assert_eq!(of(&twice), "es-invalid es-expect twice");
        let both = [("es-revision", one), ("es-expect", exists)];
        assert_eq!(of(&both), "es-invalid es-revision and es-expect together");
    }

    #[test]
    fn every_record_has_its_key_and_whether_it_deletes() {
        for codec in [
            Codec::None,
            Codec::Gzip,
            Codec::Snappy,
            Codec::Lz4,
            Codec::Zstd,
        ] {
            let first = [("es-revision", Some(&b"0"[..]))];
            let rows: [Row<'_>; 3] = [
                (Some(b"a"), Some(b""), &first),
                (Some(b""), Some(b"1"), &[]),
                (Some(b"a"), None, &[]),
            ];
            let record = |key: &[u8], is_tombstone, expect| RecordKey {
                key: SEED.hash(key),
                is_tombstone,
                expect,
            };
            let keyed = Keyed {
                checks: Vec::new(),
                records: vec![
                    record(b"a", false, NO_STREAM),
                    record(b"", false, Expect::Any),
                    record(b"a", true, Expect::Any),
                ],
            };
            assert_eq!(keyed_by(codec, &rows), Ok(keyed), "{codec:?}");
        }
    }

    #[test]
    fn each_record_to_blame_is_named() {
        let bad = [("es-revision", Some(&b"x"[..]))];
        let rows: [Row<'_>; 4] = [
            (Some(b"a"), Some(b"1"), &[]),
            (None, Some(b"1"), &[]),
            (Some(b"a"), Some(b"1"), &[]),
            (Some(b"a"), Some(b"1"), &bad),
        ];
        let refused = |index, why: &str| RefusedRecord {
            index,
            why: why.to_owned(),
        };
        let error = ProduceError::InvalidRecord {
            why: "record 1: es-invalid no key".to_owned(),
            records: vec![
                refused(1, "es-invalid no key"),
                refused(3, "es-invalid es-revision is not a number"),
            ],
        };
        assert_eq!(keyed_by(Codec::None, &rows), Err(error));
    }

    #[test]
    fn more_records_than_are_told_are_not_collected() {
        let rows: Vec<Row<'_>> = vec![(None, None, &[]); 150];
        match keyed_by(Codec::None, &rows) {
            Err(ProduceError::InvalidRecord { records, .. }) => assert_eq!(records.len(), 100),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_batch_of_too_many_records_is_refused_before_it_is_opened() {
        let rows: Vec<Row<'_>> = vec![(Some(b"k"), None, &[]); RECORDS_MAX + 1];
        let refused = keyed_by(Codec::Zstd, &rows).unwrap_err();
        assert!(refused.to_string().contains("at most 131072"), "{refused}");
        keyed_by(Codec::Zstd, &rows[1..]).unwrap();
    }
}
