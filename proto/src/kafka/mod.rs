//! The table of the Kafka APIs, and every request and response as one type each.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - One row of the table is one file in `messages/`. The decoder, the versions that a broker
//!   advertises and the list of what is supported are all made of the table, so they cannot differ.
//! - The advertised versions contain the implemented ones. They are more for Produce only: old
//!   librdkafka compresses only if it sees Produce v0, and then does not use it.
//!
//! ```
//! use highwater_proto::kafka::messages::metadata::MetadataRequest;
//! use highwater_proto::kafka::{self, ApiKey, Request, RequestHeader};
//!
//! let request = Request::from(MetadataRequest::default());
//! let frame = request.encode_frame(12, 7, None)?.into_bytes();
//!
//! let (header, body) = kafka::open_request(frame.slice(kafka::SIZE_BYTES..))?;
//! assert_eq!((header.key, header.version, header.correlation_id), (3, 12, 7));
//! assert_eq!(Request::decode(header.key, header.version, body)?, request);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod apis;
#[cfg(test)]
mod arbitrary;
mod frame;
mod message;
pub mod messages;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use crate::cursor::{EncodeError, Encoded, Reader, Str, Version, Writer};
use crate::error::{DecodeError, DecodeErrorKind};
use apis::apis;
pub use frame::{
    FrameError, FrameHint, RequestHeader, SIZE_BYTES, correlation_id, request_size, response_size,
};
use messages::alter_client_quotas::{AlterClientQuotasRequest, AlterClientQuotasResponse};
use messages::alter_configs::{AlterConfigsRequest, AlterConfigsResponse};
use messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
};
use messages::alter_replica_log_dirs::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};
use messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse,
};
use messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use messages::create_acls::{CreateAclsRequest, CreateAclsResponse};
use messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse};
use messages::create_topics::{CreateTopicsRequest, CreateTopicsResponse};
use messages::delete_acls::{DeleteAclsRequest, DeleteAclsResponse};
use messages::delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
use messages::delete_records::{DeleteRecordsRequest, DeleteRecordsResponse};
use messages::delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
use messages::describe_acls::{DescribeAclsRequest, DescribeAclsResponse};
use messages::describe_client_quotas::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};
use messages::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse};
use messages::describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse};
use messages::describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use messages::describe_quorum::{DescribeQuorumRequest, DescribeQuorumResponse};
use messages::describe_topic_partitions::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
};
use messages::describe_user_scram_credentials::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
};
use messages::elect_leaders::{ElectLeadersRequest, ElectLeadersResponse};
use messages::fetch::{FetchRequest, FetchResponse};
use messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use messages::incremental_alter_configs::{
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use messages::join_group::{JoinGroupRequest, JoinGroupResponse};
use messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse};
use messages::list_config_resources::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use messages::list_groups::{ListGroupsRequest, ListGroupsResponse};
use messages::list_offsets::{ListOffsetsRequest, ListOffsetsResponse};
use messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
use messages::metadata::{MetadataRequest, MetadataResponse};
use messages::offset_commit::{OffsetCommitRequest, OffsetCommitResponse};
use messages::offset_delete::{OffsetDeleteRequest, OffsetDeleteResponse};
use messages::offset_fetch::{OffsetFetchRequest, OffsetFetchResponse};
use messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
};
use messages::produce::{ProduceRequest, ProduceResponse};
use messages::sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use messages::sasl_handshake::{SaslHandshakeRequest, SaslHandshakeResponse};
use messages::sync_group::{SyncGroupRequest, SyncGroupResponse};
pub use wire::{Hidden, Wire};

/// A row of the table of APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiInfo {
    /// The API.
    pub key: ApiKey,
    /// Its name as Kafka writes it.
    pub name: &'static str,
    /// The versions that can be read and written here.
    pub implemented: Versions,
    /// The versions that a broker puts into its answer to ApiVersions.
    pub advertised: Versions,
    /// The first version with compact lengths and tag sections; `i16::MAX` if none has them.
    pub flexible_from: i16,
}

/// A range of versions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The lowest version.
    pub min: i16,
    /// The highest version.
    pub max: i16,
}

impl Versions {
    /// Whether the range has this version.
    #[must_use]
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }
}

/// A typed request, and the response that belongs to it.
pub trait ApiRequest: Sized {
    /// The API.
    const KEY: ApiKey;
    /// Its response.
    type Response;

