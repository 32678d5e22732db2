//! Streams in memory, behind the seam of the native protocol.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use highwater_broker::clock::VirtualClock;
use highwater_client::ErrorCode;
use highwater_proto::exchange::{BoxFuture, ExchangeError};
use highwater_proto::native::v1;
use highwater_proto::native::v1::expect::What;
use highwater_proto::native::v1::read_stream::AsOf;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;
use highwater_proto::native::{NativeExchange, Subscribed};

/// What becomes of the next request.
pub(crate) enum Fault {
    /// It does not arrive.
    Lost,
    /// It is executed, and its answer does not arrive.
    AnswerLost,
    /// It is refused with a code.
    Refused(ErrorCode),
    /// Before it, this is executed for somebody else.
    After(v1::Append),
}

/// One partition of each topic; every append is a second later than the one before.
#[derive(Debug, Default)]
pub(crate) struct Streams(Mutex<State>);

#[derive(Default)]
struct State {
    records: Vec<Stored>,
    faults: VecDeque<Fault>,
    page_events: Option<usize>,
    appends: Vec<v1::Append>,
    reads: Vec<v1::ReadStream>,
    missing: Option<String>,
    slow: Option<(Arc<VirtualClock>, Duration)>,
}

#[derive(Clone)]
struct Stored {
    topic: String,
    key: Bytes,
    event: v1::StreamEvent,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("State")
    }
}

impl Streams {
    pub(crate) fn fail(&self, fault: Fault) {
        self.0.lock().unwrap().faults.push_back(fault);
    }

    /// Each read takes so long on this clock.
    pub(crate) fn slow(&self, clock: &Arc<VirtualClock>, read: Duration) {
        self.0.lock().unwrap().slow = Some((Arc::clone(clock), read));
    }

    /// This topic is not there.
    pub(crate) fn lose_topic(&self, topic: &str) {
        self.0.lock().unwrap().missing = Some(topic.to_owned());
    }

    pub(crate) fn page_events(&self, count: usize) {
        self.0.lock().unwrap().page_events = Some(count);
    }

    /// The appends that arrived.
    pub(crate) fn appends(&self) -> Vec<v1::Append> {
        self.0.lock().unwrap().appends.clone()
    }

    /// The reads that arrived since this was asked for.
    pub(crate) fn reads(&self) -> Vec<v1::ReadStream> {
        std::mem::take(&mut self.0.lock().unwrap().reads)
    }

    /// Cuts off the end of the log, as recovery may where nothing was synced.
    pub(crate) fn truncate(&self, topic: &str, records: usize) {
        let mut state = self.0.lock().unwrap();
        let mut count = 0;
        state.records.retain(|it| {
            count += usize::from(it.topic == topic);
            it.topic != topic || count <= records
        });
    }

    /// Whether a record has no value, one for each.
    pub(crate) fn tombstones(&self, topic: &str) -> Vec<bool> {
        let state = self.0.lock().unwrap();
        let of_topic = state.records.iter().filter(|it| it.topic == topic);
        of_topic.map(|it| it.event.value.is_none()).collect()
    }
}

impl NativeExchange for Streams {
    fn call(
        &self,
        call: Call,
        _: Bytes,
    ) -> BoxFuture<'static, Result<(Answer, Bytes), ExchangeError>> {
        let mut state = self.0.lock().unwrap();
        let why = || "as told".to_owned();
        let answer = match state.faults.pop_front() {
            None => Ok(state.answer(call)),
            Some(Fault::Lost) => Err(ExchangeError::NotSent { why: why() }),
            Some(Fault::AnswerLost) => {
                state.answer(call);
                Err(ExchangeError::Unknown { why: why() })
            }
            Some(Fault::Refused(code)) => Ok(failure(code)),
            Some(Fault::After(append)) => {
                let done = state.append(&append);
                assert!(matches!(done, Answer::Appended(_)), "{done:?}");
                Ok(state.answer(call))
            }
        };
        Box::pin(async move { answer.map(|answer| (answer, Bytes::new())) })
    }

    fn subscribe(
        &self,
        _: v1::Subscribe,
    ) -> BoxFuture<'static, Result<Box<dyn Subscribed>, ExchangeError>> {
        let why = "nobody subscribes to this".to_owned();
        Box::pin(async { Err(ExchangeError::NotSent { why }) })
    }
}

impl State {
    fn answer(&mut self, call: Call) -> Answer {
        let topic = match &call {
            Call::Append(it) => &it.topic,
            Call::ReadStream(it) => &it.topic,
            _ => return failure(ErrorCode::InvalidRequest),
        };
        if self.missing.as_ref() == Some(topic) {
            return failure(ErrorCode::UnknownTopicOrPartition);
        }
        match call {
            Call::Append(it) => {
                self.appends.push(it.clone());
                self.append(&it)
            }
            Call::ReadStream(it) => {
                self.reads.push(it.clone());
                if let Some((clock, read)) = &self.slow {
                    clock.advance(*read);
                }
                Answer::StreamEvents(self.read(&it))
            }
            _ => failure(ErrorCode::InvalidRequest),
        }
    }

