//! A partition whose records the broker sends by itself, by the native protocol.
//!
//! Floor 5 of client.
//!
//! Invariants
//! - Each record from the first offset on is given once and in order, also over sessions that end:
//!   the next one begins behind what came of the one before.
//! - No more bytes wait here than the window and one delivery: only what was given is given credit
//!   for again, so that who reads slowly holds the broker back.
//! - A session that ends is no error; what the broker refuses for good is, and stays one.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use highwater_proto::batch::Batches;
use highwater_proto::clock::Sleep;
use highwater_proto::code::ErrorCode;
use highwater_proto::exchange::{BoxFuture, ExchangeError};
use highwater_proto::native::v1::response::Answer;
use highwater_proto::native::v1::{self, subscribe};
use highwater_proto::native::{NativeExchange, Subscribed};

use super::assigned::consumer_record;
use super::buffer::Buffer;
use crate::backoff::Backoff;
use crate::cluster::Cluster;
use crate::config::ConsumerConfig;
use crate::error::ClientError;
use crate::native::refused;
use crate::record::ConsumerRecord;

/// One partition, read as it grows.
pub(crate) struct Pushed {
    native: Arc<dyn NativeExchange>,
    cluster: Arc<Cluster>,
    config: ConsumerConfig,
    topic: Arc<str>,
    partition: i32,
    /// The offset of the next record that is given.
    position: i64,
    /// The offset behind what is buffered.
    fetch_offset: i64,
    buffer: Option<Buffer>,
    /// Of the buffer, and of those before it for which no credit was given back.
    owed_bytes: u32,
    state: State,
    backoff: Backoff,
}

enum State {
    Idle,
    Opening(BoxFuture<'static, Result<Box<dyn Subscribed>, ExchangeError>>),
    Open(Box<dyn Subscribed>),
    /// After an end that may pass.
    Later(Sleep),
    Stopped(ClientError),
}

impl Pushed {
    /// `max.partition.fetch.bytes` is the window.
    pub(crate) fn new(
        native: &Arc<dyn NativeExchange>,
        cluster: &Arc<Cluster>,
        config: ConsumerConfig,
        (topic, partition): (&Arc<str>, i32),
        offset: i64,
    ) -> Self {
        let limits = cluster.limits();
        Self {
            native: Arc::clone(native),
            cluster: Arc::clone(cluster),
            config,
            topic: Arc::clone(topic),
            partition,
            position: offset,
            fetch_offset: offset,
            buffer: None,
            owed_bytes: 0,
            state: State::Idle,
            backoff: Backoff::new(limits.retry, limits.retry_max),
        }
    }

    /// The offset of the next record that is given; behind all that is passed over.
    pub(crate) const fn position(&self) -> i64 {
        self.position
    }

    /// The next record. An error is the last thing that comes of it.
    pub(crate) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<ConsumerRecord, ClientError>> {
        loop {
            if let Some(record) = self.buffered() {
                return Poll::Ready(record);
            }
            match &mut self.state {
                State::Idle => self.open(),
                State::Opening(opening) => match opening.as_mut().poll(context) {
                    Poll::Ready(Ok(subscribed)) => self.state = State::Open(subscribed),
                    Poll::Ready(Err(error)) => self.lost(&error.into()),
                    Poll::Pending => return Poll::Pending,
                },
                State::Open(subscribed) => match subscribed.poll_next(context) {
                    Poll::Ready(Ok((answer, body))) => self.take(answer, body),
                    Poll::Ready(Err(error)) => self.lost(&error.into()),
                    Poll::Pending => return Poll::Pending,
                },
                State::Later(sleep) => match sleep.as_mut().poll(context) {
                    Poll::Ready(()) => self.state = State::Idle,
                    Poll::Pending => return Poll::Pending,
                },
                State::Stopped(error) => return Poll::Ready(Err(error.clone())),
            }
        }
    }

    /// The next record of what has come.
    fn buffered(&mut self) -> Option<Result<ConsumerRecord, ClientError>> {
        let next = self.buffer.as_mut()?.next(&mut self.position, &self.config);
        match next {
            Ok(Some(record)) => Some(Ok(consumer_record(&self.topic, self.partition, record))),
            Ok(None) => {
                self.buffer = None;
                self.position = self.position.max(self.fetch_offset);
                self.give_back();
                None
            }
            Err(error) => {
                self.corrupt(&error.to_string());
                None
            }
        }
    }

    fn open(&mut self) {
        self.owed_bytes = 0;
        self.state = State::Opening(self.native.subscribe(v1::Subscribe {
            topic: self.topic.to_string(),
            partition: self.partition,
            start: Some(subscribe::Start::Offset(self.fetch_offset)),
            credit_bytes: self.window_bytes(),
        }));
    }

    fn take(&mut self, answer: Answer, body: Bytes) {
        let failure = match answer {
            Answer::Delivered(delivered) => {
                self.backoff.reset();
                let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
                self.owed_bytes = self.owed_bytes.saturating_add(bytes);
                if Batches::new(&body).any(|batch| batch.is_err()) {
                    // What is cut off would be passed over.
                    self.corrupt("the broker has sent a part of a batch");
                    return;
                }
                self.fetch_offset = self.fetch_offset.max(delivered.next_offset);
                self.buffer = Some(Buffer::new(body));
                return;
            }
            Answer::Failure(failure) => Some(failure),
            Answer::Ended(ended) => ended.failure,
            _ => None,
        };
        let ended = || ClientError::Unknown("the broker has ended the subscription".to_owned());
        self.lost(&failure.map_or_else(ended, refused));
    }

    /// Nothing more comes of this session: goes on with the next one, or stops.
    fn lost(&mut self, error: &ClientError) {
        let (topic, clock) = (&self.topic, self.cluster.clock());
        // What is damaged is the same when it is read again, whatever a producer is told.
        let is_damage = error.code() == Some(ErrorCode::CorruptMessage);
        if !error.is_passing() || is_damage {
            self.state = State::Stopped(error.clone());
            return;
        }
        tracing::debug!(%error, %topic, self.partition, "a subscription has ended, and begins anew");
        let at = self.backoff.next_try(clock.now().mono);
        self.state = State::Later(clock.sleep_until(at));
    }

    fn corrupt(&mut self, why: &str) {
        self.buffer = None;
        self.state = State::Stopped(ClientError::Corrupt {
            topic: self.topic.to_string(),
            partition: self.partition,
            offset: self.position,
            why: why.to_owned(),
        });
    }

    /// Gives credit for what was worked off, half a window at a time.
    fn give_back(&mut self) {
        if self.owed_bytes < (self.window_bytes() / 2).max(1) {
            return;
        }
        if let State::Open(subscribed) = &mut self.state {
            subscribed.give(std::mem::take(&mut self.owed_bytes));
        }
    }

    fn window_bytes(&self) -> u32 {
        u32::try_from(self.config.max_partition_fetch_bytes).unwrap_or(1)
    }
}

impl fmt::Debug for Pushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pushed")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
