//! Runs a handler: feeds the machine with what the consumer gives, does what it says.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - Calls and dead letters run on tasks; the loop only polls, which keeps the membership alive,
//!   commits and takes their ends in.
//! - The answer to a revocation waits for what is under way in those partitions, within the drain.
//! - A record that waits for its next attempt is a copy: it holds no fetched batch.

mod held;
mod kept;
mod work;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use highwater_proto::clock::Mono;
use tokio::sync::oneshot;

use self::held::{Held, size_of};
use self::kept::{Done, Kept};
use self::work::{Ended, Work};
use super::dead_letters::Recorder;
use super::handling::{Halted, HandlerSummary};
use super::machine::{Effect, Id, Input, Machine, Place, Rules, Stored};
use super::metrics::HandlerMetrics;
use super::notices::{Listener, Notice, Notices};
use crate::admin::CommittedOffset;
use crate::cluster::Cluster;
use crate::config::ConsumerConfig;
use crate::consumer::Consumer;
use crate::error::ClientError;
use crate::failure::HandlerError;
use crate::handler::{Attempt, Calls, Positions};
use crate::record::ConsumerRecord;

pub(super) struct Runner<H> {
    cluster: Arc<Cluster>,
    group: String,
    consumer: Consumer,
    notices: Arc<Notices>,
    machine: Machine,
    recorder: Arc<Recorder>,
    handler: Arc<H>,
    /// Unfinished records.
    held: HashMap<Place, HashMap<i64, Held>>,
    work: Work,
    kept: Kept,
    releases: Vec<Release>,
    committed: HashMap<Place, i64>,
    metrics: HandlerMetrics,
    summary: HandlerSummary,
}

/// Partitions that go to somebody else, and who waits for it.
struct Release {
    places: Vec<Place>,
    offsets: Vec<CommittedOffset>,
    answer: oneshot::Sender<Vec<CommittedOffset>>,
    deadline: Mono,
}

