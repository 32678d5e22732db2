//! Kafka's error codes: number, name, whether a client may try again, and a sentence.
//!
//! Floor 0 of proto.
//!
//! Invariants
//! - One table makes the type and all that is known of a code.
//! - The table has no gap: every number from -1 to 133 is a code, and no other.

use std::fmt;

macro_rules! codes {
    ($($number:literal, $variant:ident, $name:ident, $again:ident, $message:literal;)*) => {
        /// An error code of the Kafka wire.
        ///
        /// ```
        /// use highwater_proto::code::ErrorCode;
        ///
        /// let code = ErrorCode::from_i16(3).unwrap();
        /// assert_eq!(code, ErrorCode::UnknownTopicOrPartition);
        /// assert_eq!(code.name(), "UNKNOWN_TOPIC_OR_PARTITION");
        /// assert!(code.retriable());
        /// assert_eq!(ErrorCode::from_i16(134), None);
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(
                #[doc = $message]
                $variant = $number,
            )*
        }

        impl ErrorCode {
            /// Every code, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code of a number, if there is one.
            #[must_use]
            pub const fn from_i16(number: i16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The name as Kafka's documentation has it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($name),)*
                }
            }

            /// What it means, as a sentence without a full stop.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self {
                    $(Self::$variant => $message,)*
                }
            }

            /// Whether clients try again by themselves.
            #[must_use]
            pub const fn retriable(self) -> bool {
                match self {
                    $(Self::$variant => codes!(@ $again),)*
                }
            }
        }
    };
    (@ retry) => { true };
    (@ give_up) => { false };
}

impl ErrorCode {
    /// The number on the wire.
    #[inline]
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Whether it is no error at all.
    #[inline]
    #[must_use]
    pub const fn is_none(self) -> bool {
        matches!(self, Self::None)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.name(), self.code(), self.message())
    }
}

