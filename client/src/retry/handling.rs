//! How a group handles its records: the settings, and what came of it.
//!
//! Floor 6 of client.

use std::sync::Arc;
use std::time::Duration;

use super::backoff::Backoff;
use super::dead_letters::{DeadLetters, Recorder};
use super::machine::{Exhausted, Order, Rules};
use super::metrics::HandlerMetrics;
use super::runner::Runner;
use crate::admin::CommittedOffset;
use crate::cluster::Cluster;
use crate::config::{ConsumerConfig, OffsetReset};
use crate::error::ClientError;
use crate::handler::{Alone, Calls, Handler, Positions};

/// Handles the records of topics as a member of a group, with retries and dead letters; made by
/// [`Client::handler`](crate::Client::handler).
///
/// Each record is handled at least once. Records of one key are handled in their order; while one
/// waits for its next attempt, the other keys go on, and so do polling and heartbeats. Committed is
/// what lies below the lowest record that is not finished: after a crash, records above it come
/// again.
///
/// When five records of different keys fail in a row, or half of the last twenty, or when the
/// handler says so ([`HandlerError::systemic`](crate::HandlerError::systemic)), not the records are
/// taken to be at fault but something that all of them need: no attempt counts, nothing becomes a
/// dead letter, and one record after the other probes until one succeeds.
///
/// ```no_run
/// use std::time::Duration;
/// use highwater_client::{Attempt, Backoff, Client, ClientError, DeadLetters, handler_fn};
///
/// # async fn run(client: Client) -> Result<(), ClientError> {
/// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
/// let summary = client
///     .handler("payment-service")
///     .topics(["order-events"])
///     .retry(Backoff::fixed(Duration::from_secs(1)).max_attempts(4))
///     .dead_letters(DeadLetters::record())
///     .concurrency(16)
///     .run(
///         handler_fn(|attempt: Attempt| async move {
///             println!("{:?}", attempt.record.value);
///             Ok(())
///         }),
///         async { stopped.await.unwrap_or_default() },
///     )
///     .await;
/// println!("{} handled, {} dead letters", summary.handled, summary.dead_letters);
/// # drop(stop);
/// summary.result()
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is handled before `run`"]
pub struct Handling {
    cluster: Arc<Cluster>,
    consumer: ConsumerConfig,
    topics: Vec<String>,
    letters: DeadLetters,
    rules: Rules,
    drain: Duration,
    metrics: HandlerMetrics,
}

/// What came of a handler's run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "whether the run ended by an error is for the caller to judge"]
pub struct HandlerSummary {
    /// Records that the handler took.
    pub handled: u64,
    /// Records that it dropped.
    pub skipped: u64,
    /// Records that were stored among the dead letters.
    pub dead_letters: u64,
    /// Calls that failed, of all classes but skips.
    pub failures: u64,
    /// Failures that were panics.
    pub panics: u64,
    /// Records that were fetched and not finished at the end: the group gets them again.
    pub abandoned: u64,
    /// Partitions that stopped at a record, with [`DeadLetters::stop`] or by
    /// [`HandlerError::stop`](crate::HandlerError::stop).
    pub halted: Vec<Halted>,
    /// How far each partition was committed at the end.
    pub committed: Vec<CommittedOffset>,
    /// What ended the run, or what did not come through at its end.
    pub error: Option<ClientError>,
}

impl HandlerSummary {
    /// It has not begun.
    pub(crate) fn failed(error: ClientError) -> Self {
        Self {
            error: Some(error),
            ..Self::default()
        }
    }

    /// What ended the run, as a result.
    ///
    /// # Errors
    /// What made it impossible to go on, or of the last commit.
    pub fn result(self) -> Result<(), ClientError> {
        self.error.map_or(Ok(()), Err)
    }
}

/// A partition that stopped, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halted {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset of the record that could not be handled.
    pub offset: i64,
    /// Why.
    pub error: String,
}

impl Handling {
    pub(crate) fn new(cluster: &Arc<Cluster>, group: String) -> Self {
        let consumer = ConsumerConfig::new().auto_offset_reset(OffsetReset::Earliest);
        Self {
            cluster: Arc::clone(cluster),
            consumer: consumer.group_id(group),
            topics: Vec::new(),
            letters: DeadLetters::default(),
            rules: Rules {
                backoff: Backoff::default(),
                order: Order::default(),
                exhausted: Exhausted::Record,
                concurrency: 1,
                together_max: 1,
                waiting_max: 1_000,
                distance_max: 10_000,
                bytes_max: 64 << 20,
            },
            drain: Duration::from_secs(30),
            metrics: HandlerMetrics::default(),
        }
    }

