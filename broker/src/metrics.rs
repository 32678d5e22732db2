//! What the broker did, as numbers that only grow.
//!
//! Floor 0 of broker.
//!
//! Invariants
//! - A number only grows, but for those that say so; counting takes no lock, but for errors.
//! - Threads count in cells of their own, so that they do not wait for each other's cache lines.

use std::array;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use highwater_proto::kafka::{APIS, ApiKey};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter {
    cells: [Cell; CELLS],
}

impl Counter {
    /// Adds to it.
    #[inline]
    pub fn add(&self, count: u64) {
        own(&self.cells).0.fetch_add(count, Ordering::Relaxed);
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

/// How long things took: how many took at most as long as each of [`BOUNDS`].
#[derive(Debug, Default)]
pub struct Durations {
    cells: [DurationCell; CELLS],
}

/// What [`Durations`] say at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DurationsNow {
    /// How many fell between each bound and the one before it; the last: above all bounds.
    pub counts: [u64; BOUNDS.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

impl Durations {
    /// Counts one.
    #[inline]
    pub fn observe(&self, took: Duration) {
        let cell = own(&self.cells);
        let bucket = BOUNDS.partition_point(|bound| *bound < took);
        if let Some(count) = cell.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        cell.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// The numbers now.
    #[must_use]
    pub fn now(&self) -> DurationsNow {
        let sum = |of: &dyn Fn(&DurationCell) -> &AtomicU64| -> u64 {
            let numbers = self.cells.iter();
            numbers.map(|cell| of(cell).load(Ordering::Relaxed)).sum()
        };
        DurationsNow {
            counts: array::from_fn(|bucket| sum(&|cell| &cell.counts[bucket])),
            sum: Duration::from_nanos(sum(&|cell| &cell.nanos)),
        }
    }
}

/// The numbers of one broker since its start.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Batches that were appended or recognised as duplicates.
    pub produced_batches: Counter,
    /// Records of the batches that passed validation.
    pub produced_records: Counter,
    /// Bytes of those batches.
    pub produced_bytes: Counter,
    /// Batches that were refused.
    pub refused_batches: Counter,
    /// Fetches that were answered.
    pub fetches: Counter,
    /// Fetches that had to wait for records.
    pub parked_fetches: Counter,
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
    /// Requests by API.
    pub requests: Requests,
}

/// Requests of the Kafka wire, over connections and in this process: how long each took from the
/// moment when it came until its answer was there, waiting for records or for other members
/// included, and the error codes that were answered.
#[derive(Debug)]
pub struct Requests {
    /// By API key; made at the first request.
    durations: Box<[OnceLock<Box<Durations>>]>,
    /// By API and code: at most as many as there are of both.
    errors: Mutex<BTreeMap<(ApiKey, i16), u64>>,
}

impl Default for Requests {
    fn default() -> Self {
        let keys = APIS.iter().map(|api| slot(api.key) + 1).max();
        Self {
            durations: (0..keys.unwrap_or(0)).map(|_| OnceLock::new()).collect(),
            errors: Mutex::default(),
        }
    }
}

impl Requests {
    /// Counts a request.
    #[inline]
    pub fn observe(&self, api: ApiKey, took: Duration) {
        if let Some(durations) = self.durations.get(slot(api)) {
            durations.get_or_init(Box::default).observe(took);
        }
    }

    /// Counts an error code in the answer to a request.
    pub fn failed(&self, api: ApiKey, code: i16) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        *errors.entry((api, code)).or_default() += 1;
    }

    /// How long the requests of each API took that was used.
    #[must_use]
    pub fn durations(&self) -> Vec<(ApiKey, DurationsNow)> {
        let used = |api: ApiKey| Some((api, self.durations.get(slot(api))?.get()?.now()));
        APIS.iter().filter_map(|api| used(api.key)).collect()
    }

    /// How many errors of each code each API answered.
    #[must_use]
    pub fn errors(&self) -> BTreeMap<(ApiKey, i16), u64> {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.clone()
    }
}

/// The bounds of [`Durations`], from what memory takes to what a long poll waits.
pub const BOUNDS: [Duration; 17] = [
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_secs(30),
];

/// A cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Cell(AtomicU64);

#[derive(Debug, Default)]
#[repr(align(64))]
struct DurationCell {
    counts: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

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

/// Few machines that Highwater is for have more cores that work at once.
const CELLS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_together() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * CELLS {
                scope.spawn(|| (0..1000).for_each(|_| counter.increment()));
            }
        });
        assert_eq!(counter.value(), 2000 * CELLS as u64);
    }

    #[test]
    fn a_duration_counts_below_the_bound_that_it_does_not_pass() {
        assert!(BOUNDS.is_sorted());
        let durations = Durations::default();
        let took = [
            Duration::ZERO,
            BOUNDS[0],
            BOUNDS[0] + Duration::from_nanos(1),
            BOUNDS[16],
            Duration::from_secs(31),
        ];
        took.iter().for_each(|took| durations.observe(*took));
        let now = durations.now();
        assert_eq!((now.counts[0], now.counts[1]), (2, 1));
        assert_eq!((now.counts[16], now.counts[17]), (1, 1));
        assert_eq!(now.counts.iter().sum::<u64>(), 5);
        assert_eq!(now.sum, took.iter().sum());
    }

    #[test]
    fn only_the_apis_that_were_used_are_told() {
        let requests = Requests::default();
        assert_eq!(requests.durations(), []);
        let [first, .., last] = APIS else {
            panic!("there are APIs")
        };
        for api in [first.key, last.key, last.key] {
            requests.observe(api, Duration::ZERO);
        }
        let counts: Vec<_> = requests
            .durations()
            .into_iter()
            .map(|(api, now)| (api, now.counts[0]))
            .collect();
        assert_eq!(counts, [(first.key, 1), (last.key, 2)]);
        requests.failed(last.key, 3);
        requests.failed(last.key, 3);
        assert_eq!(requests.errors(), BTreeMap::from([((last.key, 3), 2)]));
    }
}
