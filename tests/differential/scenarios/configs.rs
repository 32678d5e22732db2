//! Configs: read, changed, refused.

use highwater_proto::cursor::Str;
use highwater_proto::kafka::ApiKey;
use highwater_proto::kafka::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use highwater_proto::kafka::messages::incremental_alter_configs::{
    AlterConfigsEntry, AlterConfigsResource, IncrementalAlterConfigsRequest,
};

use crate::peer::Peer;

/// Every topic config of Kafka, one after another: value, source, type, synonyms.
pub(super) fn topic_configs(peer: &mut Peer) {
    let name = format!("configs{}", peer.run);
    peer.topic(
        &name,
        1,
        &[
            ("retention.ms", "7200000"),
            ("cleanup.policy", "compact,delete"),
        ],
    );
    for version in peer.versions(ApiKey::DescribeConfigs) {
        for config in TOPIC_CONFIGS {
            let request = describe(TOPIC, &name, Some(config));
            peer.ask("main", config, version, request);
        }
        let unknown = describe(TOPIC, "no-such-topic", Some("retention.ms"));
        peer.ask("main", "an unknown topic", version, unknown);
        let other = describe(BROKER, "77", Some("num.partitions"));
        peer.ask("main", "another broker", version, other);
        let nonsense = describe(3, "x", None);
        peer.ask("main", "an unknown resource", version, nonsense);
    }
}

pub(super) fn alter_configs(peer: &mut Peer) {
    for version in peer.versions(ApiKey::IncrementalAlterConfigs) {
        let name = format!("alter-{version}{}", peer.run);
        peer.topic(&name, 1, &[]);
        for (config, operation, value) in CHANGES {
            let request = alter(&name, config, *operation, *value);
            let what = format!("{config} {operation} {value:?}");
            peer.ask("main", &what, version, request);
            if TOPIC_CONFIGS.contains(config) {
                peer.ask_newest(&what, describe(TOPIC, &name, Some(config)));
            }
        }
        let unknown = alter("no-such-topic", "retention.ms", 0, Some("5"));
        peer.ask("main", "an unknown topic", version, unknown);
    }
}

const CHANGES: &[(&str, i8, Option<&str>)] = &[
    ("retention.ms", 0, Some("5000")),
    ("retention.ms", 0, Some("soon")),
    ("retention.ms", 0, None),
    ("retention.ms", 2, Some("1")),
    ("retention.ms", 1, None),
    ("retention.ms", 1, None),
    ("retention.ms", 9, Some("1")),
    ("no.such.thing", 0, Some("1")),
    ("cleanup.policy", 2, Some("compact")),
    ("cleanup.policy", 2, Some("compact")),
    ("cleanup.policy", 3, Some("delete")),
    ("cleanup.policy", 0, Some("shred")),
    ("cleanup.policy", 1, None),
    ("max.message.bytes", 0, Some("-1")),
    ("max.message.bytes", 0, Some("2000")),
    ("compression.type", 0, Some("zstd")),
    ("compression.type", 0, Some("rar")),
    ("min.insync.replicas", 0, Some("0")),
    ("message.timestamp.type", 0, Some("LogAppendTime")),
    ("segment.bytes", 0, Some("10")),
];

fn describe(resource_type: i8, name: &str, config: Option<&str>) -> DescribeConfigsRequest {
    DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type,
            resource_name: Str::from(name.to_owned()),
            configuration_keys: config.map(|config| vec![Str::from(config.to_owned())]),
        }],
        include_synonyms: true,
        ..DescribeConfigsRequest::default()
    }
}

fn alter(
    topic: &str,
    config: &str,
    operation: i8,
    value: Option<&str>,
) -> IncrementalAlterConfigsRequest {
    IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: TOPIC,
            resource_name: Str::from(topic.to_owned()),
            configs: vec![AlterConfigsEntry {
                name: Str::from(config.to_owned()),
                operation,
                value: value.map(|value| Str::from(value.to_owned())),
            }],
        }],
        ..IncrementalAlterConfigsRequest::default()
    }
}

const TOPIC_CONFIGS: &[&str] = &[
    "cleanup.policy",
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.type",
    "compression.zstd.level",
    "delete.retention.ms",
    "file.delete.delay.ms",
    "flush.messages",
    "flush.ms",
    "follower.replication.throttled.replicas",
    "index.interval.bytes",
    "leader.replication.throttled.replicas",
    "local.retention.bytes",
    "local.retention.ms",
    "max.compaction.lag.ms",
    "max.message.bytes",
    "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms",
    "message.timestamp.type",
    "min.cleanable.dirty.ratio",
    "min.compaction.lag.ms",
    "min.insync.replicas",
    "preallocate",
    "remote.log.copy.disable",
    "remote.log.delete.on.disable",
    "remote.storage.enable",
    "retention.bytes",
    "retention.ms",
    "segment.bytes",
    "segment.index.bytes",
    "segment.jitter.ms",
    "segment.ms",
    "unclean.leader.election.enable",
];

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
