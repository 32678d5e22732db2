//! What an error of the broker is on the Kafka wire.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - With `codes`, which has what every listener is asked for, the only place that turns an error
//!   of the broker into a wire code, by a `match` without a wildcard: an error that is added does
//!   not compile until it has a code.
//! - What a client may try again has a code that clients try again.

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;

pub(super) use crate::codes::WireError;
use crate::error::{
    ConfigError, DeleteRecordsError, FetchSessionError, GroupError, PlacementError,
    ProducerIdError, TopicError, UserError,
};

/// The code of an outcome; 0 for success.
pub(super) fn code_of<T, E: WireError>(result: &Result<T, E>) -> i16 {
    result
        .as_ref()
        .map_or_else(|error| error.error_code().code(), |_| 0)
}

/// The sentence of an outcome; none for success.
pub(super) fn message_of<T, E: WireError>(result: &Result<T, E>) -> Option<Str> {
    result.as_ref().err().and_then(WireError::message)
}

impl WireError for FetchSessionError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::Unknown => ErrorCode::FetchSessionIdNotFound,
            Self::WrongEpoch { .. } => ErrorCode::InvalidFetchSessionEpoch,
            Self::OtherNaming => ErrorCode::FetchSessionTopicIdError,
        }
    }
}

impl WireError for DeleteRecordsError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
            Self::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::CompactedTopic | Self::KeepsHistory => ErrorCode::PolicyViolation,
            Self::InternalTopic => ErrorCode::InvalidTopicException,
            Self::Storage { .. } => ErrorCode::KafkaStorageError,
        }
    }
}

impl WireError for TopicError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::InvalidName { .. } => ErrorCode::InvalidTopicException,
            Self::Exists { .. } => ErrorCode::TopicAlreadyExists,
            Self::InvalidPartitions { .. } => ErrorCode::InvalidPartitions,
            Self::InvalidReplicationFactor { .. } => ErrorCode::InvalidReplicationFactor,
            Self::InvalidReplicaAssignment { .. } => ErrorCode::InvalidReplicaAssignment,
            Self::InvalidConfig(_) => ErrorCode::InvalidConfig,
            Self::InvalidRequest { .. } => ErrorCode::InvalidRequest,
            Self::Unknown => ErrorCode::UnknownTopicOrPartition,
            Self::UnknownId => ErrorCode::UnknownTopicId,
            Self::DeletionDisabled => ErrorCode::TopicDeletionDisabled,
            Self::LimitExceeded { .. } => ErrorCode::PolicyViolation,
            Self::Storage { .. } => ErrorCode::KafkaStorageError,
        }
    }
}

impl WireError for PlacementError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
            Self::ElectionNotNeeded => ErrorCode::ElectionNotNeeded,
            Self::NoReassignment => ErrorCode::NoReassignmentInProgress,
            Self::OtherReplicas { .. } => ErrorCode::InvalidReplicaAssignment,
            Self::UnknownLogDir { .. } => ErrorCode::LogDirNotFound,
            Self::Storage { .. } => ErrorCode::KafkaStorageError,
        }
    }
}

impl WireError for ConfigError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::UnknownTopic => ErrorCode::UnknownTopicOrPartition,
            Self::Invalid(_) => ErrorCode::InvalidConfig,
            Self::InvalidRequest { .. } => ErrorCode::InvalidRequest,
            Self::InvalidTopic { .. } => ErrorCode::InvalidTopicException,
            Self::Storage { .. } => ErrorCode::KafkaStorageError,
        }
    }
}

impl WireError for ProducerIdError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::TransactionsUnsupported => ErrorCode::UnsupportedVersion,
            Self::HalfGiven { .. } => ErrorCode::InvalidRequest,
            Self::Storage { .. } => ErrorCode::KafkaStorageError,
        }
    }
}

impl WireError for UserError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::Unknown => ErrorCode::ResourceNotFound,
            Self::NamedTwice => ErrorCode::DuplicateResource,
            Self::UnknownMechanism(_) => ErrorCode::UnsupportedSaslMechanism,
            Self::InvalidName
            | Self::Iterations(_)
            | Self::Salt(_)
            | Self::SaltedPassword { .. } => ErrorCode::UnacceptableCredential,
            Self::TooMany(_) => ErrorCode::PolicyViolation,
            Self::NoSasl => ErrorCode::UnsupportedVersion,
            Self::Storage { .. } => ErrorCode::KafkaStorageError,
        }
    }
}

/// What depends on the version of the request is decided by its handler.
impl WireError for GroupError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::InvalidGroupId => ErrorCode::InvalidGroupId,
            Self::UnknownMember => ErrorCode::UnknownMemberId,
            Self::IllegalGeneration { .. } | Self::GenerationOfUnknownGroup { .. } => {
                ErrorCode::IllegalGeneration
            }
            Self::InconsistentProtocol { .. } => ErrorCode::InconsistentGroupProtocol,
            Self::InvalidSessionTimeout { .. } => ErrorCode::InvalidSessionTimeout,
            Self::RebalanceInProgress => ErrorCode::RebalanceInProgress,
            Self::MemberIdRequired { .. } => ErrorCode::MemberIdRequired,
            Self::FencedInstance => ErrorCode::FencedInstanceId,
            // Kafka has no limit of groups: a member of the group that is one too many is told
            // what one member too many is told, which is final and visible.
            Self::GroupFull { .. } | Self::TooManyGroups { .. } => ErrorCode::GroupMaxSizeReached,
            Self::NonEmpty => ErrorCode::NonEmptyGroup,
            Self::UnknownGroup => ErrorCode::GroupIdNotFound,
            Self::SubscribedToTopic => ErrorCode::GroupSubscribedToTopic,
            Self::MetadataTooLarge { .. } => ErrorCode::OffsetMetadataTooLarge,
            Self::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
            Self::InvalidRequest { .. } => ErrorCode::InvalidRequest,
            // Clients look for the coordinator again, and try again there.
            Self::Unavailable { .. } => ErrorCode::NotCoordinator,
        }
    }
}
