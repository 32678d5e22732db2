//! The records of one key in their order: by the key index, or by reading a partition.
//!
//! Floor 6 of cli.
//!
//! Invariants
//! - Reading ends at what was stored when it began.
//! - Nothing is committed, and no group is joined.
//! - Without an index the revisions are counted from the partition's first record, and unknown if
//!   that is not its very first one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use highwater_broker::clock::SystemClock;
use highwater_client::{
    Client, ClientError, Consumer, ConsumerConfig, ConsumerRecord, ErrorCode, Header, OffsetReset,
    StartAt,
};
use highwater_proto::clock::Clock;
use highwater_proto::murmur2::partition_of;
use highwater_proto::native::NativeExchange;
use highwater_proto::native::v1;
use highwater_proto::native::v1::read_stream::AsOf;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;

use crate::cli::args::StreamArgs;
use crate::cli::failure::Failure;
use crate::cli::moment::Moment;
use crate::cli::spans::{Place, Span, spans};
use crate::cli::told::Told;
use crate::cli::topic::named;

/// A stream that is being read, up to a moment.
pub(crate) struct Stream {
    way: Way,
    as_of: Option<Moment>,
}

/// How its records are found.
enum Way {
    Index(Box<Indexed>),
    Reading(Box<Counted>),
}

impl Stream {
    /// Begins to read a stream.
    pub(crate) async fn open(
        client: &Client,
        args: &StreamArgs,
        as_of: Option<Moment>,
    ) -> Result<Self, Failure> {
        let key = Bytes::copy_from_slice(args.key.as_bytes());
        if let Some(native) = client.native() {
            let asked = Indexed::open(native, &args.topic, args.partition, &key, as_of).await?;
            if let Some(indexed) = asked {
                let way = Way::Index(Box::new(indexed));
                return Ok(Self { way, as_of });
            }
        }
        let described = client.admin().describe_topic(&args.topic).await;
        let count = described
            .map_err(|error| named(&args.topic, error))?
            .partitions;
        let place = Place {
            topic: args.topic.clone(),
            partition: args.partition.unwrap_or_else(|| partition_of(&key, count)),
        };
        if !(0..count).contains(&place.partition) {
            let (topic, last, none) = (&place.topic, count - 1, place.partition);
            return Err(Failure::Failed(format!(
                "topic {topic} has the partitions 0 to {last}, but no partition {none}"
            )));
        }
        eprintln!(
            "highwater: no key index is at hand: {place} is read, and the revisions are counted in \
             it"
        );
        let span = spans(&client.admin(), std::slice::from_ref(&place)).await?;
        let span = span.get(&place).copied().unwrap_or_default();
        if span.start > 0 && matches!(as_of, Some(Moment::Revision(_))) {
            let start = span.start;
            return Err(Failure::Failed(format!(
                "{place} begins at offset {start}, so that no revision in it is known: ask for an \
                 offset or a time"
            )));
        }
        let counted = Counted {
            scan: Scan::open(client, &place, span).await?,
            key,
            next: (span.start == 0).then_some(0),
        };
        let way = Way::Reading(Box::new(counted));
        Ok(Self { way, as_of })
    }

    /// The next records, and none of them at the end.
    pub(crate) async fn next(&mut self) -> Result<Vec<Told>, Failure> {
        match &mut self.way {
            Way::Index(indexed) => indexed.next().await,
            Way::Reading(counted) => counted.next(self.as_of).await,
        }
    }
}

/// A stream that the broker finds by its index.
pub(crate) struct Indexed {
    native: Arc<dyn NativeExchange>,
    topic: Arc<str>,
    key: Bytes,
    call: v1::ReadStream,
    /// What has been read and not been handed out.
    page: Option<v1::StreamEvents>,
    /// The last revision at the beginning.
    last: Option<u64>,
}

