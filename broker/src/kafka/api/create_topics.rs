//! CreateTopics (key 19), v2 to v7.
//!
//! Floor 5 of broker.
//!
//! - Each topic is created or refused on its own.
//! - -1 partitions or copies ask for the broker's default from v4 on, and beside a manual
//!   assignment in every version.
//! - v5 and newer answer with all configs; v7 with the topic's id.

use highwater_proto::cursor::{Str, Uuid};
use highwater_proto::kafka::messages::create_topics::{
    CreateTopic, CreateTopicResult, CreateTopicResultConfig, CreateTopicsRequest,
    CreateTopicsResponse,
};

use super::Call;
use super::describe_configs::source_number;
use crate::config::value::ConfigEntry;
use crate::kafka::errors::WireError;
use crate::service::topics::{CreateTopicsCall, CreatedTopic, NewTopic};

pub(in crate::kafka) async fn handle(
    call: Call<'_>,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let new_topic = |topic| new_topic(call.version, topic);
    let topics = request.topics.into_iter().map(new_topic).collect();
    let validate_only = request.validate_only;
    let created = call
        .service
        .create_topics(CreateTopicsCall {
            topics,
            validate_only,
        })
        .await;
    CreateTopicsResponse {
        topics: created.into_iter().map(answer).collect(),
        ..CreateTopicsResponse::default()
    }
}

fn new_topic(version: i16, topic: CreateTopic) -> NewTopic {
    let is_default_asked = version >= DEFAULTS_SINCE || !topic.assignments.is_empty();
    let is_default = |number: i32| number == DEFAULT && is_default_asked;
    let assignments = topic.assignments.into_iter();
    let configs = topic.configs.into_iter();
    NewTopic {
        name: topic.name.into(),
        partition_count: (!is_default(topic.num_partitions)).then_some(topic.num_partitions),
        replication_factor: (!is_default(topic.replication_factor.into()))
            .then_some(topic.replication_factor),
        assignments: assignments
            .map(|one| (one.partition_index, one.broker_ids))
            .collect(),
        configs: configs
            .map(|config| (config.name.into(), config.value.map(String::from)))
            .collect(),
    }
}

fn answer(created: CreatedTopic) -> CreateTopicResult {
    let name = Str::from(created.name);
    match created.result {
        Ok(topic) => CreateTopicResult {
            name,
            topic_id: Uuid(topic.id.0),
            num_partitions: topic.partition_count,
            replication_factor: topic.replication_factor,
            configs: Some(topic.configs.into_iter().map(config).collect()),
            ..CreateTopicResult::default()
        },
        Err(error) => CreateTopicResult {
            name,
            error_code: error.error_code().code(),
            error_message: error.message(),
            ..CreateTopicResult::default()
        },
    }
}

fn config(entry: ConfigEntry) -> CreateTopicResultConfig {
    CreateTopicResultConfig {
        name: Str::from_static(entry.name),
        value: Some(Str::from(entry.value)),
        read_only: entry.read_only,
        config_source: source_number(entry.source),
        is_sensitive: false,
    }
}

/// The first version in which -1 is the broker's default without an assignment, too.
const DEFAULTS_SINCE: i16 = 4;
const DEFAULT: i32 = -1;
