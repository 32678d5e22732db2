//! DeleteTopics (key 20), v1 to v6.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - v6 replaces the list of names by a list of names or ids.
//!
//! v4 flexible; v5 error messages.

use crate::cursor::{Str, Uuid};
use crate::kafka::message::message;

message! {
    /// Topics to delete.
    DeleteTopicsRequest {
        topics: Vec<DeleteTopic> [6..],
        topic_names: Vec<Str> [..=5] ignorable,
        timeout_ms: i32,
    }

    /// One topic to delete: by its name, or by its id if the name is null.
    DeleteTopic {
        name: Option<Str>,
        topic_id: Uuid,
    }

    /// What became of each topic.
    DeleteTopicsResponse {
        throttle_time_ms: i32,
        topics: Vec<DeleteTopicResult>,
    }

    /// What became of one topic.
    DeleteTopicResult {
        name: Option<Str> [..; null 6..],
        topic_id: Uuid [6..] ignorable,
        error_code: i16,
        error_message: Option<Str> [5..] ignorable,
    }
}
