//! Requests as calls of the service, and what it says as answers.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - When `begin` returns, the batch of a Produce or an Append stands in its log's queue; what
//!   reads is done when it is polled for the first time, or waits.
//! - An expectation has no default: one that says nothing is refused.

use bytes::Bytes;
use highwater_log::keys::{Expect, Head};
use highwater_log::types::Offset;
use highwater_proto::clock::Mono;
use highwater_proto::code::ErrorCode;
use highwater_proto::exchange::BoxFuture;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;
use highwater_proto::native::v1::{self, expect, read_stream};

use super::errors::{failed, failure, invalid};
use crate::error::{FetchError, ProduceError};
use crate::ids::TopicRef;
use crate::metrics::NativeCall;
use crate::service::Service;
use crate::service::events::{
    AppendCall, AppendError, AppendedEvents, AsOf, NewEvent, ReadStreamCall, StreamCheck,
    StreamEvent, StreamEvents,
};
use crate::service::fetch::{FetchCall, FetchPartition, Fetched, Isolation};
use crate::service::produce::{Acks, ProduceCall, ProduceTopic, ZstdAllowed};

/// An answer, and the batches beside it.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) answer: Answer,
    pub(super) body: Vec<Bytes>,
}

impl Reply {
    pub(super) fn bytes(&self) -> usize {
        self.body.iter().map(Bytes::len).sum()
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self {
            answer,
            body: Vec::new(),
        }
    }
}

impl From<v1::Failure> for Reply {
    fn from(failure: v1::Failure) -> Self {
        Answer::Failure(failure).into()
    }
}

/// A request that is under way.
pub(super) struct Begun<'a> {
    /// Whether nothing is lost when nobody waits for the answer any more.
    pub(super) is_read: bool,
    pub(super) reply: BoxFuture<'a, Reply>,
}

/// What is counted of a request that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Nothing if it is not known here, or is no request of its own.
    call: Option<NativeCall>,
    at: Mono,
}

impl Asked {
    /// A request that came at this time.
    pub(super) fn new(call: Option<&Call>, at: Mono) -> Self {
        let counted = |call: &Call| match call {
            Call::Produce(_) => Some(NativeCall::Produce),
            Call::Fetch(_) => Some(NativeCall::Fetch),
            Call::Append(_) => Some(NativeCall::Append),
            Call::ReadStream(_) => Some(NativeCall::ReadStream),
            Call::Subscribe(_) => Some(NativeCall::Subscribe),
            Call::Hello(_) | Call::Credit(_) | Call::Unsubscribe(_) => None,
        };
        Self {
            call: call.and_then(counted),
            at,
        }
    }

    /// Counts it with its answer.
    pub(super) fn count(self, service: &Service, now: Mono, answer: &Answer) {
        let Some(call) = self.call else {
            return;
        };
        let requests = &service.metrics().native_requests;
        requests.observe(call, now.since(self.at));
        if let Answer::Failure(failure) = answer {
            requests.failed(call, code_of(failure));
        }
    }
}

/// The code of a failure of ours.
pub(super) fn code_of(failure: &v1::Failure) -> i16 {
    i16::try_from(failure.code).unwrap_or(-1)
}

/// Answers a request that only reads.
pub(super) async fn read(service: &Service, call: Call, asked: Asked) -> Answer {
    let answer = match begin(service, call, Bytes::new()).await {
        Ok(begun) => begun.reply.await.answer,
        Err(refused) => refused.answer,
    };
    asked.count(service, service.clock().now().mono, &answer);
    answer
}

/// Begins a request that is answered once.
pub(super) async fn begin(service: &Service, call: Call, body: Bytes) -> Result<Begun<'_>, Reply> {
    if !body.is_empty() && !matches!(call, Call::Produce(_)) {
        return Err(invalid("only a Produce has batches behind its head").into());
    }
    let (is_read, reply): (bool, BoxFuture<'_, Reply>) = match call {
        Call::Produce(call) => (false, Box::pin(produce(service, call, body).await?)),
        Call::Fetch(call) => (true, Box::pin(fetch(service, call))),
        Call::Append(call) => {
            let begun = service.begin_append_events(append_call(call)?).await;
            let begun = begun.map_err(|error| Reply::from(append_refused(error)))?;
            (false, Box::pin(append(begun)))
        }
        Call::ReadStream(call) => {
            let call = read_stream_call(call, service.config().fetch_max_bytes)?;
            (true, Box::pin(read_stream(service, call)))
        }
        Call::Hello(_) => return Err(invalid("Hello is the first request only").into()),
        Call::Subscribe(_) | Call::Credit(_) | Call::Unsubscribe(_) => {
            return Err(invalid("subscriptions need a connection").into());
        }
    };
    Ok(Begun { is_read, reply })
}

