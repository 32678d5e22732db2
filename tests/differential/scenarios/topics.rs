//! Topics: what is asked of the cluster as a whole.

use highwater_proto::cursor::{Str, Uuid};
use highwater_proto::kafka::ApiKey;
use highwater_proto::kafka::messages::api_versions::ApiVersionsRequest;
use highwater_proto::kafka::messages::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
};
use highwater_proto::kafka::messages::create_topics::{
    CreateTopic, CreateTopicAssignment, CreateTopicConfig, CreateTopicsRequest,
};
use highwater_proto::kafka::messages::delete_topics::{DeleteTopic, DeleteTopicsRequest};
use highwater_proto::kafka::messages::metadata::{MetadataRequest, MetadataTopic};

use crate::peer::Peer;

/// Only the error is compared: what a broker offers is not the same, and need not be.
pub(super) fn api_versions(peer: &mut Peer) {
    for (name, version) in [
        ("", "1"),
        ("-x", "1"),
        ("a client", "1"),
        ("kcat", "1.7 beta"),
    ] {
        let request = ApiVersionsRequest {
            client_software_name: Str::from(name.to_owned()),
            client_software_version: Str::from(version.to_owned()),
        };
        peer.ask("odd", &format!("software {name:?} {version:?}"), 3, request);
    }
}

pub(super) fn create_topics(peer: &mut Peer) {
    for version in peer.versions(ApiKey::CreateTopics) {
        for validate_only in [true, false] {
            let name = |what: &str| format!("create-{what}-{version}{}", peer.run);
            let long = "x".repeat(250);
            let topics = vec![
                topic(&name("plain"), 2, 1),
                topic(&name("none"), 0, 1),
                topic(&name("minus"), -2, 1),
                topic(&name("no-copies"), 1, 0),
                topic("", 1, 1),
                topic(".", 1, 1),
                topic("..", 1, 1),
                topic("a topic", 1, 1),
                topic(&long, 1, 1),
                assigned(&name("assigned"), &[(0, 1), (1, 1)]),
                assigned(&name("elsewhere"), &[(0, 7)]),
                assigned(&name("gap"), &[(0, 1), (2, 1)]),
                CreateTopic {
                    num_partitions: 3,
                    ..assigned(&name("both"), &[(0, 1)])
                },
                with_config(&name("config"), "retention.ms", Some("1000")),
                with_config(&name("config-null"), "retention.ms", None),
                with_config(&name("config-bad"), "retention.ms", Some("soon")),
                with_config(&name("config-unknown"), "no.such.thing", Some("1")),
                with_config(&name("policy"), "cleanup.policy", Some("shred")),
            ];
            let request = CreateTopicsRequest {
                topics,
                timeout_ms: 30_000,
                validate_only,
            };
            let mut request = request;
            for topic in &mut request.topics {
                // What a topic has beside what it was given is the matter of another scenario.
                topic.configs.truncate(1);
            }
            peer.ask(
                "main",
                &format!("create, validate only {validate_only}"),
                version,
                request,
            );
        }
        let twice = format!("create-twice-{version}{}", peer.run);
        let request = CreateTopicsRequest {
            topics: vec![topic(&twice, 1, 1), topic(&twice, 1, 1)],
            timeout_ms: 30_000,
            ..CreateTopicsRequest::default()
        };
        peer.ask("main", "one name twice", version, request);
        let plain = format!("create-plain-{version}{}", peer.run);
        let request = CreateTopicsRequest {
            topics: vec![topic(&plain, 1, 1), topic(&plain.replace('-', "_"), 1, 1)],
            timeout_ms: 30_000,
            ..CreateTopicsRequest::default()
        };
        peer.ask("main", "a name that is taken", version, request);
    }
    let dots = format!("create.dots{}", peer.run);
    peer.topic(&dots, 1, &[]);
    let request = CreateTopicsRequest {
        topics: vec![topic(&dots.replace('.', "_"), 1, 1)],
        timeout_ms: 30_000,
        ..CreateTopicsRequest::default()
    };
    peer.ask_newest("a name that differs by a dot", request);
}

