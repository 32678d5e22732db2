//! What went wrong with a call, told apart by what the caller may do next.
//!
//! Floor 0 of client.

use highwater_proto::code::ErrorCode;
use highwater_proto::exchange::ExchangeError;
use thiserror::Error;

/// A call failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The request surely had no effect: sending it again is safe.
    #[error("nothing was sent: {0}")]
    NotSent(String),
    /// The request may have had its effect: without a producer id, sending it again may double it.
    #[error("no answer came, the broker may have done it: {0}")]
    Unknown(String),
    /// The broker answered an error.
    #[error("the broker answered {}: {message}", code.name())]
    Broker {
        /// Kafka's code.
        code: ErrorCode,
        /// What the broker said, or what the code means.
        message: String,
    },
    /// What the broker holds cannot be read: a consumer can only go on behind it.
    #[error("the batch at offset {offset} of {topic}-{partition} cannot be read: {why}")]
    Corrupt {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset that was asked for.
        offset: i64,
        /// What is wrong with it.
        why: String,
    },
    /// The group has committed no offset of a partition, and `auto.offset.reset` is none.
    #[error(
        "the group has no offset of {topic}-{partition}, and auto.offset.reset is none: seek to a \
         place, or commit one"
    )]
    NoOffset {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// The broker lacks what the call needs.
    #[error("{0}")]
    Unsupported(String),
    /// The producer was closed, or the runtime that it sends on has ended.
    #[error("the client is closed")]
    Closed,
    /// The call cannot be right, whatever the broker says.
    #[error("{0}")]
    Invalid(String),
}

impl ClientError {
    /// Whether the same call may succeed later. For [`Self::Unknown`] that is true only where a
    /// repetition is recognised, that is with an idempotent producer, or where it does no harm.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::NotSent(_) | Self::Unknown(_) => true,
            Self::Broker { code, .. } => code.retriable(),
            Self::Corrupt { .. }
            | Self::NoOffset { .. }
            | Self::Unsupported(_)
            | Self::Closed
            | Self::Invalid(_) => false,
        }
    }

    /// The broker's code, if it is the broker that refused.
    #[must_use]
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Broker { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// The error behind a wire code with the broker's own words, or `Ok` if there is none.
    pub(crate) fn check(code: i16, message: Option<&str>) -> Result<(), Self> {
        if code == ErrorCode::None.code() {
            return Ok(());
        }
        let code = ErrorCode::from_i16(code).unwrap_or(ErrorCode::UnknownServerError);
        let said = message.filter(|message| !message.is_empty());
        let message = said.unwrap_or_else(|| code.message()).to_owned();
        Err(Self::Broker { code, message })
    }
}

/// A partition that the cluster does not have.
pub(crate) fn unknown_partition(topic: &str, partition: i32) -> ClientError {
    ClientError::Broker {
        code: ErrorCode::UnknownTopicOrPartition,
        message: format!("the cluster has no partition {partition} of the topic {topic}"),
    }
}

impl From<ExchangeError> for ClientError {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::NotSent { why } => Self::NotSent(why),
            ExchangeError::Closed => Self::NotSent("the session is closed".to_owned()),
            ExchangeError::Unknown { why } => Self::Unknown(why),
            other => Self::Unknown(other.to_string()),
        }
    }
}
