//! Configs of the broker that are changed while it runs, over the wire: what is kept and told, what
//! is refused, and what a default of topics does at once.

use std::sync::Arc;

use highwater_broker::config::BrokerConfig;
use highwater_log::fs::mem::MemFs;
use highwater_proto::kafka::messages::describe_configs::DescribeConfigsEntry;

use crate::admin_configs::{APPEND, BROKER, Change, DELETE, SET, TOPIC, alter, describe, replace};
use crate::kit::{Client, PRODUCE, Rig, batch, produce};

const MESSAGES: &str = "log.flush.interval.messages";
const RELOGIN: &str = "sasl.kerberos.min.time.before.relogin";

fn config(client: &mut Client, kind: i8, of: &'static str, name: &str) -> DescribeConfigsEntry {
    let all = describe(client, kind, of).configs;
    all.into_iter().find(|config| config.name == name).unwrap()
}

/// Value and source.
fn told(client: &mut Client, kind: i8, of: &'static str, name: &str) -> (String, i8) {
    let entry = config(client, kind, of, name);
    (entry.value.unwrap().into(), entry.config_source)
}

fn is(value: &str, source: i8) -> (String, i8) {
    (value.to_owned(), source)
}

fn set(client: &mut Client, of: &'static str, name: &'static str, value: &'static str) -> i16 {
    let changes: &[Change] = &[(name, SET, Some(value))];
    alter(client, &[(BROKER, of, changes)], false)[0]
}

/// As rdkafka's own test does it.
#[test]
fn a_broker_config_without_effect_is_kept_and_goes_back_when_it_is_not_named() {
    let rig = Rig::new();
    let mut client = rig.client();
    let default = told(&mut client, BROKER, "1", MESSAGES);
    assert_eq!(default, is("9223372036854775807", 5));
    let asked = [(MESSAGES, Some("1234"))];
    assert_eq!(replace(&mut client, BROKER, "1", &asked, true), 0);
    assert_eq!(
        told(&mut client, BROKER, "1", MESSAGES),
        default,
        "a dry run"
    );
    assert_eq!(replace(&mut client, BROKER, "1", &asked, false), 0);
    let entry = config(&mut client, BROKER, "1", MESSAGES);
    assert_eq!(
        (entry.value.as_deref(), entry.config_source),
        (Some("1234"), 2)
    );
    assert!(!entry.read_only && !entry.is_sensitive);
    let places: Vec<_> = entry.synonyms.iter().map(|place| place.source).collect();
    assert_eq!(places, [2, 5]);
    let other = [("log.flush.interval.ms", Some("9223372036854775807"))];
    assert_eq!(replace(&mut client, BROKER, "1", &other, false), 0);
    assert_eq!(told(&mut client, BROKER, "1", MESSAGES), default);
    assert_eq!(
        told(&mut client, BROKER, "1", other[0].0),
        is("9223372036854775807", 2)
    );
    assert_eq!(replace(&mut client, BROKER, "1", &[], false), 0);
    assert_eq!(told(&mut client, BROKER, "1", other[0].0), is("100", 5));
}

/// As librdkafka's test 0081 does it, and Kafka's tools for throttles and threads.
#[test]
fn what_kafka_changes_at_run_time_without_effect_here_is_set_and_taken_back() {
    let rig = Rig::new();
    let mut client = rig.client();
    let before = describe(&mut client, BROKER, "1").configs;
    for (name, value) in [
        (RELOGIN, "58000"),
        ("leader.replication.throttled.rate", "1000"),
        ("log.cleaner.threads", "2"),
        ("num.io.threads", "16"),
    ] {
        assert_eq!(set(&mut client, "1", name, value), 0, "{name}");
        assert_eq!(told(&mut client, BROKER, "1", name), is(value, 2));
        let back: &[Change] = &[(name, DELETE, None)];
        assert_eq!(alter(&mut client, &[(BROKER, "1", back)], true), [0]);
        assert_eq!(
            told(&mut client, BROKER, "1", name),
            is(value, 2),
            "a dry run"
        );
        assert_eq!(alter(&mut client, &[(BROKER, "1", back)], false), [0]);
    }
    assert_eq!(describe(&mut client, BROKER, "1").configs, before);
    let all = before.iter().filter(|config| !config.read_only);
    for config in all {
        assert!(config.value.is_some() && config.documentation.is_some());
    }
}

