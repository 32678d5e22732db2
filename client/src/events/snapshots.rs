//! States that were written down, so that only what happened since has to be read.
//!
//! Floor 6 of client.
//!
//! The snapshots of a topic are in a topic of their own, by the same keys; the last record of a key
//! is its newest. The value is the state, the headers say after which event, by its revision, its
//! offset and its id.
//!
//! Invariants
//! - A snapshot is used only if the event that it names is read at its place: one of a stream that
//!   has lost its end, or has another one now, is left out.
//! - A load or an update neither waits for a snapshot to be written nor fails with it.
//! - A state that leaves events out is not written down: who knows them one day folds them.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use highwater_proto::native::v1;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tracing::warn;

use super::aggregate::Aggregate;
use super::error::EventsError;
use super::exchange::{Asking, read_stream, unexpected};
use super::expect::{Expect, Head};
use super::load::Loaded;
use super::recorded::header;
use super::store::EventStore;
use crate::exposition::{Figures, Samples};

/// When states are written down, and how; for
/// [`EventStoreBuilder::snapshots`](super::EventStoreBuilder::snapshots).
///
/// The topic of the snapshots is `<topic>-snapshots`, if nothing else is said. It is made as the
/// one of the events is, with `append.conditional=true`.
#[cfg_attr(feature = "json", doc = "```")]
#[cfg_attr(not(feature = "json"), doc = "```ignore")]
/// use highwater_client::events::Snapshots;
/// # use highwater_client::events::{Aggregate, JsonEvents};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Account {
///     balance: u64,
/// }
/// # #[derive(Serialize, Deserialize)]
/// # enum AccountEvent { Deposited(u64) }
/// # impl JsonEvents for AccountEvent {}
/// # impl Aggregate for Account {
/// #     type Event = AccountEvent;
/// #     fn apply(&mut self, AccountEvent::Deposited(amount): &AccountEvent) {
/// #         self.balance += amount;
/// #     }
/// # }
///
/// // Another name is another schema: what was written by the old one is left out.
/// let snapshots = Snapshots::<Account>::json("account.2").every(50);
/// # let _ = snapshots;
/// ```
#[must_use = "nothing is written before a store has it"]
pub struct Snapshots<A> {
    schema: String,
    every: u64,
    slower_than: Option<Duration>,
    topic: Option<String>,
    codec: Box<dyn Codec<A>>,
    counts: Arc<Counts>,
    /// One for each that may be written at one time.
    places: Arc<Semaphore>,
}

/// How a state is written and read.
trait Codec<A>: Send + Sync {
    fn encode(&self, state: &A) -> Result<Bytes, Box<dyn Error + Send + Sync>>;
    fn decode(&self, bytes: &[u8]) -> Result<A, Box<dyn Error + Send + Sync>>;
}

struct Functions<E, D> {
    encode: E,
    decode: D,
}

impl<A, E, D> Codec<A> for Functions<E, D>
where
    E: Fn(&A) -> Result<Bytes, Box<dyn Error + Send + Sync>> + Send + Sync,
    D: Fn(&[u8]) -> Result<A, Box<dyn Error + Send + Sync>> + Send + Sync,
{
    fn encode(&self, state: &A) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
        (self.encode)(state)
    }

    fn decode(&self, bytes: &[u8]) -> Result<A, Box<dyn Error + Send + Sync>> {
        (self.decode)(bytes)
    }
}

impl<A> Snapshots<A> {
    /// States in JSON, of the schema of that name.
    ///
    /// The name has to change with everything that changes what events fold to: fields, `apply`, an
    /// upcasting.
    #[cfg(feature = "json")]
    pub fn json(schema: impl Into<String>) -> Self
    where
        A: serde::Serialize + serde::de::DeserializeOwned,
    {
        let encode = |state: &A| Ok(serde_json::to_vec(state)?.into());
        let decode = |bytes: &[u8]| Ok(serde_json::from_slice(bytes)?);
        Self::with(schema, encode, decode)
    }

    /// As `json`, in bytes of your own.
    pub fn with<E, D>(schema: impl Into<String>, encode: E, decode: D) -> Self
    where
        E: Fn(&A) -> Result<Bytes, Box<dyn Error + Send + Sync>> + Send + Sync + 'static,
        D: Fn(&[u8]) -> Result<A, Box<dyn Error + Send + Sync>> + Send + Sync + 'static,
    {
        Self {
            schema: schema.into(),
            every: EVERY,
            slower_than: None,
            topic: None,
            codec: Box::new(Functions { encode, decode }),
            counts: Arc::default(),
            places: Arc::new(Semaphore::new(PLACES)),
        }
    }

