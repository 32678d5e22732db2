//! Configs over the wire: each error, what is kept and echoed, and what one resource costs others.

use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::alter_configs::{
    AlterConfigsEntry as ReplaceEntry, AlterConfigsRequest, AlterConfigsResource as ReplaceResource,
};
use highwater_proto::kafka::messages::describe_configs::{
    DescribeConfigsEntry, DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResult,
};
use highwater_proto::kafka::messages::incremental_alter_configs::{
    AlterConfigsEntry, AlterConfigsResource, IncrementalAlterConfigsRequest,
};
use highwater_proto::kafka::messages::list_config_resources::ListConfigResourcesRequest;

use crate::kit::{Client, Rig};

pub(crate) const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;
const LOGGER: i8 = 8;
const METRICS: i8 = 16;
const GROUP: i8 = 32;

pub(crate) const SET: i8 = 0;
pub(crate) const DELETE: i8 = 1;
pub(crate) const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(crate) type Change = (&'static str, i8, Option<&'static str>);

pub(crate) fn alter(
    client: &mut Client,
    all: &[(i8, &'static str, &[Change])],
    dry: bool,
) -> Vec<i16> {
    let entry = |&(name, operation, value): &Change| AlterConfigsEntry {
        name: name.into(),
        operation,
        value: value.map(Str::from_static),
    };
    let resource =
        |&(resource_type, name, changes): &(i8, &'static str, &[Change])| AlterConfigsResource {
            resource_type,
            resource_name: name.into(),
            configs: changes.iter().map(entry).collect(),
        };
    let request = IncrementalAlterConfigsRequest {
        resources: all.iter().map(resource).collect(),
        validate_only: dry,
    };
    let answer = client.call(1, request);
    for result in &answer.results {
        assert_eq!(result.error_message.is_some(), result.error_code != 0);
    }
    answer.results.iter().map(|one| one.error_code).collect()
}

pub(crate) fn replace(
    client: &mut Client,
    kind: i8,
    name: &'static str,
    configs: &[(&'static str, Option<&'static str>)],
    dry: bool,
) -> i16 {
    let entry = |&(name, value): &(&'static str, Option<&'static str>)| ReplaceEntry {
        name: name.into(),
        value: value.map(Str::from_static),
    };
    let resource = ReplaceResource {
        resource_type: kind,
        resource_name: name.into(),
        configs: configs.iter().map(entry).collect(),
    };
    let request = AlterConfigsRequest {
        resources: vec![resource],
        validate_only: dry,
    };
    let result = client.call(2, request).responses.remove(0);
    assert_eq!(result.error_message.is_some(), result.error_code != 0);
    assert_eq!(
        (result.resource_type, result.resource_name.as_str()),
        (kind, name)
    );
    result.error_code
}

pub(crate) fn describe(client: &mut Client, kind: i8, name: &'static str) -> DescribeConfigsResult {
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        include_documentation: true,
    };
    client.call(4, request).results.remove(0)
}

fn config(client: &mut Client, name: &str) -> DescribeConfigsEntry {
    let all = describe(client, TOPIC, "t").configs;
    all.into_iter().find(|config| config.name == name).unwrap()
}

fn value(client: &mut Client, name: &str) -> String {
    config(client, name).value.unwrap().into()
}

#[test]
fn each_error_of_describe_configs() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    for (kind, name, error) in [
        (TOPIC, "t", 0),
        (TOPIC, "none", 3),
        (TOPIC, "a b", 17),
        (TOPIC, "", 17),
        (TOPIC, "__meta", 17),
        (BROKER, "1", 0),
        (BROKER, "", 0),
        (BROKER, "2", 42),
        (BROKER, "one", 42),
        (LOGGER, "1", 0),
        (LOGGER, "", 42),
        (LOGGER, "2", 42),
        (METRICS, "m", 0),
        (METRICS, "", 42),
        (GROUP, "g", 0),
        (GROUP, "", 42),
        (3, "x", 42),
        (0, "x", 42),
    ] {
        let result = describe(&mut client, kind, name);
        assert_eq!(result.error_code, error, "{kind} {name}");
        assert_eq!((result.resource_type, &*result.resource_name), (kind, name));
        let message = result.error_message.as_deref();
        assert_eq!(message == Some(""), error == 0, "{message:?}, as in Kafka");
        let has_some = (kind, name) == (TOPIC, "t") || (kind, name) == (BROKER, "1");
        assert_eq!(!result.configs.is_empty(), has_some, "{kind} {name}");
    }
}

