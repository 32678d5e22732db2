//! What a relay tells about itself.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - The age of the oldest row goes on growing between two looks at the database, also when the
//!   database cannot be reached.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use highwater_proto::clock::{Clock, Mono};

use super::capture::Backlog;
use crate::exposition::{Figures, Samples};
use crate::histogram::Histogram;

/// What a relay is doing, while it runs; made by [`Relay::metrics`](super::Relay::metrics).
#[derive(Clone, Debug)]
pub struct RelayMetrics {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

/// A relay's figures at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct OutboxMetrics {
    /// `outbox_oldest_unpublished_seconds`: how long the oldest row has been waiting; nothing, if
    /// none waits or the table does not say when rows were written. **The one to raise an alarm
    /// on**: how many rows wait says nothing about how long.
    pub oldest_unpublished: Option<Duration>,
    /// `outbox_pending_rows`: rows that wait, about.
    pub pending_rows: u64,
    /// `outbox_parked_keys`: keys that wait for somebody to look after them; those of rows without
    /// a key count as one for each topic.
    pub parked_keys: u64,
    /// `outbox_relay_leader`: whether this relay is the one that publishes.
    pub is_leader: bool,
    /// `outbox_published_total`: records that were acknowledged, for each topic.
    pub published: BTreeMap<String, u64>,
    /// `outbox_commit_to_publish_seconds`: from the writing of a row to its acknowledgement.
    pub commit_to_publish: Histogram,
    /// `outbox_batch_rows`: rows of a batch.
    pub batch_rows: Histogram,
}

impl Figures for OutboxMetrics {
    fn tell(&self, samples: &mut Samples<'_>) {
        // Of a table that does not say when its rows were written, nobody knows how long they wait.
        let oldest = match (self.oldest_unpublished, self.pending_rows) {
            (Some(age), _) => Some(age.as_secs_f64()),
            (None, 0) => Some(0.0),
            (None, _) => None,
        };
        if let Some(oldest) = oldest {
            let what = "How long the oldest row has been waiting, in seconds: raise an alarm on it";
            samples.gauge("outbox_oldest_unpublished_seconds", what, oldest);
        }
        let what = "Rows that wait, about";
        samples.gauge("outbox_pending_rows", what, self.pending_rows as f64);
        let what = "Keys that wait because a row of theirs cannot be published";
        samples.gauge("outbox_parked_keys", what, self.parked_keys as f64);
        let what = "Whether this relay is the one that publishes";
        samples.gauge("outbox_relay_leader", what, f64::from(self.is_leader));
        self.tell_published(samples);
        let what = "From the writing of a row to its acknowledgement";
        let sizes = &self.commit_to_publish;
        samples.histogram("outbox_commit_to_publish_seconds", what, sizes);
        samples.histogram("outbox_batch_rows", "Rows of a batch", &self.batch_rows);
    }
}

impl OutboxMetrics {
    fn tell_published(&self, samples: &mut Samples<'_>) {
        let (name, what) = ("outbox_published_total", "Records that were acknowledged");
        let topics = self.published.iter().take(TOPICS_MAX);
        let topics = topics.map(|(topic, count)| (topic.as_str(), *count));
        let others: u64 = self.published.values().skip(TOPICS_MAX).sum();
        let others = (others > 0).then_some(("", others));
        samples.counters(name, what, "topic", topics.chain(others));
    }
}

#[derive(Debug)]
struct State {
    backlog: Backlog,
    measured_at: Mono,
    parked_keys: u64,
    is_leader: bool,
    published: BTreeMap<String, u64>,
    commit_to_publish: Histogram,
    batch_rows: Histogram,
}

impl RelayMetrics {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let measured_at = clock.now().mono;
        Self {
            clock,
            state: Arc::new(Mutex::new(State {
                backlog: Backlog::default(),
                measured_at,
                parked_keys: 0,
                is_leader: false,
                published: BTreeMap::new(),
                commit_to_publish: Histogram::new(&SECONDS),
                batch_rows: Histogram::new(&ROWS),
            })),
        }
    }

    /// The figures of now.
    #[must_use]
    pub fn snapshot(&self) -> OutboxMetrics {
        let now = self.clock.now().mono;
        let state = self.lock();
        let since = now.since(state.measured_at);
        OutboxMetrics {
            oldest_unpublished: state.backlog.oldest.map(|age| age.saturating_add(since)),
            pending_rows: state.backlog.rows,
            parked_keys: state.parked_keys,
            is_leader: state.is_leader,
            published: state.published.clone(),
            commit_to_publish: state.commit_to_publish.clone(),
            batch_rows: state.batch_rows.clone(),
        }
    }

    pub(super) fn measured(&self, backlog: Backlog) {
        let now = self.clock.now().mono;
        let mut state = self.lock();
        state.backlog = backlog;
        state.measured_at = now;
    }

    pub(super) fn standing(&self, is_leader: bool, parked_keys: usize) {
        let mut state = self.lock();
        state.is_leader = is_leader;
        state.parked_keys = u64::try_from(parked_keys).unwrap_or(u64::MAX);
    }

    pub(super) fn read(&self, rows: usize) {
        if rows > 0 {
            let rows = u32::try_from(rows).unwrap_or(u32::MAX);
            self.lock().batch_rows.add(rows.into());
        }
    }

    /// Records were acknowledged, whose rows were written at these times.
    pub(super) fn published(
        &self,
        counts: HashMap<String, u64>,
        created_ms: impl Iterator<Item = i64>,
    ) {
        let now_ms = self.clock.wall().0;
        let mut state = self.lock();
        for (topic, count) in counts {
            *state.published.entry(topic).or_default() += count;
        }
        for created_ms in created_ms {
            let ms = u64::try_from(now_ms.saturating_sub(created_ms)).unwrap_or(0);
            let seconds = Duration::from_millis(ms).as_secs_f64();
            state.commit_to_publish.add(seconds);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic happens under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Topics that are told by name: rows choose them. All others are told together.
const TOPICS_MAX: usize = 1000;

/// The bounds of times, in seconds.
const SECONDS: [f64; 12] = [
    0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0, 60.0, 600.0,
];

/// The bounds of batches, in rows.
const ROWS: [f64; 7] = [1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1_000.0];