    fn append(&mut self, append: &v1::Append) -> Answer {
        if let Some(answer) = self.repeat(append) {
            return answer;
        }
        for check in &append.checks {
            let actual = self.head(&append.topic, &check.key);
            let expected = check.expect.unwrap();
            if !is_met(expected, actual) {
                let key = check.key.clone();
                return Answer::Conflict(v1::Conflict {
                    key,
                    expected: Some(expected),
                    actual,
                });
            }
        }
        let base_offset = self.end(&append.topic);
        let timestamp_ms = (self.records.len() as i64 + 1) * 1_000;
        let mut revisions = Vec::new();
        for (at, event) in append.events.iter().enumerate() {
            let head = self.head(&append.topic, &event.key);
            let revision = head.map_or(0, |head| head.revision + 1);
            revisions.push(revision);
            self.records.push(Stored {
                topic: append.topic.clone(),
                key: event.key.clone(),
                event: v1::StreamEvent {
                    revision,
                    offset: base_offset + at as i64,
                    timestamp_ms,
                    value: event.value.clone(),
                    headers: event.headers.clone(),
                },
            });
        }
        Answer::Appended(v1::Appended {
            partition: 0,
            base_offset,
            last_offset: base_offset + append.events.len() as i64 - 1,
            revisions,
            is_duplicate: false,
            log_append_time_ms: Some(timestamp_ms),
        })
    }

    /// The answer to what is stored already, all of it or a part.
    fn repeat(&self, append: &v1::Append) -> Option<Answer> {
        let mut found = Vec::new();
        for check in &append.checks {
            let first = match check.expect?.what? {
                What::Revision(last) => last + 1,
                What::NoStream(it) if !it.allow_recreate => 0,
                _ => return None,
            };
            let events = append.events.iter().filter(|it| it.key == check.key);
            for (event, revision) in events.zip(first..) {
                let mut stored = self.stream(&append.topic, &check.key);
                let stored = stored.find(|it| it.event.revision == revision);
                let stored = stored.filter(|it| id(&it.event.headers) == id(&event.headers));
                let offset = stored.map(|it| it.event.offset);
                found.push((check.key.clone(), revision, offset));
            }
        }
        if found.iter().all(|(_, _, offset)| offset.is_none()) {
            return None;
        }
        if let Some((key, revision, _)) = found.iter().find(|(_, _, offset)| offset.is_none()) {
            return Some(Answer::IdMismatch(v1::IdMismatch {
                key: key.clone(),
                revision: *revision,
            }));
        }
        Some(Answer::Appended(v1::Appended {
            partition: 0,
            base_offset: found.first()?.2?,
            last_offset: found.last()?.2?,
            revisions: found.iter().map(|it| it.1).collect(),
            is_duplicate: true,
            log_append_time_ms: None,
        }))
    }

    fn read(&self, read: &v1::ReadStream) -> v1::StreamEvents {
        let is_within = |it: &&Stored| match read.as_of {
            None => true,
            Some(AsOf::Revision(revision)) => it.event.revision <= revision,
            Some(AsOf::Offset(offset)) => it.event.offset <= offset,
            Some(AsOf::TimeMs(ms)) => it.event.timestamp_ms <= ms,
        };
        let stream = self.stream(&read.topic, &read.key).take_while(is_within);
        let left = stream.filter(|it| it.event.revision >= read.from_revision);
        let left: Vec<_> = left.map(|it| it.event.clone()).collect();
        let count = self.page_events.unwrap_or(left.len());
        v1::StreamEvents {
            partition: 0,
            head: self.head(&read.topic, &read.key),
            is_complete: left.len() <= count,
            events: left.into_iter().take(count).collect(),
        }
    }

    fn stream<'a>(&'a self, topic: &'a str, key: &'a Bytes) -> impl Iterator<Item = &'a Stored> {
        let records = self.records.iter();
        records.filter(move |it| it.topic == topic && it.key == key)
    }

    fn head(&self, topic: &str, key: &Bytes) -> Option<v1::Head> {
        let last = self.stream(topic, key).last()?;
        Some(v1::Head {
            revision: last.event.revision,
            offset: last.event.offset,
            is_tombstone: last.event.value.is_none(),
        })
    }

    fn end(&self, topic: &str) -> i64 {
        let of_topic = self.records.iter().filter(|it| it.topic == topic);
        of_topic.count() as i64
    }
}

fn is_met(expect: v1::Expect, head: Option<v1::Head>) -> bool {
    let what = expect.what.unwrap();
    let Some(head) = head else {
        return matches!(what, What::Any(_) | What::NoStream(_));
    };
    match what {
        What::Any(_) => true,
        What::NoStream(it) => it.allow_recreate && head.is_tombstone,
        What::Exists(_) => !head.is_tombstone,
        What::Revision(revision) => !head.is_tombstone && head.revision == revision,
        What::LastOffset(offset) => !head.is_tombstone && head.offset == offset,
    }
}

fn id(headers: &[v1::Header]) -> Option<&Bytes> {
    headers.iter().find(|it| it.name == "ce_id")?.value.as_ref()
}

fn failure(code: ErrorCode) -> Answer {
    Answer::Failure(v1::Failure {
        code: code.code().into(),
        message: String::new(),
        is_retriable: code.retriable(),
    })
}

/// An event that somebody else appends, whatever is there.
pub(crate) fn intruder(topic: &str, key: &'static str, event_type: &str) -> v1::Append {
    let header = |name: &str, value: &str| v1::Header {
        name: name.to_owned(),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
    };
    v1::Append {
        topic: topic.to_owned(),
        partition: None,
        checks: vec![v1::StreamCheck {
            key: Bytes::from_static(key.as_bytes()),
            expect: Some(v1::Expect {
                what: Some(What::Any(true)),
            }),
        }],
        events: vec![v1::NewEvent {
            key: Bytes::from_static(key.as_bytes()),
            value: Some(Bytes::from_static(br#"{"item":"theirs"}"#)),
            headers: vec![
                header("ce_specversion", "1.0"),
                header("ce_id", "theirs"),
                header("ce_source", "/elsewhere"),
                header("ce_type", event_type),
            ],
        }],
    }
}