impl<H: Calls> Runner<H> {
    pub(super) fn new(
        cluster: &Arc<Cluster>,
        config: ConsumerConfig,
        rules: Rules,
        recorder: Recorder,
        positions: Option<Arc<dyn Positions>>,
        (handler, metrics): (H, HandlerMetrics),
    ) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            group: config.group_id.clone().unwrap_or_default(),
            consumer: Consumer::new(cluster, config),
            notices: Arc::default(),
            machine: Machine::new(rules),
            recorder: Arc::new(recorder),
            handler: Arc::new(handler),
            held: HashMap::new(),
            work: Work::default(),
            kept: Kept::new(cluster, positions),
            releases: Vec::new(),
            committed: HashMap::new(),
            metrics,
            summary: HandlerSummary::default(),
        }
    }

    pub(super) fn subscribed(mut self, topics: Vec<String>) -> Result<Self, ClientError> {
        self.consumer
            .on_rebalance(Listener(Arc::clone(&self.notices)))?;
        self.consumer.subscribe(topics)?;
        Ok(self)
    }

    pub(super) async fn run(
        mut self,
        shutdown: impl Future<Output = ()>,
        commit_interval: Duration,
        drain: Duration,
    ) -> HandlerSummary {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut commits_at = self.now().plus(commit_interval);
        loop {
            if self.now() >= commits_at {
                if let Err(error) = self.commit().await {
                    tracing::warn!(%error, group = self.group, "offsets were not committed");
                }
                commits_at = self.now().plus(commit_interval);
            }
            let until = self.wakes_at().min(commits_at);
            let turned = tokio::select! {
                biased;
                () = &mut shutdown => None,
                turned = self.turn(until) => Some(turned),
            };
            self.heed(drain);
            match turned {
                Some(Turned::Polled(Ok(records))) => {
                    records.into_iter().for_each(|record| self.arrived(record));
                }
                // Where there are positions of its own, every partition is sent to one.
                Some(Turned::Polled(Err(ClientError::NoOffset { .. }))) if self.kept.is_on() => {}
                Some(Turned::Polled(Err(error))) if self.kept.asks_again(&error) => self.reopen(),
                Some(Turned::Polled(Err(error))) => {
                    tracing::error!(%error, group = self.group, "the handler ends");
                    self.summary.error = Some(error);
                    return self.end(drain).await;
                }
                Some(Turned::Ended(ended)) => self.ended(ended),
                Some(Turned::Kept(done)) => {
                    if let Err(error) = self.kept_ended(done).await {
                        tracing::error!(%error, group = self.group, "the handler ends");
                        self.summary.error = Some(error);
                        return self.end(drain).await;
                    }
                }
                Some(Turned::Noticed) => {}
                None => return self.end(drain).await,
            }
            self.pass();
        }
    }

    /// Waits for something to happen. May be dropped without a loss.
    async fn turn(&mut self, until: Mono) -> Turned {
        let timeout = until.since(self.cluster.clock().now().mono);
        tokio::select! {
            biased;
            ended = self.work.ended() => Turned::Ended(ended),
            () = self.notices.added() => Turned::Noticed,
            done = self.kept.ended() => Turned::Kept(done),
            polled = self.consumer.poll(timeout) => Turned::Polled(polled),
        }
    }

    /// Takes in what the group has said.
    fn heed(&mut self, drain: Duration) {
        for notice in self.notices.take() {
            match notice {
                Notice::Assigned(places) => {
                    for place in places {
                        // One that is given back still, in a generation that was lost meanwhile.
                        self.step(Input::Dropped(place.clone()));
                        self.let_go(&place);
                        self.assigned(place);
                    }
                }
                Notice::Revoked(places, answer) => {
                    self.releases.push(Release {
                        places: places.clone(),
                        offsets: Vec::new(),
                        answer,
                        deadline: self.now().plus(drain),
                    });
                    for place in places {
                        self.kept.forget(&place);
                        self.step(Input::Revoked(place));
                    }
                }
                Notice::Lost(places) => {
                    for place in places {
                        self.step(Input::Dropped(place.clone()));
                        self.let_go(&place);
                    }
                }
            }
        }
        self.kept.open(self.consumer.group_metadata());
    }

    fn arrived(&mut self, record: ConsumerRecord) {
        let place = Place {
            topic: Arc::clone(&record.topic),
            partition: record.partition,
        };
        let (offset, key, bytes) = (record.offset, record.key.clone(), size_of(&record));
        let held = self.held.entry(place.clone()).or_default();
        held.entry(offset).or_insert_with(|| Held::new(record));
        self.step(Input::Arrived {
            place: place.clone(),
            offset,
            key,
            bytes,
        });
        if !self.machine.has(&place, offset)
            && let Some(held) = self.held.get_mut(&place)
        {
            held.remove(&offset);
        }
    }

    /// Takes the end of a call or of a dead letter in.
    fn ended(&mut self, ended: Ended) {
        match ended {
            Ended::Called(id, result) => {
                if self.machine.has(&id.place, id.offset) && self.machine.is_current(&id) {
                    self.count(&id, &result);
                }
                self.step(Input::Called(id, result.map_err(|error| error.class())));
            }
            Ended::CalledTogether(ids, result) => {
                let is_handled = result.is_ok() && ids.iter().all(|it| self.machine.is_current(it));
                if is_handled {
                    self.metrics.handled(ids.len());
                }
                self.step(Input::CalledTogether(ids, result));
            }
            Ended::Recorded(id, result) => {
                let stored = match result {
                    Ok(()) => {
                        self.metrics.recorded(self.machine.is_current(&id).into());
                        Stored::Yes
                    }
                    Err(error) => {
                        let Id { place, offset, .. } = &id;
                        tracing::error!(%error, group = self.group, %place, offset,
                            "a dead letter was not stored: its record waits, and is tried again");
                        Stored::No
                    }
                };
                self.step(Input::Recorded(id, stored));
            }
        }
    }

    fn count(&mut self, id: &Id, result: &Result<(), HandlerError>) {
        let Err(error) = result else {
            self.metrics.handled(1);
            return;
        };
        self.metrics.failed(error.class());
        let Id { place, offset, .. } = id;
        tracing::debug!(%error, group = self.group, %place, offset, "a record was not handled");
        let now = self.cluster.clock().wall();
        let held = self.held.get_mut(place);
        if let Some(held) = held.and_then(|held| held.get_mut(offset)) {
            held.fail(error, now);
        }
    }

    /// Lets time have its effects.
    fn pass(&mut self) {
        let now = self.now();
        let is_late = |release: &Release| release.deadline <= now;
        let late = self.releases.iter().filter(|it| is_late(it));
        let late: Vec<Place> = late.flat_map(|it| it.places.clone()).collect();
        for place in late {
            self.step(Input::Dropped(place));
        }
        self.releases.retain(|release| !is_late(release));
        if self.machine.wakes_at() <= now {
            self.step(Input::Tick);
        }
    }

    fn wakes_at(&self) -> Mono {
        let deadlines = self.releases.iter().map(|release| release.deadline);
        deadlines.fold(self.machine.wakes_at(), Mono::min)
    }

    fn step(&mut self, input: Input) {
        for effect in self.machine.step(self.now(), input) {
            self.apply(effect);
        }
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Call { id, attempt } => self.call(id, attempt),
            Effect::CallTogether(ids) => self.call_together(ids),
            Effect::Record { id, attempts } => self.record(id, attempts),
            Effect::Finished(id) => {
                if let Some(held) = self.held.get_mut(&id.place) {
                    held.remove(&id.offset);
                }
            }
            Effect::Halted(id) => self.halted(&id),
            // Of a partition that has gone meanwhile, nothing is fetched anyway.
            Effect::Pause(place) => {
                let _ = self.consumer.pause(&place.topic, place.partition);
            }
            Effect::Resume(place) => {
                let _ = self.consumer.resume(&place.topic, place.partition);
            }
            Effect::Released(place, offset) => self.released(&place, offset),
            Effect::OutageBegan => {
                self.metrics.outage(true);
                tracing::error!(group = %self.group,
                    "records fail whatever their key: nothing is handled until a probe succeeds");
            }
            Effect::OutageEnded => {
                self.metrics.outage(false);
                tracing::info!(group = %self.group, "a probe has succeeded: records are handled");
            }
        }
    }

    fn call(&mut self, id: Id, attempt: u32) {
        self.metrics.called(attempt);
        let attempt = Attempt::new(&self.held(&id).record, attempt);
        let handler = Arc::clone(&self.handler);
        self.work
            .call(id, async move { handler.call(attempt).await });
    }

    fn call_together(&mut self, ids: Vec<Id>) {
        let first = |id: &Id| Attempt::new(&self.held(id).record, 1);
        let attempts = ids.iter().map(first).collect();
        let handler = Arc::clone(&self.handler);
        self.work
            .call_together(ids, async move { handler.call_together(attempts).await });
    }

    fn record(&mut self, id: Id, attempts: u32) {
        let held = self.held(&id);
        let (letter, record) = (held.letter(&self.group, attempts), Arc::clone(&held.record));
        tracing::warn!(group = self.group, place = %id.place, id.offset, error = letter.error,
            attempts, "a record becomes a dead letter");
        let recorder = Arc::clone(&self.recorder);
        let stored = async move { recorder.store(letter, &record.headers).await };
        self.work.record(id, stored);
    }

    fn held(&self, id: &Id) -> &Held {
        let held = self
            .held
            .get(&id.place)
            .and_then(|held| held.get(&id.offset));
        held.expect("what is not finished is held")
    }

    fn halted(&mut self, id: &Id) {
        self.metrics.halted();
        let error = self.held(id).error();
        tracing::error!(group = self.group, place = %id.place, id.offset, error,
            "the partition has stopped at a record that could not be handled");
        self.summary.halted.push(Halted {
            topic: id.place.topic.to_string(),
            partition: id.place.partition,
            offset: id.offset,
            error,
        });
        self.held.remove(&id.place);
    }

    fn released(&mut self, place: &Place, offset: Option<i64>) {
        self.let_go(place);
        let has_it = |release: &Release| release.places.contains(place);
        let Some(at) = self.releases.iter().position(has_it) else {
            return;
        };
        let release = &mut self.releases[at];
        release.places.retain(|it| it != place);
        release
            .offsets
            .extend(offset.map(|offset| place.committed(offset)));
        if release.places.is_empty() {
            let release = self.releases.swap_remove(at);
            self.kept
                .answer(release.offsets, release.answer, CLOSE_WAIT);
        }
    }

    /// Keeps nothing of a partition.
    fn let_go(&mut self, place: &Place) {
        self.work.abort(place);
        self.held.remove(place);
        self.kept.forget(place);
        self.committed.remove(place);
    }

    /// Commits what is done. What takes long goes on without being waited for; what failed is tried
    /// again with the next commit.
    async fn commit(&mut self) -> Result<(), ClientError> {
        let finished = self.finished();
        let is_fresh = |(place, offset): &(Place, i64)| self.committed.get(place) != Some(offset);
        let settled = self.kept.settle(finished).into_iter();
        let fresh: Vec<_> = settled.filter(is_fresh).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let offsets = fresh.iter().map(|(place, offset)| place.committed(*offset));
        let offsets: Vec<_> = offsets.collect();
        let commit = self.consumer.commit_offsets(&offsets);
        self.cluster
            .within(COMMIT_WAIT, commit)
            .await
            .unwrap_or(Ok(()))?;
        self.committed.extend(fresh);
        Ok(())
    }

    /// Up to where everything is finished.
    fn finished(&self) -> Vec<(Place, i64)> {
        let finished = self.machine.committable();
        finished
            .map(|(place, offset)| (place.clone(), offset))
            .collect()
    }

    /// Waits for what is under way, commits, and leaves the group.
    async fn end(mut self, drain: Duration) -> HandlerSummary {
        let deadline = self.now().plus(drain);
        self.step(Input::Stop);
        while !self.machine.is_idle() && self.now() < deadline {
            match self.turn(deadline).await {
                Turned::Ended(ended) => self.ended(ended),
                // Nothing new is begun: the next member gets these.
                Turned::Polled(Ok(_)) | Turned::Noticed | Turned::Kept(Done::Opened { .. }) => {}
                Turned::Kept(done) => {
                    // Without an opening there is nothing to fail.
                    let _ = self.kept_ended(done).await;
                }
                Turned::Polled(Err(ClientError::NoOffset { .. })) if self.kept.is_on() => {}
                Turned::Polled(Err(error)) => {
                    self.summary.error.get_or_insert(error);
                    break;
                }
            }
            self.heed(drain);
        }
        self.work.abort_all();
        self.summary.abandoned = u64::try_from(self.machine.unfinished()).unwrap_or(u64::MAX);
        let places: Vec<Place> = self
            .releases
            .iter()
            .flat_map(|it| it.places.clone())
            .collect();
        for place in places {
            self.step(Input::Dropped(place));
        }
        let finished = self.finished();
        self.kept.settle_now(&finished, CLOSE_WAIT).await;
        let committed = self.commit().await;
        self.notices.close();
        let closed = self.consumer.close(CLOSE_WAIT).await;
        let places = self.committed.iter();
        self.summary.committed = places
            .map(|(place, offset)| place.committed(*offset))
            .collect();
        self.summary
            .committed
            .sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        let error = self.summary.error.or_else(|| committed.err());
        self.summary.error = error.or(closed.error);
        self.metrics.sum_up(&mut self.summary);
        self.summary
    }

    fn now(&self) -> Mono {
        self.cluster.clock().now().mono
    }
}

/// What has happened.
enum Turned {
    Polled(Result<Vec<ConsumerRecord>, ClientError>),
    Ended(Ended),
    /// Of positions that are kept outside of the broker.
    Kept(Done),
    /// The group has said something.
    Noticed,
}

/// How long a commit is waited for; polling pauses meanwhile.
const COMMIT_WAIT: Duration = Duration::from_secs(2);

/// How long the group may take to let this member go.
const CLOSE_WAIT: Duration = Duration::from_secs(10);
