//! The plan of one request: what its earlier topics have taken already.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - A topic that is refused takes nothing.

use std::collections::{HashMap, HashSet};

use crate::error::TopicError;
use crate::meta::name::collision_key;
use crate::meta::{MetaRecord, MetaState};

/// What the earlier topics of a request have taken already.
pub(super) struct Plan<'a> {
    state: &'a MetaState,
    asked: HashMap<&'a str, usize>,
    keys: HashSet<String>,
    pub(super) partitions_count: usize,
    pub(super) records: Vec<MetaRecord>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(state: &'a MetaState, names: impl Iterator<Item = &'a str>) -> Self {
        let mut asked = HashMap::new();
        for name in names {
            *asked.entry(name).or_default() += 1;
        }
        let partitions_count = state.partitions_count;
        Self {
            state,
            asked,
            keys: HashSet::new(),
            partitions_count,
            records: Vec::new(),
        }
    }

    pub(super) fn refuse_duplicate(&self, name: &str) -> Result<(), TopicError> {
        match self.asked.get(name) {
            Some(count) if *count > 1 => Err(duplicate()),
            _ => Ok(()),
        }
    }

    pub(super) fn refuse_taken(&self, name: &str) -> Result<(), TopicError> {
        let key = collision_key(name);
        let other = self
            .state
            .keys
            .get(&key)
            .and_then(|id| self.state.topics.get(id));
        match other {
            Some(other) if other.name == name => Err(TopicError::Exists {
                deleting: other.deleting,
            }),
            Some(other) => Err(TopicError::InvalidName {
                why: format!("it collides with {}", other.name),
            }),
            None if self.keys.contains(&key) => Err(TopicError::InvalidName {
                why: "it collides with another topic of the request".to_owned(),
            }),
            None => Ok(()),
        }
    }

    pub(super) fn refuse_too_many(&self, added: i32, max: usize) -> Result<(), TopicError> {
        let total = self
            .partitions_count
            .saturating_add(usize::try_from(added).unwrap_or(0));
        if total <= max {
            return Ok(());
        }
        Err(TopicError::LimitExceeded {
            why: format!("{total} partitions in all, broker.partitions.max is {max}"),
        })
    }

    pub(super) fn take(&mut self, name: &str, partition_count: i32) {
        self.keys.insert(collision_key(name));
        self.partitions_count += usize::try_from(partition_count).unwrap_or(0);
    }
}

pub(super) fn duplicate() -> TopicError {
    TopicError::InvalidRequest {
        why: "the request names the topic more than once".to_owned(),
    }
}