#[test]
fn each_error_of_incremental_alter_configs() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let good: Change = ("retention.ms", SET, Some("5"));
    let cases: &[(i8, &str, &[Change], i16)] = &[
        (TOPIC, "none", &[good], 3),
        (TOPIC, "a b", &[good], 17),
        (TOPIC, "", &[good], 42),
        (TOPIC, "t", &[("no.such.config", SET, Some("5"))], 40),
        (TOPIC, "t", &[("no.such.config", DELETE, None)], 40),
        (TOPIC, "t", &[("retention.ms", SET, Some("soon"))], 40),
        (TOPIC, "t", &[("retention.ms", APPEND, Some("5"))], 40),
        (TOPIC, "t", &[("retention.ms", SUBTRACT, Some("5"))], 40),
        (
            TOPIC,
            "t",
            &[("cleanup.policy", SUBTRACT, Some("delete"))],
            40,
        ),
        (
            TOPIC,
            "t",
            &[("remote.storage.enable", SET, Some("true"))],
            40,
        ),
        (TOPIC, "t", &[("retention.ms", SET, None)], 42),
        (TOPIC, "t", &[("retention.ms", 4, Some("5"))], 42),
        (TOPIC, "t", &[good, good], 42),
        (BROKER, "1", &[good], 42),
        (BROKER, "", &[good], 42),
        (BROKER, "2", &[good], 42),
        (LOGGER, "1", &[good], 40),
        (LOGGER, "2", &[good], 42),
        (METRICS, "m", &[good], 40),
        (GROUP, "g", &[good], 40),
        (3, "x", &[good], 42),
    ];
    for (kind, name, changes, error) in cases {
        for dry in [true, false] {
            let answer = alter(&mut client, &[(*kind, name, changes)], dry);
            assert_eq!(answer, [*error], "{kind} {name} {changes:?}");
        }
    }
    assert_eq!(config(&mut client, "retention.ms").config_source, 5);
    // All of a resource or nothing; each resource for itself.
    rig.topic("u", 1);
    let half: &[Change] = &[good, ("segment.ms", SET, Some("x"))];
    let asked: &[(i8, &str, &[Change])] = &[(TOPIC, "t", half), (TOPIC, "u", &[good])];
    assert_eq!(alter(&mut client, asked, false), [40, 0]);
    assert_eq!(value(&mut client, "retention.ms"), "604800000");
    let twice: &[(i8, &str, &[Change])] = &[
        (TOPIC, "t", &[good]),
        (TOPIC, "u", &[good]),
        (TOPIC, "t", &[good]),
    ];
    assert_eq!(alter(&mut client, twice, false), [42, 0, 42]);
}

#[test]
fn a_list_is_appended_to_and_subtracted_from() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let name = "cleanup.policy";
    for (operation, text, expected) in [
        (APPEND, "compact", "delete,compact"),
        (SUBTRACT, "delete", "compact"),
        (SET, "compact,delete", "compact,delete"),
    ] {
        let changes: &[Change] = &[(name, operation, Some(text))];
        assert_eq!(alter(&mut client, &[(TOPIC, "t", changes)], false), [0]);
        assert_eq!(value(&mut client, name), expected, "echoed as it was set");
    }
    assert_eq!(
        alter(&mut client, &[(TOPIC, "t", &[(name, DELETE, None)])], false),
        [0]
    );
    let entry = config(&mut client, name);
    assert_eq!(
        (entry.value.as_deref(), entry.config_source),
        (Some("delete"), 5)
    );
}

