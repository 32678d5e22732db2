//! Metadata (key 3), v0 to v12.
//!
//! Floor 5 of broker.
//!
//! - All topics: an empty list in v0, null in later versions; an empty list is none there.
//! - Creates missing topics if the request (v4+; before it always) and the broker allow it.
//! - The only broker has the address of the listener that the client came by.
//! - Topics by id from v12 on; v10 and v11 may not carry ids.

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::{Str, Uuid};
use highwater_proto::kafka::messages::metadata::{
    MetadataBroker, MetadataPartition, MetadataRequest, MetadataResponse, MetadataTopic,
    MetadataTopicResponse,
};

use super::Call;
use crate::ids::{TopicId, TopicRef};
use crate::kafka::errors::WireError;
use crate::service::topics::{MetadataCall, MetadataTopics, TopicDescription, TopicMetadata};

pub(in crate::kafka) async fn handle(call: Call<'_>, request: MetadataRequest) -> MetadataResponse {
    let allow_auto_create = request.allow_auto_topic_creation || call.version < AUTO_CREATE_SINCE;
    let (topics, refused) = asked(call.version, request.topics);
    let described = call
        .service
        .metadata(MetadataCall {
            topics,
            allow_auto_create,
        })
        .await;
    let cluster = call.service.cluster();
    let with_operations = request.include_topic_authorized_operations;
    let topics = described
        .into_iter()
        .map(|topic| answer(topic, cluster.node_id, with_operations))
        .chain(refused)
        .collect();
    let address = call.session.advertised();
    MetadataResponse {
        brokers: vec![MetadataBroker {
            node_id: cluster.node_id,
            host: Str::from(address.host.clone()),
            port: i32::from(address.port),
            rack: None,
        }],
        cluster_id: Some(Str::from(cluster.id)),
        controller_id: cluster.node_id,
        topics,
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            CLUSTER_OPERATIONS
        } else {
            i32::MIN
        },
        ..MetadataResponse::default()
    }
}

/// What to describe, and the answers to what cannot be asked so.
fn asked(
    version: i16,
    topics: Option<Vec<MetadataTopic>>,
) -> (MetadataTopics, Vec<MetadataTopicResponse>) {
    let Some(topics) = topics.filter(|topics| version > 0 || !topics.is_empty()) else {
        return (MetadataTopics::All, Vec::new());
    };
    let mut good = Vec::with_capacity(topics.len());
    let mut refused = Vec::new();
    for topic in topics {
        match topic {
            MetadataTopic {
                name: Some(name),
                topic_id,
            } if topic_id.is_nil() => {
                good.push(TopicRef::Name(name.into()));
            }
            MetadataTopic {
                name: None,
                topic_id,
            } if version >= BY_ID_SINCE && !topic_id.is_nil() => {
                good.push(TopicRef::Id(TopicId(topic_id.0)));
            }
            MetadataTopic { name, topic_id } => refused.push(MetadataTopicResponse {
                error_code: ErrorCode::InvalidRequest.code(),
                name: Some(name.unwrap_or_default()),
                topic_id,
                ..MetadataTopicResponse::default()
            }),
        }
    }
    (MetadataTopics::These(good), refused)
}

fn answer(topic: TopicMetadata, node_id: i32, with_operations: bool) -> MetadataTopicResponse {
    match topic.result {
        Ok(found) => MetadataTopicResponse {
            topic_id: Uuid(found.id.0),
            is_internal: found.internal,
            partitions: partitions(&found, node_id),
            name: Some(Str::from(found.name)),
            authorized_operations: if with_operations {
                TOPIC_OPERATIONS
            } else {
                i32::MIN
            },
            ..MetadataTopicResponse::default()
        },
        Err(error) => {
            let (name, topic_id) = match topic.asked {
                TopicRef::Name(name) => (Some(Str::from(name)), Uuid::NIL),
                TopicRef::Id(id) => (None, Uuid(id.0)),
            };
            MetadataTopicResponse {
                error_code: error.error_code().code(),
                name,
                topic_id,
                ..MetadataTopicResponse::default()
            }
        }
    }
}

fn partitions(topic: &TopicDescription, node_id: i32) -> Vec<MetadataPartition> {
    let partition = |index| MetadataPartition {
        index,
        leader_id: node_id,
        leader_epoch: topic.leader_epoch,
        replica_nodes: vec![node_id],
        isr_nodes: vec![node_id],
        ..MetadataPartition::default()
    };
    (0..topic.partition_count).map(partition).collect()
}

/// The first version that says whether a missing topic may be created.
const AUTO_CREATE_SINCE: i16 = 4;
/// The first version that can ask for a topic by its id.
const BY_ID_SINCE: i16 = 12;
/// Everything that can be done to a topic, as bits: nobody is forbidden anything.
pub(super) const TOPIC_OPERATIONS: i32 = 3576;
/// Everything that can be done to the cluster, as bits.
pub(super) const CLUSTER_OPERATIONS: i32 = 8096;
