//! Why a partition does not go elsewhere.
//!
//! Floor 0 of broker.
//!
//! Invariants
//! - With one broker and one directory there is nowhere to go; each sentence says so.

use thiserror::Error;

/// A partition keeps its leader, its replicas or its directory.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// The topic or the partition does not exist.
    #[error("the topic or partition does not exist")]
    UnknownTopicOrPartition,
    /// This broker leads every partition.
    #[error("the only broker leads the partition already")]
    ElectionNotNeeded,
    /// Nothing is being moved, so that nothing can be called off.
    #[error("the partition is not being moved to other brokers")]
    NoReassignment,
    /// There are no other brokers.
    #[error("each partition must be on [{node_id}], this broker, not on {replicas:?}")]
    OtherReplicas {
        /// The id of this broker.
        node_id: i32,
        /// What the request asked for.
        replicas: Vec<i32>,
    },
    /// There are no other directories.
    #[error("there is no log directory {}, only {only}", asked.escape_debug())]
    UnknownLogDir {
        /// What the request asked for.
        asked: String,
        /// The directory.
        only: String,
    },
    /// The directory cannot be used any more.
    #[error("{why}")]
    Storage {
        /// What has failed.
        why: String,
    },
}
