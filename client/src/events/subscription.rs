//! All events of a topic in the order of their partitions: those that are there, then those that
//! come.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - Catching up and following are one reading of the log: between them there is no gap, and
//!   nothing comes twice.
//! - Nothing is committed: where it stands is the reader's own business, and in its token.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::aggregate::Aggregate;
use super::error::EventsError;
use super::reader::{EventReader, Seen};
use super::token::Token;
use crate::admin::Admin;
use crate::config::{ConsumerConfig, OffsetReset};
use crate::consumer::{Consumer, Pushed, StartAt, offsets_of};
use crate::error::ClientError;
use crate::record::ConsumerRecord;

/// Where a subscription or a replay begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the first event.
    Beginning,
    /// Behind the last event: only what happens from now on.
    End,
    /// At this offset, of each partition.
    Offset(i64),
    /// At the first event that is not older, in milliseconds since 1970.
    TimeMs(i64),
    /// Behind what was seen, see [`Subscription::token`]; at the first event of partitions of which
    /// it says nothing.
    After(Token),
}

/// Events as they happen, of all streams of a topic; made by
/// [`EventStore::subscribe`](super::EventStore::subscribe).
///
/// Those of one stream come in order, and so do those of one partition; those of several partitions
/// come as they come. Its calls may be dropped without a loss, as in `tokio::select!`.
#[derive(Debug)]
#[must_use = "nothing is read before the next event is asked for"]
pub struct Subscription<A: Aggregate> {
    reader: EventReader<A>,
    log: Log,
}

/// The records of a topic from certain offsets on, and where it ended when it was opened.
#[derive(Debug)]
pub(super) struct Log {
    topic: Arc<str>,
    source: Source,
    /// For each partition the offset behind what was stored when this began.
    ends: Vec<i64>,
    /// Told again for ever.
    failed: Option<ClientError>,
}

#[derive(Debug)]
enum Source {
    /// The broker sends them; the next turn is that of this partition.
    Pushed(Vec<Pushed>, usize),
    /// They are fetched.
    Fetched(Box<Consumer>),
}

impl<A: Aggregate> Subscription<A> {
    pub(super) async fn begin(reader: EventReader<A>, start: Start) -> Result<Self, EventsError> {
        let log = Log::open(&reader, &start).await?;
        Ok(Self { reader, log })
    }

    /// The next event. Waits for it for as long as it takes; a broker that cannot be reached
    /// meanwhile is no error.
    ///
    /// # Errors
    /// `Unreadable` if it is no event, or of another form; it is passed by then, and the next call
    /// gives the one behind it. `Client` if there is no way on, such as `OFFSET_OUT_OF_RANGE`;
    /// that is told again by each call.
    pub async fn next(&mut self) -> Result<Seen<A::Event>, EventsError> {
        let record = self.log.next().await?;
        self.reader.seen(&record)
    }

    /// The next event as long as it has not caught up, and `None` when it has: all that was stored
    /// when it began was given. What has been stored since may be among it.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn catch_up(&mut self) -> Result<Option<Seen<A::Event>>, EventsError> {
        let record = self.log.catch_up().await?;
        record.map(|record| self.reader.seen(&record)).transpose()
    }

    /// Whether it has caught up: what comes now has happened since it began.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.log.has_caught_up()
    }

    /// How far it is, to go on from there: [`Start::After`]. It is also what a view that is kept by
    /// it has seen.
    #[must_use]
    pub fn token(&self) -> Token {
        self.log.token()
    }
}

