//! Positions that are kept outside of the broker: asked for before a partition is read, moved
//! behind what is finished.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - A partition is read only from an offset that was given for its newest assignment; a question
//!   that nothing waits for any more is dropped, whatever its answer would have been.
//! - What the broker is told lies at or below what is kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use highwater_proto::code::ErrorCode;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};

use super::Runner;
use crate::admin::CommittedOffset;
use crate::cluster::Cluster;
use crate::consumer::{GroupMetadata, StartAt};
use crate::error::ClientError;
use crate::handler::{Calls, Positions};
use crate::retry::machine::{Input, Place};

impl<H: Calls> Runner<H> {
    /// A partition is read from now on, or as soon as it is known from where.
    pub(super) fn assigned(&mut self, place: Place) {
        if !self.kept.is_on() {
            self.step(Input::Assigned(place));
            return;
        }
        // Until then, what comes of it is of nobody.
        let _ = self.consumer.pause(&place.topic, place.partition);
        self.kept.want(place);
    }

    /// Begins anew with all partitions: of one of them what was to be read is not there any more,
    /// and its position has to be looked at again.
    pub(super) fn reopen(&mut self) {
        for (topic, partition) in self.consumer.assignment() {
            let place = Place { topic, partition };
            self.step(Input::Dropped(place.clone()));
            self.let_go(&place);
            self.assigned(place);
        }
        self.kept.open(self.consumer.group_metadata());
    }

