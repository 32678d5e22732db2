//! Configs: described, altered, and effective at once.

use std::task::{Context, Waker};

use highwater_broker::config::BrokerConfig;
use highwater_broker::config::value::{ConfigEntry, ConfigSource};
use highwater_broker::error::{ConfigError, ProduceError};
use highwater_broker::service::configs::{
    AlterConfigs, ConfigChange, ConfigOperation, ConfigResource, DescribeConfigs,
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
    let asked = AlterConfigs {
        resource: of_topic("t"),
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
                asked(ConfigResource::Other {
                    kind: 8,
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
    for name in ["", "1"] {
        let broker = || ConfigResource::Broker(name.to_owned());
        for (config, value) in [
            ("num.partitions", "5"),
            ("inter.broker.protocol.version", "3.9"),
            ("delete.topic.enable", "true"),
            ("log.dirs", "/data"),
            ("message.max.bytes", "1048588"),
            ("log.retention.ms", "604800000"),
        ] {
            let entry = entry(&rig, broker(), config);
            assert_eq!(entry.value, value, "{config}");
            assert!(entry.read_only);
        }
    }
    let other = entries(&rig, ConfigResource::Broker("2".to_owned()));
    assert!(matches!(other, Err(ConfigError::InvalidRequest { .. })));
    let logger = entries(
        &rig,
        ConfigResource::Other {
            kind: 8,
            name: "1".to_owned(),
        },
    );
    assert!(matches!(logger, Err(ConfigError::InvalidRequest { .. })));
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