impl Log {
    pub(super) async fn open<A: Aggregate>(
        reader: &EventReader<A>,
        start: &Start,
    ) -> Result<Self, EventsError> {
        let (asking, topic) = (&reader.inner.asking, &reader.inner.topic);
        let admin = Admin::new(Arc::clone(&asking.cluster));
        let partitions = admin.describe_topic(topic).await?.partitions;
        let places: Vec<_> = (0..partitions).map(|it| (&**topic, it)).collect();
        // Where it ends comes first: what is stored in between is only looked at earlier.
        let ends = offsets_of(&admin, &places, StartAt::Latest).await?;
        let offsets = match start {
            Start::End => ends.clone(),
            Start::Beginning => offsets_of(&admin, &places, StartAt::Earliest).await?,
            Start::Offset(offset) => offsets_of(&admin, &places, StartAt::Offset(*offset)).await?,
            Start::TimeMs(ms) => offsets_of(&admin, &places, StartAt::Timestamp(*ms)).await?,
            Start::After(token) => {
                let mut offsets = offsets_of(&admin, &places, StartAt::Earliest).await?;
                for (at, offset) in offsets.iter_mut().enumerate() {
                    if let Some(seen) = token.offset(topic, at) {
                        *offset = seen.saturating_add(1);
                    }
                }
                offsets
            }
        };
        let config = ConsumerConfig::new().auto_offset_reset(OffsetReset::None);
        let source = match &asking.native {
            Some(native) => {
                let push = |(at, offset): (i32, i64)| {
                    let place = (topic, at);
                    Pushed::new(native, &asking.cluster, config.clone(), place, offset)
                };
                Source::Pushed((0..).zip(offsets).map(push).collect(), 0)
            }
            None => {
                let mut consumer = Consumer::new(&asking.cluster, config);
                for (at, offset) in (0..).zip(offsets) {
                    let from = StartAt::Offset(offset);
                    consumer.assign(topic, at, from).await?;
                }
                Source::Fetched(Box::new(consumer))
            }
        };
        Ok(Self {
            topic: Arc::clone(topic),
            source,
            ends,
            failed: None,
        })
    }

    pub(super) const fn partitions(&self) -> usize {
        self.ends.len()
    }

    /// Sets nearer ends.
    pub(super) fn end_at(&mut self, offsets: impl IntoIterator<Item = i64>) {
        for (end, offset) in self.ends.iter_mut().zip(offsets) {
            *end = offset.min(*end);
        }
    }

    pub(super) async fn next(&mut self) -> Result<ConsumerRecord, EventsError> {
        loop {
            if let Some(record) = self.step(false).await? {
                return Ok(record);
            }
        }
    }

    pub(super) async fn catch_up(&mut self) -> Result<Option<ConsumerRecord>, EventsError> {
        while !self.has_caught_up() {
            if let Some(record) = self.step(true).await? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    pub(super) fn is_below_end(&self, record: &ConsumerRecord) -> bool {
        let end = usize::try_from(record.partition).ok();
        let end = end.and_then(|at| self.ends.get(at));
        end.is_some_and(|end| record.offset < *end)
    }

    fn has_caught_up(&self) -> bool {
        let mut ends = self.ends.iter().enumerate();
        ends.all(|(at, end)| self.position(at) >= *end)
    }

    fn token(&self) -> Token {
        let mut token = Token::default();
        for (at, partition) in (0..self.ends.len()).zip(0..) {
            let seen = self.position(at) - 1;
            if seen >= 0 {
                token.merge(&Token::new(&self.topic, partition, seen));
            }
        }
        token
    }

    /// The offset of the next record of a partition.
    fn position(&self, at: usize) -> i64 {
        match &self.source {
            Source::Pushed(partitions, _) => partitions.get(at).map_or(0, Pushed::position),
            Source::Fetched(consumer) => {
                let partition = i32::try_from(at).ok();
                let position = partition.and_then(|it| consumer.position(&self.topic, it));
                position.unwrap_or(0)
            }
        }
    }

    /// A record, or none if something else has changed: the place of a partition, or the time.
    async fn step(&mut self, until_caught_up: bool) -> Result<Option<ConsumerRecord>, ClientError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let ends = &self.ends;
        let step = match &mut self.source {
            Source::Pushed(partitions, turn) => {
                let next = |context: &mut Context<'_>| {
                    let pushed = poll_all(partitions, turn, context);
                    let is_there = || {
                        let mut at = partitions.iter().zip(ends);
                        at.all(|(it, end)| it.position() >= *end)
                    };
                    match pushed {
                        Poll::Pending if until_caught_up && is_there() => Poll::Ready(Ok(None)),
                        pushed => pushed.map_ok(Some),
                    }
                };
                poll_fn(next).await
            }
            Source::Fetched(consumer) => consumer.next_within(LOOK).await,
        };
        if let Err(error) = &step {
            self.failed = Some(error.clone());
        }
        step
    }
}

/// The next record of any of them, by turns.
fn poll_all(
    partitions: &mut [Pushed],
    turn: &mut usize,
    context: &mut Context<'_>,
) -> Poll<Result<ConsumerRecord, ClientError>> {
    for _ in 0..partitions.len() {
        let at = *turn % partitions.len();
        *turn = at + 1;
        if let Poll::Ready(next) = partitions[at].poll_next(context) {
            return Poll::Ready(next);
        }
    }
    Poll::Pending
}

/// So often a reading looks at where it stands if no record comes.
const LOOK: Duration = Duration::from_millis(50);
