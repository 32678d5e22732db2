//! The codes of errors that listeners of every protocol answer: one of Kafka's and a sentence.
//!
//! Floor 1 of broker.
//!
//! Invariants
//! - A code is found by a `match` without a wildcard: an error that is added does not compile until
//!   it has one.

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;

use crate::error::{EpochError, FetchError, OffsetsError, ProduceError};

/// An error that has a code on the wire.
pub(crate) trait WireError: std::fmt::Display {
    /// The code.
    fn error_code(&self) -> ErrorCode;

    /// The sentence beside the code.
    fn message(&self) -> Option<Str> {
        let mut text = self.to_string();
        text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
        Some(Str::from(text))
    }
}

impl WireError for ProduceError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::InvalidRequiredAcks { .. } => ErrorCode::InvalidRequiredAcks,
            Self::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
            Self::InternalTopic => ErrorCode::InvalidTopicException,
            Self::InvalidRecord { .. } => ErrorCode::InvalidRecord,
            Self::UnsupportedCompression => ErrorCode::UnsupportedCompressionType,
            Self::TransactionalIdRequired => ErrorCode::TransactionalIdAuthorizationFailed,
            Self::TransactionsUnsupported => ErrorCode::UnsupportedVersion,
            Self::MessageTooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::RecordListTooLarge { .. } => ErrorCode::RecordListTooLarge,
            Self::Corrupt { .. } => ErrorCode::CorruptMessage,
            Self::InvalidTimestamp { .. } => ErrorCode::InvalidTimestamp,
            Self::ProducerFenced { .. } => ErrorCode::InvalidProducerEpoch,
            Self::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            Self::Storage { .. } => ErrorCode::KafkaStorageError,
        }
    }
}

impl WireError for FetchError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
            Self::UnknownTopicId => ErrorCode::UnknownTopicId,
            Self::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::Epoch(error) => error.error_code(),
            Self::Corrupt { .. } => ErrorCode::CorruptMessage,
            Self::Storage { .. } => ErrorCode::KafkaStorageError,
        }
    }
}

impl WireError for OffsetsError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
            Self::NamedTwice => ErrorCode::InvalidRequest,
            Self::Epoch(error) => error.error_code(),
            Self::Corrupt { .. } => ErrorCode::CorruptMessage,
            Self::Storage { .. } => ErrorCode::KafkaStorageError,
        }
    }
}

impl WireError for EpochError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::Fenced { .. } => ErrorCode::FencedLeaderEpoch,
            Self::Unknown { .. } => ErrorCode::UnknownLeaderEpoch,
        }
    }
}

/// Fits into the two-byte length of old versions with much room.
const MESSAGE_BYTES_MAX: usize = 1024;