codes! {
    -1, UnknownServerError, UNKNOWN_SERVER_ERROR, give_up,
        "the server met an error that has no code of its own";
    0, None, NONE, give_up,
        "no error";
    1, OffsetOutOfRange, OFFSET_OUT_OF_RANGE, give_up,
        "the offset is outside the range that the log holds";
    2, CorruptMessage, CORRUPT_MESSAGE, retry,
        "the records are corrupt: the checksum does not fit, or the size is invalid";
    3, UnknownTopicOrPartition, UNKNOWN_TOPIC_OR_PARTITION, retry,
        "this broker does not know the topic or partition";
    4, InvalidFetchSize, INVALID_FETCH_SIZE, give_up,
        "the size of the fetch is invalid";
    5, LeaderNotAvailable, LEADER_NOT_AVAILABLE, retry,
        "the partition has no leader at the moment";
    6, NotLeaderOrFollower, NOT_LEADER_OR_FOLLOWER, retry,
        "this broker is neither the leader nor a follower of the partition";
    7, RequestTimedOut, REQUEST_TIMED_OUT, retry,
        "the request was not completed in time";
    8, BrokerNotAvailable, BROKER_NOT_AVAILABLE, give_up,
        "the broker is not available";
    9, ReplicaNotAvailable, REPLICA_NOT_AVAILABLE, retry,
        "the replica is not available";
    10, MessageTooLarge, MESSAGE_TOO_LARGE, give_up,
        "the batch is larger than the topic's max.message.bytes";
    11, StaleControllerEpoch, STALE_CONTROLLER_EPOCH, give_up,
        "the controller's epoch is out of date";
    12, OffsetMetadataTooLarge, OFFSET_METADATA_TOO_LARGE, give_up,
        "the metadata of the committed offset is larger than allowed";
    13, NetworkException, NETWORK_EXCEPTION, retry,
        "the connection was lost before the answer came";
    14, CoordinatorLoadInProgress, COORDINATOR_LOAD_IN_PROGRESS, retry,
        "the coordinator is still loading its state";
    15, CoordinatorNotAvailable, COORDINATOR_NOT_AVAILABLE, retry,
        "there is no coordinator at the moment";
    16, NotCoordinator, NOT_COORDINATOR, retry,
        "this broker is not the coordinator of the group or transactional id";
    17, InvalidTopicException, INVALID_TOPIC_EXCEPTION, give_up,
        "the name is not that of a topic that may be used so";
    18, RecordListTooLarge, RECORD_LIST_TOO_LARGE, give_up,
        "the batch is larger than a segment of the log";
    19, NotEnoughReplicas, NOT_ENOUGH_REPLICAS, retry,
        "fewer replicas are in sync than the topic demands";
    20, NotEnoughReplicasAfterAppend, NOT_ENOUGH_REPLICAS_AFTER_APPEND, retry,
        "the batch was appended, but on fewer replicas than the topic demands";
    21, InvalidRequiredAcks, INVALID_REQUIRED_ACKS, give_up,
        "the acks must be -1, 0 or 1";
    22, IllegalGeneration, ILLEGAL_GENERATION, give_up,
        "the generation is not that of the group";
    23, InconsistentGroupProtocol, INCONSISTENT_GROUP_PROTOCOL, give_up,
        "the member's protocols do not fit those of the group";
    24, InvalidGroupId, INVALID_GROUP_ID, give_up,
        "the group id is invalid";
    25, UnknownMemberId, UNKNOWN_MEMBER_ID, give_up,
        "the group does not know the member";
    26, InvalidSessionTimeout, INVALID_SESSION_TIMEOUT, give_up,
        "the session timeout is outside the range that the broker allows";
    27, RebalanceInProgress, REBALANCE_IN_PROGRESS, give_up,
        "the group is rebalancing: join again";
    28, InvalidCommitOffsetSize, INVALID_COMMIT_OFFSET_SIZE, give_up,
        "the offset to commit is too large";
    29, TopicAuthorizationFailed, TOPIC_AUTHORIZATION_FAILED, give_up,
        "access to the topic is denied";
    30, GroupAuthorizationFailed, GROUP_AUTHORIZATION_FAILED, give_up,
        "access to the group is denied";
    31, ClusterAuthorizationFailed, CLUSTER_AUTHORIZATION_FAILED, give_up,
        "access to the cluster is denied";
    32, InvalidTimestamp, INVALID_TIMESTAMP, give_up,
        "the timestamp of a record is outside the range that the topic allows";
    33, UnsupportedSaslMechanism, UNSUPPORTED_SASL_MECHANISM, give_up,
        "the broker does not offer the SASL mechanism";
    34, IllegalSaslState, ILLEGAL_SASL_STATE, give_up,
        "the request does not fit the state of the SASL exchange";
    35, UnsupportedVersion, UNSUPPORTED_VERSION, give_up,
        "the broker does not support this version of the request";
    36, TopicAlreadyExists, TOPIC_ALREADY_EXISTS, give_up,
        "a topic of that name exists already";
    37, InvalidPartitions, INVALID_PARTITIONS, give_up,
        "the number of partitions is invalid";
    38, InvalidReplicationFactor, INVALID_REPLICATION_FACTOR, give_up,
        "the replication factor is larger than the number of brokers, or below 1";
    39, InvalidReplicaAssignment, INVALID_REPLICA_ASSIGNMENT, give_up,
        "the assignment of replicas is invalid";
    40, InvalidConfig, INVALID_CONFIG, give_up,
        "a setting is unknown or its value is invalid";
    41, NotController, NOT_CONTROLLER, retry,
        "this broker is not the controller";
    42, InvalidRequest, INVALID_REQUEST, give_up,
        "the request breaks a rule of the protocol";
    43, UnsupportedForMessageFormat, UNSUPPORTED_FOR_MESSAGE_FORMAT, give_up,
        "the topic's record format does not support the request";
    44, PolicyViolation, POLICY_VIOLATION, give_up,
        "the request breaks a policy of the cluster";
    45, OutOfOrderSequenceNumber, OUT_OF_ORDER_SEQUENCE_NUMBER, give_up,
        "the sequence number is not the one that follows";
    46, DuplicateSequenceNumber, DUPLICATE_SEQUENCE_NUMBER, give_up,
        "the batch was appended already";
    47, InvalidProducerEpoch, INVALID_PRODUCER_EPOCH, give_up,
        "a newer instance of the producer is at work";
    48, InvalidTxnState, INVALID_TXN_STATE, give_up,
        "the request does not fit the state of the transaction";
    49, InvalidProducerIdMapping, INVALID_PRODUCER_ID_MAPPING, give_up,
        "the producer id is not the one that belongs to the transactional id";
    50, InvalidTransactionTimeout, INVALID_TRANSACTION_TIMEOUT, give_up,
        "the transaction timeout is larger than the broker's transaction.max.timeout.ms";
    51, ConcurrentTransactions, CONCURRENT_TRANSACTIONS, give_up,
        "the previous transaction of this producer is still being completed";
    52, TransactionCoordinatorFenced, TRANSACTION_COORDINATOR_FENCED, give_up,
        "a newer transaction coordinator is at work";
    53, TransactionalIdAuthorizationFailed, TRANSACTIONAL_ID_AUTHORIZATION_FAILED, give_up,
        "access to the transactional id is denied";
    54, SecurityDisabled, SECURITY_DISABLED, give_up,
        "security is turned off on this broker";
    55, OperationNotAttempted, OPERATION_NOT_ATTEMPTED, give_up,
        "the operation was not attempted, because another one of the request failed";
    56, KafkaStorageError, KAFKA_STORAGE_ERROR, retry,
        "the disk failed or is full; look at the broker's log";
    57, LogDirNotFound, LOG_DIR_NOT_FOUND, give_up,
        "the broker has no such log directory";
    58, SaslAuthenticationFailed, SASL_AUTHENTICATION_FAILED, give_up,
        "authentication failed";
    59, UnknownProducerId, UNKNOWN_PRODUCER_ID, give_up,
        "the producer id is unknown; its records may have been deleted";
    60, ReassignmentInProgress, REASSIGNMENT_IN_PROGRESS, give_up,
        "the partition is being reassigned already";
    61, DelegationTokenAuthDisabled, DELEGATION_TOKEN_AUTH_DISABLED, give_up,
        "delegation tokens are turned off";
    62, DelegationTokenNotFound, DELEGATION_TOKEN_NOT_FOUND, give_up,
        "there is no such delegation token";
    63, DelegationTokenOwnerMismatch, DELEGATION_TOKEN_OWNER_MISMATCH, give_up,
        "the delegation token belongs to another principal";
    64, DelegationTokenRequestNotAllowed, DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, give_up,
        "delegation tokens cannot be requested over this connection";
    65, DelegationTokenAuthorizationFailed, DELEGATION_TOKEN_AUTHORIZATION_FAILED, give_up,
        "access to the delegation token is denied";
    66, DelegationTokenExpired, DELEGATION_TOKEN_EXPIRED, give_up,
        "the delegation token has expired";
    67, InvalidPrincipalType, INVALID_PRINCIPAL_TYPE, give_up,
        "the type of the principal is not supported";
    68, NonEmptyGroup, NON_EMPTY_GROUP, give_up,
        "the group still has members";
    69, GroupIdNotFound, GROUP_ID_NOT_FOUND, give_up,
        "there is no such group";
    70, FetchSessionIdNotFound, FETCH_SESSION_ID_NOT_FOUND, retry,
        "there is no such fetch session";
    71, InvalidFetchSessionEpoch, INVALID_FETCH_SESSION_EPOCH, retry,
        "the epoch of the fetch session is not the one that follows";
    72, ListenerNotFound, LISTENER_NOT_FOUND, retry,
        "the leader has no listener of that name";
    73, TopicDeletionDisabled, TOPIC_DELETION_DISABLED, give_up,
        "the deletion of topics is turned off";
    74, FencedLeaderEpoch, FENCED_LEADER_EPOCH, retry,
        "the leader epoch of the request is older than the partition's";
    75, UnknownLeaderEpoch, UNKNOWN_LEADER_EPOCH, retry,
        "the leader epoch of the request is newer than the partition's";
    76, UnsupportedCompressionType, UNSUPPORTED_COMPRESSION_TYPE, give_up,
        "the version of the request does not support the codec";
    77, StaleBrokerEpoch, STALE_BROKER_EPOCH, give_up,
        "the broker's epoch is out of date";
    78, OffsetNotAvailable, OFFSET_NOT_AVAILABLE, retry,
        "the offset is not known yet: the leader has just changed";
    79, MemberIdRequired, MEMBER_ID_REQUIRED, give_up,
        "the member must join again with the id that it was given";
    80, PreferredLeaderNotAvailable, PREFERRED_LEADER_NOT_AVAILABLE, retry,
        "the preferred leader is not available";
    81, GroupMaxSizeReached, GROUP_MAX_SIZE_REACHED, give_up,
        "the group has as many members as it may";
    82, FencedInstanceId, FENCED_INSTANCE_ID, give_up,
        "another member with the same group instance id has taken over";
    83, EligibleLeadersNotAvailable, ELIGIBLE_LEADERS_NOT_AVAILABLE, retry,
        "no eligible leader is available";
    84, ElectionNotNeeded, ELECTION_NOT_NEEDED, retry,
        "no election is needed";
    85, NoReassignmentInProgress, NO_REASSIGNMENT_IN_PROGRESS, give_up,
        "no reassignment is in progress";
    86, GroupSubscribedToTopic, GROUP_SUBSCRIBED_TO_TOPIC, give_up,
        "the group is subscribed to the topic";
    87, InvalidRecord, INVALID_RECORD, give_up,
        "a record is invalid";
    88, UnstableOffsetCommit, UNSTABLE_OFFSET_COMMIT, retry,
        "an offset is still part of an open transaction";
    89, ThrottlingQuotaExceeded, THROTTLING_QUOTA_EXCEEDED, retry,
        "the quota is exceeded";
    90, ProducerFenced, PRODUCER_FENCED, give_up,
        "a newer instance of the transactional producer is at work";
    91, ResourceNotFound, RESOURCE_NOT_FOUND, give_up,
        "there is no such resource";
    92, DuplicateResource, DUPLICATE_RESOURCE, give_up,
        "the resource is named more than once";
    93, UnacceptableCredential, UNACCEPTABLE_CREDENTIAL, give_up,
        "the credential is not acceptable";
    94, InconsistentVoterSet, INCONSISTENT_VOTER_SET, give_up,
        "the sets of voters differ";
    95, InvalidUpdateVersion, INVALID_UPDATE_VERSION, give_up,
        "the version of the feature cannot be set so";
    96, FeatureUpdateFailed, FEATURE_UPDATE_FAILED, give_up,
        "the features could not be updated";
    97, PrincipalDeserializationFailure, PRINCIPAL_DESERIALIZATION_FAILURE, give_up,
        "the forwarded principal cannot be read";
    98, SnapshotNotFound, SNAPSHOT_NOT_FOUND, give_up,
        "there is no such snapshot";
    99, PositionOutOfRange, POSITION_OUT_OF_RANGE, give_up,
        "the position is outside the snapshot";
    100, UnknownTopicId, UNKNOWN_TOPIC_ID, retry,
        "this broker does not know the topic id";
    101, DuplicateBrokerRegistration, DUPLICATE_BROKER_REGISTRATION, give_up,
        "a broker with the same id is registered";
    102, BrokerIdNotRegistered, BROKER_ID_NOT_REGISTERED, give_up,
        "the broker id is not registered";
    103, InconsistentTopicId, INCONSISTENT_TOPIC_ID, retry,
        "the topic id is not the one that belongs to the topic";
    104, InconsistentClusterId, INCONSISTENT_CLUSTER_ID, give_up,
        "the cluster id is that of another cluster";
    105, TransactionalIdNotFound, TRANSACTIONAL_ID_NOT_FOUND, give_up,
        "there is no such transactional id";
    106, FetchSessionTopicIdError, FETCH_SESSION_TOPIC_ID_ERROR, retry,
        "the fetch session mixes topic ids and names";
    107, IneligibleReplica, INELIGIBLE_REPLICA, give_up,
        "the replica cannot join the set of replicas in sync";
    108, NewLeaderElected, NEW_LEADER_ELECTED, give_up,
        "a new leader was elected";
    109, OffsetMovedToTieredStorage, OFFSET_MOVED_TO_TIERED_STORAGE, give_up,
        "the offset has moved to tiered storage";
    110, FencedMemberEpoch, FENCED_MEMBER_EPOCH, give_up,
        "the member's epoch is older than the group's: join again";
    111, UnreleasedInstanceId, UNRELEASED_INSTANCE_ID, give_up,
        "the group instance id still belongs to another member";
    112, UnsupportedAssignor, UNSUPPORTED_ASSIGNOR, give_up,
        "the group does not support the assignor";
    113, StaleMemberEpoch, STALE_MEMBER_EPOCH, give_up,
        "the member's epoch is not the current one";
    114, MismatchedEndpointType, MISMATCHED_ENDPOINT_TYPE, give_up,
        "the request was sent to the wrong type of endpoint";
    115, UnsupportedEndpointType, UNSUPPORTED_ENDPOINT_TYPE, give_up,
        "the type of endpoint is not supported";
    116, UnknownControllerId, UNKNOWN_CONTROLLER_ID, give_up,
        "the controller id is unknown";
    117, UnknownSubscriptionId, UNKNOWN_SUBSCRIPTION_ID, give_up,
        "the subscription id is unknown: ask for a new one";
    118, TelemetryTooLarge, TELEMETRY_TOO_LARGE, give_up,
        "the telemetry is larger than the broker allows";
    119, InvalidRegistration, INVALID_REGISTRATION, give_up,
        "the registration is invalid";
    120, TransactionAbortable, TRANSACTION_ABORTABLE, give_up,
        "the transaction must be aborted";
    121, InvalidRecordState, INVALID_RECORD_STATE, give_up,
        "the record is not in a state that allows it";
    122, ShareSessionNotFound, SHARE_SESSION_NOT_FOUND, retry,
        "there is no such share session";
    123, InvalidShareSessionEpoch, INVALID_SHARE_SESSION_EPOCH, retry,
        "the epoch of the share session is not the one that follows";
    124, FencedStateEpoch, FENCED_STATE_EPOCH, give_up,
        "the epoch of the state is out of date";
    125, InvalidVoterKey, INVALID_VOTER_KEY, give_up,
        "the voter's key is not the one that is expected";
    126, DuplicateVoter, DUPLICATE_VOTER, give_up,
        "the voter is part of the set already";
    127, VoterNotFound, VOTER_NOT_FOUND, give_up,
        "the voter is not part of the set";
    128, InvalidRegularExpression, INVALID_REGULAR_EXPRESSION, give_up,
        "the regular expression is invalid";
    129, RebootstrapRequired, REBOOTSTRAP_REQUIRED, give_up,
        "the client must start again from its bootstrap servers";
    130, StreamsInvalidTopology, STREAMS_INVALID_TOPOLOGY, give_up,
        "the topology is invalid";
    131, StreamsInvalidTopologyEpoch, STREAMS_INVALID_TOPOLOGY_EPOCH, give_up,
        "the epoch of the topology is invalid";
    132, StreamsTopologyFenced, STREAMS_TOPOLOGY_FENCED, give_up,
        "the epoch of the topology is out of date";
    133, ShareSessionLimitReached, SHARE_SESSION_LIMIT_REACHED, retry,
        "the broker has as many share sessions as it may";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use kafka_protocol::error::ParseResponseErrorCode;

    use super::*;

    #[test]
    fn numbers_have_no_gap_and_round_trip() {
        let numbers: Vec<i16> = ErrorCode::ALL.iter().map(|code| code.code()).collect();
        assert_eq!(numbers, (-1..=133).collect::<Vec<_>>());
        for number in i16::MIN..=i16::MAX {
            let code = ErrorCode::from_i16(number);
            assert_eq!(code.is_some(), (-1..=133).contains(&number));
            assert!(code.is_none_or(|code| code.code() == number));
        }
    }

    #[test]
    fn the_oracle_agrees_on_names_and_retries() {
        for &code in ErrorCode::ALL {
            let Some(theirs) = code.code().err() else {
                assert_eq!(code, ErrorCode::None);
                continue;
            };
            let name: String = code.name().split('_').map(capitalised).collect();
            assert_eq!(format!("{code:?}"), name);
            assert_eq!(format!("{theirs:?}"), name);
            assert_eq!(theirs.is_retriable(), code.retriable(), "{code}");
        }
    }

    #[test]
    fn messages_are_sentences_that_differ() {
        let messages: HashSet<&str> = ErrorCode::ALL.iter().map(|code| code.message()).collect();
        assert_eq!(messages.len(), ErrorCode::ALL.len());
        assert_eq!(
            ErrorCode::CorruptMessage.to_string(),
            "CORRUPT_MESSAGE (2): the records are corrupt: the checksum does not fit, or the size \
             is invalid"
        );
    }

    /// "TOPIC" becomes "Topic".
    fn capitalised(word: &str) -> String {
        word[..1].to_owned() + &word[1..].to_lowercase()
    }
}
