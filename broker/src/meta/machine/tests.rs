//! The metadata machine: what it does, and each refusal by name.

use highwater_log::types::LogId;
use highwater_proto::clock::Wall;

use super::*;
use crate::meta::{AlterFrom, ConfigChange, ConfigOperation};

pub(super) const NOW: Wall = Wall(1_700_000_000_000);

pub(super) fn machine(config: BrokerConfig) -> MetaMachine {
    MetaMachine::new(Arc::new(config))
}

pub(super) fn topic(name: &str) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        ..NewTopic::default()
    }
}

pub(super) fn id(number: u8) -> TopicId {
    TopicId([number; 16])
}

/// Decides and applies, as a coordinator does.
fn run<R>(
    machine: &mut MetaMachine,
    decide: impl FnOnce(&MetaMachine) -> Effects<MetaRecord, R>,
) -> R {
    let Effects { records, reply } = decide(machine);
    records.iter().for_each(|record| machine.apply(record));
    reply
}

fn create(
    machine: &mut MetaMachine,
    topics: &[NewTopic],
) -> Vec<Result<NewTopicDescription, TopicError>> {
    let first = machine.state().topics.len();
    let with_id = |(at, topic): (usize, &NewTopic)| {
        (topic.clone(), id(u8::try_from(first + at + 1).unwrap()))
    };
    let topics: Vec<_> = topics.iter().enumerate().map(with_id).collect();
    run(machine, |machine| machine.create_topics(NOW, &topics))
}

/// The errors of a request of one topic, and that it changes nothing.
fn refusal(config: BrokerConfig, topic: NewTopic) -> TopicError {
    let mut machine = machine(config);
    let before = machine.state().clone();
    let error = create(&mut machine, &[topic]).remove(0).unwrap_err();
    assert_eq!(machine.state(), &before);
    error
}

#[test]
fn a_topic_is_created_with_the_defaults() {
    let mut machine = machine(BrokerConfig {
        num_partitions: 3,
        ..BrokerConfig::default()
    });
    let created = create(&mut machine, &[topic("orders")]).remove(0).unwrap();
    assert_eq!(
        (
            created.id,
            created.partition_count,
            created.replication_factor
        ),
        (id(1), 3, 1)
    );
    assert_eq!(
        created.configs,
        machine.layers(&TopicConfigs::default()).entries()
    );
    let topic = machine.state().named("orders").unwrap();
    assert_eq!((topic.created_ms, topic.partition_count), (NOW.0, 3));
    assert_eq!(
        topic.log(2),
        Some(LogId {
            topic: [1; 16],
            partition: 2
        })
    );
    assert_eq!((topic.log(3), topic.log(-1)), (None, None));
}

#[test]
fn partitions_and_copies_must_be_possible() {
    let config = BrokerConfig::default;
    let of = |count| NewTopic {
        partition_count: Some(count),
        ..topic("t")
    };
    assert!(matches!(
        refusal(config(), of(0)),
        TopicError::InvalidPartitions { .. }
    ));
    assert!(matches!(
        refusal(config(), of(-1)),
        TopicError::InvalidPartitions { .. }
    ));
    let small = BrokerConfig {
        broker_partitions_max: 4,
        ..config()
    };
    assert!(matches!(
        refusal(small, of(5)),
        TopicError::LimitExceeded { .. }
    ));
    let copies = |factor| NewTopic {
        replication_factor: Some(factor),
        ..topic("t")
    };
    assert_eq!(
        refusal(config(), copies(0)),
        TopicError::InvalidReplicationFactor { factor: 0 }
    );
    let strict = BrokerConfig {
        replication_factor_clamp: false,
        ..config()
    };
    assert_eq!(
        refusal(strict, copies(3)),
        TopicError::InvalidReplicationFactor { factor: 3 }
    );
    let created = create(&mut machine(config()), &[copies(3)])
        .remove(0)
        .unwrap();
    assert_eq!(
        created.replication_factor, 1,
        "more copies are stored as one"
    );
}

#[test]
fn a_manual_assignment_names_this_broker_for_each_partition() {
    let assigned = |assignments: &[(i32, &[i32])]| NewTopic {
        assignments: assignments
            .iter()
            .map(|(p, brokers)| (*p, brokers.to_vec()))
            .collect(),
        ..topic("t")
    };
    let default = BrokerConfig::default;
    let created = create(
        &mut machine(default()),
        &[assigned(&[(1, &[1]), (0, &[1])])],
    );
    assert_eq!(created[0].as_ref().unwrap().partition_count, 2);
    for wrong in [
        assigned(&[(0, &[2])]),
        assigned(&[(0, &[1, 2])]),
        assigned(&[(0, &[])]),
        assigned(&[(1, &[1])]),
        assigned(&[(0, &[1]), (0, &[1])]),
    ] {
        let error = refusal(default(), wrong.clone());
        assert!(
            matches!(error, TopicError::InvalidReplicaAssignment { .. }),
            "{wrong:?}"
        );
    }
    let both = NewTopic {
        partition_count: Some(1),
        ..assigned(&[(0, &[1])])
    };
    assert!(matches!(
        refusal(default(), both),
        TopicError::InvalidRequest { .. }
    ));
    let copies = NewTopic {
        replication_factor: Some(1),
        ..assigned(&[(0, &[1])])
    };
    assert!(matches!(
        refusal(default(), copies),
        TopicError::InvalidRequest { .. }
    ));
}

