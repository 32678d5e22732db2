//! Topics with `append.conditional=true` keep their history, unless somebody allows its loss.

use highwater_broker::config::value::{ConfigEntry, ConfigSource};
use highwater_broker::error::{ConfigError, DeleteRecordsError, InvalidConfig, TopicError};
use highwater_broker::service::configs::{
    AlterConfigs, AlterFrom, ConfigChange, ConfigOperation, ConfigResource, DescribeConfigs,
};
use highwater_broker::service::offsets::DeleteRecordsPartition;
use highwater_broker::service::topics::{
    CreatePartitionsCall, CreateTopicsCall, NewPartitions, NewTopic,
};
use highwater_log::types::Offset;

use crate::kit::{Rig, batch};

/// Of each way to lose records, a value that does it.
const LOSSES: [(&str, &str); 4] = [
    ("cleanup.policy", "compact,delete"),
    ("on.full", "drop-oldest"),
    ("retention.bytes", "1000000"),
    ("retention.ms", "1000"),
];
const STREAMS: [(&str, &str); 2] = [("append.conditional", "true"), ("retention.ms", "-1")];
const ALLOWED: (&str, &str) = ("allow.history.loss", "true");

async fn create(rig: &Rig, configs: &[(&str, &str)], dry: bool) -> Result<(), TopicError> {
    let config = |(name, value): &(&str, &str)| ((*name).to_owned(), Some((*value).to_owned()));
    let topic = NewTopic {
        name: "t".to_owned(),
        configs: configs.iter().map(config).collect(),
        ..NewTopic::default()
    };
    let call = CreateTopicsCall {
        topics: vec![topic],
        validate_only: dry,
    };
    let mut created = rig.service.create_topics(call).await;
    created.remove(0).result.map(drop)
}

async fn alter(rig: &Rig, from: AlterFrom, set: &[(&str, &str)]) -> Result<(), ConfigError> {
    let change = |(name, value): &(&str, &str)| ConfigChange {
        name: (*name).to_owned(),
        operation: ConfigOperation::Set((*value).to_owned()),
    };
    change_of(rig, from, set.iter().map(change).collect()).await
}

async fn change_of(
    rig: &Rig,
    from: AlterFrom,
    changes: Vec<ConfigChange>,
) -> Result<(), ConfigError> {
    let asked = AlterConfigs {
        resource: ConfigResource::Topic("t".to_owned()),
        from,
        changes,
    };
    let mut altered = rig.service.alter_configs(vec![asked], false).await;
    altered.remove(0).result
}

fn entry(rig: &Rig, name: &str) -> ConfigEntry {
    let asked = DescribeConfigs {
        resource: ConfigResource::Topic("t".to_owned()),
        names: Some(vec![name.to_owned()]),
    };
    let described = rig.service.describe_configs(vec![asked]).remove(0);
    described.result.unwrap().remove(0)
}

