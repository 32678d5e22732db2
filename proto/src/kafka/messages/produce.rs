//! Produce (key 0), v3 to v11.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - `records` is a slice of the frame: one record batch, which nobody re-encodes.
//! - A request with `acks` 0 has no response.
//!
//! v9 flexible; v10 tells the leader that a client should have asked.

use bytes::Bytes;

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Record batches to append, one per partition.
    ProduceRequest {
        transactional_id: Option<Str>,
        /// -1: when durable; 1: when written; 0: without an answer.
        acks: i16,
        timeout_ms: i32,
        topics: Vec<ProduceTopic>,
    }

    /// The batches for one topic.
    ProduceTopic {
        name: Str,
        partitions: Vec<ProducePartition>,
    }

    /// The batch for one partition.
    ProducePartition {
        index: i32,
        records: Option<Bytes>,
    }

    /// What became of each batch.
    ProduceResponse {
        topics: Vec<ProduceTopicResponse>,
        throttle_time_ms: i32,
        @tag 0 node_endpoints: Vec<ProduceNodeEndpoint> [10..],
    }

    /// What became of the batches for one topic.
    ProduceTopicResponse {
        name: Str,
        partitions: Vec<ProducePartitionResponse>,
    }

    /// What became of the batch for one partition.
    ProducePartitionResponse {
        index: i32,
        error_code: i16,
        base_offset: i64,
        /// -1 on topics that keep the producer's timestamps.
        log_append_time_ms: i64 = -1,
        log_start_offset: i64 [5..] ignorable = -1,
        record_errors: Vec<ProduceRecordError> [8..] ignorable,
        error_message: Option<Str> [8..] ignorable,
        @tag 0 current_leader: ProduceLeader [10..],
    }

    /// A record that made its batch fail.
    ProduceRecordError {
        /// The index of the record in its batch.
        batch_index: i32,
        message: Option<Str>,
    }

    /// The leader that a client should have asked.
    ProduceLeader {
        leader_id: i32 = -1,
        leader_epoch: i32 = -1,
    }

    /// Where that leader can be reached.
    ProduceNodeEndpoint {
        node_id: i32,
        host: Str,
        port: i32,
        rack: Option<Str>,
    }
}