    /// How many events are folded before the next one is written; 100 if it is not said, and 0 is
    /// taken for 1.
    pub const fn every(mut self, events: u64) -> Self {
        self.every = if events == 0 { 1 } else { events };
        self
    }

    /// One is also written if a load took longer than this and has read events, however few: where
    /// events are large, or far away. Only their number counts, if it is not said.
    pub const fn slower_than(mut self, load: Duration) -> Self {
        self.slower_than = Some(load);
        self
    }

    /// Whether a load deserves one.
    fn is_due(&self, events: u64, took: Duration) -> bool {
        let is_slow = self.slower_than.is_some_and(|limit| took > limit);
        events >= self.every || (is_slow && events > 0)
    }

    /// The topic that they are in.
    pub fn topic(mut self, name: impl Into<String>) -> Self {
        self.topic = Some(name.into());
        self
    }

    pub(super) fn topic_for(&self, events: &str) -> String {
        let own = self.topic.clone();
        own.unwrap_or_else(|| format!("{events}-snapshots"))
    }
}

impl<A> fmt::Debug for Snapshots<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Snapshots");
        shown.field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// What became of snapshots since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotCounts {
    /// `events_snapshots_total{outcome="used"}`: loads that began at one.
    pub used: u64,
    /// `{outcome="ignored"}`: loads that found one that did not fit, or could not be read.
    pub ignored: u64,
    /// `{outcome="written"}`: those that were written.
    pub written: u64,
    /// `{outcome="failed"}`: those that could not be written.
    pub failed: u64,
    /// `{outcome="passed_by"}`: those that were not written because others were being written.
    pub passed_by: u64,
}

impl Figures for SnapshotCounts {
    fn tell(&self, samples: &mut Samples<'_>) {
        let outcomes = [
            ("used", self.used),
            ("ignored", self.ignored),
            ("written", self.written),
            ("failed", self.failed),
            ("passed_by", self.passed_by),
        ];
        let what = "What became of snapshots";
        samples.counters("events_snapshots_total", what, "outcome", outcomes);
    }
}

#[derive(Debug, Default)]
struct Counts {
    used: AtomicU64,
    ignored: AtomicU64,
    written: AtomicU64,
    failed: AtomicU64,
    passed_by: AtomicU64,
}

/// A state that was written down, and after which event.
pub(super) struct Snapshot<A> {
    pub(super) state: A,
    pub(super) head: Head,
    event_id: Option<Bytes>,
}

impl<A> Snapshot<A> {
    /// Whether this is the event that it names.
    pub(super) fn is_after(&self, event: &v1::StreamEvent) -> bool {
        let is_in_place = (event.revision, event.offset) == (self.head.revision, self.head.offset);
        is_in_place && event.value.is_some() && header(event, EVENT_ID) == self.event_id.as_ref()
    }
}

impl<A: Aggregate> EventStore<A> {
    /// What became of snapshots since the store was opened.
    #[must_use]
    pub fn snapshot_counts(&self) -> SnapshotCounts {
        let Some(snapshots) = &self.inner.snapshots else {
            return SnapshotCounts::default();
        };
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &snapshots.counts;
        SnapshotCounts {
            used: read(&counts.used),
            ignored: read(&counts.ignored),
            written: read(&counts.written),
            failed: read(&counts.failed),
            passed_by: read(&counts.passed_by),
        }
    }

    /// Waits until the snapshots are written that are being written: before a program ends.
    pub async fn settle(&self) {
        if let Some(snapshots) = &self.inner.snapshots {
            // It is never closed.
            let all = u32::try_from(PLACES).unwrap_or(u32::MAX);
            drop(snapshots.places.acquire_many(all).await);
        }
    }

