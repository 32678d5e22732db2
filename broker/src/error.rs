//! What can go wrong with an operation of the broker: one enum for each family of operations.
//!
//! Floor 0 of broker.
//!
//! Invariants
//! - No wire code stands here; a listener's `errors.rs` maps each variant by a `match`.
//! - `Display` is a sentence that the caller of the operation can act on.

mod fetch_session;
mod group;
mod placement;
mod start;
mod user;

use highwater_log::error::{LogError, ProducerError};
use highwater_log::types::Offset;
use thiserror::Error;

pub use fetch_session::FetchSessionError;
pub use group::GroupError;
pub use placement::PlacementError;
pub use start::BrokerError;
pub use user::UserError;

/// A partition's records were not appended. Nothing of the batch was stored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProduceError {
    /// `acks` is none of -1, 0 and 1.
    #[error("acks {acks} is not one of -1 (all), 0 (none) and 1 (leader)")]
    InvalidRequiredAcks {
        /// What the request asked for.
        acks: i16,
    },
    /// The topic or the partition does not exist.
    #[error("the topic or partition does not exist")]
    UnknownTopicOrPartition,
    /// The topic belongs to the broker.
    #[error("the topic is internal: only the broker writes to it")]
    InternalTopic,
    /// The batch, or some of its records, may not be stored.
    #[error("the records were refused: {why}")]
    InvalidRecord {
        /// What is wrong with the batch as a whole.
        why: String,
        /// The records that are to blame, where that is known.
        records: Vec<RefusedRecord>,
    },
    /// The version of the request may not carry this codec.
    #[error("this version of the request may not carry zstd; use a client of Kafka 2.1 or newer")]
    UnsupportedCompression,
    /// A transactional batch came in a request without a transactional id.
    #[error("a transactional batch needs a transactional id in its request")]
    TransactionalIdRequired,
    /// Transactions do not exist here yet.
    #[error("this broker does not support transactions; produce without transactional.id")]
    TransactionsUnsupported,
    /// The batch is larger than the topic allows.
    #[error("the batch has {bytes} bytes, the topic's max.message.bytes is {bytes_max}")]
    MessageTooLarge {
        /// The size of the batch.
        bytes: usize,
        /// The topic's `max.message.bytes`.
        bytes_max: usize,
    },
    /// The batch is larger than a segment of the topic.
    #[error("the batch has {bytes} bytes, the topic's segment.bytes is {segment_bytes}")]
    RecordListTooLarge {
        /// The size of the batch.
        bytes: usize,
        /// The topic's `segment.bytes`.
        segment_bytes: u64,
    },
    /// The batch was damaged on its way; sending it again may succeed.
    #[error("the batch is damaged: {why}")]
    Corrupt {
        /// What does not fit.
        why: String,
    },
    /// A record's time is outside of what the topic accepts.
    #[error("the batch has an unacceptable timestamp: {why}")]
    InvalidTimestamp {
        /// Which bound it crosses.
        why: String,
    },
    /// A newer instance of the producer has written already.
    #[error("producer {producer_id} is fenced: its epoch is {current}, the batch has {epoch}")]
    ProducerFenced {
        /// The producer.
        producer_id: i64,
        /// The epoch of the batch.
        epoch: i16,
        /// The epoch that the log knows.
        current: i16,
    },
    /// The batch does not continue the producer's sequence.
    #[error("producer {producer_id} sent sequence {sequence} where {expected} was expected")]
    OutOfOrderSequence {
        /// The producer.
        producer_id: i64,
        /// The first sequence of the batch.
        sequence: i32,
        /// What would have continued the log.
        expected: i32,
    },
    /// The log cannot be written now.
    #[error("{why}")]
    Storage {
        /// What the log said.
        why: String,
    },
}

impl ProduceError {
    /// A refusal of the whole batch.
    pub(crate) fn invalid(why: impl Into<String>) -> Self {
        Self::InvalidRecord {
            why: why.into(),
            records: Vec::new(),
        }
    }

    pub(crate) fn storage(error: &LogError) -> Self {
        Self::Storage {
            why: error.to_string(),
        }
    }
}

