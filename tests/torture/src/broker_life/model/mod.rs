//! What the clients of a broker know: what they sent, what they were answered, what they saw.
//!
//! Invariants
//! - Nothing here asks the broker: answers go in, judgements come out.
//! - What was asked and not answered may have happened or not, until the next look.

mod offsets;
mod partition;

use std::collections::{BTreeMap, BTreeSet};

use highwater_broker::ids::TopicId;

pub(super) use offsets::Committed;
pub(super) use partition::{Found, Partition, Survived, Value};

use crate::broker_life::book::{Book, Oracle};

/// When a topic's acknowledgements are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    Fsync,
    PageCache,
}

impl Durability {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::PageCache => "page-cache",
        }
    }
}

/// A topic as it is known to be; there is none without an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) id: Option<TopicId>,
    pub(super) partitions: i32,
    pub(super) durability: Durability,
    pub(super) retention_ms: Option<i64>,
    /// A change that was asked for and not answered.
    pub(super) pending: Option<Change>,
}

/// A change of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Create,
    Delete,
    Grow(i32),
    Durability(Durability),
}

/// A partition of one life of a topic.
pub(super) type Place = (TopicId, i32);

/// All that is known.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) book: Book,
    pub(super) topics: BTreeMap<String, Topic>,
    pub(super) partitions: BTreeMap<Place, Partition>,
    /// Topics whose deletion is known to have happened.
    pub(super) gone: BTreeSet<TopicId>,
    /// By group and partition.
    pub(super) committed: BTreeMap<(String, Place), Committed>,
    pub(super) groups: BTreeMap<String, Group>,
    /// Every value that was sent, and where to.
    pub(super) sent: BTreeMap<Value, (String, i32)>,
    /// Values that were acknowledged and are lost, as they may be.
    pub(super) lost: BTreeSet<Value>,
    /// The leader epoch of the last life in which there were topics.
    pub(super) epoch: Option<i32>,
    pub(super) producer_ids: BTreeSet<i64>,
}

/// A group as its members know it.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The newest generation whose assignment a member was given.
    pub(super) synced: i32,
    /// What leaders brought, by generation and member.
    pub(super) brought: BTreeMap<(i32, String), String>,
}

impl Model {
    pub(super) fn broken(&mut self, oracle: Oracle, text: impl Into<String>) {
        self.book.broken(oracle, text);
    }

    /// The id of a topic whose existence is beyond doubt.
    pub(super) fn sure_id(&self, name: &str) -> Option<TopicId> {
        let topic = self.topics.get(name)?;
        match topic.pending {
            Some(Change::Create | Change::Delete) => None,
            _ => topic.id,
        }
    }

    /// Whether all of a topic is durable once it is acknowledged, whatever happens around.
    pub(super) fn is_fsync(&self, name: &str) -> bool {
        self.topics.get(name).is_some_and(|topic| {
            topic.durability == Durability::Fsync
                && !matches!(topic.pending, Some(Change::Durability(_)))
        })
    }

    pub(super) fn partition(&mut self, place: Place) -> &mut Partition {
        self.partitions.entry(place).or_default()
    }

    /// Records were seen or acknowledged at an offset.
    pub(super) fn saw(&mut self, place: Place, offset: i64, value: Value, epoch: Option<i32>) {
        let told = self.partition(place).saw(offset, value, epoch);
        if let Err(text) = told {
            self.broken(Oracle::O3, format!("{}/{}: {text}", place.0, place.1));
        }
    }

    /// A record was read.
    pub(super) fn found(&mut self, name: &str, place: Place, found: &Found) {
        let sent = self.sent.get(&found.value);
        if sent != Some(&(name.to_owned(), place.1)) {
            let text = format!("{name}/{}: {found:?} was sent to {sent:?}", place.1);
            self.broken(Oracle::O2, text);
        }
        self.saw(place, found.offset, found.value, Some(found.epoch));
        let timestamps = &mut self.partition(place).timestamps;
        timestamps.insert(found.offset, found.timestamp);
    }

    /// The first offset of a partition, as the broker tells it now.
    pub(super) fn saw_start(&mut self, name: &str, place: Place, start: i64, now_ms: i64) {
        let retention_ms = self.topics.get(name).and_then(|topic| topic.retention_ms);
        let partition = self.partition(place);
        let mut wrong = Vec::new();
        let has_expired = start > partition.start.max(partition.start_asked);
        if has_expired {
            let gone = partition.timestamps.range(..start);
            let is_young =
                |timestamp: i64| retention_ms.is_none_or(|kept_ms| timestamp + kept_ms > now_ms);
            wrong = gone
                .filter(|(_, timestamp)| is_young(**timestamp))
                .map(|(at, _)| *at)
                .collect();
        }
        partition.timestamps = partition.timestamps.split_off(&start);
        let back = partition.saw_start(start);
        self.book.stats.starts_moved += u64::from(has_expired);
        if !wrong.is_empty() {
            let text = format!(
                "{name}/{}: begins at {start}, though {wrong:?} is younger than {retention_ms:?} ms",
                place.1
            );
            self.broken(Oracle::O9, text);
        }
        if let Some(text) = back {
            self.broken(Oracle::O8, format!("{name}/{}: {text}", place.1));
        }
    }

    /// A group's offset, as the broker tells it now.
    pub(super) fn saw_committed(&mut self, group: &str, place: Place, offset: i64) {
        let key = (group.to_owned(), place);
        let told = self.committed.entry(key).or_default().saw(offset);
        if let Err(text) = told {
            let text = format!("group {group}, partition {}/{}: {text}", place.0, place.1);
            self.broken(Oracle::O6, text);
        }
    }

    /// A generation was announced to a member.
    pub(super) fn saw_generation(&mut self, group: &str, generation: i32) {
        let known = self.groups.entry(group.to_owned()).or_default();
        if generation < known.synced {
            let text = format!(
                "group {group}: a member was told generation {generation}, though the assignments \
                 of generation {} were given out",
                known.synced
            );
            self.broken(Oracle::O15, text);
        }
    }

    /// A topic is gone: so is all that was known of its partitions.
    pub(super) fn forget(&mut self, id: TopicId) {
        self.gone.insert(id);
        self.partitions.retain(|place, _| place.0 != id);
        self.committed.retain(|(_, place), _| place.0 != id);
    }
}
