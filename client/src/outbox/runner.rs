//! Runs a relay: does what the machine says, and tells it what came of it.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - Everything under way is a future of the runner: when that is dropped, nothing of it goes on
//!   but what the producer had accepted.

use std::sync::Arc;
use std::time::Duration;

use highwater_proto::clock::Mono;
use highwater_proto::exchange::BoxFuture;

use super::capture::{Adopt, Backlog, Capture, Room, Stored};
use super::destination::MemoryAcks;
use super::error::OutboxError;
use super::machine::{Effect, Input, Machine, Rules, Trouble};
use super::metrics::RelayMetrics;
use super::publisher::{Published, Publisher, Sending, Sent};
use super::relay::RelaySummary;
use super::router::Router;
use super::worker::{Answer, Answered, Ask, Measures, Seat, Settled, Worker};
use crate::cluster::Cluster;
use crate::config::ProducerConfig;
use crate::producer::Producer;
use crate::sql::{Commits, Database};

pub(super) struct Runner<D, C> {
    cluster: Arc<Cluster>,
    machine: Machine,
    seat: Seat<D>,
    router: Arc<Router>,
    /// Unless it is at work.
    worker: Option<Worker<D, C>>,
    asking: Option<BoxFuture<'static, Answered<D, C>>>,
    publisher: Option<Publisher>,
    publishing: Option<BoxFuture<'static, Published>>,
    resigning: Option<BoxFuture<'static, Result<(), OutboxError>>>,
    /// The publisher's, also while that is at work.
    producer: Option<Producer>,
    producing: ProducerConfig,
    memory_acks: MemoryAcks,
    metrics: RelayMetrics,
    measures_at: Mono,
    measures_every: Duration,
    summary: RelaySummary,
}

/// What a relay runs with.
pub(super) struct Settings<D> {
    pub(super) cluster: Arc<Cluster>,
    pub(super) seat: Seat<D>,
    pub(super) router: Arc<Router>,
    pub(super) adopt: Adopt,
    pub(super) room: Room,
    pub(super) rules: Rules,
    pub(super) producing: ProducerConfig,
    pub(super) memory_acks: MemoryAcks,
    pub(super) metrics: RelayMetrics,
}

/// What happened.
enum Turned<D, C> {
    Asked(Answered<D, C>),
    Published(Published),
    Resigned(Result<(), OutboxError>),
    Input(Input),
}

impl<D: Database, C: Capture<D>> Runner<D, C> {
    pub(super) fn new(settings: Settings<D>, capture: C) -> Self {
        let now = settings.cluster.clock().now().mono;
        let Settings {
            cluster,
            seat,
            router,
            rules,
            ..
        } = settings;
        Self {
            machine: Machine::new(rules, now),
            worker: Some(Worker {
                seat: seat.clone(),
                capture,
                router: Arc::clone(&router),
                adopt: settings.adopt,
                room: settings.room,
                stored: Stored::default(),
                synced: None,
            }),
            cluster,
            seat,
            router,
            asking: None,
            publisher: None,
            publishing: None,
            resigning: None,
            producer: None,
            producing: settings.producing,
            memory_acks: settings.memory_acks,
            metrics: settings.metrics,
            measures_at: now,
            measures_every: rules.lease / 3,
            summary: RelaySummary::default(),
        }
    }