#[test]
fn each_error_of_alter_configs_which_replaces_everything() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let good = ("retention.ms", Some("5"));
    assert_eq!(replace(&mut client, TOPIC, "t", &[good], false), 0);
    for (kind, name, configs, error) in [
        (TOPIC, "none", [("segment.ms", Some("5"))], 3),
        (TOPIC, "a b", [good], 17),
        (TOPIC, "", [good], 42),
        (TOPIC, "t", [("no.such.config", Some("5"))], 40),
        (TOPIC, "t", [("segment.ms", Some("x"))], 40),
        (TOPIC, "t", [("segment.ms", None)], 42),
        (BROKER, "1", [good], 42),
        (BROKER, "", [good], 42),
        (GROUP, "g", [good], 40),
        (3, "x", [good], 42),
    ] {
        assert_eq!(replace(&mut client, kind, name, &configs, false), error);
    }
    assert_eq!(replace(&mut client, TOPIC, "t", &[good, good], false), 42);
    let other = [("segment.ms", Some("7"))];
    assert_eq!(replace(&mut client, TOPIC, "t", &other, true), 0);
    assert_eq!(value(&mut client, "retention.ms"), "5", "it was a dry run");
    assert_eq!(replace(&mut client, TOPIC, "t", &other, false), 0);
    assert_eq!(value(&mut client, "segment.ms"), "7");
    assert_eq!(config(&mut client, "retention.ms").config_source, 5);
}

/// Every config: set, described, taken back.
#[test]
fn every_topic_config_is_kept_and_echoed_and_goes_back() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let before = describe(&mut client, TOPIC, "t").configs;
    for (name, text) in EVERY_CONFIG {
        let default = before.iter().find(|config| config.name == *name).unwrap();
        assert_eq!(default.config_source, 5, "{name}");
        assert_ne!(default.value.as_deref(), Some(*text), "{name}");
        assert!(!default.read_only && !default.is_sensitive, "{name}");
        assert!(default.documentation.is_some() && default.config_type > 0);
        let is_named = !UNNAMED_DEFAULTS.contains(name);
        assert_eq!(default.synonyms.len(), usize::from(is_named), "{name}");
        let set: &[Change] = &[(name, SET, Some(text))];
        assert_eq!(
            alter(&mut client, &[(TOPIC, "t", set)], false),
            [0],
            "{name}"
        );
        let entry = config(&mut client, name);
        assert_eq!(
            (entry.value.as_deref(), entry.config_source),
            (Some(*text), 1)
        );
        let places: Vec<_> = entry
            .synonyms
            .iter()
            .map(|place| (place.name.as_str(), place.source))
            .collect();
        let below = default.synonyms.first();
        let below = below.map(|place| (place.name.as_str(), 5));
        let expected: Vec<_> = [(*name, 1)].into_iter().chain(below).collect();
        assert_eq!(places, expected);
        let back: &[Change] = &[(name, DELETE, None)];
        assert_eq!(alter(&mut client, &[(TOPIC, "t", back)], false), [0]);
        assert_eq!(&config(&mut client, name), default);
    }
    let named = EVERY_CONFIG.iter().map(|(name, _)| *name);
    let others: Vec<&str> = before
        .iter()
        .map(|config| config.name.as_str())
        .filter(|name| !named.clone().any(|other| other == *name))
        .collect();
    let fixed = ["append.conditional", "remote.storage.enable"];
    assert_eq!(others, fixed, "of a topic that is there, they stay false");
    for name in fixed {
        assert_eq!(config(&mut client, name).synonyms, []);
    }
}

