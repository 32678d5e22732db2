//! One assigned partition: where it stands, what was fetched of it, what is wrong with it.
//!
//! Floor 5 of client. Pure: time comes as an argument.
//!
//! Invariants
//! - `position` is the offset of the next record that `poll` gives; it moves with the records only.
//!   While it is not known, or looked up, there is nothing to commit.
//! - `fetch_offset` is ahead of it by what is buffered.
//! - An answer to a question of an older generation is not taken.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use highwater_proto::clock::Mono;
use highwater_proto::code::ErrorCode;
use highwater_proto::record::Record;

use super::buffer::Buffer;
use crate::backoff::Backoff;
use crate::config::{ConsumerConfig, OffsetReset};
use crate::error::ClientError;
use crate::record::{ConsumerRecord, Header};

/// A partition, and which of its assignments is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) generation: u64,
}

#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) asked: Asked,
    position: i64,
    pub(super) fetch_offset: i64,
    /// The leader epoch of the record before the position, if it was read here.
    leader_epoch: Option<i32>,
    /// What its group has committed, as far as it is known here.
    committed: Option<i64>,
    /// The offset behind the last record that may be read, as the leader said with the last fetch.
    end: Option<i64>,
    /// The user wants nothing of it now.
    pub(super) is_paused: bool,
    buffer: Option<Buffer>,
    state: State,
    backoff: Option<Backoff>,
}

#[derive(Debug)]
enum State {
    /// What the group has committed is being asked for.
    Waiting,
    Fetching,
    /// After an error that may pass.
    Later(Mono),
    /// The position is outside the log: a new one is looked up, from a moment on.
    Lost(OffsetReset, Mono),
    /// A task looks up the new position.
    Asking(OffsetReset),
    /// After an error that will not pass; it is told once.
    Stopped(Option<ClientError>),
}

impl Assigned {
    /// A partition that starts at an offset; without one it waits for what its group says.
    pub(super) const fn new(asked: Asked, offset: Option<i64>) -> Self {
        let (position, state) = match offset {
            Some(offset) => (offset, State::Fetching),
            None => (-1, State::Waiting),
        };
        Self {
            asked,
            position,
            fetch_offset: position,
            leader_epoch: None,
            committed: None,
            end: None,
            is_paused: false,
            buffer: None,
            state,
            backoff: None,
        }
    }

    /// Which partition it is.
    pub(super) fn place(&self) -> (Arc<str>, i32) {
        (Arc::clone(&self.asked.topic), self.asked.partition)
    }

    /// The offset of the next record that is given, if it is known.
    pub(super) const fn position(&self) -> Option<i64> {
        match self.state {
            State::Waiting | State::Lost(..) | State::Asking(_) => None,
            State::Fetching | State::Later(_) | State::Stopped(_) if self.position < 0 => None,
            State::Fetching | State::Later(_) | State::Stopped(_) => Some(self.position),
        }
    }

    /// What there is to commit: the position, if the group does not have it already.
    pub(super) fn uncommitted(&self) -> Option<i64> {
        self.position()
            .filter(|_| self.committed != Some(self.position))
    }

    /// The leader epoch of the record before the position, as a commit tells it.
    pub(super) const fn leader_epoch(&self) -> Option<i32> {
        self.leader_epoch
    }

    /// The group has committed this.
    pub(super) const fn set_committed(&mut self, offset: i64) {
        self.committed = Some(offset);
    }

    /// The group's words for a partition that waits for them: an offset, or that it has none.
    pub(super) fn resume(&mut self, committed: Option<i64>, reset: OffsetReset) {
        match committed {
            Some(offset) => {
                self.committed = Some(offset);
                self.found(offset);
            }
            None => {
                let error = ClientError::NoOffset {
                    topic: self.asked.topic.to_string(),
                    partition: self.asked.partition,
                };
                self.out_of_range(reset, error);
            }
        }
    }

    /// Stops with an error, which is told once.
    pub(super) fn stop(&mut self, error: ClientError) {
        self.state = State::Stopped(Some(error));
    }

    /// How many offsets there are between the position and the end of the log, as far as it is
    /// known.
    pub(super) fn lag(&self) -> Option<i64> {
        let position = self.position()?;
        self.end.map(|end| end.saturating_sub(position).max(0))
    }

    pub(super) const fn has_records(&self) -> bool {
        self.buffer.is_some() && !self.is_paused
    }