    /// The newest snapshot of a stream, if it is of the schema of today.
    pub(super) async fn snapshot(&self, key: &Bytes) -> Option<Snapshot<A>> {
        let snapshots = self.inner.snapshots.as_ref()?;
        let topic = snapshots.topic_for(self.topic());
        let found = match newest(&self.inner.asking, &topic, key).await {
            Ok(found) => found?,
            Err(error) => {
                warn!(%error, topic, "a snapshot cannot be read, the whole stream is");
                snapshots.counts.ignored.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        };
        let read = snapshots.decode(&found);
        if read.is_none() {
            self.snapshot_ignored();
        }
        read
    }

    pub(super) fn snapshot_used(&self) {
        if let Some(snapshots) = &self.inner.snapshots {
            snapshots.counts.used.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn snapshot_ignored(&self) {
        if let Some(snapshots) = &self.inner.snapshots {
            snapshots.counts.ignored.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes a state down in the background, if getting to it took enough events or time.
    pub(super) fn keep(&self, key: &Bytes, loaded: &Loaded<A>, took: Duration) {
        let (Some(snapshots), Some(head)) = (&self.inner.snapshots, loaded.head) else {
            return;
        };
        if !snapshots.is_due(loaded.read, took) || loaded.skipped > 0 || head.is_deleted {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let counts = Arc::clone(&snapshots.counts);
        let Ok(place) = Arc::clone(&snapshots.places).try_acquire_owned() else {
            counts.passed_by.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let topic = snapshots.topic_for(self.topic());
        let value = match snapshots.codec.encode(&loaded.state) {
            Ok(value) => value,
            Err(error) => {
                warn!(%error, topic, "a snapshot cannot be written down");
                counts.failed.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        let call =
            Call::Append(snapshots.to_wire(&topic, key, value, head, loaded.event_id.clone()));
        let asking = self.inner.asking.clone();
        runtime.spawn(async move {
            let count = match asking.once(call).await {
                Ok(Answer::Appended(_)) => &counts.written,
                Ok(_) => &counts.failed,
                Err(error) => {
                    warn!(%error, topic, "a snapshot was not written");
                    &counts.failed
                }
            };
            count.fetch_add(1, Ordering::Relaxed);
            drop(place);
        });
    }
}

impl<A> Snapshots<A> {
    /// Reads one; `None` if it is of another schema, or is none.
    fn decode(&self, record: &v1::StreamEvent) -> Option<Snapshot<A>> {
        let text = |name: &str| std::str::from_utf8(header(record, name)?).ok();
        if text(SCHEMA)? != self.schema {
            return None;
        }
        let head = Head {
            revision: text(REVISION)?.parse().ok()?,
            offset: text(OFFSET)?.parse().ok()?,
            is_deleted: false,
        };
        Some(Snapshot {
            state: self.codec.decode(record.value.as_deref()?).ok()?,
            head,
            event_id: header(record, EVENT).cloned(),
        })
    }

    fn to_wire(
        &self,
        topic: &str,
        key: &Bytes,
        value: Bytes,
        head: Head,
        event_id: Option<Bytes>,
    ) -> v1::Append {
        let text = |name: &str, value: String| v1::Header {
            name: name.to_owned(),
            value: Some(value.into()),
        };
        let mut headers = vec![
            text(SCHEMA, self.schema.clone()),
            text(REVISION, head.revision.to_string()),
            text(OFFSET, head.offset.to_string()),
        ];
        if event_id.is_some() {
            headers.push(v1::Header {
                name: EVENT.to_owned(),
                value: event_id,
            });
        }
        v1::Append {
            topic: topic.to_owned(),
            partition: None,
            checks: vec![v1::StreamCheck {
                key: key.clone(),
                expect: Some(Expect::Any.to_wire()),
            }],
            events: vec![v1::NewEvent {
                key: key.clone(),
                value: Some(value),
                headers,
            }],
        }
    }
}

/// The last record of a stream of snapshots.
async fn newest(
    asking: &Asking,
    topic: &str,
    key: &Bytes,
) -> Result<Option<v1::StreamEvent>, EventsError> {
    let read = async |from_revision| {
        let call = read_stream(topic, key, from_revision);
        match asking.once(Call::ReadStream(call)).await? {
            Answer::StreamEvents(page) => Ok(page),
            _ => Err(EventsError::from(unexpected("a read of a stream"))),
        }
    };
    // Where it ends, and then what is there.
    let Some(head) = read(u64::MAX).await?.head else {
        return Ok(None);
    };
    let page = read(head.revision).await?;
    Ok(page.events.into_iter().last())
}

/// Of how many events a tail is worth reading.
const EVERY: u64 = 100;

/// How many snapshots of one store may be on their way.
const PLACES: usize = 8;

/// The header of an event with its id.
pub(super) const EVENT_ID: &str = "ce_id";

/// The headers of a snapshot: what its state is like, and after which event it is.
const SCHEMA: &str = "es-snapshot-schema";
const REVISION: &str = "es-snapshot-revision";
const OFFSET: &str = "es-snapshot-offset";
const EVENT: &str = "es-snapshot-event";