#[test]
fn old_configs_are_accepted_and_not_kept() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let before = describe(&mut client, TOPIC, "t");
    for name in [
        "message.format.version",
        "message.downconversion.enable",
        "message.timestamp.difference.max.ms",
    ] {
        let set: &[Change] = &[(name, SET, Some("1"))];
        assert_eq!(alter(&mut client, &[(TOPIC, "t", set)], false), [0]);
    }
    assert_eq!(describe(&mut client, TOPIC, "t"), before);
}

#[test]
fn what_can_be_described_is_listed() {
    let rig = Rig::new();
    for name in ["u", "t"] {
        rig.topic(name, 1);
    }
    let mut client = rig.client();
    let mut listed = |version, resource_types: &[i8]| {
        let resource_types = resource_types.to_vec();
        let answer = client.call(version, ListConfigResourcesRequest { resource_types });
        let found: Vec<(i8, String)> = answer
            .config_resources
            .into_iter()
            .map(|one| (one.resource_type, one.resource_name.into()))
            .collect();
        (answer.error_code, found)
    };
    let named = |all: &[(i8, &str)]| {
        let all = all.iter().map(|(kind, name)| (*kind, (*name).to_owned()));
        all.collect::<Vec<_>>()
    };
    let all = named(&[(TOPIC, "t"), (TOPIC, "u"), (BROKER, "1"), (LOGGER, "1")]);
    assert_eq!(listed(1, &[]), (0, all.clone()));
    assert_eq!(listed(1, &[TOPIC, GROUP]), (0, all[..2].to_vec()));
    assert_eq!(listed(1, &[METRICS]), (0, vec![]));
    assert_eq!(listed(1, &[TOPIC, 3]), (35, vec![]));
    assert_eq!(listed(0, &[]), (0, vec![]), "v0 knows client metrics alone");
}

/// Of Kafka's brokers, some have no such config, and some have one without a default of its own.
const UNNAMED_DEFAULTS: &[&str] = &[
    "allow.history.loss",
    "append.conditional",
    "follower.replication.throttled.replicas",
    "leader.replication.throttled.replicas",
    "remote.log.copy.disable",
    "remote.log.delete.on.disable",
    "remote.storage.enable",
    "retention.ms",
    "segment.jitter.ms",
    "segment.ms",
];

/// Each with a value that is not its default.
const EVERY_CONFIG: &[(&str, &str)] = &[
    ("allow.history.loss", "true"),
    ("cleanup.policy", "compact,delete"),
    ("compression.gzip.level", "9"),
    ("compression.lz4.level", "1"),
    ("compression.type", "zstd"),
    ("compression.zstd.level", "-5"),
    ("corrupt.read", "skip"),
    ("delete.retention.ms", "1"),
    ("durability", "page-cache"),
    ("file.delete.delay.ms", "1"),
    ("flush.bytes", "1"),
    ("flush.messages", "1"),
    ("flush.ms", "1"),
    ("follower.replication.throttled.replicas", "0:1,1:1"),
    ("index.interval.bytes", "4096"),
    ("leader.replication.throttled.replicas", "*"),
    ("local.retention.bytes", "1"),
    ("local.retention.ms", "1"),
    ("max.compaction.lag.ms", "1"),
    ("max.message.bytes", "1000000"),
    ("message.timestamp.after.max.ms", "1"),
    ("message.timestamp.before.max.ms", "1"),
    ("message.timestamp.type", "LogAppendTime"),
    ("min.cleanable.dirty.ratio", "0.1"),
    ("min.compaction.lag.ms", "1"),
    ("min.insync.replicas", "2"),
    ("on.full", "drop-oldest"),
    ("preallocate", "true"),
    ("remote.log.copy.disable", "true"),
    ("remote.log.delete.on.disable", "true"),
    ("retention.bytes", "1"),
    ("retention.ms", "-1"),
    ("segment.bytes", "1000000"),
    ("segment.index.bytes", "1000"),
    ("segment.jitter.ms", "1"),
    ("segment.ms", "1"),
    ("unclean.leader.election.enable", "true"),
];