async fn produce(
    service: &Service,
    call: v1::Produce,
    body: Bytes,
) -> Result<impl Future<Output = Reply> + Send + use<>, Reply> {
    let acks = match v1::Acks::try_from(call.acks) {
        Ok(v1::Acks::All) => Acks::All,
        Ok(v1::Acks::Leader) => Acks::Leader,
        Err(_) => {
            let why = format!("there are no acks {}", call.acks);
            return Err(failed(ErrorCode::InvalidRequiredAcks, why).into());
        }
    };
    let ticket = service.produce(ProduceCall {
        acks,
        transactional_id: None,
        zstd: ZstdAllowed::Yes,
        topics: vec![ProduceTopic {
            topic: call.topic,
            partitions: vec![(call.partition, Some(body))],
        }],
    });
    let ticket = ticket.await;
    Ok(async move {
        let produced = ticket.await.pop();
        let unknown = Err(ProduceError::UnknownTopicOrPartition);
        match produced.map_or(unknown, |produced| produced.result) {
            Ok(produced) => Answer::Produced(v1::Produced {
                base_offset: produced.base_offset.0,
                log_append_time_ms: produced.log_append_time_ms,
                log_start_offset: produced.log_start_offset.0,
            })
            .into(),
            Err(error) => failure(&error).into(),
        }
    })
}

async fn fetch(service: &Service, call: v1::Fetch) -> Reply {
    let wait_ms = i32::try_from(call.wait_ms_max).unwrap_or(i32::MAX);
    let asked = partition_of(call.topic, call.partition, call.offset, call.bytes_max);
    match fetch_one(service, asked, wait_ms).await {
        Ok(fetched) => Reply {
            answer: Answer::Fetched(v1::Fetched {
                next_offset: fetched.next_offset.0,
                high_watermark: fetched.high_watermark.0,
                log_start_offset: fetched.log_start_offset.0,
            }),
            body: fetched.records,
        },
        Err(error) => failure(&error).into(),
    }
}

/// A partition to be read from an offset on.
pub(super) fn partition_of(
    topic: String,
    partition: i32,
    offset: i64,
    bytes_max: u32,
) -> FetchPartition {
    FetchPartition {
        topic: TopicRef::Name(topic),
        partition,
        current_leader_epoch: NONE,
        last_fetched_epoch: NONE,
        fetch_offset: Offset(offset),
        max_bytes: i32::try_from(bytes_max).unwrap_or(i32::MAX),
    }
}

/// Reads one partition; waits so long if there is nothing to read.
pub(super) async fn fetch_one(
    service: &Service,
    asked: FetchPartition,
    wait_ms: i32,
) -> Result<Fetched, FetchError> {
    let call = FetchCall {
        max_wait_ms: wait_ms,
        min_bytes: 1,
        max_bytes: asked.max_bytes,
        isolation: Isolation::ReadCommitted,
        partitions: vec![asked],
    };
    let fetched = service.fetch(call).await.pop();
    fetched.map_or(Err(FetchError::UnknownTopicOrPartition), |one| one.result)
}

async fn append(begun: impl Future<Output = Result<AppendedEvents, AppendError>>) -> Reply {
    let answer = match begun.await {
        Ok(appended) => Answer::Appended(v1_appended(appended)),
        Err(error) => append_refused(error),
    };
    answer.into()
}

fn append_refused(error: AppendError) -> Answer {
    match error {
        AppendError::Conflict {
            key,
            expected,
            actual,
        } => Answer::Conflict(v1::Conflict {
            key,
            expected: Some(v1_expect(expected)),
            actual: actual.map(v1_head),
        }),
        AppendError::IdMismatch { key, revision } => {
            Answer::IdMismatch(v1::IdMismatch { key, revision })
        }
        error => Answer::Failure(failure(&error)),
    }
}

fn append_call(call: v1::Append) -> Result<AppendCall, v1::Failure> {
    let checks = call.checks.into_iter().map(|check| {
        Ok(StreamCheck {
            expect: expect_of(check.expect)?,
            key: check.key,
        })
    });
    let events = call.events.into_iter().map(|event| NewEvent {
        key: event.key,
        value: event.value,
        headers: pairs(event.headers),
    });
    Ok(AppendCall {
        topic: call.topic,
        partition: call.partition,
        checks: checks.collect::<Result<_, v1::Failure>>()?,
        events: events.collect(),
    })
}

