//! A dead letter: a record that was not handled, where it came from, and why.
//!
//! Floor 6 of client. Pure.
//!
//! Invariants
//! - Key, value and headers of the record are kept as they came; only a record that is too large
//!   is replaced by a reference to its origin, and says so.
//! - The headers of Spring Kafka are written byte for byte as Spring writes them: numbers
//!   big-endian, texts in UTF-8. What they cannot say stands beside them under `hw-dlt-`.
//! - The error's texts take [`TEXT_MAX`] bytes each at most.
//! - A record that fails again keeps the origins of before, oldest first, and has one error: the
//!   newest.

use bytes::Bytes;

use crate::envelope::EventTime;
use crate::error::ClientError;
use crate::record::ConsumerRecord;
use crate::record::Header;
use crate::record::Record;

/// A record among the dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The topic that the record came from.
    pub topic: String,
    /// Its partition there.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its timestamp, in milliseconds since 1970.
    pub timestamp: i64,
    /// Who set the timestamp: `CreateTime` for its producer, `LogAppendTime` for the broker.
    pub timestamp_type: String,
    /// The group that could not handle it.
    pub group: Option<String>,
    /// The type of the error; of Spring the name of a Java class.
    pub error: String,
    /// What the error says.
    pub message: String,
    /// The error and its causes; of Spring a stack trace.
    pub stack: String,
    /// `retry`, `dead`, `invalid` or `panic`; nothing if it is not ours.
    pub class: Option<String>,
    /// How often it was tried; nothing if it is not ours.
    pub attempts: Option<u32>,
    /// How often it was sent back to its topic before.
    pub redrives: u32,
    /// The first failure of these attempts.
    pub first_failed_at: Option<EventTime>,
    /// The last one.
    pub last_failed_at: Option<EventTime>,
    /// Whether key, value and headers were too large to be kept: they are at the origin only.
    pub is_left_out: bool,
    /// The record's key.
    pub key: Option<Bytes>,
    /// The record's payload.
    pub value: Option<Bytes>,
    /// The record's headers, without those of dead letters.
    pub headers: Vec<Header>,
}

impl DeadLetter {
    /// Reads a record of a topic of dead letters, written by Highwater or by Spring Kafka.
    ///
    /// ```no_run
    /// use highwater_client::{ClientError, ConsumerRecord, DeadLetter};
    ///
    /// fn print(record: &ConsumerRecord) -> Result<(), ClientError> {
    ///     let letter = DeadLetter::read(record)?;
    ///     println!("{}-{}@{}", letter.topic, letter.partition, letter.offset);
    ///     println!("{}: {}", letter.error, letter.message);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// `Undecodable` if a header that says where it came from is missing or of another form.
    pub fn read(record: &ConsumerRecord) -> Result<Self, ClientError> {
        let read = Read(record);
        let headers = record.headers.iter();
        Ok(Self {
            topic: read.needed(TOPIC, text)?,
            partition: read.needed(PARTITION, |bytes| Some(i32::from_be_bytes(fixed(bytes)?)))?,
            offset: read.needed(OFFSET, |bytes| Some(i64::from_be_bytes(fixed(bytes)?)))?,
            timestamp: read.needed(TIMESTAMP, |bytes| Some(i64::from_be_bytes(fixed(bytes)?)))?,
            timestamp_type: read.text(TIMESTAMP_TYPE).unwrap_or_default(),
            group: read.text(GROUP),
            error: read.text(ERROR).unwrap_or_default(),
            message: read.text(MESSAGE).unwrap_or_default(),
            stack: read.text(STACK).unwrap_or_default(),
            class: read.text(CLASS),
            attempts: read.parsed(ATTEMPTS),
            redrives: read.parsed(REDRIVES).unwrap_or(0),
            first_failed_at: read.parsed(FIRST_FAILED_AT),
            last_failed_at: read.parsed(LAST_FAILED_AT),
            is_left_out: read.last(LEFT_OUT).is_some(),
            key: record.key.clone(),
            value: record.value.clone(),
            headers: headers
                .filter(|it| !is_of_dead_letters(&it.key))
                .cloned()
                .collect(),
        })
    }