/// One record of a refused batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecord {
    /// The record's place in its batch, from 0.
    pub index: i32,
    /// What is wrong with it.
    pub why: String,
}

impl From<LogError> for ProduceError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Producer(ProducerError::Fenced {
                producer_id,
                epoch,
                current,
            }) => Self::ProducerFenced {
                producer_id,
                epoch,
                current,
            },
            LogError::Producer(ProducerError::OutOfOrder {
                producer_id,
                sequence,
                expected,
            }) => Self::OutOfOrderSequence {
                producer_id,
                sequence,
                expected,
            },
            LogError::LargerThanSegment {
                bytes,
                segment_bytes,
            } => Self::RecordListTooLarge {
                bytes,
                segment_bytes,
            },
            LogError::Rejected(why) => Self::invalid(why.to_string()),
            other => Self::storage(&other),
        }
    }
}

/// A partition could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The topic or the partition does not exist.
    #[error("the topic or partition does not exist")]
    UnknownTopicOrPartition,
    /// No topic has this id; perhaps it was deleted.
    #[error("no topic has this id")]
    UnknownTopicId,
    /// The offset is below the log's start or beyond its end.
    #[error("offset {asked} is outside the log, which holds {start} to {end}")]
    OffsetOutOfRange {
        /// The offset that was asked for.
        asked: Offset,
        /// The first offset of the log.
        start: Offset,
        /// The next offset to be written.
        end: Offset,
    },
    /// The reader's leader epoch is not the current one.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The bytes on the disk are damaged there.
    #[error("{why}")]
    Corrupt {
        /// Where, and what to do.
        why: String,
    },
    /// The disk cannot be read.
    #[error("{why}")]
    Storage {
        /// What the log said.
        why: String,
    },
}

impl From<LogError> for FetchError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::OutOfRange { asked, start, end } => {
                Self::OffsetOutOfRange { asked, start, end }
            }
            LogError::Corrupt { .. } | LogError::Rejected(_) => Self::Corrupt {
                why: error.to_string(),
            },
            other => Self::Storage {
                why: other.to_string(),
            },
        }
    }
}

/// The leader epoch of a request is not the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EpochError {
    /// The request is older than an unclean start: the log may have lost its tail since.
    #[error("leader epoch {asked} is over, the current one is {current}; refresh the metadata")]
    Fenced {
        /// The epoch of the request.
        asked: i32,
        /// The epoch of the log.
        current: i32,
    },
    /// The request knows an epoch that this broker has never had.
    #[error("leader epoch {asked} is not known here, the current one is {current}")]
    Unknown {
        /// The epoch of the request.
        asked: i32,
        /// The epoch of the log.
        current: i32,
    },
}

/// An offset could not be looked up: by time, by epoch, or as an end of the log.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OffsetsError {
    /// The topic or the partition does not exist.
    #[error("the topic or partition does not exist")]
    UnknownTopicOrPartition,
    /// The request names the partition more than once.
    #[error("the request names the partition more than once")]
    NamedTwice,
    /// The leader epoch of the request is not the current one.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The bytes on the disk are damaged.
    #[error("{why}")]
    Corrupt {
        /// Where, and what to do.
        why: String,
    },
    /// The disk cannot be read.
    #[error("{why}")]
    Storage {
        /// What the log said.
        why: String,
    },
}

impl From<LogError> for OffsetsError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Corrupt { .. } | LogError::Rejected(_) => Self::Corrupt {
                why: error.to_string(),
            },
            other => Self::Storage {
                why: other.to_string(),
            },
        }
    }
}

/// Records were not deleted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DeleteRecordsError {
    /// The topic or the partition does not exist.
    #[error("the topic or partition does not exist")]
    UnknownTopicOrPartition,
    /// The offset is beyond the high watermark, or below -1.
    #[error("offset {asked} is not one of -1 (the high watermark) and 0 to {high_watermark}")]
    OffsetOutOfRange {
        /// The offset that was asked for.
        asked: Offset,
        /// Where the readable log ends.
        high_watermark: Offset,
    },
    /// A topic that is only compacted keeps its records.
    #[error("the cleanup.policy of the topic is compact: its records cannot be deleted")]
    CompactedTopic,
    /// A topic with streams keeps its history.
    #[error(
        "the topic has append.conditional=true and keeps its history: set allow.history.loss=true \
         on it first"
    )]
    KeepsHistory,
    /// The topic belongs to the broker.
    #[error("the topic is internal: only the broker deletes its records")]
    InternalTopic,
    /// The log cannot be written now.
    #[error("{why}")]
    Storage {
        /// What the log said.
        why: String,
    },
}

