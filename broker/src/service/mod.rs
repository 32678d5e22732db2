//! Every operation of the broker in domain words, for listeners and embedders alike.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - Nothing here knows a wire format or a socket.
//! - An operation that was begun takes effect or fails whole, also when its caller is gone.
//! - Once the service is closing, nobody waits for records or other members of a group any more.

pub mod cluster;
pub mod configs;
pub mod events;
pub mod fetch;
mod first_times;
pub mod groups;
mod housekeeping;
pub mod offsets;
pub mod overview;
pub mod placement;
pub mod produce;
pub mod producer_ids;
pub mod repair;
mod scrub;
mod start;
pub mod topic_partitions;
pub mod topics;
pub mod users;

use std::sync::{Arc, Mutex, OnceLock};

use highwater_log::error::LogError;
use highwater_log::types::LogId;
use highwater_proto::clock::Clock;
use highwater_proto::sasl::Secret;
use tokio::sync::{Semaphore, watch};

use crate::config::BrokerConfig;
use crate::coordinator::Coordinator;
use crate::ids::{Ids, TopicId, TopicRef};
use crate::meta::{MetaMachine, Topic};
use crate::metrics::Metrics;
use crate::partition::Partition;
use crate::shard::Shard;
use crate::workers::Workers;

pub use start::ServiceOptions;

/// The operations of one broker. Clones are the same service.
///
/// Its futures are polled within a tokio runtime that has its timer enabled.
#[derive(Clone, Debug)]
pub struct Service {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Arc<BrokerConfig>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    workers: Workers,
    ids: Ids,
    shard: Arc<Shard>,
    meta: Coordinator<MetaMachine>,
    producer_ids: producer_ids::Block,
    groups: groups::Groups,
    /// What the salts of users that do not exist follow from, until there is a user.
    salt_secret: Secret,
    #[cfg(feature = "sasl")]
    passwords: Semaphore,
    fetch_sessions: Mutex<fetch::session::Sessions>,
    listening: Mutex<Vec<cluster::Listening>>,
    /// Where the data is, for the broker's description.
    data_dir: String,
    closing: watch::Sender<bool>,
    /// What is left for requests that are being received; set by who receives them.
    request_budget: OnceLock<Arc<Semaphore>>,
    first_times: first_times::FirstTimes,
    recent: Arc<events::Recent>,
}

/// What decisions of the metadata machine lock.
#[derive(Clone, Copy, Debug, Hash)]
enum MetaKey {
    /// Names collide across topics, and the limit of partitions counts them all: topic changes
    /// are decided one after the other.
    Topics,
    ProducerIds,
    Users,
}

impl Service {
    /// The settings.
    #[must_use]
    pub fn config(&self) -> &BrokerConfig {
        &self.inner.config
    }

    /// The time.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Why nothing can be written any more, if that is so: a write or sync has failed.
    #[must_use]
    pub fn poisoned(&self) -> Option<String> {
        self.inner.shard.poisoned()
    }

    /// Where ids come from.
    #[must_use]
    pub fn ids(&self) -> &Ids {
        &self.inner.ids
    }

    /// Waits until nothing can be written any more, and answers why; for ever if that does not
    /// happen before the broker is closed.
    pub async fn until_poisoned(&self) -> String {
        self.inner.shard.until_poisoned().await
    }

    /// How many fetches wait for records now.
    #[must_use]
    pub fn parked_count(&self) -> usize {
        self.inner.shard.waiters().count()
    }

    /// A future for the moment when the broker begins to shut down.
    #[must_use]
    pub fn closing(&self) -> Closing {
        Closing {
            signal: self.inner.closing.subscribe(),
        }
    }

    /// Answers everyone who waits, and tells the listeners to come to an end.
    pub fn begin_closing(&self) {
        self.inner.closing.send_replace(true);
        self.inner.groups.begin_closing();
        self.inner.shard.waiters().close();
    }

    /// Waits for the writes of groups that no request waits for: those of the timer, and those
    /// whose caller is gone.
    pub(crate) async fn finish(&self) {
        self.inner.groups.finish_writes().await;
    }

    /// Does work that has more than one step to its end, also when the caller is gone.
    async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, LogError>> + Send + 'static,
    ) -> Result<T, LogError> {
        // The task fails only when the runtime is being shut down, or the work panicked.
        let task = self.inner.workers.spawn(work);
        task.await.unwrap_or(Err(LogError::Closed))
    }

    /// A topic's name, if there is such a topic.
    #[must_use]
    pub fn topic_name(&self, id: TopicId) -> Option<String> {
        self.topic(&TopicRef::Id(id))
            .map(|topic| topic.name.clone())
    }

    /// A topic's id, if there is such a topic.
    #[must_use]
    pub fn topic_id(&self, name: &str) -> Option<TopicId> {
        self.named(name).map(|topic| topic.id)
    }

    fn topic(&self, topic: &TopicRef) -> Option<Arc<Topic>> {
        self.inner
            .meta
            .read(|meta| meta.state().topic(topic).cloned())
    }

    fn named(&self, name: &str) -> Option<Arc<Topic>> {
        self.inner
            .meta
            .read(|meta| meta.state().named(name).cloned())
    }

    /// A partition for readers, if the topic has it.
    fn partition(&self, topic: &Topic, partition: i32) -> Option<Partition> {
        topic.log(partition).map(|log| self.log(log))
    }

    fn log(&self, log: LogId) -> Partition {
        let epoch = self.inner.meta.read(|meta| meta.state().leader_epoch());
        Partition::new(&self.inner.shard, log, epoch)
    }
}

/// Completes when the broker begins to shut down.
#[derive(Clone, Debug)]
pub struct Closing {
    signal: watch::Receiver<bool>,
}

impl Closing {
    /// Whether that moment has come.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        *self.signal.borrow()
    }

    /// Waits for that moment.
    pub async fn begun(&mut self) {
        // An error means that the service is gone, which is no less of an end.
        drop(self.signal.wait_for(|closing| *closing).await);
    }
}
