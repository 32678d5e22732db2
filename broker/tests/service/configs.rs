//! Configs: described, altered, and effective at once.

use std::task::{Context, Waker};

use highwater_broker::config::BrokerConfig;
use highwater_broker::config::value::{ConfigEntry, ConfigSource};
use highwater_broker::error::{ConfigError, ProduceError};
use highwater_broker::service::configs::{
    AlterConfigs, AlterFrom, ConfigChange, ConfigOperation, ConfigResource, DescribeConfigs,
};

use crate::kit::{Rig, batch, until};

fn of_topic(name: &str) -> ConfigResource {
    ConfigResource::Topic(name.to_owned())
}

fn entries(rig: &Rig, resource: ConfigResource) -> Result<Vec<ConfigEntry>, ConfigError> {
    let asked = DescribeConfigs {
        resource,
        names: None,
    };
    rig.service.describe_configs(vec![asked]).remove(0).result
}

fn entry(rig: &Rig, resource: ConfigResource, name: &str) -> ConfigEntry {
    let all = entries(rig, resource).unwrap();
    all.into_iter().find(|entry| entry.name == name).unwrap()
}

fn set(name: &str, value: &str) -> ConfigChange {
    let operation = ConfigOperation::Set(value.to_owned());
    ConfigChange {
        name: name.to_owned(),
        operation,
    }
}

async fn alter(rig: &Rig, changes: Vec<ConfigChange>, dry: bool) -> Result<(), ConfigError> {
    alter_of(rig, of_topic("t"), changes, dry).await
}

async fn alter_of(
    rig: &Rig,
    resource: ConfigResource,
    changes: Vec<ConfigChange>,
    dry: bool,
) -> Result<(), ConfigError> {
    let asked = AlterConfigs {
        resource,
        from: AlterFrom::Current,
        changes,
    };
    rig.service
        .alter_configs(vec![asked], dry)
        .await
        .remove(0)
        .result
}

#[tokio::test]
async fn a_change_is_described_acted_on_and_kept() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let large = batch(&["x".repeat(300).as_str()]);
    rig.produce("t", large.clone()).await.unwrap();
    alter(&rig, vec![set("max.message.bytes", "300")], false)
        .await
        .unwrap();
    let entry_now = entry(&rig, of_topic("t"), "max.message.bytes");
    assert_eq!(
        (entry_now.value.as_str(), entry_now.source),
        ("300", ConfigSource::Topic)
    );
    let refused = rig.produce("t", large.clone()).await;
    assert!(matches!(refused, Err(ProduceError::MessageTooLarge { .. })));
    let rig = rig.kill();
    assert_eq!(entry(&rig, of_topic("t"), "max.message.bytes").value, "300");
    let back = ConfigChange {
        name: "max.message.bytes".to_owned(),
        operation: ConfigOperation::Delete,
    };
    alter(&rig, vec![back], false).await.unwrap();
    assert_eq!(
        entry(&rig, of_topic("t"), "max.message.bytes").source,
        ConfigSource::Default
    );
    rig.produce("t", large).await.unwrap();
}

#[tokio::test]
async fn a_change_reaches_the_log_that_is_open() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    let changes = vec![set("segment.bytes", "300"), set("retention.ms", "10")];
    alter(&rig, changes, false).await.unwrap();
    for _ in 0..20 {
        rig.produce("t", batch(&["a"])).await.unwrap();
    }
    rig.advance_ms(11);
    rig.service.apply_retention().await.unwrap();
    assert!(
        rig.start("t").await > 0,
        "the log rolls and retires by its new policies"
    );
    alter(
        &rig,
        vec![set("message.timestamp.type", "LogAppendTime")],
        false,
    )
    .await
    .unwrap();
    let produced = rig.produce("t", batch(&["a"])).await.unwrap();
    assert!(produced.log_append_time_ms.is_some());
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    alter(&rig, vec![set("retention.ms", "1")], true)
        .await
        .unwrap();
    let wrong = alter(&rig, vec![set("retention.ms", "x")], true).await;
    assert!(matches!(wrong, Err(ConfigError::Invalid(_))));
    assert_eq!(
        entry(&rig, of_topic("t"), "retention.ms").source,
        ConfigSource::Default
    );
}