/// A topic was not created, changed, deleted or found.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TopicError {
    /// The name cannot be a topic's.
    #[error("the topic name is not allowed: {why}")]
    InvalidName {
        /// Which rule it breaks.
        why: String,
    },
    /// The topic is there already, or is still being deleted.
    #[error("the topic exists already{}", if *deleting { " and is being deleted" } else { "" })]
    Exists {
        /// Its files are being removed; the name is free once they are gone.
        deleting: bool,
    },
    /// The number of partitions is not possible.
    #[error("the number of partitions is not allowed: {why}")]
    InvalidPartitions {
        /// Which rule it breaks.
        why: String,
    },
    /// The replication factor is not possible.
    #[error("replication factor {factor} is not possible: this broker keeps one copy")]
    InvalidReplicationFactor {
        /// What the request asked for.
        factor: i16,
    },
    /// The manual assignment is not possible.
    #[error("the replica assignment is not possible: {why}")]
    InvalidReplicaAssignment {
        /// Which rule it breaks.
        why: String,
    },
    /// A config of the topic is not possible.
    #[error("{0}")]
    InvalidConfig(#[from] InvalidConfig),
    /// The request contradicts itself.
    #[error("the request is not valid: {why}")]
    InvalidRequest {
        /// What does not fit together.
        why: String,
    },
    /// The topic or partition does not exist.
    #[error("the topic does not exist")]
    Unknown,
    /// No topic has this id.
    #[error("no topic has this id")]
    UnknownId,
    /// Topics may not be deleted here.
    #[error("topics cannot be deleted: delete.topic.enable is false")]
    DeletionDisabled,
    /// A limit of the broker would be exceeded.
    #[error("a limit of the broker would be exceeded: {why}")]
    LimitExceeded {
        /// Which limit.
        why: String,
    },
    /// The metadata log cannot be written now.
    #[error("{why}")]
    Storage {
        /// What the log said.
        why: String,
    },
}

/// Configs could not be read or changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The topic does not exist.
    #[error("the topic does not exist")]
    UnknownTopic,
    /// A name or a value is not possible.
    #[error("{0}")]
    Invalid(#[from] InvalidConfig),
    /// The request contradicts itself, or names a resource that has no configs here.
    #[error("the request is not valid: {why}")]
    InvalidRequest {
        /// What does not fit.
        why: String,
    },
    /// The topic belongs to the broker, its name cannot be a topic's.
    #[error("the topic name is not allowed: {why}")]
    InvalidTopic {
        /// Which rule it breaks.
        why: String,
    },
    /// The metadata log cannot be written now.
    #[error("{why}")]
    Storage {
        /// What the log said.
        why: String,
    },
}

/// A config's name or value is not possible.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the config {} is not valid: {why}", name.escape_debug())]
pub struct InvalidConfig {
    /// The config.
    pub name: String,
    /// What would be accepted.
    pub why: String,
}

impl InvalidConfig {
    /// `name` is not possible because of `why`.
    pub fn new(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            why: why.into(),
        }
    }
}

/// No producer id was given.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProducerIdError {
    /// Transactions do not exist here yet.
    #[error("this broker does not support transactions; produce without transactional.id")]
    TransactionsUnsupported,
    /// Producer id and epoch of the request must be given both or not at all.
    #[error("producer id {producer_id} and epoch {epoch} must be both -1 or both set")]
    HalfGiven {
        /// The id of the request.
        producer_id: i64,
        /// The epoch of the request.
        epoch: i16,
    },
    /// The metadata log cannot be written now.
    #[error("{why}")]
    Storage {
        /// What the log said.
        why: String,
    },
}
