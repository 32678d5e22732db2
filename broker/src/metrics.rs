//! What the broker did, as numbers that only grow.
//!
//! Floor 0 of broker.
//!
//! Invariants
//! - A number only grows, but for those that say so; counting takes no lock, but for errors.
//! - Threads count in cells of their own, so that they do not wait for each other's cache lines.

mod histogram;
mod native;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use highwater_proto::kafka::{APIS, ApiKey};
use highwater_proto::sasl::Mechanism;

pub use histogram::{Histogram, HistogramNow, Scale};
pub use native::{NativeCall, NativeRequests};

/// A number that only grows.
#[derive(Debug)]
pub struct Counter {
    is_on: bool,
    cells: [Cell; CELLS],
}

impl Counter {
    /// A counter at 0; one that is not on stays there.
    #[must_use]
    pub fn new(is_on: bool) -> Self {
        Self {
            is_on,
            cells: Default::default(),
        }
    }

    /// Adds to it.
    #[inline]
    pub fn add(&self, count: u64) {
        if self.is_on {
            own(&self.cells).0.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Adds one.
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// The number now.
    #[must_use]
    pub fn value(&self) -> u64 {
        let cells = self.cells.iter();
        cells.map(|cell| cell.0.load(Ordering::Relaxed)).sum()
    }
}

/// The numbers of one broker since its start.
#[derive(Debug)]
pub struct Metrics {
    /// Whether anything is counted: whoever would have to ask the clock for it need not.
    pub is_on: bool,
    /// Batches that were appended or recognised as duplicates.
    pub produced_batches: Counter,
    /// Batches of those that were there already: their producer had sent them before.
    pub duplicate_batches: Counter,
    /// Records of the batches that passed validation.
    pub produced_records: Counter,
    /// Bytes of those batches.
    pub produced_bytes: Counter,
    /// Batches that were refused.
    pub refused_batches: Counter,
    /// Batches that had to be decompressed, and came to more than 1,000 times what was sent.
    pub inflated_batches: Counter,
    /// Fetches that were answered.
    pub fetches: Counter,
    /// Fetches that had to wait for records.
    pub parked_fetches: Counter,
    /// How long they waited.
    pub parked_times: Histogram,
    /// Records that were handed out.
    pub fetched_records: Counter,
    /// Bytes of records that were handed out.
    pub fetched_bytes: Counter,
    /// Connections that were accepted.
    pub connections: Counter,
    /// Connections that were accepted and have come to their end.
    pub closed_connections: Counter,
    /// Connections that were refused or closed because of what came over them.
    pub refused_connections: Counter,
    /// Proofs of passwords that were refused.
    pub failed_logins: ByMechanism,
    /// When the certificate that TLS listeners show ends, in milliseconds since 1970.
    pub certificate_end_ms: Moment,
    /// Bytes of requests that came over connections.
    pub received_bytes: Counter,
    /// Bytes of answers that were put into connections.
    pub sent_bytes: Counter,
    /// Checks of retention.
    pub retention_checks: Counter,
    /// Bytes that were read to find damage that nobody has read.
    pub scrub_bytes: Counter,
    /// Ranges of damage, and failing reads, that were found by that.
    pub scrub_errors: Counter,
    /// Commits of groups of batches.
    pub commits: Commits,
    /// How long each sync of a file took, whoever asked for it.
    pub syncs: Histogram,
    /// Syncs that failed.
    pub failed_syncs: Counter,
    /// Requests by API.
    pub requests: Requests,
    /// Requests of the native protocol.
    pub native_requests: NativeRequests,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(true)
    }
}

impl Metrics {
    /// All of them at 0. Those that are not on stay there, but for what the log tells of by its
    /// count.
    #[must_use]
    pub fn new(is_on: bool) -> Self {
        let counter = || Counter::new(is_on);
        let times = || Histogram::new(Scale::TIMES, is_on);
        Self {
            is_on,
            produced_batches: counter(),
            duplicate_batches: counter(),
            produced_records: counter(),
            produced_bytes: counter(),
            refused_batches: counter(),
            inflated_batches: Counter::new(true),
            fetches: counter(),
            parked_fetches: counter(),
            parked_times: times(),
            fetched_records: counter(),
            fetched_bytes: counter(),
            connections: counter(),
            closed_connections: counter(),
            refused_connections: counter(),
            failed_logins: ByMechanism::new(is_on),
            certificate_end_ms: Moment::default(),
            received_bytes: counter(),
            sent_bytes: counter(),
            retention_checks: counter(),
            scrub_bytes: counter(),
            scrub_errors: counter(),
            commits: Commits {
                times: times(),
                batches: Histogram::new(Scale::COUNTS, is_on),
                logs: Histogram::new(Scale::COUNTS, is_on),
            },
            syncs: times(),
            failed_syncs: counter(),
            requests: Requests::new(is_on),
            native_requests: NativeRequests::new(is_on),
        }
    }
}

/// A number for each mechanism of SASL.
#[derive(Debug)]
pub struct ByMechanism {
    plain: Counter,
    scram_sha_256: Counter,
    scram_sha_512: Counter,
}

impl ByMechanism {
    fn new(is_on: bool) -> Self {
        Self {
            plain: Counter::new(is_on),
            scram_sha_256: Counter::new(is_on),
            scram_sha_512: Counter::new(is_on),
        }
    }