    /// The request among all requests.
    fn into_request(self) -> Request;

    /// The response to this kind of request, if it is one.
    fn response(response: Response) -> Option<Self::Response>;
}

/// Why the bytes of a request are not a request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// There is no such API here.
    #[error("there is no API with key {key} here")]
    UnknownKey {
        /// The key of the request.
        key: i16,
    },
    /// The API has no such version here.
    #[error("{key} has no version {version} here, only {} to {}",
        .key.info().implemented.min, .key.info().implemented.max)]
    UnsupportedVersion {
        /// The API.
        key: ApiKey,
        /// The version of the request.
        version: i16,
    },
    /// The body does not have the layout of its version.
    #[error("the body of {key} v{version} does not parse: {source}")]
    Malformed {
        /// The API.
        key: ApiKey,
        /// The version of the request.
        version: i16,
        /// What is wrong, and where in the body.
        source: DecodeError,
    },
}

// The versions that are implemented and advertised, the first flexible one, and the messages.
//
// The highest versions are those of Kafka 3.9, a whole release, because clients guess the release
// from them (kafka-python: Fetch 17 and Produce 11 are 3.9, ListOffsets 10 is 4.0, Produce 13 is
// 4.1). A maximum of 4.0 would come with its others: Produce 12 promises transactions, 68 and 69
// the group protocol of KIP-848, neither of which is here. The lowest ones are older than 3.9's
// where a client in the field still asks for them. Two things are not 3.9's: ListConfigResources
// is offered to its version 1 (4.1), which lists topics and brokers, and what is a part of
// transactions, of Raft or of delegation tokens is left out.
apis! {
    0 Produce: 3..=11, advertised 0..=11, flexible 9, ProduceRequest => ProduceResponse;
    1 Fetch: 4..=17, advertised 4..=17, flexible 12, FetchRequest => FetchResponse;
    2 ListOffsets: 0..=9, advertised 0..=9, flexible 6,
        ListOffsetsRequest => ListOffsetsResponse;
    3 Metadata: 0..=12, advertised 0..=12, flexible 9, MetadataRequest => MetadataResponse;
    8 OffsetCommit: 2..=9, advertised 2..=9, flexible 8,
        OffsetCommitRequest => OffsetCommitResponse;
    9 OffsetFetch: 1..=9, advertised 1..=9, flexible 6,
        OffsetFetchRequest => OffsetFetchResponse;
    10 FindCoordinator: 0..=6, advertised 0..=6, flexible 3,
        FindCoordinatorRequest => FindCoordinatorResponse;
    11 JoinGroup: 0..=9, advertised 0..=9, flexible 6,
        JoinGroupRequest => JoinGroupResponse;
    12 Heartbeat: 0..=4, advertised 0..=4, flexible 4,
        HeartbeatRequest => HeartbeatResponse;
    13 LeaveGroup: 0..=5, advertised 0..=5, flexible 4,
        LeaveGroupRequest => LeaveGroupResponse;
    14 SyncGroup: 0..=5, advertised 0..=5, flexible 4,
        SyncGroupRequest => SyncGroupResponse;
    15 DescribeGroups: 0..=5, advertised 0..=5, flexible 5,
        DescribeGroupsRequest => DescribeGroupsResponse;
    16 ListGroups: 0..=5, advertised 0..=5, flexible 3,
        ListGroupsRequest => ListGroupsResponse;
    17 SaslHandshake: 0..=1, advertised 0..=1, never flexible,
        SaslHandshakeRequest => SaslHandshakeResponse;
    18 ApiVersions: 0..=4, advertised 0..=4, flexible 3,
        ApiVersionsRequest => ApiVersionsResponse;
    19 CreateTopics: 2..=7, advertised 2..=7, flexible 5,
        CreateTopicsRequest => CreateTopicsResponse;
    20 DeleteTopics: 1..=6, advertised 1..=6, flexible 4,
        DeleteTopicsRequest => DeleteTopicsResponse;
    21 DeleteRecords: 0..=2, advertised 0..=2, flexible 2,
        DeleteRecordsRequest => DeleteRecordsResponse;
    22 InitProducerId: 0..=5, advertised 0..=5, flexible 2,
        InitProducerIdRequest => InitProducerIdResponse;
    23 OffsetForLeaderEpoch: 2..=4, advertised 2..=4, flexible 4,
        OffsetForLeaderEpochRequest => OffsetForLeaderEpochResponse;
    29 DescribeAcls: 1..=3, advertised 1..=3, flexible 2,
        DescribeAclsRequest => DescribeAclsResponse;
    30 CreateAcls: 1..=3, advertised 1..=3, flexible 2,
        CreateAclsRequest => CreateAclsResponse;
    31 DeleteAcls: 1..=3, advertised 1..=3, flexible 2,
        DeleteAclsRequest => DeleteAclsResponse;
    32 DescribeConfigs: 1..=4, advertised 1..=4, flexible 4,
        DescribeConfigsRequest => DescribeConfigsResponse;
    33 AlterConfigs: 0..=2, advertised 0..=2, flexible 2,
        AlterConfigsRequest => AlterConfigsResponse;
    34 AlterReplicaLogDirs: 1..=2, advertised 1..=2, flexible 2,
        AlterReplicaLogDirsRequest => AlterReplicaLogDirsResponse;
    35 DescribeLogDirs: 1..=4, advertised 1..=4, flexible 2,
        DescribeLogDirsRequest => DescribeLogDirsResponse;
    36 SaslAuthenticate: 0..=2, advertised 0..=2, flexible 2,
        SaslAuthenticateRequest => SaslAuthenticateResponse;
    37 CreatePartitions: 0..=3, advertised 0..=3, flexible 2,
        CreatePartitionsRequest => CreatePartitionsResponse;
    42 DeleteGroups: 0..=2, advertised 0..=2, flexible 2,
        DeleteGroupsRequest => DeleteGroupsResponse;
    43 ElectLeaders: 0..=2, advertised 0..=2, flexible 2,
        ElectLeadersRequest => ElectLeadersResponse;
    44 IncrementalAlterConfigs: 0..=1, advertised 0..=1, flexible 1,
        IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse;
    45 AlterPartitionReassignments: 0..=0, advertised 0..=0, flexible 0,
        AlterPartitionReassignmentsRequest => AlterPartitionReassignmentsResponse;
    46 ListPartitionReassignments: 0..=0, advertised 0..=0, flexible 0,
        ListPartitionReassignmentsRequest => ListPartitionReassignmentsResponse;
    47 OffsetDelete: 0..=0, advertised 0..=0, never flexible,
        OffsetDeleteRequest => OffsetDeleteResponse;
    48 DescribeClientQuotas: 0..=1, advertised 0..=1, flexible 1,
        DescribeClientQuotasRequest => DescribeClientQuotasResponse;
    49 AlterClientQuotas: 0..=1, advertised 0..=1, flexible 1,
        AlterClientQuotasRequest => AlterClientQuotasResponse;
    50 DescribeUserScramCredentials: 0..=0, advertised 0..=0, flexible 0,
        DescribeUserScramCredentialsRequest => DescribeUserScramCredentialsResponse;
    51 AlterUserScramCredentials: 0..=0, advertised 0..=0, flexible 0,
        AlterUserScramCredentialsRequest => AlterUserScramCredentialsResponse;
    55 DescribeQuorum: 0..=2, advertised 0..=2, flexible 0,
        DescribeQuorumRequest => DescribeQuorumResponse;
    60 DescribeCluster: 0..=1, advertised 0..=1, flexible 0,
        DescribeClusterRequest => DescribeClusterResponse;
    74 ListConfigResources: 0..=1, advertised 0..=1, flexible 0,
        ListConfigResourcesRequest => ListConfigResourcesResponse;
    75 DescribeTopicPartitions: 0..=0, advertised 0..=0, flexible 0,
        DescribeTopicPartitionsRequest => DescribeTopicPartitionsResponse;
}

