//! What the metadata machine is asked, in domain words.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - Nothing here is checked yet; the machine does that.

use crate::config::value::ConfigEntry;
use crate::ids::TopicId;

/// One topic to create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None` for `num.partitions`.
    pub partition_count: Option<i32>,
    /// How many copies; `None` for `default.replication.factor`.
    pub replication_factor: Option<i16>,
    /// A manual assignment: partition and its brokers. Empty for none.
    pub assignments: Vec<(i32, Vec<i32>)>,
    /// Overrides of the topic configs, by Kafka's names.
    pub configs: Vec<(String, Option<String>)>,
}

/// A topic that was created, or would have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopicDescription {
    /// Its id; the nil id when nothing was created.
    pub id: TopicId,
    /// How many partitions it has.
    pub partition_count: i32,
    /// How many copies are kept: one.
    pub replication_factor: i16,
    /// All its configs.
    pub configs: Vec<ConfigEntry>,
}

/// One topic that is to have more partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPartitions {
    /// The topic's name.
    pub name: String,
    /// How many partitions it is to have in all.
    pub total: i32,
    /// The brokers of each new partition; `None` for no manual assignment.
    pub assignments: Option<Vec<Vec<i32>>>,
}

/// One change of one config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// The config.
    pub name: String,
    /// What to do to it.
    pub operation: ConfigOperation,
}

/// Where the changes of a topic's configs begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlterFrom {
    /// From what is set now.
    Current,
    /// From nothing: what the changes do not name goes back to its default.
    Defaults,
}

/// What to do to a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOperation {
    /// Give it this value.
    Set(String),
    /// Go back to the default.
    Delete,
    /// Add these elements to a list.
    Append(String),
    /// Take these elements out of a list.
    Subtract(String),
}