    /// Takes in what has come of positions.
    pub(super) async fn kept_ended(&mut self, done: Done) -> Result<(), ClientError> {
        let (question, places, offsets) = match done {
            Done::Opened {
                question,
                places,
                offsets,
            } if self.kept.is_asked(question) => (question, places, offsets?),
            Done::Opened { .. } | Done::Over => return Ok(()),
            Done::Advanced(offsets, result) => {
                self.kept.advanced(offsets, result);
                return Ok(());
            }
        };
        for (place, offset) in places.into_iter().zip(offsets) {
            if !self.kept.opened(&place, question, offset) {
                continue;
            }
            let (topic, to) = (&*place.topic, StartAt::Offset(offset));
            match self.consumer.seek(topic, place.partition, to).await {
                Ok(()) => {
                    let _ = self.consumer.resume(topic, place.partition);
                    self.step(Input::Assigned(place));
                }
                Err(error) if error.is_retriable() => self.kept.want(place),
                // It has gone meanwhile, and a notice says so.
                Err(ClientError::Invalid(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Without positions of its own a runner leaves all of it to the broker.
pub(super) struct Kept {
    cluster: Arc<Cluster>,
    positions: Option<Arc<dyn Positions>>,
    /// Partitions that are not read yet, and which question they wait for; 0 is none.
    opening: BTreeMap<Place, u64>,
    questions: u64,
    asked: HashMap<u64, AbortHandle>,
    tasks: JoinSet<Done>,
    is_advancing: bool,
    /// How far positions are known to be kept.
    moved: HashMap<Place, i64>,
}

/// The end of a task.
pub(super) enum Done {
    Opened {
        question: u64,
        places: Vec<Place>,
        offsets: Result<Vec<i64>, ClientError>,
    },
    Advanced(Vec<(Place, i64)>, Result<(), ClientError>),
    /// Nobody has to hear of it.
    Over,
}

impl Kept {
    pub(super) fn new(cluster: &Arc<Cluster>, positions: Option<Arc<dyn Positions>>) -> Self {
        let mut tasks = JoinSet::new();
        if let Some(positions) = &positions {
            let tending = positions.tend();
            tasks.spawn(async move {
                tending.await;
                Done::Over
            });
        }
        Self {
            cluster: Arc::clone(cluster),
            positions,
            opening: BTreeMap::new(),
            questions: 0,
            asked: HashMap::new(),
            tasks,
            is_advancing: false,
            moved: HashMap::new(),
        }
    }

    pub(super) const fn is_on(&self) -> bool {
        self.positions.is_some()
    }

    /// Whether positions have an answer to an error of the consumer.
    pub(super) fn asks_again(&self, error: &ClientError) -> bool {
        self.is_on() && error.code() == Some(ErrorCode::OffsetOutOfRange)
    }

    /// Waits for the next end; without a task for ever. May be dropped without a loss.
    pub(super) async fn ended(&mut self) -> Done {
        match self.tasks.join_next().await {
            Some(Ok(done)) => done,
            Some(Err(error)) if error.is_cancelled() => Done::Over,
            Some(Err(error)) => {
                tracing::error!(%error, "a task for positions ended");
                self.is_advancing = false;
                Done::Over
            }
            None => std::future::pending().await,
        }
    }

    /// A partition was assigned: its position is asked for with the next [`Self::open`].
    pub(super) fn want(&mut self, place: Place) {
        self.moved.remove(&place);
        self.opening.insert(place, 0);
        self.drop_stale();
    }

    /// A partition has gone.
    pub(super) fn forget(&mut self, place: &Place) {
        self.moved.remove(place);
        self.opening.remove(place);
        self.drop_stale();
    }

    /// Drops the questions that nothing waits for any more.
    fn drop_stale(&mut self) {
        let opening = &self.opening;
        self.asked.retain(|question, task| {
            let is_waited_for = opening.values().any(|it| it == question);
            if !is_waited_for {
                task.abort();
            }
            is_waited_for
        });
    }

    /// Asks for the positions of what was assigned in this generation.
    pub(super) fn open(&mut self, seat: Option<GroupMetadata>) {
        let (Some(positions), Some(seat)) = (&self.positions, seat) else {
            return;
        };
        let unasked = self.opening.iter_mut().filter(|(_, it)| **it == 0);
        self.questions += 1;
        let question = self.questions;
        let ask = |(place, number): (&Place, &mut u64)| {
            *number = question;
            place.clone()
        };
        let places: Vec<Place> = unasked.map(ask).collect();
        if places.is_empty() {
            return;
        }
        let asked = places
            .iter()
            .map(|it| (Arc::clone(&it.topic), it.partition));
        let opened = positions.open(seat.generation, asked.collect());
        let task = self.tasks.spawn(async move {
            Done::Opened {
                question,
                places,
                offsets: opened.await,
            }
        });
        self.asked.insert(question, task);
    }

    /// Whether something waits for the answer to a question.
    fn is_asked(&self, question: u64) -> bool {
        self.asked.contains_key(&question)
    }

    /// Whether a position is the answer to the newest question for a partition; then the partition
    /// is read from now on.
    pub(super) fn opened(&mut self, place: &Place, question: u64, offset: i64) -> bool {
        let is_it = self.opening.get(place) == Some(&question);
        if is_it {
            self.opening.remove(place);
            self.drop_stale();
            self.moved.insert(place.clone(), offset);
        }
        is_it
    }

    /// How far of these offsets the broker may be told, now that they are finished. Moves what is
    /// kept, for the next time.
    pub(super) fn settle(&mut self, finished: Vec<(Place, i64)>) -> Vec<(Place, i64)> {
        if self.positions.is_none() {
            return finished;
        }
        self.advance(&finished);
        let mut finished: HashMap<Place, i64> = finished.into_iter().collect();
        // Where nothing has come yet, the broker may be behind all the same: after a crash.
        let settled = self.moved.iter().map(|(place, moved)| {
            let offset = finished.remove(place);
            (place.clone(), offset.map_or(*moved, |it| it.min(*moved)))
        });
        settled.collect()
    }

    fn advance(&mut self, finished: &[(Place, i64)]) {
        let is_ahead = |(place, offset): &&(Place, i64)| {
            let moved = self.moved.get(place);
            moved.is_some_and(|moved| offset > moved)
        };
        let ahead: Vec<_> = finished.iter().filter(is_ahead).cloned().collect();
        let Some(positions) = self.positions.as_ref().filter(|_| !self.is_advancing) else {
            return;
        };
        if ahead.is_empty() {
            return;
        }
        self.is_advancing = true;
        let advanced = positions.advance(named(&ahead));
        self.tasks
            .spawn(async move { Done::Advanced(ahead, advanced.await) });
    }

    /// Takes the end of a move in.
    pub(super) fn advanced(&mut self, offsets: Vec<(Place, i64)>, result: Result<(), ClientError>) {
        self.is_advancing = false;
        if let Err(error) = result {
            tracing::warn!(%error, "positions were not moved: tried again with the next commit");
            return;
        }
        for (place, offset) in offsets {
            // Of one that has gone meanwhile nothing is known any more.
            if let Some(moved) = self.moved.get_mut(&place) {
                *moved = offset.max(*moved);
            }
        }
    }

    /// Moves what is kept as far as it is finished, and waits for it, within a limit.
    pub(super) async fn settle_now(&mut self, finished: &[(Place, i64)], limit: Duration) {
        let Some(positions) = self.positions.as_ref().filter(|_| !finished.is_empty()) else {
            return;
        };
        let advanced = positions.advance(named(finished));
        let advanced = self.cluster.within(limit, advanced).await;
        let result = advanced.unwrap_or_else(|| {
            let why = "the database took too long to move the positions of the group";
            Err(ClientError::Unknown(why.to_owned()))
        });
        self.advanced(finished.to_vec(), result);
    }

    /// Answers the group with what may be committed of partitions that go to somebody else, once
    /// it is kept.
    pub(super) fn answer(
        &mut self,
        offsets: Vec<CommittedOffset>,
        answer: oneshot::Sender<Vec<CommittedOffset>>,
        limit: Duration,
    ) {
        // If nobody listens any more, the partitions are lost.
        let Some(positions) = self.positions.as_ref().filter(|_| !offsets.is_empty()) else {
            drop(answer.send(offsets));
            return;
        };
        let place = |it: &CommittedOffset| (Arc::from(&*it.topic), it.partition, it.offset);
        let advanced = positions.advance(offsets.iter().map(place).collect());
        let cluster = Arc::clone(&self.cluster);
        self.tasks.spawn(async move {
            match cluster.within(limit, advanced).await {
                Some(Ok(())) => drop(answer.send(offsets)),
                Some(Err(error)) => {
                    tracing::warn!(%error, "positions were not moved before their partitions went");
                    drop(answer.send(Vec::new()));
                }
                None => drop(answer.send(Vec::new())),
            }
            Done::Over
        });
    }
}

fn named(offsets: &[(Place, i64)]) -> Vec<(Arc<str>, i32, i64)> {
    let name = |(it, offset): &(Place, i64)| (Arc::clone(&it.topic), it.partition, *offset);
    offsets.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use highwater_proto::exchange::BoxFuture;

    use super::*;
    use crate::clock::SystemClock;
    use crate::config::ClientConfig;
    use crate::dial::InProcess;

    /// Never answers; each question that is waited for holds a share.
    struct Silent(Arc<()>);

    impl Positions for Silent {
        fn open(
            &self,
            _generation: i32,
            _partitions: Vec<(Arc<str>, i32)>,
        ) -> BoxFuture<'static, Result<Vec<i64>, ClientError>> {
            let share = Arc::clone(&self.0);
            Box::pin(async move {
                std::future::pending::<()>().await;
                drop(share);
                Ok(Vec::new())
            })
        }

        fn advance(
            &self,
            _offsets: Vec<(Arc<str>, i32, i64)>,
        ) -> BoxFuture<'static, Result<(), ClientError>> {
            Box::pin(std::future::pending())
        }

        fn tend(&self) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }
    }

    fn place(partition: i32) -> Place {
        Place {
            topic: Arc::from("t"),
            partition,
        }
    }

    fn seat(generation: i32) -> Option<GroupMetadata> {
        Some(GroupMetadata {
            group_id: "g".to_owned(),
            generation,
            member_id: "m".to_owned(),
        })
    }

    #[tokio::test]
    async fn a_question_that_nothing_waits_for_is_dropped() {
        let share = Arc::new(());
        let dial = InProcess::new(|| panic!("nobody dials"));
        let (dial, clock) = (Arc::new(dial), Arc::new(SystemClock::new()));
        let config = ClientConfig::default();
        let cluster = Cluster::new(vec![Arc::from("x:1")], dial, clock, &config);
        let positions = Arc::new(Silent(Arc::clone(&share)));
        let mut kept = Kept::new(&Arc::new(cluster), Some(positions));
        let questions = || Arc::strong_count(&share) - 2;
        kept.want(place(0));
        kept.want(place(1));
        kept.open(seat(5));
        assert_eq!(questions(), 1);
        kept.forget(&place(0));
        // The other one goes and comes in another generation.
        kept.forget(&place(1));
        kept.want(place(1));
        kept.open(seat(7));
        assert!(matches!(kept.ended().await, Done::Over));
        assert_eq!(questions(), 1);
        assert!(!kept.is_asked(1) && kept.is_asked(2));
        assert!(!kept.opened(&place(1), 1, 9) && kept.opened(&place(1), 2, 9));
        assert!(matches!(kept.ended().await, Done::Over));
        assert_eq!(questions(), 0);
    }
}
