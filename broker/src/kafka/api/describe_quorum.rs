//! DescribeQuorum (key 55), v0 to v2.
//!
//! Floor 5 of broker.
//!
//! - One voter, this broker, with the offsets of its metadata log under Kafka's name of it; any
//!   other partition is error 3.

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::{Str, Uuid};
use highwater_proto::kafka::messages::describe_quorum::{
    DescribeQuorumAskedTopic, DescribeQuorumListener, DescribeQuorumNode, DescribeQuorumPartition,
    DescribeQuorumReplica, DescribeQuorumRequest, DescribeQuorumResponse, DescribeQuorumTopic,
};

use super::Call;
use crate::service::cluster::Quorum;

pub(in crate::kafka) fn handle(
    call: Call<'_>,
    request: DescribeQuorumRequest,
) -> DescribeQuorumResponse {
    let quorum = call.service.quorum();
    let address = call.session.advertised();
    let listener = DescribeQuorumListener {
        name: Str::from_static("CONTROLLER"),
        host: Str::from(address.host.clone()),
        port: address.port,
    };
    DescribeQuorumResponse {
        error_message: None,
        topics: request
            .topics
            .into_iter()
            .map(|topic| answer(topic, &quorum))
            .collect(),
        nodes: if call.version >= NODES_SINCE {
            vec![DescribeQuorumNode {
                node_id: quorum.node_id,
                listeners: vec![listener],
            }]
        } else {
            Vec::new()
        },
        ..DescribeQuorumResponse::default()
    }
}

fn answer(asked: DescribeQuorumAskedTopic, quorum: &Quorum) -> DescribeQuorumTopic {
    let is_metadata = asked.topic_name == METADATA_TOPIC;
    let partitions = asked.partitions.into_iter().map(|partition| {
        if is_metadata && partition.index == 0 {
            described(quorum)
        } else {
            DescribeQuorumPartition {
                index: partition.index,
                error_code: ErrorCode::UnknownTopicOrPartition.code(),
                error_message: None,
                ..DescribeQuorumPartition::default()
            }
        }
    });
    DescribeQuorumTopic {
        partitions: partitions.collect(),
        topic_name: asked.topic_name,
    }
}

fn described(quorum: &Quorum) -> DescribeQuorumPartition {
    DescribeQuorumPartition {
        error_message: None,
        leader_id: quorum.node_id,
        leader_epoch: quorum.leader_epoch,
        high_watermark: quorum.high_watermark.0,
        current_voters: vec![DescribeQuorumReplica {
            replica_id: quorum.node_id,
            replica_directory_id: Uuid::NIL,
            log_end_offset: quorum.end.0,
            // The leader has always just heard of itself.
            last_fetch_timestamp: quorum.now.0,
            last_caught_up_timestamp: quorum.now.0,
        }],
        ..DescribeQuorumPartition::default()
    }
}

/// The first version that tells where the nodes are.
const NODES_SINCE: i16 = 2;
const METADATA_TOPIC: &str = "__cluster_metadata";
