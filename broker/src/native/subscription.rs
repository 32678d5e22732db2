//! A subscription: the batches of one partition as they come, as long as there is credit.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - Nothing is read while the credit is used up: what a client does not take costs nothing.
//! - The batches come in order, without a gap but for what is gone from the log.

use std::task::{Context, Poll};
use std::time::Duration;

use highwater_log::types::Offset;
use highwater_proto::exchange::BoxFuture;
use highwater_proto::native::v1::response::Answer;
use highwater_proto::native::v1::{self, subscribe};

use super::calls::{Reply, fetch_one, partition_of};
use super::errors::failure;
use crate::error::{FetchError, OffsetsError};
use crate::service::Service;
use crate::service::fetch::{Fetched, Isolation};
use crate::service::offsets::{ListOffsetsPartition, OffsetAt};

/// One subscription of a connection.
pub(super) struct Subscription<'a> {
    service: &'a Service,
    /// The correlation of its request.
    pub(super) name: u64,
    topic: String,
    partition: i32,
    next: Start,
    /// Below 0 it is a debt.
    credit_bytes: i64,
    reading: Option<BoxFuture<'a, Result<Fetched, v1::Failure>>>,
}

/// Where the next batches are.
#[derive(Clone, Copy)]
enum Start {
    At(Offset),
    Earliest,
    Latest,
}

/// What comes of a subscription.
pub(super) enum Pushed {
    /// Batches; more may follow.
    Delivered(Reply),
    /// The last thing that comes of it.
    Ended(Reply),
}

impl<'a> Subscription<'a> {
    pub(super) fn new(service: &'a Service, name: u64, call: v1::Subscribe) -> Self {
        let next = match call.start {
            Some(subscribe::Start::Offset(offset)) => Start::At(Offset(offset)),
            Some(subscribe::Start::Latest(true)) => Start::Latest,
            Some(subscribe::Start::Earliest(_) | subscribe::Start::Latest(false)) | None => {
                Start::Earliest
            }
        };
        let mut subscription = Self {
            service,
            name,
            topic: call.topic,
            partition: call.partition,
            next,
            credit_bytes: i64::from(call.credit_bytes),
            reading: None,
        };
        // Where the end is now is where it begins, however late there is credit.
        if matches!(next, Start::Latest) {
            subscription.read();
        }
        subscription
    }

    pub(super) fn give(&mut self, bytes: u32) {
        self.credit_bytes = self.credit_bytes.saturating_add(i64::from(bytes));
    }

    /// What comes of it next.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Pushed> {
        loop {
            if self.reading.is_none() && self.credit_bytes > 0 {
                self.read();
            }
            let Some(reading) = &mut self.reading else {
                return Poll::Pending;
            };
            let Poll::Ready(read) = reading.as_mut().poll(context) else {
                return Poll::Pending;
            };
            self.reading = None;
            match read {
                Ok(fetched) => {
                    self.next = Start::At(fetched.next_offset);
                    if !fetched.records.is_empty() {
                        return Poll::Ready(Pushed::Delivered(self.delivered(fetched)));
                    }
                }
                Err(failure) => return Poll::Ready(Pushed::Ended(ended(Some(failure)))),
            }
        }
    }

    fn delivered(&mut self, fetched: Fetched) -> Reply {
        let reply = Reply {
            answer: Answer::Delivered(v1::Delivered {
                next_offset: fetched.next_offset.0,
                high_watermark: fetched.high_watermark.0,
            }),
            body: fetched.records,
        };
        let bytes = i64::try_from(reply.bytes()).unwrap_or(i64::MAX);
        self.credit_bytes = self.credit_bytes.saturating_sub(bytes);
        reply
    }

    fn read(&mut self) {
        let credit = u32::try_from(self.credit_bytes.max(0)).unwrap_or(u32::MAX);
        let (service, topic) = (self.service, self.topic.clone());
        let (partition, start) = (self.partition, self.next);
        let bytes_max = credit.min(DELIVERY_BYTES_MAX);
        self.reading = Some(match start {
            Start::At(offset) => Box::pin(async move {
                let read = batches(service, topic, partition, offset, bytes_max).await;
                read.map_err(|error| failure(&error))
            }),
            Start::Earliest => Box::pin(end_of(service, topic, partition, OffsetAt::Earliest)),
            Start::Latest => Box::pin(end_of(service, topic, partition, OffsetAt::Latest)),
        });
    }
}

/// The last thing that a subscription says.
pub(super) fn ended(failure: Option<v1::Failure>) -> Reply {
    Answer::Ended(v1::Ended { failure }).into()
}

/// Waits for batches; without any only when the broker comes to its end.
async fn batches(
    service: &Service,
    topic: String,
    partition: i32,
    offset: Offset,
    bytes_max: u32,
) -> Result<Fetched, FetchError> {
    let mut closing = service.closing();
    loop {
        let since = service.clock().now().mono;
        let asked = partition_of(topic.clone(), partition, offset.0, bytes_max);
        let fetched = fetch_one(service, asked, WAIT_MS).await?;
        if !fetched.records.is_empty() || fetched.next_offset > offset {
            return Ok(fetched);
        }
        let now = service.clock().now().mono;
        if now.since(since) < Duration::from_millis(PAUSE_MS) {
            // Nobody is parked any more: as many wait as may, or it is the end.
            tokio::select! {
                () = service.clock().sleep_until(now.plus(Duration::from_millis(PAUSE_MS))) => {}
                () = closing.begun() => std::future::pending().await,
            }
        }
    }
}

/// Nothing is read, but where reading begins.
async fn end_of(
    service: &Service,
    topic: String,
    partition: i32,
    at: OffsetAt,
) -> Result<Fetched, v1::Failure> {
    let asked = ListOffsetsPartition {
        topic,
        partition,
        current_leader_epoch: -1,
        at,
    };
    let listed = service.list_offsets(Isolation::ReadCommitted, vec![asked]);
    let listed = listed.await.pop();
    let unknown = Err(OffsetsError::UnknownTopicOrPartition);
    match listed.map_or(unknown, |listed| listed.result) {
        Ok(listed) => Ok(Fetched {
            high_watermark: listed.offset,
            last_stable_offset: listed.offset,
            log_start_offset: listed.offset,
            diverging: None,
            next_offset: listed.offset,
            records: Vec::new(),
        }),
        Err(error) => Err(failure(&error)),
    }
}

/// Of one delivery, so that subscriptions take turns.
const DELIVERY_BYTES_MAX: u32 = 1 << 20;
/// A wait ends by itself after so long, and is begun anew.
const WAIT_MS: i32 = 60_000;
/// Between two looks where nobody can be parked.
const PAUSE_MS: u64 = 20;