impl ApiKey {
    /// The key in the head of a request.
    #[must_use]
    pub const fn number(self) -> i16 {
        self as i16
    }

    /// The name as Kafka writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.info().name
    }

    /// The version of this number, implemented or not.
    #[must_use]
    pub const fn version(self, number: i16) -> Version {
        Version::new(number, number >= self.info().flexible_from)
    }

    fn readable(self, number: i16) -> Result<Version, DecodeError> {
        if self.info().implemented.contains(number) {
            Ok(self.version(number))
        } else {
            Err(DecodeError::at(
                0,
                DecodeErrorKind::UnsupportedVersion { version: number },
            ))
        }
    }

    fn writable(self, number: i16) -> Result<Version, EncodeError> {
        if self.info().implemented.contains(number) {
            Ok(self.version(number))
        } else {
            Err(EncodeError::UnsupportedVersion {
                api: self.name(),
                version: number,
            })
        }
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Splits a request, without its size prefix, into its header and its body.
///
/// A key or version that is not known here is no error yet: [`Request::decode`] tells.
pub fn open_request(frame: Bytes) -> Result<(RequestHeader, Bytes), DecodeError> {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader, |key, version| {
        ApiKey::from_number(key).is_some_and(|key| {
            // The header of a version from the future is not to be guessed at.
            key.info().implemented.contains(version) && key.version(version).flexible
        })
    })?;
    Ok((header, reader.into_rest()))
}