#[test]
fn what_is_set_on_all_brokers_is_below_what_is_set_on_this_one() {
    let rig = Rig::new();
    let mut client = rig.client();
    assert_eq!(describe(&mut client, BROKER, "").configs, []);
    assert_eq!(set(&mut client, "", RELOGIN, "5"), 0);
    assert_eq!(told(&mut client, BROKER, "1", RELOGIN), is("5", 3));
    assert_eq!(set(&mut client, "1", RELOGIN, "6"), 0);
    let entry = config(&mut client, BROKER, "1", RELOGIN);
    let places: Vec<_> = entry
        .synonyms
        .iter()
        .map(|place| (place.value.as_deref().unwrap(), place.source))
        .collect();
    assert_eq!(places, [("6", 2), ("5", 3), ("60000", 5)]);
    let on_all = describe(&mut client, BROKER, "").configs;
    assert_eq!(on_all.len(), 1, "only what is set there");
    assert_eq!(
        (on_all[0].name.as_str(), on_all[0].value.as_deref()),
        (RELOGIN, Some("5"))
    );
    assert_eq!((on_all[0].config_source, on_all[0].synonyms.len()), (3, 1));
}

#[test]
fn what_is_set_at_the_start_or_unknown_or_malformed_is_refused_whole() {
    let rig = Rig::new();
    let mut client = rig.client();
    let good: Change = (RELOGIN, SET, Some("5"));
    for wrong in [
        ("num.partitions", SET, Some("5")),
        ("num.network.threads", SET, Some("5")),
        ("max.connections", DELETE, None),
        ("listeners", SET, Some("OUT://:1")),
        ("no.such.config", SET, Some("5")),
        ("retention.ms", SET, Some("5")),
        ("num.io.threads", SET, Some("0")),
        ("log.retention.ms", SET, Some("soon")),
        (RELOGIN, APPEND, Some("5")),
        ("num.io.threads", SET, None),
    ] {
        for of in ["1", ""] {
            for changes in [[good, wrong], [wrong, good]] {
                let answer = alter(&mut client, &[(BROKER, of, &changes)], false);
                assert_eq!(answer, [42], "{wrong:?}");
            }
        }
    }
    assert_eq!(
        alter(&mut client, &[(BROKER, "1", &[good, good])], false),
        [42]
    );
    assert_eq!(set(&mut client, "2", RELOGIN, "5"), 42);
    assert_eq!(told(&mut client, BROKER, "1", RELOGIN), is("60000", 5));
}

#[test]
fn a_default_of_topics_is_acted_on_at_once_and_a_topic_goes_before_it() {
    let rig = Rig::new();
    rig.topic("t", 1);
    rig.topic("own", 1);
    let mut client = rig.client();
    let own: &[Change] = &[("max.message.bytes", SET, Some("5000"))];
    assert_eq!(alter(&mut client, &[(TOPIC, "own", own)], false), [0]);
    let send = |client: &mut Client, topic| {
        let large = batch(&["x".repeat(300).as_str()]);
        let answer = client.call(PRODUCE, produce(topic, -1, large));
        answer.topics[0].partitions[0].error_code
    };
    assert_eq!(send(&mut client, "t"), 0);
    for (of, source) in [("", 3), ("1", 2)] {
        assert_eq!(set(&mut client, of, "message.max.bytes", "300"), 0);
        let name = "max.message.bytes";
        assert_eq!(told(&mut client, TOPIC, "t", name), is("300", source));
        assert_eq!(told(&mut client, TOPIC, "own", name), is("5000", 1));
        assert_eq!(send(&mut client, "t"), 10);
        assert_eq!(send(&mut client, "own"), 0);
    }
    for of in ["1", ""] {
        assert_eq!(replace(&mut client, BROKER, of, &[], false), 0);
    }
    assert_eq!(send(&mut client, "t"), 0);
}

#[test]
fn a_list_of_the_broker_is_appended_to() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let changes: &[Change] = &[("log.cleanup.policy", APPEND, Some("compact"))];
    assert_eq!(alter(&mut client, &[(BROKER, "1", changes)], false), [0]);
    let both = is("delete,compact", 2);
    assert_eq!(told(&mut client, BROKER, "1", "log.cleanup.policy"), both);
    assert_eq!(told(&mut client, TOPIC, "t", "cleanup.policy"), both);
}

#[test]
fn what_was_set_while_the_broker_ran_is_there_after_a_restart() {
    let fs = Arc::new(MemFs::new());
    let rig = Rig::over(Arc::clone(&fs) as _, BrokerConfig::default());
    rig.topic("t", 1);
    let mut client = rig.client();
    assert_eq!(set(&mut client, "1", RELOGIN, "5"), 0);
    assert_eq!(set(&mut client, "", "log.retention.ms", "77"), 0);
    drop(client);
    drop(rig);
    let rig = Rig::over(fs, BrokerConfig::default());
    let mut client = rig.client();
    assert_eq!(told(&mut client, BROKER, "1", RELOGIN), is("5", 2));
    assert_eq!(told(&mut client, TOPIC, "t", "retention.ms"), is("77", 3));
}