    /// The record to be stored in a topic of dead letters. `before` are the headers that the
    /// failed record came with.
    pub(super) fn record(&self, topic: &str, partition: Option<i32>, before: &[Header]) -> Record {
        let mut record = Record::to(topic);
        record.partition = partition;
        if !self.is_left_out {
            record.key.clone_from(&self.key);
            record.value.clone_from(&self.value);
            let kept = before.iter().filter(|it| !is_replaced(&it.key));
            record.headers = kept.cloned().collect();
        }
        let record = self.with_origin(record);
        let record = record
            .header(ERROR, self.error.clone())
            .header(MESSAGE, capped(&self.message))
            .header(STACK, capped(&self.stack));
        self.with_own_words(record)
    }

    fn with_origin(&self, record: Record) -> Record {
        let record = record
            .header(TOPIC, self.topic.clone())
            .header(PARTITION, self.partition.to_be_bytes().to_vec())
            .header(OFFSET, self.offset.to_be_bytes().to_vec())
            .header(TIMESTAMP, self.timestamp.to_be_bytes().to_vec())
            .header(TIMESTAMP_TYPE, self.timestamp_type.clone());
        match &self.group {
            Some(group) => record.header(GROUP, group.clone()),
            None => record,
        }
    }

    /// What Spring's headers cannot say.
    fn with_own_words(&self, mut record: Record) -> Record {
        let time = |time: &Option<EventTime>| time.as_ref().map(ToString::to_string);
        let rows = [
            (CLASS, self.class.clone()),
            (ATTEMPTS, self.attempts.map(|count| count.to_string())),
            (REDRIVES, Some(self.redrives.to_string())),
            (CAUSE, Some(CAUSE_FAILED.to_owned())),
            (FIRST_FAILED_AT, time(&self.first_failed_at)),
            (LAST_FAILED_AT, time(&self.last_failed_at)),
            (LEFT_OUT, self.is_left_out.then(|| LEFT_OUT_WHAT.to_owned())),
        ];
        for (name, value) in rows {
            if let Some(value) = value {
                record = record.header(name, value);
            }
        }
        record
    }
}

/// How often a record was sent back to its topic, as its header says.
pub(super) fn redrives(record: &ConsumerRecord) -> u32 {
    Read(record).parsed(REDRIVES).unwrap_or(0)
}

/// The headers of a record, of which the last one of a name counts.
struct Read<'a>(&'a ConsumerRecord);

impl Read<'_> {
    fn last(&self, name: &str) -> Option<&Bytes> {
        let mut headers = self.0.headers.iter().rev();
        headers.find(|it| it.key == name)?.value.as_ref()
    }

    fn text(&self, name: &str) -> Option<String> {
        self.last(name).and_then(|bytes| text(bytes))
    }

    fn parsed<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    fn needed<T>(
        &self,
        name: &str,
        read: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, ClientError> {
        let value = self.last(name);
        value.and_then(|bytes| read(bytes)).ok_or_else(|| {
            let what = match value {
                Some(bytes) => format!("cannot be read: it has {} bytes", bytes.len()),
                None => "is missing".to_owned(),
            };
            ClientError::Undecodable {
                topic: self.0.topic.to_string(),
                partition: self.0.partition,
                offset: self.0.offset,
                format: "a dead letter",
                why: format!("its header {name} {what}"),
            }
        })
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    Some(std::str::from_utf8(bytes).ok()?.to_owned())
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// The beginning of a text, cut between two characters.
fn capped(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_MAX)].to_owned()
}

fn is_of_dead_letters(name: &str) -> bool {
    name.starts_with(SPRING) || name.starts_with(OWN)
}

/// Whether a header is of an earlier failure that a new one replaces: all but the origins.
fn is_replaced(name: &str) -> bool {
    is_of_dead_letters(name) && !name.starts_with(SPRING_ORIGIN)
}

/// The bytes that a text of an error may take.
const TEXT_MAX: usize = 4_096;

const SPRING: &str = "kafka_dlt-";
const SPRING_ORIGIN: &str = "kafka_dlt-original-";
const TOPIC: &str = "kafka_dlt-original-topic";
const PARTITION: &str = "kafka_dlt-original-partition";
const OFFSET: &str = "kafka_dlt-original-offset";
const TIMESTAMP: &str = "kafka_dlt-original-timestamp";
const TIMESTAMP_TYPE: &str = "kafka_dlt-original-timestamp-type";
const GROUP: &str = "kafka_dlt-original-consumer-group";
const ERROR: &str = "kafka_dlt-exception-fqcn";
const MESSAGE: &str = "kafka_dlt-exception-message";
const STACK: &str = "kafka_dlt-exception-stacktrace";

