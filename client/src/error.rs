//! What went wrong with a call, told apart by what the caller may do next.
//!
//! Floor 0 of client.

use highwater_proto::code::ErrorCode;
use highwater_proto::exchange::ExchangeError;
use thiserror::Error;

/// A call failed.
///
/// ```
/// use highwater_client::{ClientError, Outcome, Producer, Record};
///
/// # async fn run(producer: &Producer, record: Record) -> Result<(), ClientError> {
/// match producer.send(record).await?.await {
///     Ok(at) => println!("stored at {}-{}", at.partition, at.offset),
///     Err(error) if error.outcome() == Outcome::NotWritten => println!("send it again: {error}"),
///     Err(error) => println!("it may be stored: {error}"),
/// }
/// # Ok(())
/// # }
/// ```
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
    #[error("the broker answered {}: {message}{}", code.name(), advice(*code))]
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
    /// The value of a record is not what its reader takes it for.
    #[error("the value of {topic}-{partition}@{offset} cannot be read as {format}: {why}")]
    Undecodable {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The record's offset.
        offset: i64,
        /// What it was read as: `JSON`.
        format: &'static str,
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
    /// The producer or the consumer was closed before, or its runtime has ended.
    #[error("the client is closed: make a new one")]
    Closed,
    /// The call cannot be right, whatever the broker says.
    #[error("{0}")]
    Invalid(String),
}

/// What is known of a write that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It surely did not take place.
    NotWritten,
    /// It may have taken place, or still will: what is sent again may be there twice.
    MayBeWritten,
}

impl ClientError {
    /// Whether what was asked for surely did not take place, or may have.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Unknown(_) => Outcome::MayBeWritten,
            Self::Broker { code, .. } => outcome_of(*code),
            Self::NotSent(_)
            | Self::Corrupt { .. }
            | Self::Undecodable { .. }
            | Self::NoOffset { .. }
            | Self::Unsupported(_)
            | Self::Closed
            | Self::Invalid(_) => Outcome::NotWritten,
        }
    }

    /// Whether the same call may succeed later. For [`Self::Unknown`] that is true only where a
    /// repetition is recognised, that is with an idempotent producer, or where it does no harm.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::NotSent(_) | Self::Unknown(_) => true,
            Self::Broker { code, .. } => code.retriable(),
            Self::Corrupt { .. }
            | Self::Undecodable { .. }
            | Self::NoOffset { .. }
            | Self::Unsupported(_)
            | Self::Closed
            | Self::Invalid(_) => false,
        }
    }

    /// As [`Self::is_retriable`], for a caller that waits: a topic that does not exist is no matter
    /// of time.
    pub(crate) fn is_passing(&self) -> bool {
        self.is_retriable() && self.code() != Some(ErrorCode::UnknownTopicOrPartition)
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

/// What an answer with this code leaves open.
const fn outcome_of(code: ErrorCode) -> Outcome {
    match code {
        // Said after the append, or by who does not know.
        ErrorCode::UnknownServerError
        | ErrorCode::RequestTimedOut
        | ErrorCode::NetworkException
        | ErrorCode::NotEnoughReplicasAfterAppend
        | ErrorCode::DuplicateSequenceNumber
        | ErrorCode::KafkaStorageError
        // A leader that waits for its followers says so too when it has to step down meanwhile.
        | ErrorCode::NotLeaderOrFollower => Outcome::MayBeWritten,
        _ => Outcome::NotWritten,
    }
}

/// What the user can do about a code, behind what it means.
const fn advice(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::UnknownTopicOrPartition => "; look at the name, or create the topic",
        ErrorCode::OffsetOutOfRange => "; seek to a place that is there, or set auto.offset.reset",
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => {
            "; raise the topic's max.message.bytes, or lower batch.size and the size of the records"
        }
        ErrorCode::NotEnoughReplicas | ErrorCode::NotEnoughReplicasAfterAppend => {
            "; look after the brokers, or lower the topic's min.insync.replicas"
        }
        ErrorCode::IllegalGeneration
        | ErrorCode::UnknownMemberId
        | ErrorCode::RebalanceInProgress => "; `poll` joins again",
        ErrorCode::FencedInstanceId => "; give each member a group.instance.id of its own",
        ErrorCode::InconsistentGroupProtocol => {
            "; all members need one partition.assignment.strategy in common"
        }
        ErrorCode::InvalidSessionTimeout => {
            "; set session.timeout.ms within the broker's group.min.session.timeout.ms and \
             group.max.session.timeout.ms"
        }
        ErrorCode::NonEmptyGroup => "; stop them first",
        ErrorCode::OutOfOrderSequenceNumber
        | ErrorCode::UnknownProducerId
        | ErrorCode::InvalidProducerEpoch
        | ErrorCode::ProducerFenced => "; make a new producer",
        ErrorCode::SaslAuthenticationFailed => "; look at sasl.username and sasl.password",
        ErrorCode::UnsupportedVersion => "; bring the older side up to date",
        _ => "",
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

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(code: ErrorCode) -> ClientError {
        ClientError::check(code.code(), None).unwrap_err()
    }

    #[test]
    fn an_error_says_what_is_known_of_the_write() {
        let why = || "why".to_owned();
        assert_eq!(ClientError::NotSent(why()).outcome(), Outcome::NotWritten);
        assert_eq!(ClientError::Unknown(why()).outcome(), Outcome::MayBeWritten);
        let too_large = broker(ErrorCode::MessageTooLarge);
        assert_eq!(too_large.outcome(), Outcome::NotWritten);
        let timed_out = broker(ErrorCode::RequestTimedOut);
        assert_eq!(timed_out.outcome(), Outcome::MayBeWritten);
        // A code that this build does not know tells nothing.
        let unheard_of = ClientError::check(i16::MAX, None).unwrap_err();
        assert_eq!(unheard_of.outcome(), Outcome::MayBeWritten);
    }

    #[test]
    fn a_broker_error_says_what_it_means_and_what_to_do() {
        let error = broker(ErrorCode::UnknownTopicOrPartition);
        assert_eq!(
            error.to_string(),
            "the broker answered UNKNOWN_TOPIC_OR_PARTITION: this broker does not know the topic \
             or partition; look at the name, or create the topic"
        );
        let own_words = ClientError::check(40, Some("no such setting: x")).unwrap_err();
        let sentence = "the broker answered INVALID_CONFIG: no such setting: x";
        assert_eq!(own_words.to_string(), sentence);
    }
}