impl Indexed {
    /// Begins to read; `None` if the topic has no key index.
    pub(crate) async fn open(
        native: Arc<dyn NativeExchange>,
        topic: &str,
        partition: Option<i32>,
        key: &Bytes,
        as_of: Option<Moment>,
    ) -> Result<Option<Self>, Failure> {
        let call = v1::ReadStream {
            topic: topic.to_owned(),
            partition,
            key: key.clone(),
            from_revision: 0,
            bytes_max: 0,
            as_of: as_of.map(|moment| match moment {
                Moment::Revision(revision) => AsOf::Revision(revision),
                Moment::Offset(offset) => AsOf::Offset(offset),
                Moment::TimeMs(ms) => AsOf::TimeMs(ms),
            }),
        };
        let mut indexed = Self {
            native,
            topic: topic.into(),
            key: key.clone(),
            call,
            page: None,
            last: None,
        };
        indexed.page = match indexed.ask().await? {
            Asked::Page(page) => Some(page),
            Asked::NoIndex => return Ok(None),
        };
        let head = indexed.page.as_ref().and_then(|page| page.head);
        indexed.last = head.map(|head| head.revision);
        Ok(Some(indexed))
    }

    /// The next events, and none of them at the end.
    pub(crate) async fn next(&mut self) -> Result<Vec<Told>, Failure> {
        let page = match self.page.take() {
            Some(page) => page,
            None if self.last.is_none_or(|last| self.call.from_revision > last) => {
                return Ok(Vec::new());
            }
            None => match self.ask().await? {
                Asked::Page(page) => page,
                Asked::NoIndex => return Err(self.foreign()),
            },
        };
        let last = self.last.unwrap_or_default();
        let mut told = Vec::with_capacity(page.events.len());
        for event in page.events {
            if event.revision < self.call.from_revision {
                return Err(self.foreign());
            }
            self.call.from_revision = event.revision.saturating_add(1);
            if event.revision <= last {
                told.push(tell(&self.topic, page.partition, &self.key, event));
            }
        }
        if page.is_complete {
            self.last = None;
        } else if told.is_empty() && self.call.from_revision <= last {
            return Err(self.foreign());
        }
        Ok(told)
    }

    async fn ask(&self) -> Result<Asked, Failure> {
        let call = Call::ReadStream(self.call.clone());
        let answer = self.native.call(call, Bytes::new());
        let clock = SystemClock::new();
        let late = clock.sleep_until(clock.now().mono.plus(ANSWER_MAX));
        let answer = tokio::select! {
            answer = answer => answer,
            () = late => return Err(Failure::Failed(format!(
                "the broker did not answer within {} s", ANSWER_MAX.as_secs()
            ))),
        };
        match answer.map_err(ClientError::from)?.0 {
            Answer::StreamEvents(page) => Ok(Asked::Page(page)),
            Answer::Failure(it) if it.code == NO_INDEX => Ok(Asked::NoIndex),
            Answer::Failure(failure) => {
                let (topic, why) = (&self.topic, failure.message);
                Err(Failure::Failed(format!("topic {topic}: {why}")))
            }
            _ => Err(self.foreign()),
        }
    }

    fn foreign(&self) -> Failure {
        let topic = &self.topic;
        Failure::Failed(format!(
            "topic {topic}: the broker answered a read of a stream with something else"
        ))
    }
}

/// What the broker says.
enum Asked {
    Page(v1::StreamEvents),
    /// The topic was not made for streams.
    NoIndex,
}

fn tell(topic: &Arc<str>, partition: i32, key: &Bytes, event: v1::StreamEvent) -> Told {
    let header = |it: v1::Header| Header {
        key: it.name,
        value: it.value,
    };
    Told {
        revision: Some(event.revision),
        record: ConsumerRecord {
            topic: Arc::clone(topic),
            partition,
            offset: event.offset,
            timestamp: event.timestamp_ms,
            key: Some(key.clone()),
            value: event.value,
            headers: event.headers.into_iter().map(header).collect(),
        },
    }
}

/// All records of a partition, as it was at the beginning.
pub(crate) struct Scan {
    consumer: Consumer,
    place: Place,
    end: i64,
}

