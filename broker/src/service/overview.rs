//! What monitoring wants to know of the whole broker at once.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - What is told is bounded: [`LABELS_MAX`] topics, as many partitions of each, and as many as the
//!   caller wants of all.

use std::collections::BTreeSet;
use std::sync::Arc;

use highwater_log::shard::Room;
use tokio::sync::Semaphore;

use crate::meta::Topic;
use crate::metrics::LABELS_MAX;
use crate::service::Service;
use crate::shard::DiskSpace;

/// One partition: where its log starts and ends, and how large it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionOverview {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub start: i64,
    /// The next offset to be written.
    pub end: i64,
    /// The bytes of its segments.
    pub bytes: u64,
}

/// A topic of dead letters: records that some application could not handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterTopic {
    /// The topic's name.
    pub topic: String,
    /// Records that are there.
    pub records: u64,
    /// The age of the oldest of them in milliseconds, by its timestamp; `None` if there is none,
    /// or it cannot be read.
    pub oldest_ms: Option<i64>,
}

/// The bytes of records that went through a topic since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicTraffic {
    /// The topic's name; empty for all that are not told by name.
    pub topic: String,
    /// Bytes of batches that were accepted.
    pub produced: u64,
    /// Bytes of records that were handed out.
    pub fetched: u64,
}

/// What went on in the streams of a topic since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicEvents {
    /// The topic's name; empty for all that are not told by name.
    pub topic: String,
    /// Events that were appended.
    pub appended: u64,
    /// Appends that were refused because a stream was not as expected.
    pub conflicts: u64,
}

/// Memory that is bounded by a setting: what is taken of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes that are taken.
    pub used: u64,
    /// Bytes that there are.
    pub max: u64,
}

impl Service {
    /// The room for records, and what was done for it.
    #[must_use]
    pub fn room(&self) -> Room {
        self.inner.shard.records_room()
    }

    /// The room on the disk; nothing is known of it where the disk does not tell.
    pub async fn disk_space(&self) -> DiskSpace {
        self.inner.shard.disk_space().await.unwrap_or(DiskSpace {
            total_bytes: None,
            free_bytes: None,
        })
    }

    /// Ranges of all logs that are damaged and that nobody has given up.
    pub async fn damaged_ranges(&self) -> usize {
        let shard = Arc::clone(&self.inner.shard);
        let count = move || {
            let readers = shard
                .log_ids()
                .into_iter()
                .filter_map(|id| shard.reader(id));
            readers.map(|reader| reader.damaged_ranges()).sum()
        };
        // The task fails only when the runtime is being shut down.
        let counted = self.inner.workers.spawn_blocking(count).await;
        counted.unwrap_or_default()
    }

    /// Batches that wait to be written or synced: `queued.max.bytes`.
    #[must_use]
    pub fn queued_batches(&self) -> Budget {
        let (used, max) = self.inner.shard.queued_bytes();
        Budget { used, max }
    }

    /// Large requests that are being received: `queued.max.request.bytes`.
    #[must_use]
    pub fn queued_requests(&self) -> Budget {
        let max = self
            .config()
            .queued_max_request_bytes
            .min(Semaphore::MAX_PERMITS) as u64;
        let budget = self.inner.request_budget.get();
        let free = budget.map_or(max, |budget| budget.available_permits() as u64);
        let used = max.saturating_sub(free);
        Budget { used, max }
    }

    /// Tells what is left for requests that are being received.
    pub(crate) fn watch_request_budget(&self, budget: &Arc<Semaphore>) {
        // A service has one receiver; of a second one nothing would be told.
        let _first_wins = self.inner.request_budget.set(Arc::clone(budget));
    }

    /// The names of all topics, in order; of those beyond [`LABELS_MAX`] nothing is told by name.
    #[must_use]
    pub fn told_topics(&self) -> BTreeSet<String> {
        let topics = self.inner.meta.read(|meta| {
            let names = meta.state().topics().map(|topic| topic.name.clone());
            names.collect::<BTreeSet<_>>()
        });
        topics.into_iter().take(LABELS_MAX).collect()
    }

    /// The partitions by topic name and number, at most so many, and how many there are.
    #[must_use]
    pub fn partitions_overview(&self, count_max: usize) -> (Vec<PartitionOverview>, usize) {
        let mut topics: Vec<_> = self
            .inner
            .meta
            .read(|meta| meta.state().topics().cloned().collect());
        topics.sort_by(|one, other| one.name.cmp(&other.name));
        let count = topics
            .iter()
            .map(|topic| usize::try_from(topic.partition_count).unwrap_or(0))
            .sum();
        let logs = topics.iter().take(LABELS_MAX).flat_map(|topic| {
            let told = topic.logs().take(LABELS_MAX);
            told.map(|log| (&topic.name, log))
        });
        let partitions = logs.take(count_max).map(|(topic, id)| {
            let log = self.log(id);
            PartitionOverview {
                topic: topic.clone(),
                partition: i32::try_from(id.partition).unwrap_or(i32::MAX),
                start: log.start().0,
                end: log.end().0,
                bytes: log.size_bytes(),
            }
        });
        (partitions.collect(), count)
    }