pub(super) fn create_partitions(peer: &mut Peer) {
    for version in peer.versions(ApiKey::CreatePartitions) {
        let name = format!("grow-{version}{}", peer.run);
        peer.topic(&name, 2, &[]);
        for validate_only in [true, false] {
            for (what, count, assignments) in [
                ("fewer", 1, None),
                ("as many", 2, None),
                ("none", 0, None),
                ("assigned too few", 4, Some(vec![vec![1]])),
                ("assigned elsewhere", 3, Some(vec![vec![9]])),
                ("one more", 3, None),
                ("one more, assigned", 4, Some(vec![vec![1]])),
            ] {
                let assignments = assignments.map(|brokers| {
                    let brokers = brokers.into_iter();
                    brokers
                        .map(|broker_ids| CreatePartitionsAssignment { broker_ids })
                        .collect()
                });
                let request = grow(&name, count, assignments, validate_only);
                let what = format!("{what}, validate only {validate_only}");
                peer.ask("main", &what, version, request);
            }
        }
        peer.until_led(&name, 4);
        let unknown = grow(&format!("{name}-unknown"), 3, None, false);
        peer.ask("main", "an unknown topic", version, unknown);
    }
}

pub(super) fn delete_topics(peer: &mut Peer) {
    for version in peer.versions(ApiKey::DeleteTopics) {
        let name = format!("delete-{version}{}", peer.run);
        peer.topic(&name, 1, &[]);
        for what in ["is there", "is gone"] {
            let mut request = DeleteTopicsRequest {
                timeout_ms: 30_000,
                ..DeleteTopicsRequest::default()
            };
            if version >= 6 {
                request.topics = vec![
                    DeleteTopic {
                        name: Some(Str::from(name.clone())),
                        ..DeleteTopic::default()
                    },
                    DeleteTopic {
                        topic_id: Uuid([7; 16]),
                        ..DeleteTopic::default()
                    },
                ];
            } else {
                request.topic_names = vec![Str::from(name.clone()), Str::from_static("never-was")];
            }
            peer.begin("main", version, request);
            peer.end_sorted::<DeleteTopicsRequest>("main", what, version, |answer| {
                answer.topics.sort_by(|a, b| a.name.cmp(&b.name));
            });
        }
    }
}

pub(super) fn metadata(peer: &mut Peer) {
    let name = format!("metadata{}", peer.run);
    peer.topic(&name, 3, &[]);
    for version in peer.versions(ApiKey::Metadata) {
        let asked = |name: &str| MetadataTopic {
            name: Some(Str::from(name.to_owned())),
            ..MetadataTopic::default()
        };
        let topics = vec![
            asked(&name),
            asked("no-such-topic"),
            asked("not a name"),
            asked(""),
        ];
        let request = MetadataRequest {
            topics: Some(topics),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        if version >= 4 {
            peer.ask("main", "four names", version, request);
        }
        if version >= 1 {
            let none = MetadataRequest {
                topics: Some(Vec::new()),
                ..MetadataRequest::default()
            };
            peer.ask("main", "no topics", version, none);
        }
        let one = MetadataRequest {
            topics: Some(vec![asked(&name)]),
            include_cluster_authorized_operations: (8..=10).contains(&version),
            include_topic_authorized_operations: version >= 8,
            ..MetadataRequest::default()
        };
        peer.ask("main", "one name", version, one);
        if version >= 12 {
            let unknown = MetadataTopic {
                topic_id: Uuid([7; 16]),
                name: None,
            };
            let request = MetadataRequest {
                topics: Some(vec![unknown]),
                ..MetadataRequest::default()
            };
            peer.ask("main", "an unknown id", version, request);
        }
    }
}

fn topic(name: &str, partition_count: i32, replication_factor: i16) -> CreateTopic {
    CreateTopic {
        name: Str::from(name.to_owned()),
        num_partitions: partition_count,
        replication_factor,
        ..CreateTopic::default()
    }
}

fn assigned(name: &str, partitions: &[(i32, i32)]) -> CreateTopic {
    let assignments = partitions
        .iter()
        .map(|(partition, broker)| CreateTopicAssignment {
            partition_index: *partition,
            broker_ids: vec![*broker],
        });
    CreateTopic {
        assignments: assignments.collect(),
        ..topic(name, -1, -1)
    }
}

fn with_config(name: &str, config: &'static str, value: Option<&'static str>) -> CreateTopic {
    CreateTopic {
        configs: vec![CreateTopicConfig {
            name: Str::from_static(config),
            value: value.map(Str::from_static),
        }],
        ..topic(name, 1, 1)
    }
}

fn grow(
    name: &str,
    count: i32,
    assignments: Option<Vec<CreatePartitionsAssignment>>,
    validate_only: bool,
) -> CreatePartitionsRequest {
    CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: Str::from(name.to_owned()),
            count,
            assignments,
        }],
        timeout_ms: 30_000,
        validate_only,
    }
}
