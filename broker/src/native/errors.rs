//! What an error of the broker is in the native protocol: one of Kafka's codes and a sentence.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - With `codes`, the only place of the native protocol that turns an error into a code, by a
//!   `match` without a wildcard: an error that is added does not compile until it has a code.
//! - Whether a request may be tried again follows from its code.

use highwater_proto::code::ErrorCode;
use highwater_proto::native::v1::Failure;

use crate::codes::WireError;
use crate::service::events::{AppendError, ReadStreamError};

/// What a client is told of an error.
pub(super) fn failure(error: &impl WireError) -> Failure {
    failed(error.error_code(), error.to_string())
}

/// A request that makes no sense.
pub(super) fn invalid(why: impl Into<String>) -> Failure {
    failed(ErrorCode::InvalidRequest, why.into())
}

/// A code and a sentence.
pub(super) fn failed(code: ErrorCode, mut message: String) -> Failure {
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
    Failure {
        code: code.code().into(),
        message,
        is_retriable: code.retriable(),
    }
}

/// A conflict and a partial repeat have messages of their own, which say more.
impl WireError for AppendError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::Conflict { .. } | Self::IdMismatch { .. } => ErrorCode::InvalidRecord,
            Self::NotConditional => ErrorCode::PolicyViolation,
            Self::Invalid { .. } => ErrorCode::InvalidRequest,
            Self::Produce(error) => error.error_code(),
        }
    }
}

impl WireError for ReadStreamError {
    fn error_code(&self) -> ErrorCode {
        match self {
            Self::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
            Self::NotConditional => ErrorCode::PolicyViolation,
            Self::Storage { .. } => ErrorCode::KafkaStorageError,
        }
    }
}

/// A sentence is no place for what a client has sent.
const MESSAGE_BYTES_MAX: usize = 1024;