#[tokio::test]
async fn what_cannot_be_altered_is_refused() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let wrong = alter(&rig, vec![set("retention", "1")], false).await;
    assert!(matches!(wrong, Err(ConfigError::Invalid(_))));
    let asked = |resource| AlterConfigs {
        resource,
        from: AlterFrom::Current,
        changes: vec![set("retention.ms", "1")],
    };
    let answers = rig
        .service
        .alter_configs(
            vec![
                asked(of_topic("u")),
                asked(of_topic("t")),
                asked(of_topic("t")),
                asked(ConfigResource::Broker("1".to_owned())),
                asked(ConfigResource::Broker(String::new())),
                asked(ConfigResource::Broker("2".to_owned())),
                asked(ConfigResource::Topic(String::new())),
                asked(ConfigResource::Other {
                    kind: 3,
                    name: "1".to_owned(),
                }),
            ],
            false,
        )
        .await;
    assert_eq!(answers[0].result, Err(ConfigError::UnknownTopic));
    for answer in &answers[1..] {
        let is_refused = matches!(answer.result, Err(ConfigError::InvalidRequest { .. }));
        assert!(is_refused, "{answer:?}");
    }
    assert_eq!(
        entry(&rig, of_topic("t"), "retention.ms").source,
        ConfigSource::Default
    );
}

#[tokio::test]
async fn the_broker_describes_itself() {
    let config = BrokerConfig {
        num_partitions: 5,
        ..BrokerConfig::default()
    };
    let rig = Rig::with(config);
    let broker = || ConfigResource::Broker("1".to_owned());
    for (config, value) in [
        ("num.partitions", "5"),
        ("inter.broker.protocol.version", "3.9"),
        ("delete.topic.enable", "true"),
        ("auto.create.topics.enable", "true"),
        ("default.replication.factor", "1"),
        ("log.dirs", "/data"),
        ("message.max.bytes", "1048588"),
        ("log.retention.ms", "604800000"),
        ("log.retention.bytes", "-1"),
        ("node.id", "1"),
        ("broker.id", "1"),
        ("listeners", ""),
        ("advertised.listeners", ""),
    ] {
        let entry = entry(&rig, broker(), config);
        assert_eq!(entry.value, value, "{config}");
        let is_default_of_topics = [
            "message.max.bytes",
            "log.retention.ms",
            "log.retention.bytes",
        ];
        assert_eq!(entry.read_only, !is_default_of_topics.contains(&config));
        if config != "log.retention.ms" {
            let first = entry.synonyms.first().unwrap();
            assert_eq!((first.name, &first.value), (entry.name, &entry.value));
        }
    }
    let all = entries(&rig, broker()).unwrap();
    assert!(all.is_sorted_by(|a, b| a.name < b.name), "each once");
    let address = rig.broker.listen_kafka("OUT=127.0.0.1:0,advertise=h:0");
    let advertised = format!("OUT://h:{}", address.unwrap().port);
    for (config, value) in [
        ("listeners", "OUT://127.0.0.1:0"),
        ("advertised.listeners", advertised.as_str()),
    ] {
        assert_eq!(entry(&rig, broker(), config).value, value);
    }
}

#[tokio::test]
async fn what_has_no_configs_is_empty_and_what_is_not_there_is_refused() {
    let rig = Rig::new();
    let text = str::to_owned;
    for empty in [
        // Nothing is set for all brokers while they run.
        ConfigResource::Broker(text("")),
        ConfigResource::BrokerLogger(text("1")),
        ConfigResource::ClientMetrics(text("m")),
        ConfigResource::Group(text("g")),
    ] {
        assert_eq!(entries(&rig, empty), Ok(Vec::new()));
    }
    for wrong in [
        ConfigResource::Broker(text("2")),
        ConfigResource::Broker(text("x")),
        ConfigResource::BrokerLogger(text("2")),
        ConfigResource::BrokerLogger(text("")),
        ConfigResource::ClientMetrics(text("")),
        ConfigResource::Group(text("")),
        ConfigResource::Other {
            kind: 3,
            name: text("1"),
        },
    ] {
        let refused = entries(&rig, wrong);
        assert!(matches!(refused, Err(ConfigError::InvalidRequest { .. })));
    }
}

#[tokio::test]
async fn a_replacement_takes_back_what_it_does_not_name() {
    let rig = Rig::new();
    rig.topic("t", 1, &[("retention.ms", "5"), ("segment.ms", "7")])
        .await;
    let replace = |changes| AlterConfigs {
        resource: of_topic("t"),
        from: AlterFrom::Defaults,
        changes,
    };
    let values = || {
        ["retention.ms", "segment.ms", "flush.ms"]
            .map(|name| entry(&rig, of_topic("t"), name).value)
    };
    let replace = async |changes, dry| {
        let asked = vec![replace(changes)];
        rig.service.alter_configs(asked, dry).await.remove(0).result
    };
    let changes = || vec![set("segment.ms", "8"), set("flush.ms", "9")];
    replace(changes(), true).await.unwrap();
    assert_eq!(values(), ["5", "7", "100"]);
    let twice = vec![set("segment.ms", "8"), set("segment.ms", "9")];
    let refused = replace(twice, false).await;
    assert!(matches!(refused, Err(ConfigError::InvalidRequest { .. })));
    let wrong = replace(vec![set("segment.ms", "x")], false).await;
    assert!(matches!(wrong, Err(ConfigError::Invalid(_))));
    assert_eq!(values(), ["5", "7", "100"]);
    replace(changes(), false).await.unwrap();
    assert_eq!(values(), ["604800000", "8", "9"]);
    replace(Vec::new(), false).await.unwrap();
    assert_eq!(values(), ["604800000", "604800000", "100"]);
}