#[test]
fn configs_must_be_possible() {
    let with = |name: &str, value: Option<&str>| NewTopic {
        configs: vec![(name.to_owned(), value.map(str::to_owned))],
        ..topic("t")
    };
    for (name, value) in [
        ("cleanup.policy", Some("remove")),
        ("retention.ms", Some("soon")),
        ("retention", Some("1")),
        ("retention.ms", None),
        ("remote.storage.enable", Some("true")),
    ] {
        let error = refusal(BrokerConfig::default(), with(name, value));
        let TopicError::InvalidConfig(error) = error else {
            panic!("{name}: {error}")
        };
        assert_eq!(error.name, name);
    }
    let mut machine = machine(BrokerConfig::default());
    create(
        &mut machine,
        &[with("message.format.version", Some("2.8-IV1"))],
    )[0]
    .as_ref()
    .unwrap();
    assert_eq!(
        machine.state().named("t").unwrap().configs,
        TopicConfigs::default()
    );
}

#[test]
fn names_that_collide_are_refused() {
    let mut machine = machine(BrokerConfig::default());
    create(&mut machine, &[topic("a.b")])[0].as_ref().unwrap();
    let again = create(
        &mut machine,
        &[topic("a.b"), topic("A_b"), topic("c"), topic("C")],
    );
    assert_eq!(again[0], Err(TopicError::Exists { deleting: false }));
    assert!(matches!(again[1], Err(TopicError::InvalidName { .. })));
    assert!(
        again[2].is_ok(),
        "a valid topic of the same request is created"
    );
    assert!(matches!(again[3], Err(TopicError::InvalidName { .. })));
    let twice = create(&mut machine, &[topic("d"), topic("d"), topic("e")]);
    assert!(matches!(twice[0], Err(TopicError::InvalidRequest { .. })));
    assert!(matches!(twice[1], Err(TopicError::InvalidRequest { .. })));
    assert!(twice[2].is_ok() && machine.state().named("d").is_none());
}

#[test]
fn a_deleted_topic_keeps_its_name_until_it_is_forgotten() {
    let mut machine = machine(BrokerConfig::default());
    create(&mut machine, &[topic("t")])[0].as_ref().unwrap();
    let asked = [
        TopicRef::from("t"),
        TopicRef::from("u"),
        TopicRef::Id(id(9)),
    ];
    let deleted = run(&mut machine, |machine| machine.delete_topics(&asked));
    assert_eq!(deleted[0].as_ref().unwrap().id, id(1));
    assert_eq!(deleted[1], Err(TopicError::Unknown));
    assert_eq!(deleted[2], Err(TopicError::UnknownId));
    assert!(machine.state().named("t").is_none() && machine.state().knows(id(1)));
    assert_eq!(
        create(&mut machine, &[topic("t")]),
        [Err(TopicError::Exists { deleting: true })]
    );
    let again = run(&mut machine, |machine| machine.delete_topics(&asked[..1]));
    assert_eq!(again, [Err(TopicError::Unknown)]);
    run(&mut machine, |machine| machine.forget(&[id(1), id(2)]));
    assert_eq!(machine.state(), &MetaState::default());
    assert!(create(&mut machine, &[topic("t")])[0].is_ok());
}

#[test]
fn a_topic_that_is_named_twice_is_not_deleted() {
    let mut machine = machine(BrokerConfig::default());
    create(&mut machine, &[topic("t")])[0].as_ref().unwrap();
    let twice = [TopicRef::from("t"), TopicRef::Id(id(1))];
    let deleted = run(&mut machine, |machine| machine.delete_topics(&twice));
    assert!(
        deleted
            .iter()
            .all(|r| matches!(r, Err(TopicError::InvalidRequest { .. })))
    );
    assert!(machine.state().named("t").is_some());
    machine.config = Arc::new(BrokerConfig {
        delete_topic_enable: false,
        ..BrokerConfig::default()
    });
    let refused = run(&mut machine, |machine| machine.delete_topics(&twice[..1]));
    assert_eq!(refused, [Err(TopicError::DeletionDisabled)]);
}