    /// The topics to read.
    pub fn topics<T: Into<String>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics = topics.into_iter().map(T::into).collect();
        self
    }

    /// How often a record is tried, and when; [`Backoff::default`] if it is not said.
    pub const fn retry(mut self, backoff: Backoff) -> Self {
        self.rules.backoff = backoff;
        self
    }

    /// What becomes of a record whose attempts are used up; [`DeadLetters::record`] if it is not
    /// said.
    pub fn dead_letters(mut self, letters: DeadLetters) -> Self {
        self.rules.exhausted = match letters.stops() {
            true => Exhausted::Halt,
            false => Exhausted::Record,
        };
        self.letters = letters;
        self
    }

    /// Which records wait for one another: those of a key, if it is not said.
    pub const fn order(mut self, order: Order) -> Self {
        self.rules.order = order;
        self
    }

    /// How many records are handled at a time; 1 if it is not said, and 0 is taken for 1.
    pub fn concurrency(mut self, count: usize) -> Self {
        self.rules.concurrency = count.max(1);
        self
    }

    /// How many keys of one partition may wait for their next attempt (1,000), how many offsets
    /// may lie between its lowest unfinished record and its newest (10,000): then the partition is
    /// paused until half of it is free. What one `poll` has brought already comes on top.
    pub const fn limits_per_partition(mut self, waiting_keys: usize, distance: u64) -> Self {
        self.rules.waiting_max = waiting_keys;
        self.rules.distance_max = distance;
        self
    }

    /// How many bytes of unfinished records are kept (64 MiB); then all partitions are paused.
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.rules.bytes_max = bytes;
        self
    }

    /// How long what is under way may take to its end when the run is stopped, or when a partition
    /// goes to another member; 30 s if it is not said. Then it is dropped, and handled again.
    pub const fn drain(mut self, time: Duration) -> Self {
        self.drain = time;
        self
    }

    /// Where a partition begins of which the group has committed nothing: at its oldest record, if
    /// it is not said.
    pub fn auto_offset_reset(mut self, reset: OffsetReset) -> Self {
        self.consumer.auto_offset_reset = reset;
        self
    }

    /// Settings of the consumer. `group.id`, `enable.auto.commit` and `auto.offset.reset` are set
    /// by the handling; `auto.commit.interval.ms` is the time between two commits.
    pub fn consumer(mut self, config: ConsumerConfig) -> Self {
        self.consumer = ConsumerConfig {
            group_id: self.consumer.group_id,
            // A new consumer's default is the end of the log; a handler that began there would pass
            // over what nobody has handled.
            auto_offset_reset: self.consumer.auto_offset_reset,
            ..config
        };
        self
    }

    /// What it does, counted while it runs, for the application's own monitoring.
    ///
    /// ```
    /// use highwater_client::{Client, HandlerMetrics};
    ///
    /// fn metrics_of(client: &Client) -> HandlerMetrics {
    ///     let handling = client.handler("payment-service").topics(["order-events"]);
    ///     // Keep it where the metrics are served, and run the handling.
    ///     handling.metrics()
    /// }
    /// ```
    #[must_use]
    pub fn metrics(&self) -> HandlerMetrics {
        self.metrics.clone()
    }

    pub(crate) const fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    pub(crate) fn group(&self) -> &str {
        self.consumer.group_id.as_deref().unwrap_or_default()
    }

    pub(crate) fn topic_names(&self) -> &[String] {
        &self.topics
    }

    pub(crate) const fn ordered_by(&self) -> Order {
        self.rules.order
    }

    /// How many records are called together.
    pub(crate) const fn together(mut self, count_max: usize) -> Self {
        self.rules.together_max = count_max;
        self
    }

    pub(crate) const fn offset_reset(&self) -> OffsetReset {
        self.consumer.auto_offset_reset
    }

    /// Handles records until `shutdown` is over: then nothing new is begun, delays are dropped,
    /// what is under way is waited for, what is done is committed, and the group is left.
    ///
    /// If the future is dropped, what is under way is dropped with it, and nothing more is
    /// committed.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn run(
        self,
        handler: impl Handler,
        shutdown: impl Future<Output = ()>,
    ) -> HandlerSummary {
        self.run_keeping(None, Alone(handler), shutdown).await
    }

    /// As [`Self::run`], with positions that are kept outside of the broker, too.
    pub(crate) async fn run_keeping(
        self,
        positions: Option<Arc<dyn Positions>>,
        handler: impl Calls,
        shutdown: impl Future<Output = ()>,
    ) -> HandlerSummary {
        let config = self.consumer.enable_auto_commit(false);
        let interval = Duration::from_millis(config.auto_commit_interval_ms);
        let started = Recorder::new(&self.cluster, self.letters).and_then(|recorder| {
            let runner = Runner::new(
                &self.cluster,
                config,
                self.rules,
                recorder,
                positions,
                (handler, self.metrics),
            );
            runner.subscribed(self.topics)
        });
        match started {
            Ok(runner) => runner.run(shutdown, interval, self.drain).await,
            Err(error) => HandlerSummary::failed(error),
        }
    }
}