    /// Whether it can be fetched now; if not, when, if time is what it needs.
    pub(super) fn is_due(&self, now: Mono) -> Result<(), Option<Mono>> {
        match self.state {
            State::Fetching | State::Later(_) if self.is_paused => Err(None),
            State::Fetching => Ok(()),
            State::Later(at) if at <= now => Ok(()),
            State::Later(at) | State::Lost(_, at) => Err(Some(at)),
            State::Waiting | State::Asking(_) | State::Stopped(_) => Err(None),
        }
    }

    /// Which end of the log must be looked up now; told once.
    pub(super) fn lost(&mut self, now: Mono) -> Option<OffsetReset> {
        match self.state {
            State::Lost(reset, at) if at <= now => {
                self.state = State::Asking(reset);
                Some(reset)
            }
            _ => None,
        }
    }

    /// Takes what was fetched, and where the log ends.
    pub(super) fn fill(&mut self, bytes: Bytes, end: i64) {
        self.state = State::Fetching;
        self.backoff = None;
        self.end = Some(end);
        if let Some(full) = &self.buffer {
            // It was paused while this was on its way, with records that were not handed out: what
            // comes behind them is fetched again.
            self.fetch_offset = full.next_offset().unwrap_or(self.position);
            return;
        }
        if bytes.is_empty() {
            return;
        }
        let buffer = Buffer::new(bytes);
        if let Some(next) = buffer.next_offset() {
            self.fetch_offset = self.fetch_offset.max(next);
        }
        self.buffer = Some(buffer);
    }

    /// Takes note that the position is outside the log.
    pub(super) fn out_of_range(&mut self, reset: OffsetReset, error: ClientError) {
        self.state = match reset {
            OffsetReset::None => State::Stopped(Some(error)),
            reset => State::Lost(reset, Mono(0)),
        };
    }

    /// Goes on at a new position.
    pub(super) fn found(&mut self, offset: i64) {
        (self.position, self.fetch_offset) = (offset, offset);
        self.leader_epoch = None;
        (self.state, self.backoff) = (State::Fetching, None);
    }

    /// Takes note of an error: tries again later, or stops.
    pub(super) fn fail(&mut self, error: ClientError, now: Mono, config: &ConsumerConfig) {
        if error.code() == Some(ErrorCode::CorruptMessage) {
            // A producer may send such a batch again; who reads it gets the same one again.
            self.stop(ClientError::Corrupt {
                topic: self.asked.topic.to_string(),
                partition: self.asked.partition,
                offset: self.fetch_offset,
                why: error.to_string(),
            });
            return;
        }
        if !error.is_retriable() {
            self.stop(error);
            return;
        }
        tracing::warn!(%error, topic = %self.asked.topic, self.asked.partition, "a fetch failed");
        let first = Duration::from_millis(config.retry_backoff_ms);
        let longest = Duration::from_millis(config.retry_backoff_max_ms);
        let backoff = self
            .backoff
            .get_or_insert_with(|| Backoff::new(first, longest));
        let at = backoff.next_try(now);
        self.state = match self.state {
            State::Asking(reset) => State::Lost(reset, at),
            _ => State::Later(at),
        };
    }

    /// The error that stopped it, told once.
    pub(super) const fn error(&mut self) -> Option<ClientError> {
        match &mut self.state {
            State::Stopped(error) => error.take(),
            _ => None,
        }
    }

    /// Moves up to `count` records out of the buffer.
    pub(super) fn take(
        &mut self,
        count: usize,
        records: &mut Vec<ConsumerRecord>,
        config: &ConsumerConfig,
    ) {
        for _ in 0..count {
            let Some(buffer) = &mut self.buffer else {
                return;
            };
            match buffer.next(&mut self.position, config) {
                Ok(Some(record)) => {
                    self.leader_epoch = buffer.leader_epoch();
                    let Asked {
                        topic, partition, ..
                    } = &self.asked;
                    records.push(consumer_record(topic, *partition, record));
                }
                Ok(None) => self.buffer = None,
                Err(error) => {
                    self.buffer = None;
                    self.state = State::Stopped(Some(ClientError::Corrupt {
                        topic: self.asked.topic.to_string(),
                        partition: self.asked.partition,
                        offset: self.position,
                        why: error.to_string(),
                    }));
                }
            }
        }
    }
}

/// A record as it is given to who reads.
pub(super) fn consumer_record(topic: &Arc<str>, partition: i32, record: Record) -> ConsumerRecord {
    let header = |header: highwater_proto::record::Header| Header {
        key: header.name().into_owned(),
        value: header.value,
    };
    ConsumerRecord {
        topic: Arc::clone(topic),
        partition,
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key,
        value: record.value,
        headers: record.headers.iter().map(header).collect(),
    }
}