impl Scan {
    /// Begins to read at the start of the span.
    pub(crate) async fn open(client: &Client, place: &Place, span: Span) -> Result<Self, Failure> {
        let mut consumer = client.consumer(ConsumerConfig {
            // Records that age away while they are being read are gone; what is left is read.
            auto_offset_reset: OffsetReset::Earliest,
            ..ConsumerConfig::default()
        });
        let start = StartAt::Offset(span.start);
        consumer
            .assign(&place.topic, place.partition, start)
            .await?;
        Ok(Self {
            consumer,
            place: place.clone(),
            end: span.end,
        })
    }

    /// The next records; `None` at the end. Some of them may be none.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<ConsumerRecord>>, Failure> {
        let Place { topic, partition } = &self.place;
        let position = self.consumer.position(topic, *partition);
        if position.is_none_or(|position| position >= self.end) {
            return Ok(None);
        }
        let mut records = self.consumer.poll(POLL_MAX).await?;
        records.retain(|record| record.offset < self.end);
        Ok(Some(records))
    }
}

/// The records of one key among all of a partition.
struct Counted {
    scan: Scan,
    key: Bytes,
    /// The next revision, if the partition has lost nothing.
    next: Option<u64>,
}

impl Counted {
    async fn next(&mut self, as_of: Option<Moment>) -> Result<Vec<Told>, Failure> {
        while let Some(records) = self.scan.next().await? {
            let mut told = Vec::new();
            for record in records {
                let is_ours = record.key.as_ref() == Some(&self.key);
                let revision = self.next.filter(|_| is_ours);
                match seen(&record, revision, as_of) {
                    Seen::Within if is_ours => told.push(Told { record, revision }),
                    Seen::Within | Seen::Later => {}
                    Seen::Behind => {
                        self.scan.end = record.offset;
                        break;
                    }
                }
                self.next = self.next.map(|next| next + u64::from(is_ours));
            }
            if !told.is_empty() {
                return Ok(told);
            }
        }
        Ok(Vec::new())
    }
}

/// Where a record stands to a moment.
#[derive(Debug, PartialEq)]
enum Seen {
    Within,
    /// It came later. What stands behind it may not have: times can be the writers'.
    Later,
    /// It came later, and so did all behind it.
    Behind,
}

fn seen(record: &ConsumerRecord, revision: Option<u64>, as_of: Option<Moment>) -> Seen {
    match as_of {
        Some(Moment::Revision(last)) if revision.is_some_and(|it| it > last) => Seen::Behind,
        Some(Moment::Offset(last)) if record.offset > last => Seen::Behind,
        Some(Moment::TimeMs(ms)) if record.timestamp > ms => Seen::Later,
        _ => Seen::Within,
    }
}

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// How long one poll waits; only the loop around it notices.
const POLL_MAX: Duration = Duration::from_secs(1);
/// What a topic without streams is answered with.
const NO_INDEX: i32 = ErrorCode::PolicyViolation as i32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_time_may_be_passed_and_come_again() {
        let record = |offset: i64, timestamp: i64| ConsumerRecord {
            topic: "t".into(),
            partition: 0,
            offset,
            timestamp,
            key: None,
            value: None,
            headers: Vec::new(),
        };
        let asked = |as_of| {
            // The clock of a writer was behind.
            let records = [record(0, 5), record(1, 9), record(2, 6)];
            let seen = (0..)
                .zip(&records)
                .map(|(at, it)| seen(it, Some(at), as_of));
            seen.collect::<Vec<_>>()
        };
        let [within, later, behind] = [Seen::Within, Seen::Later, Seen::Behind];
        let time = asked(Some(Moment::TimeMs(6)));
        assert_eq!(time, [Seen::Within, later, Seen::Within]);
        for moment in [Moment::Offset(1), Moment::Revision(1)] {
            let seen = asked(Some(moment));
            assert_eq!(seen[..2], [Seen::Within, Seen::Within], "{moment}");
            assert_eq!(seen[2], behind, "{moment}");
        }
        assert!(asked(None).iter().all(|it| *it == within));
    }
}
