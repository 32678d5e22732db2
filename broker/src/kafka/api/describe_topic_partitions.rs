//! DescribeTopicPartitions (key 75), v0.
//!
//! Floor 5 of broker.
//!
//! - Topics by name, as many partitions as fit, and a cursor where there are more.
//! - A cursor that fits to no page is error 42 for each topic that was asked for.

use highwater_proto::cursor::{Str, Uuid};
use highwater_proto::kafka::messages::describe_topic_partitions::{
    DescribeTopicPartitionsCursor, DescribeTopicPartitionsPartition,
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, DescribeTopicPartitionsTopic,
};

use super::Call;
use super::metadata::TOPIC_OPERATIONS;
use crate::error::TopicError;
use crate::kafka::errors::WireError;
use crate::service::topic_partitions::{PagedTopic, PartitionCursor, TopicPartitionsCall};

pub(in crate::kafka) fn handle(
    call: Call<'_>,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let asked = TopicPartitionsCall {
        topics: request
            .topics
            .into_iter()
            .map(|topic| topic.name.into())
            .collect(),
        cursor: request.cursor.map(|cursor| PartitionCursor {
            topic: cursor.topic_name.into(),
            partition: cursor.partition_index,
        }),
        partitions_max: request.response_partition_limit,
    };
    let node_id = call.service.cluster().node_id;
    match call.service.topic_partitions(&asked) {
        Ok(page) => DescribeTopicPartitionsResponse {
            topics: page
                .topics
                .into_iter()
                .map(|topic| answer(topic, node_id))
                .collect(),
            next_cursor: page.next.map(|next| DescribeTopicPartitionsCursor {
                topic_name: next.topic.into(),
                partition_index: next.partition,
            }),
            ..DescribeTopicPartitionsResponse::default()
        },
        Err(error) => DescribeTopicPartitionsResponse {
            topics: asked
                .topics
                .into_iter()
                .map(|name| refused(name, &error))
                .collect(),
            ..DescribeTopicPartitionsResponse::default()
        },
    }
}

fn answer(topic: PagedTopic, node_id: i32) -> DescribeTopicPartitionsTopic {
    let answer = match topic.result {
        Ok((found, range)) => DescribeTopicPartitionsTopic {
            name: Some(Str::from(found.name)),
            topic_id: Uuid(found.id.0),
            is_internal: found.internal,
            partitions: range
                .map(|index| partition(index, node_id, found.leader_epoch))
                .collect(),
            ..DescribeTopicPartitionsTopic::default()
        },
        Err(error) => refused(topic.name, &error),
    };
    DescribeTopicPartitionsTopic {
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..answer
    }
}

fn refused(name: String, error: &TopicError) -> DescribeTopicPartitionsTopic {
    DescribeTopicPartitionsTopic {
        error_code: error.error_code().code(),
        name: Some(Str::from(name)),
        ..DescribeTopicPartitionsTopic::default()
    }
}

fn partition(index: i32, node_id: i32, leader_epoch: i32) -> DescribeTopicPartitionsPartition {
    DescribeTopicPartitionsPartition {
        index,
        leader_id: node_id,
        leader_epoch,
        replica_nodes: vec![node_id],
        isr_nodes: vec![node_id],
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        ..DescribeTopicPartitionsPartition::default()
    }
}