fn expect_of(expect: Option<v1::Expect>) -> Result<Expect, v1::Failure> {
    use expect::What;
    match expect.and_then(|expect| expect.what) {
        Some(What::Any(true)) => Ok(Expect::Any),
        Some(What::Exists(true)) => Ok(Expect::Exists),
        Some(What::NoStream(none)) => Ok(Expect::NoStream {
            allow_recreate: none.allow_recreate,
        }),
        Some(What::Revision(revision)) => Ok(Expect::Revision(revision)),
        Some(What::LastOffset(offset)) => Ok(Expect::LastOffset(Offset(offset))),
        None | Some(What::Any(false) | What::Exists(false)) => {
            Err(invalid("a check says nothing of what is expected"))
        }
    }
}

fn v1_expect(expect: Expect) -> v1::Expect {
    let what = match expect {
        Expect::Any => expect::What::Any(true),
        Expect::Exists => expect::What::Exists(true),
        Expect::NoStream { allow_recreate } => {
            expect::What::NoStream(v1::NoStream { allow_recreate })
        }
        Expect::Revision(revision) => expect::What::Revision(revision),
        Expect::LastOffset(offset) => expect::What::LastOffset(offset.0),
    };
    v1::Expect { what: Some(what) }
}

fn v1_head(head: Head) -> v1::Head {
    v1::Head {
        revision: head.revision,
        offset: head.offset.0,
        is_tombstone: head.is_tombstone,
    }
}

fn v1_appended(appended: AppendedEvents) -> v1::Appended {
    v1::Appended {
        partition: appended.partition,
        base_offset: appended.base_offset.0,
        last_offset: appended.last_offset.0,
        revisions: appended.revisions,
        is_duplicate: appended.is_duplicate,
        log_append_time_ms: appended.log_append_time_ms,
    }
}

async fn read_stream(service: &Service, call: ReadStreamCall) -> Reply {
    match service.read_stream(call).await {
        Ok(events) => Answer::StreamEvents(v1_events(events)).into(),
        Err(error) => failure(&error).into(),
    }
}

fn read_stream_call(call: v1::ReadStream, limit: usize) -> Result<ReadStreamCall, v1::Failure> {
    use read_stream::AsOf as Moment;
    let as_of = match call.as_of {
        None => AsOf::Now,
        Some(Moment::Revision(revision)) => AsOf::Revision(revision),
        Some(Moment::Offset(offset)) if offset < 0 => {
            return Err(invalid("there is no offset below 0"));
        }
        Some(Moment::Offset(offset)) => AsOf::Offset(Offset(offset)),
        Some(Moment::TimeMs(time_ms)) => AsOf::TimeMs(time_ms),
    };
    let bytes_max = match call.bytes_max {
        0 => STREAM_BYTES,
        asked => usize::try_from(asked).unwrap_or(STREAM_BYTES_MAX),
    };
    Ok(ReadStreamCall {
        topic: call.topic,
        partition: call.partition,
        key: call.key,
        from_revision: call.from_revision,
        as_of,
        bytes_max: bytes_max.min(STREAM_BYTES_MAX).min(limit),
    })
}

fn v1_events(events: StreamEvents) -> v1::StreamEvents {
    v1::StreamEvents {
        partition: events.partition,
        events: events.events.into_iter().map(v1_event).collect(),
        head: events.head.map(v1_head),
        is_complete: events.is_complete,
    }
}

fn v1_event(event: StreamEvent) -> v1::StreamEvent {
    let headers = event.headers.into_iter();
    v1::StreamEvent {
        revision: event.revision,
        offset: event.offset.0,
        timestamp_ms: event.timestamp_ms,
        value: event.value,
        headers: headers
            .map(|(name, value)| v1::Header { name, value })
            .collect(),
    }
}

fn pairs(headers: Vec<v1::Header>) -> Vec<(String, Option<Bytes>)> {
    let headers = headers.into_iter();
    headers.map(|header| (header.name, header.value)).collect()
}

/// No leader epoch is known.
const NONE: i32 = -1;
/// Of a stream, where the client leaves it to us.
const STREAM_BYTES: usize = 1 << 20;
/// Of a stream at most: half of what a head can be, since the rest of it is not counted.
const STREAM_BYTES_MAX: usize = 8 << 20;