    /// Bytes that were produced and fetched since the start, by topic: of the first [`LABELS_MAX`],
    /// and of all others together, without a name.
    #[must_use]
    pub fn topic_traffic(&self) -> Vec<TopicTraffic> {
        let mut topics: Vec<_> = self
            .inner
            .meta
            .read(|meta| meta.state().topics().cloned().collect());
        topics.sort_by(|one, other| one.name.cmp(&other.name));
        let mut others = TopicTraffic::default();
        let mut told = Vec::new();
        for topic in &topics {
            let mut traffic = TopicTraffic::default();
            for id in topic.logs() {
                let (produced, fetched) = self.log(id).counted();
                traffic.produced += produced;
                traffic.fetched += fetched;
            }
            if told.len() < LABELS_MAX {
                traffic.topic.clone_from(&topic.name);
                told.push(traffic);
            } else {
                others.produced += traffic.produced;
                others.fetched += traffic.fetched;
            }
        }
        if topics.len() > LABELS_MAX {
            told.push(others);
        }
        told
    }

    /// What went on in streams, by topic that has them: of the first [`LABELS_MAX`], and of all
    /// others together, without a name. And the memory of all indexes of keys, in bytes.
    #[must_use]
    pub fn topic_events(&self) -> (Vec<TopicEvents>, u64) {
        let mut topics: Vec<_> = self.inner.meta.read(|meta| {
            let topics = meta.state().topics();
            let topics = topics.filter(|topic| topic.settings.log.key_index);
            topics.cloned().collect()
        });
        topics.sort_by(|one, other| one.name.cmp(&other.name));
        let mut told: Vec<TopicEvents> = Vec::new();
        let mut index_bytes = 0;
        for (place, topic) in topics.iter().enumerate() {
            if place <= LABELS_MAX {
                told.push(TopicEvents::default());
            }
            let Some(events) = told.last_mut() else {
                continue;
            };
            if place < LABELS_MAX {
                events.topic.clone_from(&topic.name);
            }
            for id in topic.logs() {
                let log = self.log(id);
                let (appended, conflicts) = log.counted_events();
                events.appended += appended;
                events.conflicts += conflicts;
                index_bytes += log.key_index_bytes();
            }
        }
        (told, index_bytes)
    }

    /// Those of these topics whose names end as those of dead letters do: `-dlt`, `.DLT`, `.dlq`
    /// and the like.
    pub async fn letter_topics(&self, of: &BTreeSet<String>) -> Vec<LetterTopic> {
        let names = of.iter().filter(|name| is_of_letters(name));
        let topics: Vec<_> = names.filter_map(|name| self.named(name)).collect();
        if topics.is_empty() {
            return Vec::new();
        }
        let service = self.clone();
        let look = move || {
            let topics = topics.iter();
            topics.map(|topic| service.look_at_letters(topic)).collect()
        };
        // The task fails only when the runtime is being shut down.
        let looked = self.inner.workers.spawn_blocking(look).await;
        looked.unwrap_or_default()
    }

    fn look_at_letters(&self, topic: &Topic) -> LetterTopic {
        let (mut records, mut oldest_ms) = (0_u64, None);
        for id in topic.logs() {
            let partition = self.log(id);
            let (start, end) = (partition.start(), partition.high_watermark());
            if end <= start {
                continue;
            }
            records += u64::try_from(end.0 - start.0).unwrap_or(0);
            oldest_ms = oldest_ms.max(self.age_of(&partition, start));
        }
        LetterTopic {
            topic: topic.name.clone(),
            records,
            oldest_ms,
        }
    }
}

/// Spring Kafka's, Kafka Connect's and our own.
fn is_of_letters(topic: &str) -> bool {
    let name = topic.to_ascii_lowercase();
    let ends = ["dlt", "dlq"];
    let before = ends.iter().find_map(|end| name.strip_suffix(end));
    before.is_some_and(|before| before.ends_with(['-', '.', '_']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_dead_letters_are_known() {
        for name in [
            "orders-dlt",
            "orders.DLT",
            "orders.dlq",
            "orders_DLQ",
            "a-b-dlt",
        ] {
            assert!(is_of_letters(name), "{name}");
        }
        for name in ["orders", "dlt", "ordersdlt", "orders-dlt-2", "orders-dlqs"] {
            assert!(!is_of_letters(name), "{name}");
        }
    }
}
