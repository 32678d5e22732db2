//! A record that is not finished, and how it failed.
//!
//! Floor 6 of client. Pure: time comes as an argument.

use std::sync::Arc;

use bytes::Bytes;
use highwater_proto::clock::Wall;

use crate::envelope::EventTime;
use crate::failure::{FailureClass, HandlerError};
use crate::record::{ConsumerRecord, Header};
use crate::retry::letter::{self, DeadLetter};

pub(super) struct Held {
    pub(super) record: Arc<ConsumerRecord>,
    failure: Option<Failure>,
}

/// The newest failure.
struct Failure {
    class: FailureClass,
    kind: &'static str,
    message: String,
    chain: String,
    first_at: Wall,
    last_at: Wall,
}

impl Held {
    pub(super) fn new(record: ConsumerRecord) -> Self {
        Self {
            record: Arc::new(record),
            failure: None,
        }
    }

    /// Takes note of a failure. From the first one on the record stays for long: it becomes a copy
    /// of its own.
    pub(super) fn fail(&mut self, error: &HandlerError, now: Wall) {
        let first_at = match &self.failure {
            Some(failure) => failure.first_at,
            None => {
                self.record = Arc::new(copied(&self.record));
                now
            }
        };
        self.failure = Some(Failure {
            class: error.class(),
            kind: error.kind(),
            message: error.to_string(),
            chain: error.chain(),
            first_at,
            last_at: now,
        });
    }

    /// What the newest failure says.
    pub(super) fn error(&self) -> String {
        let failure = self.failure.as_ref();
        failure.map_or_else(String::new, |failure| failure.message.clone())
    }

    /// The dead letter that it becomes; who has set its timestamp is for others to say.
    pub(super) fn letter(&self, group: &str, attempts: u32) -> DeadLetter {
        let record = &*self.record;
        let failure = self.failure.as_ref();
        let said = |text: fn(&Failure) -> &str| failure.map_or("", text).to_owned();
        let time = |at: fn(&Failure) -> Wall| failure.map(|it| EventTime::from_ms(at(it).0));
        DeadLetter {
            topic: record.topic.to_string(),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            timestamp_type: String::new(),
            group: Some(group.to_owned()),
            error: said(|it| it.kind),
            message: said(|it| &it.message),
            stack: said(|it| &it.chain),
            class: failure.map(|it| it.class.word().to_owned()),
            attempts: Some(attempts),
            redrives: letter::redrives(record),
            first_failed_at: time(|it| it.first_at),
            last_failed_at: time(|it| it.last_at),
            is_left_out: false,
            key: record.key.clone(),
            value: record.value.clone(),
            headers: record.headers.clone(),
        }
    }
}

/// Bytes that a record takes, about.
pub(super) fn size_of(record: &ConsumerRecord) -> usize {
    let size = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    let headers = record.headers.iter();
    let headers: usize = headers
        .map(|it| it.key.len() + size(&it.value) + HEADER_BYTES)
        .sum();
    size(&record.key) + size(&record.value) + headers + RECORD_BYTES
}

/// A record that is no slice of the answer that it came in.
fn copied(record: &ConsumerRecord) -> ConsumerRecord {
    let copy = |bytes: &Option<Bytes>| bytes.as_deref().map(Bytes::copy_from_slice);
    let header = |header: &Header| Header {
        key: header.key.clone(),
        value: copy(&header.value),
    };
    ConsumerRecord {
        topic: Arc::clone(&record.topic),
        key: copy(&record.key),
        value: copy(&record.value),
        headers: record.headers.iter().map(header).collect(),
        ..*record
    }
}

/// What a record takes beside its bytes, here and in the machine, about.
const RECORD_BYTES: usize = 300;

/// The same of a header.
const HEADER_BYTES: usize = 64;