impl Request {
    /// Reads the body of a request.
    ///
    /// What stands behind its last field is passed over, as Kafka does: librdkafka up to at least
    /// 2.16 asks for all topics with a count of four bytes where one byte stands, so that its
    /// Metadata requests are three bytes too long.
    pub fn decode(key: i16, version: i16, body: Bytes) -> Result<Self, RequestError> {
        let key = ApiKey::from_number(key).ok_or(RequestError::UnknownKey { key })?;
        if !key.info().implemented.contains(version) {
            return Err(RequestError::UnsupportedVersion { key, version });
        }
        let mut reader = Reader::new(body);
        Self::decode_body(key, &mut reader, key.version(version)).map_err(|source| {
            RequestError::Malformed {
                key,
                version,
                source,
            }
        })
    }

    /// The body in a version.
    pub fn encode(&self, version: i16) -> Result<Encoded, EncodeError> {
        let version = self.key().writable(version)?;
        let mut writer = Writer::new();
        self.encode_body(&mut writer, version)?;
        Ok(writer.finish())
    }

    /// The whole frame: size, header and body.
    pub fn encode_frame(
        &self,
        version: i16,
        correlation_id: i32,
        client_id: Option<Str>,
    ) -> Result<Encoded, EncodeError> {
        let key = self.key();
        let version = key.writable(version)?;
        let mut writer = Writer::for_frame();
        let (key, number) = (key.number(), version.number);
        let header = RequestHeader {
            key,
            version: number,
            correlation_id,
            client_id,
        };
        header.encode(&mut writer, version.flexible)?;
        self.encode_body(&mut writer, version)?;
        writer.finish_frame()
    }

    /// Whether the request is answered; all are but a Produce with acks 0.
    #[must_use]
    pub const fn expects_response(&self) -> bool {
        !matches!(self, Self::Produce(ProduceRequest { acks: 0, .. }))
    }
}

impl Response {
    /// Reads the body of a response to a request of this key and version, all of it.
    pub fn decode(key: ApiKey, version: i16, body: Bytes) -> Result<Self, DecodeError> {
        let version = key.readable(version)?;
        let mut reader = Reader::new(body);
        let response = Self::decode_body(key, &mut reader, version)?;
        reader.finish()?;
        Ok(response)
    }

    /// Reads a response without its size prefix; gives its correlation id, too.
    pub fn decode_frame(
        key: ApiKey,
        version: i16,
        frame: Bytes,
    ) -> Result<(i32, Self), DecodeError> {
        let version = key.readable(version)?;
        let mut reader = Reader::new(frame);
        let correlation_id =
            frame::decode_response_header(&mut reader, key.number(), version.flexible)?;
        let response = Self::decode_body(key, &mut reader, version)?;
        reader.finish()?;
        Ok((correlation_id, response))
    }

    /// The body in a version.
    pub fn encode(&self, version: i16) -> Result<Encoded, EncodeError> {
        let version = self.key().writable(version)?;
        let mut writer = Writer::new();
        self.encode_body(&mut writer, version)?;
        Ok(writer.finish())
    }

    /// The whole frame: size, header and body. Large records are parts of their own, not copied.
    pub fn encode_frame(&self, version: i16, correlation_id: i32) -> Result<Encoded, EncodeError> {
        let key = self.key();
        let version = key.writable(version)?;
        let mut writer = Writer::for_frame();
        let (key, flexible) = (key.number(), version.flexible);
        frame::encode_response_header(&mut writer, correlation_id, key, flexible);
        self.encode_body(&mut writer, version)?;
        writer.finish_frame()
    }
}