    /// That of one.
    #[must_use]
    pub fn of(&self, mechanism: Mechanism) -> &Counter {
        match mechanism {
            Mechanism::Plain => &self.plain,
            Mechanism::ScramSha256 => &self.scram_sha_256,
            Mechanism::ScramSha512 => &self.scram_sha_512,
        }
    }
}

/// A moment that is not known at first, and may change; copies are the same one.
#[derive(Clone, Debug)]
pub struct Moment(Arc<AtomicI64>);

impl Default for Moment {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(UNKNOWN)))
    }
}

impl Moment {
    /// It is this now; or nobody knows any more.
    pub fn set(&self, moment: Option<i64>) {
        self.0.store(moment.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    /// What it is, if that is known.
    #[must_use]
    pub fn get(&self) -> Option<i64> {
        let moment = self.0.load(Ordering::Relaxed);
        (moment != UNKNOWN).then_some(moment)
    }
}

/// Commits at `fsync`: batches of many callers that are made durable together.
#[derive(Debug)]
pub struct Commits {
    /// From the queueing of the batch that waited longest to the end of its commit.
    pub times: Histogram,
    /// Batches whose producers waited for it.
    pub batches: Histogram,
    /// Logs that it made durable.
    pub logs: Histogram,
}

/// Requests of the Kafka wire, over connections and in this process, and the error codes that were
/// answered.
#[derive(Debug)]
pub struct Requests {
    is_on: bool,
    /// By API key; made at the first request.
    times: Box<[OnceLock<Box<RequestTimes>>]>,
    errors: Errors<ApiKey>,
}

/// Error codes that were answered, by what was asked: at most as many as there are of both.
#[derive(Debug)]
struct Errors<K> {
    is_on: bool,
    counts: Mutex<BTreeMap<(K, i16), u64>>,
}

impl<K: Copy + Ord> Errors<K> {
    const fn new(is_on: bool) -> Self {
        Self {
            is_on,
            counts: Mutex::new(BTreeMap::new()),
        }
    }

    fn count(&self, of: K, code: i16) {
        if self.is_on {
            *self.lock().entry((of, code)).or_default() += 1;
        }
    }

    fn counted(&self) -> BTreeMap<(K, i16), u64> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(K, i16), u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The times of the requests of one API.
#[derive(Debug)]
pub struct RequestTimes {
    /// From the moment when it came until its answer was there, waits included.
    pub total: Histogram,
    /// The part of it before it was begun: behind requests of the same connection. Those that did
    /// not wait, nearly all, are not counted here: what is not done costs nothing.
    queued: Histogram,
}

impl RequestTimes {
    /// How long requests waited behind others of their connection, those that did not included.
    #[must_use]
    pub fn queued(&self) -> HistogramNow {
        let mut queued = self.queued.now();
        let all: u64 = self.total.now().counts.iter().sum();
        let counted: u64 = queued.counts.iter().sum();
        if let Some(least) = queued.counts.first_mut() {
            *least += all.saturating_sub(counted);
        }
        queued
    }
}

impl Requests {
    fn new(is_on: bool) -> Self {
        let keys = APIS.iter().map(|api| slot(api.key) + 1).max();
        Self {
            is_on,
            times: (0..keys.unwrap_or(0)).map(|_| OnceLock::new()).collect(),
            errors: Errors::new(is_on),
        }
    }

    /// Counts a request: how long it took in all, and before it was begun.
    #[inline]
    pub fn observe(&self, api: ApiKey, took: Duration, queued: Duration) {
        if let Some(times) = self.times.get(slot(api)).filter(|_| self.is_on) {
            let times = times.get_or_init(Box::default);
            times.total.observe_time(took);
            if !queued.is_zero() {
                times.queued.observe_time(queued);
            }
        }
    }

    /// Counts an error code in the answer to a request.
    pub fn failed(&self, api: ApiKey, code: i16) {
        self.errors.count(api, code);
    }

    /// The times of each API that was used.
    pub fn times(&self) -> impl Iterator<Item = (ApiKey, &RequestTimes)> {
        let used = |api: ApiKey| Some((api, &**self.times.get(slot(api))?.get()?));
        APIS.iter().filter_map(move |api| used(api.key))
    }

    /// How many errors of each code each API answered.
    #[must_use]
    pub fn errors(&self) -> BTreeMap<(ApiKey, i16), u64> {
        self.errors.counted()
    }
}

impl Default for RequestTimes {
    fn default() -> Self {
        let times = || Histogram::new(Scale::TIMES, true);
        Self {
            total: times(),
            queued: times(),
        }
    }
}

/// Values of one label, such as names of topics, that monitoring is told of: what clients choose
/// must not fill the memory of who watches.
pub const LABELS_MAX: usize = 1000;

/// A cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Cell(AtomicU64);

fn slot(api: ApiKey) -> usize {
    usize::try_from(api.number()).unwrap_or(usize::MAX)
}

/// The cell of this thread.
#[inline]
fn own<T>(cells: &[T; CELLS]) -> &T {
    &cells[OWN.with(|own| *own) % CELLS]
}

thread_local! {
    static OWN: usize = THREADS.fetch_add(1, Ordering::Relaxed);
}

/// How many threads have counted something.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// No moment of a [`Moment`].
const UNKNOWN: i64 = i64::MIN;

/// Few machines that Highwater is for have more cores that work at once.
const CELLS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_together() {
        let counter = Counter::new(true);
        let times = Histogram::new(Scale::TIMES, true);
        std::thread::scope(|scope| {
            for _ in 0..2 * CELLS {
                scope.spawn(|| {
                    for nanos in 0..1000 {
                        counter.increment();
                        times.observe(nanos);
                    }
                });
            }
        });
        let threads = 2 * CELLS as u64;
        assert_eq!(counter.value(), 1000 * threads);
        assert_eq!(times.now().counts[0], 1000 * threads);
        assert_eq!(times.now().sum, 999 * 1000 / 2 * threads);
    }

    #[test]
    fn what_is_off_counts_nothing_but_what_the_log_tells_of() {
        let off = Metrics::new(false);
        let [api, ..] = APIS else {
            panic!("there are APIs")
        };
        off.connections.increment();
        off.requests
            .observe(api.key, Duration::ZERO, Duration::ZERO);
        off.requests.failed(api.key, 3);
        assert_eq!(off.connections.value(), 0);
        assert_eq!(off.requests.times().count(), 0);
        assert_eq!(off.requests.errors(), BTreeMap::new());
        off.inflated_batches.increment();
        assert_eq!(off.inflated_batches.value(), 1);
    }

    #[test]
    fn only_the_apis_that_were_used_are_told() {
        let requests = Requests::new(true);
        assert_eq!(requests.times().count(), 0);
        let [first, .., last] = APIS else {
            panic!("there are APIs")
        };
        for api in [first.key, last.key, last.key] {
            requests.observe(api, Duration::from_secs(1), Duration::ZERO);
            requests.observe(api, Duration::from_secs(2), Duration::from_secs(1));
        }
        let told: Vec<_> = requests
            .times()
            .map(|(api, times)| {
                let (total, queued) = (times.total.now(), times.queued());
                let all = total.counts.iter().sum::<u64>();
                assert_eq!(queued.counts.iter().sum::<u64>(), all);
                (api, all, queued.counts[0], queued.sum)
            })
            .collect();
        let second = 1_000_000_000;
        let expected = [(first.key, 2, 1, second), (last.key, 4, 2, 2 * second)];
        assert_eq!(told, expected);
        requests.failed(last.key, 3);
        requests.failed(last.key, 3);
        assert_eq!(requests.errors(), BTreeMap::from([((last.key, 3), 2)]));
    }
}