    pub(super) async fn run(mut self, shutdown: impl Future<Output = ()>) -> RelaySummary {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut commits = self.seat.database.commits();
        let mut is_stopping = false;
        let mut input = Input::Tick;
        loop {
            if let Err(error) = self.step(input).await {
                tracing::error!(%error, table = self.seat.table.name(), "the relay ends");
                self.summary.error = Some(error);
                return self.end().await;
            }
            if self.machine.is_done() {
                return self.end().await;
            }
            let turned = tokio::select! {
                biased;
                () = &mut shutdown, if !is_stopping => {
                    is_stopping = true;
                    Turned::Input(Input::Stop)
                }
                turned = self.turn(&mut commits) => turned,
            };
            input = match self.take_in(turned) {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(%error, table = self.seat.table.name(), "the relay ends");
                    self.summary.error = Some(error);
                    return self.end().await;
                }
            };
        }
    }

    /// Waits for something to happen. May be dropped without a loss.
    async fn turn(&mut self, commits: &mut Commits) -> Turned<D, C> {
        let until = self.machine.wakes_at();
        let sleep = self.cluster.clock().sleep_until(until);
        tokio::select! {
            biased;
            answered = running(&mut self.asking) => Turned::Asked(answered),
            published = running(&mut self.publishing) => Turned::Published(published),
            resigned = running(&mut self.resigning) => Turned::Resigned(resigned),
            () = commits.next() => Turned::Input(Input::Woken),
            () = sleep => Turned::Input(Input::Tick),
        }
    }

    /// What happened, in the machine's words.
    fn take_in(&mut self, turned: Turned<D, C>) -> Result<Input, OutboxError> {
        match turned {
            Turned::Input(input) => Ok(input),
            Turned::Asked(Answered { worker, answer }) => {
                self.worker = Some(worker);
                self.asking = None;
                self.answered(answer)
            }
            Turned::Published(Published { publisher, sent }) => {
                self.publisher = Some(publisher);
                self.publishing = None;
                Ok(self.sent(sent?))
            }
            Turned::Resigned(resigned) => {
                self.resigning = None;
                if let Err(error) = resigned {
                    tracing::warn!(%error, "the lead was not given back: the next relay waits for it");
                }
                Ok(Input::Resigned)
            }
        }
    }

    fn answered(&mut self, answer: Result<Answer, OutboxError>) -> Result<Input, OutboxError> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(OutboxError::Sql(error)) if error.is_retriable() => {
                tracing::warn!(%error, table = self.seat.table.name(), "the database is asked again");
                return Ok(self.machine.failed(Trouble::Away));
            }
            Err(error) => return Err(error),
        };
        Ok(match answer {
            Answer::Led(led, backlog) => {
                self.measured(Some(backlog));
                Input::Led(Ok(led))
            }
            Answer::Version(version) => Input::Version(Ok(version)),
            Answer::Read(version, Some(work)) => {
                self.metrics.read(work.items.len());
                Input::Read(Ok((version, work)))
            }
            Answer::Proven(Some(backlog)) => {
                self.measured(backlog);
                Input::Proven(Ok(()))
            }
            Answer::Stored(Some((lanes, backlog))) => {
                self.stored();
                if self.machine.has_read_all() {
                    self.metrics.measured(Backlog::default());
                }
                self.measured(backlog);
                Input::Stored(Ok(lanes))
            }
            Answer::Read(_, None) | Answer::Proven(None) | Answer::Stored(None) => {
                tracing::warn!(table = self.seat.table.name(), "another relay has the lead");
                self.machine.failed(Trouble::Overtaken)
            }
        })
    }

    /// Whether it is time to look at what waits.
    fn measures(&self) -> Measures {
        match self.now() >= self.measures_at {
            true => Measures::Yes,
            false => Measures::No,
        }
    }

    fn measured(&mut self, backlog: Option<Backlog>) {
        if let Some(backlog) = backlog {
            self.measures_at = self.now().plus(self.measures_every);
            self.metrics.measured(backlog);
        }
    }

    /// What is published now is stored, too.
    fn stored(&mut self) {
        let Some(work) = self.machine.current() else {
            return;
        };
        for item in &work.items {
            if let Some(error) = item.parked() {
                self.summary.parked += 1;
                tracing::error!(
                    table = self.seat.table.name(),
                    seq = item.row.seq,
                    error,
                    "a row is parked: it waits for `retry` or `skip`"
                );
            }
        }
    }

    fn sent(&mut self, sent: Sent) -> Input {
        let published = sent.results.iter().filter(|(_, result)| result.is_ok());
        self.summary.published += u64::try_from(published.clone().count()).unwrap_or(u64::MAX);
        if let Some(work) = self.machine.current() {
            let created = published.filter_map(|(index, _)| work.items.get(*index)?.row.created_ms);
            self.metrics.published(sent.counts, created);
        }
        if let Some(error) = sent.trouble {
            tracing::warn!(%error, table = self.seat.table.name(), "rows are published again");
            // It may not be able to go on after some errors.
            self.publisher = None;
            self.producer = None;
        }
        Input::Published(sent.results)
    }

    async fn step(&mut self, input: Input) -> Result<(), OutboxError> {
        let now = self.now();
        for effect in self.machine.step(now, input) {
            self.apply(effect).await?;
        }
        let (leads, parked) = (self.machine.leads(), self.machine.parked_count());
        self.metrics.standing(leads, parked);
        Ok(())
    }

    async fn apply(&mut self, effect: Effect) -> Result<(), OutboxError> {
        match effect {
            Effect::Lead { silent } => self.ask(Ask::Lead { silent }),
            Effect::Version => self.ask(Ask::Version),
            Effect::Read => {
                let has_parked = self.machine.parked_count() > 0;
                let ahead = self.machine.current().is_some();
                self.ask(Ask::Read { has_parked, ahead });
            }
            Effect::Prove => self.ask(Ask::Prove(self.measures())),
            Effect::Store => {
                let settled = self.machine.current().map(Settled::of);
                self.ask(Ask::Store(settled.unwrap_or_default(), self.measures()));
            }
            Effect::Publish(indices) => self.publish(&indices)?,
            Effect::Resign => self.resigning = Some(Box::pin(self.seat.clone().resign())),
            Effect::Abandon => self.abandon().await,
            Effect::Disconnect => self.asking = None,
        }
        Ok(())
    }

    fn ask(&mut self, ask: Ask) {
        let worker = self.worker.take();
        let worker = worker.expect("the machine asks for one thing at a time");
        if matches!(ask, Ask::Version) {
            // It is asked every few milliseconds, and answered at once.
            self.asking = Some(Box::pin(worker.answer(ask)));
            return;
        }
        let database = self.seat.database.clone();
        self.asking = Some(Box::pin(
            async move { database.work(worker.answer(ask)).await },
        ));
    }

    fn publish(&mut self, indices: &[usize]) -> Result<(), OutboxError> {
        let mut sendings = Vec::with_capacity(indices.len());
        for index in indices {
            let made = self.machine.take_record(*index);
            let work = self.machine.current();
            let Some(item) = work.and_then(|work| work.items.get(*index)) else {
                continue;
            };
            sendings.push(Sending {
                index: *index,
                lane: item.lane.clone(),
                record: made.unwrap_or_else(|| self.router.record(&item.row.values)),
            });
        }
        let publisher = match self.publisher.take() {
            Some(publisher) => publisher,
            None => {
                let cluster = Arc::clone(&self.cluster);
                let producer = Producer::new(cluster, self.producing.clone(), None)?;
                self.producer = Some(producer.clone());
                Publisher::new(Arc::clone(&self.cluster), producer, self.memory_acks)
            }
        };
        self.publishing = Some(Box::pin(publisher.publish(sendings)));
        Ok(())
    }

    /// Gives up what is being published; what the producer has taken in is dropped, too.
    async fn abandon(&mut self) {
        self.publishing = None;
        if let Some(producer) = self.producer.take() {
            let report = producer.close(Duration::ZERO).await;
            tracing::debug!(?report, "what was being published is given up");
        }
    }

    async fn end(mut self) -> RelaySummary {
        self.abandon().await;
        self.asking = None;
        if self.summary.error.is_some() && self.machine.leads() {
            // As a courtesy: the next relay need not wait for a lease.
            let resigned = self.seat.clone().resign();
            match self.cluster.within(RESIGN_MAX, resigned).await {
                Some(Ok(())) => {}
                _ => tracing::debug!("the lead was not given back: the next relay waits for it"),
            }
        }
        self.metrics.standing(false, self.machine.parked_count());
        self.summary
    }

    fn now(&self) -> Mono {
        self.cluster.clock().now().mono
    }
}

/// The end of a future, if there is one.
async fn running<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// How long the lead is given back after an error.
const RESIGN_MAX: Duration = Duration::from_secs(1);