fn config_of(refused: Result<(), ConfigError>) -> InvalidConfig {
    match refused {
        Err(ConfigError::Invalid(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_event_store_that_would_lose_records_is_not_created() {
    let rig = Rig::new();
    for loss in LOSSES {
        // The last of a name counts, as in Kafka.
        let asked = [&STREAMS[..], &[loss]].concat();
        for dry in [true, false] {
            match create(&rig, &asked, dry).await {
                Err(TopicError::InvalidConfig(error)) => assert_eq!(error.name, loss.0),
                other => panic!("{loss:?} is {other:?}"),
            }
        }
        let allowed = [&asked[..], &[ALLOWED]].concat();
        create(&rig, &allowed, true).await.unwrap();
        create(&rig, &asked[2..], true).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_broker_has_by_default_is_no_answer_to_how_long_events_are_kept() {
    let rig = Rig::new();
    let refused = create(&rig, &STREAMS[..1], false).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the config retention.ms is not valid: with 604800000, the broker's default, records would \
         be removed, and a topic with append.conditional=true keeps its history: set \
         retention.ms=-1, or allow.history.loss=true beside it"
    );
    create(&rig, &STREAMS, false).await.unwrap();
}

#[tokio::test]
async fn no_later_default_of_the_broker_reaches_an_event_store() {
    let rig = Rig::new();
    create(&rig, &STREAMS, false).await.unwrap();
    let change = |name: &str, value: &str| ConfigChange {
        name: name.to_owned(),
        operation: ConfigOperation::Set(value.to_owned()),
    };
    let asked = AlterConfigs {
        resource: ConfigResource::Broker(String::new()),
        from: AlterFrom::Current,
        changes: vec![
            change("log.cleanup.policy", "compact"),
            change("log.retention.bytes", "1"),
            change("log.retention.ms", "1"),
            change("on.full", "drop-oldest"),
        ],
    };
    let altered = rig.service.alter_configs(vec![asked], false).await;
    assert_eq!(altered[0].result, Ok(()));
    let rig = rig.kill();
    for (name, kept) in [
        ("cleanup.policy", "delete"),
        ("on.full", "refuse"),
        ("retention.bytes", "-1"),
        ("retention.ms", "-1"),
    ] {
        let entry = entry(&rig, name);
        let shown = (entry.value.as_str(), entry.source);
        assert_eq!(shown, (kept, ConfigSource::Topic), "{name}");
    }
}

#[tokio::test]
async fn a_loss_is_altered_in_only_with_the_word_for_it() {
    for loss in LOSSES {
        let rig = Rig::new();
        create(&rig, &STREAMS, false).await.unwrap();
        let refused = alter(&rig, AlterFrom::Current, &[loss]).await;
        assert_eq!(config_of(refused).name, loss.0);
        alter(&rig, AlterFrom::Current, &[loss, ALLOWED])
            .await
            .unwrap();
        // It stays allowed as long as the loss goes on.
        let back = [("allow.history.loss", "false")];
        let refused = alter(&rig, AlterFrom::Current, &back).await;
        assert_eq!(config_of(refused).name, loss.0);
    }
}

#[tokio::test]
async fn to_take_the_retention_back_to_the_default_is_to_set_it() {
    let rig = Rig::new();
    create(&rig, &STREAMS, false).await.unwrap();
    let back = ConfigChange {
        name: "retention.ms".to_owned(),
        operation: ConfigOperation::Delete,
    };
    let refused = change_of(&rig, AlterFrom::Current, vec![back]).await;
    assert_eq!(config_of(refused).name, "retention.ms");
    let replaced = [STREAMS[0], ("segment.bytes", "1000000")];
    let refused = alter(&rig, AlterFrom::Defaults, &replaced).await;
    assert_eq!(config_of(refused).name, "retention.ms");
    assert_eq!(entry(&rig, "retention.ms").value, "-1");
}

#[tokio::test]
async fn whether_a_topic_has_streams_is_decided_when_it_is_created() {
    let rig = Rig::new();
    create(&rig, &[], false).await.unwrap();
    let refused = alter(&rig, AlterFrom::Current, &STREAMS).await;
    assert_eq!(
        config_of(refused).to_string(),
        "the config append.conditional is not valid: it is decided when a topic is created, and is \
         false for this one; a request that replaces all configs has to name it"
    );
    let same = [("append.conditional", "false")];
    alter(&rig, AlterFrom::Current, &same).await.unwrap();

    let rig = Rig::new();
    create(&rig, &STREAMS, false).await.unwrap();
    let refused = alter(&rig, AlterFrom::Current, &same).await;
    assert_eq!(config_of(refused).name, "append.conditional");
    let refused = alter(&rig, AlterFrom::Defaults, &STREAMS[1..]).await;
    assert_eq!(config_of(refused).name, "append.conditional");
    alter(&rig, AlterFrom::Defaults, &STREAMS).await.unwrap();
}

#[tokio::test]
async fn records_of_an_event_store_are_not_deleted_before_it_is_allowed() {
    let rig = Rig::new();
    create(&rig, &STREAMS, false).await.unwrap();
    rig.produce("t", batch(&["a", "b"])).await.unwrap();
    let delete = async || {
        let asked = DeleteRecordsPartition {
            topic: "t".to_owned(),
            partition: 0,
            before: Offset(1),
        };
        rig.service.delete_records(vec![asked]).await.remove(0)
    };
    let refused = delete().await.result.unwrap_err();
    assert_eq!(refused, DeleteRecordsError::KeepsHistory);
    assert_eq!(
        refused.to_string(),
        "the topic has append.conditional=true and keeps its history: set allow.history.loss=true \
         on it first"
    );
    assert_eq!(rig.start("t").await, 0);
    alter(&rig, AlterFrom::Current, &[ALLOWED]).await.unwrap();
    assert_eq!(delete().await.result, Ok(Offset(1)));
}

#[tokio::test]
async fn an_event_store_gets_no_further_partitions() {
    let rig = Rig::new();
    let allowed = [&STREAMS[..], &[ALLOWED]].concat();
    create(&rig, &allowed, false).await.unwrap();
    for dry in [true, false] {
        let topic = NewPartitions {
            name: "t".to_owned(),
            total: 2,
            assignments: None,
        };
        let call = CreatePartitionsCall {
            topics: vec![topic],
            validate_only: dry,
        };
        let refused = rig.service.create_partitions(call).await.remove(0);
        assert_eq!(
            refused.result.unwrap_err().to_string(),
            "the number of partitions is not allowed: the topic has append.conditional=true, and \
             with more partitions the later events of a key would be in another one than its \
             earlier events"
        );
    }
}