const OWN: &str = "hw-dlt-";
const CLASS: &str = "hw-dlt-class";
const ATTEMPTS: &str = "hw-dlt-attempts";
pub(super) const REDRIVES: &str = "hw-dlt-redrives";
const CAUSE: &str = "hw-dlt-cause";
const CAUSE_FAILED: &str = "failed";
const FIRST_FAILED_AT: &str = "hw-dlt-first-failed-at";
const LAST_FAILED_AT: &str = "hw-dlt-last-failed-at";
const LEFT_OUT: &str = "hw-dlt-left-out";
const LEFT_OUT_WHAT: &str = "key, value, headers";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn letter() -> DeadLetter {
        DeadLetter {
            topic: "order-events".to_owned(),
            partition: 7,
            offset: 0x0102_0304_0506,
            timestamp: 1_522_942_260_123,
            timestamp_type: "CreateTime".to_owned(),
            group: Some("payment-service".to_owned()),
            error: "shop::Declined".to_owned(),
            message: "the card was declined".to_owned(),
            stack: "shop::Declined: the card was declined".to_owned(),
            class: Some("retry".to_owned()),
            attempts: Some(4),
            redrives: 0,
            first_failed_at: Some(EventTime::from_ms(1_522_942_260_123)),
            last_failed_at: Some(EventTime::from_ms(1_522_942_263_123)),
            is_left_out: false,
            key: Some(Bytes::from_static(b"o-42")),
            value: Some(Bytes::from_static(b"{}")),
            headers: vec![header("eventId", b"e-1")],
        }
    }

    fn header(name: &str, value: &[u8]) -> Header {
        Header {
            key: name.to_owned(),
            value: Some(Bytes::copy_from_slice(value)),
        }
    }

    /// As a consumer gets it.
    fn stored(record: Record) -> ConsumerRecord {
        ConsumerRecord {
            topic: Arc::from(record.topic),
            partition: record.partition.unwrap_or(0),
            offset: 0,
            timestamp: 0,
            key: record.key,
            value: record.value,
            headers: record.headers,
        }
    }

    #[test]
    fn every_header_has_the_bytes_that_spring_writes() {
        let letter = letter();
        let record = letter.record("order-events-dlt", Some(7), &letter.headers);
        let golden: [(&str, &[u8]); 16] = [
            ("eventId", b"e-1"),
            ("kafka_dlt-original-topic", b"order-events"),
            ("kafka_dlt-original-partition", b"\x00\x00\x00\x07"),
            (
                "kafka_dlt-original-offset",
                b"\x00\x00\x01\x02\x03\x04\x05\x06",
            ),
            (
                "kafka_dlt-original-timestamp",
                b"\x00\x00\x01\x62\x96\x6e\xb3\x9b",
            ),
            ("kafka_dlt-original-timestamp-type", b"CreateTime"),
            ("kafka_dlt-original-consumer-group", b"payment-service"),
            ("kafka_dlt-exception-fqcn", b"shop::Declined"),
            ("kafka_dlt-exception-message", b"the card was declined"),
            (
                "kafka_dlt-exception-stacktrace",
                b"shop::Declined: the card was declined",
            ),
            ("hw-dlt-class", b"retry"),
            ("hw-dlt-attempts", b"4"),
            ("hw-dlt-redrives", b"0"),
            ("hw-dlt-cause", b"failed"),
            ("hw-dlt-first-failed-at", b"2018-04-05T15:31:00.123Z"),
            ("hw-dlt-last-failed-at", b"2018-04-05T15:31:03.123Z"),
        ];
        let golden: Vec<Header> = golden.map(|(name, value)| header(name, value)).into();
        assert_eq!(record.headers, golden);
        assert_eq!(
            (record.topic.as_str(), record.partition),
            ("order-events-dlt", Some(7))
        );
        assert_eq!((&record.key, &record.value), (&letter.key, &letter.value));
        assert_eq!(
            record.timestamp, None,
            "the dead letter is new; the origin's time is a header"
        );
        assert_eq!(DeadLetter::read(&stored(record)).unwrap(), letter);
    }

    #[test]
    fn a_record_that_fails_again_adds_an_origin_and_replaces_the_error() {
        let first = letter();
        let once = stored(first.record("t-dlt", Some(1), &first.headers));
        let second = DeadLetter {
            topic: "t-dlt".to_owned(),
            partition: 1,
            offset: 9,
            message: "again".to_owned(),
            redrives: 1,
            ..first.clone()
        };
        let twice = second.record("t-dlt-dlt", None, &once.headers);
        let values = |name: &str| -> Vec<_> {
            let headers = twice.headers.iter().filter(|it| it.key == name);
            headers.filter_map(|it| it.value.clone()).collect()
        };
        assert_eq!(values(TOPIC), ["order-events", "t-dlt"], "oldest first");
        assert_eq!(values(MESSAGE), ["again"]);
        assert_eq!(values(REDRIVES), ["1"]);
        assert_eq!(DeadLetter::read(&stored(twice)).unwrap(), second);
    }

    #[test]
    fn texts_are_capped_between_two_characters() {
        let long = DeadLetter {
            message: format!("a{}", "\u{e9}".repeat(5_000)),
            ..letter()
        };
        let read = DeadLetter::read(&stored(long.record("d", None, &[]))).unwrap();
        assert_eq!(read.message.len(), 4_095);
        assert!(long.message.starts_with(&read.message));
    }

    #[test]
    fn what_is_too_large_is_a_reference_to_its_origin() {
        let large = DeadLetter {
            is_left_out: true,
            ..letter()
        };
        let record = large.record("d", Some(7), &large.headers);
        assert_eq!((&record.key, &record.value), (&None, &None));
        let read = DeadLetter::read(&stored(record)).unwrap();
        assert_eq!(
            (read.offset, read.is_left_out, read.headers.len()),
            (large.offset, true, 0)
        );
    }

    #[test]
    fn what_is_no_dead_letter_says_what_it_lacks() {
        let letter = letter();
        let whole = stored(letter.record("d", Some(7), &[]));
        for (name, value, why) in [
            (
                TOPIC,
                None,
                "its header kafka_dlt-original-topic is missing",
            ),
            (
                OFFSET,
                Some("12"),
                "its header kafka_dlt-original-offset cannot be read: it has 2 bytes",
            ),
        ] {
            let mut record = whole.clone();
            record.headers.retain(|it| it.key != name);
            record
                .headers
                .extend(value.map(|value| header(name, value.as_bytes())));
            let error = DeadLetter::read(&record).unwrap_err().to_string();
            let sentence = format!("the value of d-7@0 cannot be read as a dead letter: {why}");
            assert_eq!(error, sentence);
        }
    }

    proptest! {
        #[test]
        fn reading_is_total(
            headers in proptest::collection::vec((0..12_usize, any::<Vec<u8>>()), 0..20),
        ) {
            let names = [
                TOPIC, PARTITION, OFFSET, TIMESTAMP, GROUP, ERROR, STACK, CLASS, ATTEMPTS,
                REDRIVES, FIRST_FAILED_AT, "other",
            ];
            let headers = headers.into_iter().map(|(at, value)| header(names[at], &value));
            let record = headers.fold(Record::to("d"), |mut record, header| {
                record.headers.push(header);
                record
            });
            let _ = DeadLetter::read(&stored(record));
        }

        #[test]
        fn what_is_written_is_read(
            place: (i32, i64, i64), texts: [String; 4], counts: (Option<u32>, u32), left_out: bool,
        ) {
            let [topic, error, message, stack] = texts;
            let written = DeadLetter {
                topic, error, message, stack,
                partition: place.0, offset: place.1, timestamp: place.2,
                attempts: counts.0, redrives: counts.1, is_left_out: left_out,
                ..letter()
            };
            let read = DeadLetter::read(&stored(written.record("d", None, &written.headers)));
            let read = read.unwrap();
            let expected = match left_out {
                true => DeadLetter { key: None, value: None, headers: Vec::new(), ..written },
                false => written,
            };
            prop_assert_eq!(read, expected);
        }
    }
}