#[tokio::test]
async fn a_list_grows_and_shrinks_and_nothing_else_does() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let change = |name: &str, operation| ConfigChange {
        name: name.to_owned(),
        operation,
    };
    let add = |name, value: &str| change(name, ConfigOperation::Append(value.to_owned()));
    let take = |name, value: &str| change(name, ConfigOperation::Subtract(value.to_owned()));
    let policy = || entry(&rig, of_topic("t"), "cleanup.policy").value;
    let list = "cleanup.policy";
    for (change, expected) in [
        (add(list, "compact"), "delete,compact"),
        (add(list, "delete,compact"), "delete,compact"),
        (take(list, "delete"), "compact"),
        (take(list, "delete"), "compact"),
    ] {
        alter(&rig, vec![change], false).await.unwrap();
        assert_eq!(policy(), expected);
    }
    for wrong in [
        take(list, "compact"),
        add(list, "shrink"),
        add("retention.ms", "1"),
        take("retention.ms", "1"),
        add("no.such.config", "1"),
    ] {
        let refused = alter(&rig, vec![wrong], false).await;
        assert!(matches!(refused, Err(ConfigError::Invalid(_))));
        assert_eq!(policy(), "compact");
    }
}

#[tokio::test]
async fn only_what_is_asked_for_is_described() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let names = Some(vec!["retention.ms".to_owned(), "no.such.config".to_owned()]);
    let asked = DescribeConfigs {
        resource: of_topic("t"),
        names,
    };
    let described = rig
        .service
        .describe_configs(vec![asked])
        .remove(0)
        .result
        .unwrap();
    assert_eq!(
        described.iter().map(|entry| entry.name).collect::<Vec<_>>(),
        ["retention.ms"]
    );
    assert_eq!(entries(&rig, of_topic("u")), Err(ConfigError::UnknownTopic));
    let wrong = entries(&rig, of_topic("a b"));
    assert!(matches!(wrong, Err(ConfigError::InvalidTopic { .. })));
}

#[tokio::test]
async fn a_change_whose_caller_is_gone_reaches_the_log_that_is_open() {
    for at in 0..20 {
        let rig = Rig::new();
        rig.topic("t", 1, &[("segment.bytes", "300")]).await;
        for _ in 0..10 {
            rig.produce("t", batch(&["value"])).await.unwrap();
        }
        let asked = AlterConfigs {
            resource: of_topic("t"),
            from: AlterFrom::Current,
            changes: vec![set("retention.bytes", "1")],
        };
        let mut change = Box::pin(rig.service.alter_configs(vec![asked], false));
        // Begun, and given up after some looks.
        for _ in 0..=at {
            let mut context = Context::from_waker(Waker::noop());
            if change.as_mut().poll(&mut context).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(change);
        let is_set = || entry(&rig, of_topic("t"), "retention.bytes").value == "1";
        until(is_set).await;
        for turn in 0.. {
            rig.service.apply_retention().await.unwrap();
            if rig.start("t").await > 0 {
                break;
            }
            assert!(turn < 10_000, "the log never heard of it");
        }
    }
}

/// A default of topics, too, once it is changed on the broker.
#[tokio::test]
async fn a_default_of_topics_reaches_the_logs_that_are_open() {
    let rig = Rig::new();
    for name in ["t", "own"] {
        rig.topic(name, 1, &[("segment.bytes", "300")]).await;
    }
    let own = vec![set("retention.bytes", "-1")];
    alter_of(&rig, of_topic("own"), own, false).await.unwrap();
    for name in ["t", "own"] {
        for _ in 0..10 {
            rig.produce(name, batch(&["value"])).await.unwrap();
        }
    }
    let broker = ConfigResource::Broker("1".to_owned());
    let changes = vec![set("log.retention.bytes", "1")];
    alter_of(&rig, broker, changes, false).await.unwrap();
    rig.service.apply_retention().await.unwrap();
    assert!(rig.start("t").await > 0);
    assert_eq!(rig.start("own").await, 0, "its own config goes first");
}
