//! What happened, gone through again: bounded, without a trace, and without effects outside.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - It has an end: that of the log when it began, or a moment before.
//! - It belongs to no group and commits nothing.
//! - Whoever handles it is told that it is a replay; effects outside are refused.

use std::sync::Arc;

use highwater_proto::native::v1::read_stream::AsOf as Moment;

use super::aggregate::Aggregate;
use super::error::EventsError;
use super::expect::AsOf;
use super::reader::{EventReader, Seen};
use super::subscription::{Log, Start};
use crate::admin::Admin;
use crate::consumer::{StartAt, offsets_of};
use crate::effects::Effects;
use crate::error::ClientError;
use crate::failure::FailureClass;
use crate::handler::{Attempt, Handler};
use crate::record::ConsumerRecord;

/// A replay of a topic; made by [`EventStore::replay`](super::EventStore::replay). Its events are
/// handed to a handler by [`Self::run`], or one by one by [`Self::open`].
#[derive(Debug)]
#[must_use = "nothing is replayed before `run` or `open`"]
pub struct Replay<A: Aggregate> {
    reader: EventReader<A>,
    start: Start,
    until: Option<AsOf>,
}

/// Events of a replay, up to its end; made by [`Replay::open`].
#[derive(Debug)]
#[must_use = "nothing is read before the next event is asked for"]
pub struct Replaying<A: Aggregate> {
    reader: EventReader<A>,
    log: Log,
    effects: Effects,
}

/// What a replay has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replayed {
    /// Records that the handler took.
    pub handled: u64,
    /// Records that it dropped.
    pub skipped: u64,
}

impl<A: Aggregate> Replay<A> {
    pub(super) const fn new(reader: EventReader<A>) -> Self {
        Self {
            reader,
            start: Start::Beginning,
            until: None,
        }
    }

    /// Where it begins; at the first event, if it is not said.
    pub fn from(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// The moment after which nothing is replayed: a time, or the offset of a topic with one
    /// partition. It is never later than the end of the log when the replay begins.
    pub const fn until(mut self, moment: AsOf) -> Self {
        self.until = Some(moment);
        self
    }

    /// Begins it.
    ///
    /// # Errors
    /// `Client` with `Invalid` if the moment is none of a whole topic; what keeps the broker from
    /// answering.
    pub async fn open(self) -> Result<Replaying<A>, EventsError> {
        let mut log = Log::open(&self.reader, &self.start).await?;
        if let Some(until) = self.until {
            log.end_at(self.ends(until, log.partitions()).await?);
        }
        let effects = Effects::of_replay(Arc::clone(&self.reader.inner.topic));
        Ok(Replaying {
            reader: self.reader,
            log,
            effects,
        })
    }

    /// Hands the records to a handler one after the other: the same that handles them when they
    /// happen. [`Attempt::effects`] tells it that it is a replay. Each is tried once; one that is
    /// not handled ends it, unless the handler drops it.
    ///
    /// # Errors
    /// `Replay` at a record that was not handled; as [`Self::open`].
    pub async fn run(self, handler: &impl Handler) -> Result<Replayed, EventsError> {
        let mut replaying = self.open().await?;
        let mut replayed = Replayed::default();
        while let Some(record) = replaying.record().await? {
            let (partition, offset) = (record.partition, record.offset);
            let attempt = Attempt {
                record: Arc::new(record),
                number: 1,
                effects: replaying.effects.clone(),
            };
            match handler.handle(attempt).await {
                Ok(()) => replayed.handled += 1,
                Err(error) if error.class() == FailureClass::Skip => replayed.skipped += 1,
                Err(error) => {
                    return Err(EventsError::Replay {
                        topic: replaying.reader.topic().to_owned(),
                        partition,
                        offset,
                        why: error.chain(),
                    });
                }
            }
        }
        Ok(replayed)
    }

    /// For each partition the offset behind the last record that is within the moment.
    async fn ends(&self, until: AsOf, partitions: usize) -> Result<Vec<i64>, ClientError> {
        let topic = self.reader.topic();
        let invalid = |why: String| Err(ClientError::Invalid(why));
        match until.0 {
            Moment::Offset(offset) if partitions == 1 => Ok(vec![offset.saturating_add(1)]),
            Moment::Offset(_) => invalid(format!(
                "{topic} has {partitions} partitions, and an offset is a moment of one of them: \
                 replay it until a time"
            )),
            Moment::Revision(_) => invalid(format!(
                "a revision is a moment of one stream, and not of all of {topic}: replay it until \
                 a time"
            )),
            Moment::TimeMs(ms) => {
                let admin = Admin::new(Arc::clone(&self.reader.inner.asking.cluster));
                let places: Vec<_> = (0..).take(partitions).map(|it| (topic, it)).collect();
                let later = StartAt::Timestamp(ms.saturating_add(1));
                offsets_of(&admin, &places, later).await
            }
        }
    }
}

impl<A: Aggregate> Replaying<A> {
    /// The next event; `None` at the end.
    ///
    /// # Errors
    /// As [`Subscription::next`](super::Subscription::next).
    pub async fn next(&mut self) -> Result<Option<Seen<A::Event>>, EventsError> {
        let record = self.record().await?;
        record.map(|record| self.reader.seen(&record)).transpose()
    }

    /// What refuses whatever is to be done outside.
    #[must_use]
    pub const fn effects(&self) -> &Effects {
        &self.effects
    }

    async fn record(&mut self) -> Result<Option<ConsumerRecord>, EventsError> {
        // What was stored since, in a partition that was ready before the others.
        while let Some(record) = self.log.catch_up().await? {
            if self.log.is_below_end(&record) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }
}
