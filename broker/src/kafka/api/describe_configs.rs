//! DescribeConfigs (key 32), v1 to v4.
//!
//! Floor 5 of broker.
//!
//! - Topics and the broker; loggers, client metrics and groups have nothing to describe; other
//!   types are answered with error 42.
//! - No keys, as null or as an empty list, ask for every config.
//! - The message of a success is an empty text, as in Kafka; no message would be null.
//! - Synonyms and documentation only where they are asked for.

use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::describe_configs::{
    DescribeConfigsEntry, DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};

use super::Call;
use crate::config::value::{ConfigEntry, ConfigSource, ConfigSynonym, ConfigType};
use crate::kafka::errors::{code_of, message_of};
use crate::service::configs::{ConfigResource, DescribeConfigs, DescribedConfigs};

pub(in crate::kafka) fn handle(
    call: Call<'_>,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let detail = Detail {
        synonyms: request.include_synonyms,
        documentation: request.include_documentation,
    };
    let asked = request.resources.into_iter().map(asked).collect();
    let described = call.service.describe_configs(asked).into_iter();
    DescribeConfigsResponse {
        results: described.map(|one| answer(one, detail)).collect(),
        ..DescribeConfigsResponse::default()
    }
}

/// How much is told of each config.
#[derive(Clone, Copy)]
struct Detail {
    synonyms: bool,
    documentation: bool,
}

/// A resource by Kafka's number of its type.
pub(super) fn resource(kind: i8, name: Str) -> ConfigResource {
    let name = String::from(name);
    match kind {
        TOPIC => ConfigResource::Topic(name),
        BROKER => ConfigResource::Broker(name),
        BROKER_LOGGER => ConfigResource::BrokerLogger(name),
        CLIENT_METRICS => ConfigResource::ClientMetrics(name),
        GROUP => ConfigResource::Group(name),
        kind => ConfigResource::Other { kind, name },
    }
}

/// Kafka's number of a resource's type, and its name.
pub(super) fn resource_parts(resource: ConfigResource) -> (i8, Str) {
    match resource {
        ConfigResource::Topic(name) => (TOPIC, Str::from(name)),
        ConfigResource::Broker(name) => (BROKER, Str::from(name)),
        ConfigResource::BrokerLogger(name) => (BROKER_LOGGER, Str::from(name)),
        ConfigResource::ClientMetrics(name) => (CLIENT_METRICS, Str::from(name)),
        ConfigResource::Group(name) => (GROUP, Str::from(name)),
        ConfigResource::Other { kind, name } => (kind, Str::from(name)),
    }
}

/// Kafka's number of the place that a value comes from.
pub(super) fn source_number(source: ConfigSource) -> i8 {
    match source {
        ConfigSource::Topic => 1,
        ConfigSource::DynamicBroker => 2,
        ConfigSource::DynamicDefault => 3,
        ConfigSource::StaticBroker => 4,
        ConfigSource::Default => 5,
    }
}

fn type_number(kind: ConfigType) -> i8 {
    match kind {
        ConfigType::Bool => 1,
        ConfigType::String => 2,
        ConfigType::Int => 3,
        ConfigType::Short => 4,
        ConfigType::Long => 5,
        ConfigType::Double => 6,
        ConfigType::List => 7,
    }
}

fn asked(asked: DescribeConfigsResource) -> DescribeConfigs {
    let names = asked.configuration_keys.filter(|names| !names.is_empty());
    DescribeConfigs {
        resource: resource(asked.resource_type, asked.resource_name),
        names: names.map(|names| names.into_iter().map(String::from).collect()),
    }
}

fn answer(described: DescribedConfigs, detail: Detail) -> DescribeConfigsResult {
    let (resource_type, resource_name) = resource_parts(described.resource);
    DescribeConfigsResult {
        error_code: code_of(&described.result),
        error_message: message_of(&described.result).or(Some(Str::default())),
        resource_type,
        resource_name,
        configs: described
            .result
            .unwrap_or_default()
            .into_iter()
            .map(|config| entry(config, detail))
            .collect(),
    }
}

fn entry(config: ConfigEntry, detail: Detail) -> DescribeConfigsEntry {
    let synonyms = if detail.synonyms {
        config.synonyms
    } else {
        Vec::new()
    };
    DescribeConfigsEntry {
        name: Str::from_static(config.name),
        value: Some(Str::from(config.value)),
        read_only: config.read_only,
        config_source: source_number(config.source),
        is_sensitive: false,
        synonyms: synonyms.into_iter().map(synonym).collect(),
        config_type: type_number(config.kind),
        documentation: detail
            .documentation
            .then(|| Str::from_static(config.documentation)),
    }
}

fn synonym(synonym: ConfigSynonym) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym {
        name: Str::from_static(synonym.name),
        value: Some(Str::from(synonym.value)),
        source: source_number(synonym.source),
    }
}

/// The types that have configs.
pub(super) const KINDS: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;