#[test]
fn a_topic_never_gets_fewer_partitions() {
    let mut machine = machine(BrokerConfig {
        broker_partitions_max: 6,
        ..BrokerConfig::default()
    });
    create(
        &mut machine,
        &[NewTopic {
            partition_count: Some(2),
            ..topic("t")
        }],
    )[0]
    .as_ref()
    .unwrap();
    let mut ask = |total, assignments: Option<Vec<Vec<i32>>>| {
        let asked = NewPartitions {
            name: "t".to_owned(),
            total,
            assignments,
        };
        run(&mut machine, |machine| machine.create_partitions(&[asked])).remove(0)
    };
    assert!(matches!(
        ask(2, None),
        Err(TopicError::InvalidPartitions { .. })
    ));
    assert!(matches!(
        ask(i32::MIN, None),
        Err(TopicError::InvalidPartitions { .. })
    ));
    assert!(matches!(
        ask(7, None),
        Err(TopicError::LimitExceeded { .. })
    ));
    let assignment = |count| Some(vec![vec![1]; count]);
    assert!(matches!(
        ask(4, assignment(1)),
        Err(TopicError::InvalidReplicaAssignment { .. })
    ));
    assert!(matches!(
        ask(3, Some(vec![vec![2]])),
        Err(TopicError::InvalidReplicaAssignment { .. })
    ));
    assert_eq!(ask(4, assignment(2)), Ok(()));
    assert_eq!(ask(6, None), Ok(()));
    assert_eq!(machine.state().named("t").unwrap().partition_count, 6);
}

fn alter(machine: &mut MetaMachine, name: &str, operation: ConfigOperation) -> Option<String> {
    let change = ConfigChange {
        name: name.to_owned(),
        operation,
    };
    let done = run(machine, |machine| {
        machine.alter_configs("t", AlterFrom::Current, &[change])
    });
    done.err().map(|error| error.to_string())
}

#[test]
fn lists_are_appended_to_and_subtracted_from() {
    let mut machine = machine(BrokerConfig::default());
    create(&mut machine, &[topic("t")])[0].as_ref().unwrap();
    let policy = |machine: &MetaMachine| {
        machine
            .state()
            .named("t")
            .unwrap()
            .configs
            .value("cleanup.policy")
            .map(str::to_owned)
    };
    let append = |value: &str| ConfigOperation::Append(value.to_owned());
    let subtract = |value: &str| ConfigOperation::Subtract(value.to_owned());
    assert_eq!(
        alter(&mut machine, "cleanup.policy", append("compact")),
        None
    );
    assert_eq!(
        policy(&machine).as_deref(),
        Some("delete,compact"),
        "appended to the default"
    );
    assert_eq!(
        alter(&mut machine, "cleanup.policy", append("compact")),
        None
    );
    assert_eq!(
        policy(&machine).as_deref(),
        Some("delete,compact"),
        "no element twice"
    );
    assert_eq!(
        alter(&mut machine, "cleanup.policy", subtract("delete")),
        None
    );
    assert_eq!(policy(&machine).as_deref(), Some("compact"));
    assert!(machine.state().named("t").unwrap().settings.compacted);
    assert!(
        alter(&mut machine, "cleanup.policy", subtract("compact")).is_some(),
        "empty"
    );
    assert!(
        alter(&mut machine, "retention.ms", append("1")).is_some(),
        "not a list"
    );
    assert!(
        alter(&mut machine, "retention", append("1")).is_some(),
        "unknown"
    );
    assert_eq!(
        alter(&mut machine, "cleanup.policy", ConfigOperation::Delete),
        None
    );
    assert_eq!(policy(&machine), None);
}

#[test]
fn of_the_changes_of_a_call_all_are_made_or_none() {
    let mut machine = machine(BrokerConfig::default());
    create(&mut machine, &[topic("t")])[0].as_ref().unwrap();
    let set = |name: &str, value: &str| ConfigChange {
        name: name.to_owned(),
        operation: ConfigOperation::Set(value.to_owned()),
    };
    for second in [set("retention.ms", "2"), set("flush.ms", "never")] {
        let changes = [set("retention.ms", "1"), second];
        assert!(
            run(&mut machine, |machine| machine.alter_configs(
                "t",
                AlterFrom::Current,
                &changes
            ))
            .is_err()
        );
        assert_eq!(
            machine.state().named("t").unwrap().configs,
            TopicConfigs::default()
        );
    }
    let nothing = machine.alter_configs("t", AlterFrom::Current, &[]);
    assert!(
        nothing.records.is_empty(),
        "what changes nothing writes nothing"
    );
}

#[test]
fn a_record_with_an_impossible_config_is_noticed() {
    let record = MetaRecord::TopicConfigsChanged {
        id: [1; 16],
        configs: [("a.config.of.later".to_owned(), "1".to_owned())].into(),
    };
    let why = machine(BrokerConfig::default()).check(&record).unwrap_err();
    assert!(why.contains("a.config.of.later"), "{why}");
}
