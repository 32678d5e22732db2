//! The life of topics: created, grown, deleted, created again, over restarts.

use std::task::{Context, Waker};

use highwater_broker::config::BrokerConfig;
use highwater_broker::error::{ProduceError, TopicError};
use highwater_broker::ids::{TopicId, TopicRef};
use highwater_broker::service::produce::Acks;
use highwater_broker::service::topics::{
    CreatePartitionsCall, CreateTopicsCall, MetadataCall, MetadataTopics, NewPartitions, NewTopic,
    TopicDescription, TopicMetadata,
};
use highwater_log::fs::Fs;
use highwater_log::types::Offset;

use crate::kit::{Rig, batch, until};
use crate::lines::LogLines;

fn topic(name: &str) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        ..NewTopic::default()
    }
}

async fn names(rig: &Rig) -> Vec<String> {
    let call = MetadataCall {
        topics: MetadataTopics::All,
        allow_auto_create: false,
    };
    let all = rig.service.metadata(call).await;
    all.into_iter()
        .map(|topic| topic.result.unwrap().name)
        .collect()
}

async fn describe(rig: &Rig, topic: TopicRef, allow_auto_create: bool) -> TopicMetadata {
    let topics = MetadataTopics::These(vec![topic]);
    rig.service
        .metadata(MetadataCall {
            topics,
            allow_auto_create,
        })
        .await
        .remove(0)
}

async fn found(rig: &Rig, name: &str) -> Result<TopicDescription, TopicError> {
    describe(rig, TopicRef::from(name), false).await.result
}

async fn grow(rig: &Rig, name: &str, total: i32, validate_only: bool) -> Result<(), TopicError> {
    let topics = vec![NewPartitions {
        name: name.to_owned(),
        total,
        assignments: None,
    }];
    let call = CreatePartitionsCall {
        topics,
        validate_only,
    };
    rig.service.create_partitions(call).await.remove(0).result
}

async fn delete(rig: &Rig, name: &str) -> Result<(String, TopicId), TopicError> {
    rig.service
        .delete_topics(vec![TopicRef::from(name)])
        .await
        .remove(0)
        .result
}

#[tokio::test]
async fn topics_live_over_restarts_and_kills() {
    let mut rig = Rig::new();
    rig.topic("orders", 3, &[("retention.ms", "1000")]).await;
    rig.topic("empty", 2, &[]).await;
    rig.produce_to("orders", 2, Some(batch(&["a"])), Acks::All)
        .await
        .unwrap();
    let (orders, empty) = (
        found(&rig, "orders").await.unwrap(),
        found(&rig, "empty").await.unwrap(),
    );
    let cluster = rig.service.cluster();
    assert_eq!(
        (orders.partition_count, orders.leader_epoch, orders.internal),
        (3, 0, false)
    );
    for epoch in [0, 1, 2] {
        assert_eq!(names(&rig).await, ["empty", "orders"]);
        for (name, before) in [("orders", &orders), ("empty", &empty)] {
            let now = found(&rig, name).await.unwrap();
            assert_eq!(
                now,
                TopicDescription {
                    leader_epoch: epoch,
                    ..before.clone()
                }
            );
        }
        assert_eq!(rig.service.cluster(), cluster, "the cluster keeps its id");
        rig = rig.restart().await.kill();
    }
}

#[tokio::test]
async fn a_topic_without_records_has_no_files() {
    let rig = Rig::with(BrokerConfig::default());
    rig.topic("many", 9_000, &[]).await;
    assert_eq!(rig.fs_topics(), 0);
    rig.produce_to("many", 8_999, Some(batch(&["a"])), Acks::All)
        .await
        .unwrap();
    assert_eq!(rig.fs_topics(), 1);
    let id = rig.service.topic_id("many").unwrap();
    let hex: String = id.0.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        rig.fs.list(format!("/data/logs/{hex}").as_ref()).unwrap(),
        ["8999"]
    );
}

#[tokio::test]
async fn validate_only_changes_nothing() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let call = CreateTopicsCall {
        topics: vec![topic("u"), topic("t")],
        validate_only: true,
    };
    let answers = rig.service.create_topics(call).await;
    assert_eq!(answers[0].result.as_ref().unwrap().id, TopicId::NIL);
    assert_eq!(
        answers[1].result,
        Err(TopicError::Exists { deleting: false })
    );
    assert_eq!(grow(&rig, "t", 5, true).await, Ok(()));
    assert_eq!(names(&rig).await, ["t"]);
    assert_eq!(found(&rig, "t").await.unwrap().partition_count, 1);
}

#[tokio::test]
async fn more_partitions_can_be_used_at_once() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let refused = rig.produce_to("t", 1, Some(batch(&["a"])), Acks::All).await;
    assert_eq!(refused, Err(ProduceError::UnknownTopicOrPartition));
    grow(&rig, "t", 2, false).await.unwrap();
    rig.produce_to("t", 1, Some(batch(&["a"])), Acks::All)
        .await
        .unwrap();
    assert!(matches!(
        grow(&rig, "t", 2, false).await,
        Err(TopicError::InvalidPartitions { .. })
    ));
    assert_eq!(grow(&rig, "u", 2, false).await, Err(TopicError::Unknown));
    let rig = rig.restart().await;
    assert_eq!(found(&rig, "t").await.unwrap().partition_count, 2);
}

#[tokio::test]
async fn a_deleted_topic_is_gone_with_its_files_and_its_name_is_free() {
    let rig = Rig::new();
    rig.topic("t", 2, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    let id = rig.service.topic_id("t").unwrap();
    assert_eq!(delete(&rig, "t").await, Ok(("t".to_owned(), id)));
    assert_eq!(rig.fs_topics(), 0);
    assert_eq!(delete(&rig, "t").await, Err(TopicError::Unknown));
    let by_id = describe(&rig, TopicRef::Id(id), true).await;
    assert_eq!(by_id.result, Err(TopicError::UnknownId));
    rig.topic("t", 1, &[]).await;
    assert_ne!(rig.service.topic_id("t").unwrap(), id, "another topic");
    assert_eq!(rig.end("t").await, 0, "and an empty one");
    assert_eq!(
        rig.produce("t", batch(&["b"])).await.unwrap().base_offset,
        Offset(0)
    );
    let rig = rig.restart().await;
    assert_eq!(rig.values("t", 0).await, ["b"]);
}

#[tokio::test]
async fn topics_are_deleted_by_id_and_each_on_its_own() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let id = rig.service.topic_id("t").unwrap();
    let asked = vec![
        TopicRef::from("u"),
        TopicRef::Id(id),
        TopicRef::Id(TopicId::META),
    ];
    let answers = rig.service.delete_topics(asked).await;
    assert_eq!(answers[0].result, Err(TopicError::Unknown));
    assert_eq!(answers[1].result, Ok(("t".to_owned(), id)));
    assert_eq!(
        answers[2].result,
        Err(TopicError::UnknownId),
        "the metadata log is no topic"
    );
}

#[tokio::test]
async fn deletion_can_be_switched_off() {
    let config = BrokerConfig {
        delete_topic_enable: false,
        ..BrokerConfig::default()
    };
    let rig = Rig::with(config);
    rig.topic("t", 1, &[]).await;
    assert_eq!(delete(&rig, "t").await, Err(TopicError::DeletionDisabled));
    assert!(found(&rig, "t").await.is_ok());
}

#[tokio::test]
async fn a_missing_topic_is_created_only_if_both_sides_want_it() {
    let rig = Rig::with(BrokerConfig {
        num_partitions: 4,
        ..BrokerConfig::default()
    });
    let asked = |name: &str| TopicRef::from(name);
    assert_eq!(
        describe(&rig, asked("t"), false).await.result,
        Err(TopicError::Unknown)
    );
    assert_eq!(
        describe(&rig, asked("t"), true)
            .await
            .result
            .unwrap()
            .partition_count,
        4
    );
    for name in ["__meta", "a b", "T"] {
        let result = describe(&rig, asked(name), true).await.result;
        assert!(
            matches!(result, Err(TopicError::InvalidName { .. })),
            "{name}: {result:?}"
        );
    }
    let result = describe(&rig, asked("a b"), false).await.result;
    assert!(matches!(result, Err(TopicError::InvalidName { .. })));
    let off = BrokerConfig {
        auto_create_topics_enable: false,
        ..BrokerConfig::default()
    };
    let rig = Rig::with(off);
    assert_eq!(
        describe(&rig, asked("t"), true).await.result,
        Err(TopicError::Unknown)
    );
    assert!(names(&rig).await.is_empty());
}

#[tokio::test]
async fn two_clients_that_want_the_same_topic_get_the_same() {
    let rig = Rig::new();
    let ask = || {
        let service = rig.service.clone();
        let topics = MetadataTopics::These(vec![TopicRef::from("t")]);
        let call = MetadataCall {
            topics,
            allow_auto_create: true,
        };
        tokio::spawn(async move { service.metadata(call).await.remove(0).result.unwrap().id })
    };
    let asked: Vec<_> = (0..20).map(|_| ask()).collect();
    let id = rig.service.topic_id("t");
    for task in asked {
        let given = task.await.unwrap();
        assert!(id.is_none_or(|id| id == given));
        assert_eq!(rig.service.topic_id("t"), Some(given));
    }
}

#[tokio::test]
async fn a_creation_whose_caller_is_gone_is_finished() {
    let rig = Rig::new();
    for at in 0..50 {
        let name = format!("t{at}");
        let call = CreateTopicsCall {
            topics: vec![topic(&name)],
            validate_only: false,
        };
        let mut creation = Box::pin(rig.service.create_topics(call));
        // Begun, and given up unless it was that quick.
        let _begun = creation
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        drop(creation);
        until(|| rig.service.topic_id(&name).is_some()).await;
    }
    let live = names(&rig).await;
    assert_eq!(names(&rig.kill()).await, live);
}

#[tokio::test]
async fn the_metadata_log_is_bounded() {
    let config = BrokerConfig {
        metadata_snapshot_bytes: 4096,
        ..BrokerConfig::default()
    };
    let mut rig = Rig::with(config);
    rig.topic("kept", 3, &[("retention.ms", "77")]).await;
    let id = rig.service.topic_id("kept").unwrap();
    for at in 0..200 {
        let name = format!("t{at}");
        rig.topic(&name, 1, &[]).await;
        delete(&rig, &name).await.unwrap();
    }
    for _ in 0..2 {
        assert_eq!(names(&rig).await, ["kept"]);
        assert_eq!(rig.service.topic_id("kept"), Some(id));
        let (start, end) = rig.service.metadata_offsets();
        assert!(
            start > Offset(100),
            "the log begins at a snapshot, not at {start}"
        );
        assert!(end.0 - start.0 < 200, "it holds {start} to {end}");
        rig = rig.restart().await.kill();
    }
}

#[tokio::test]
async fn a_replication_factor_above_one_is_kept_as_one_and_said_once() {
    let rig = Rig::new();
    let of_three = |name: &str| NewTopic {
        replication_factor: Some(3),
        ..topic(name)
    };
    let lines = LogLines::default();
    let _captured = tracing::subscriber::set_default(lines.clone());
    let said = || lines.with("one copy is kept");
    let create = |name: &str, validate_only| {
        let topics = vec![of_three(name)];
        rig.service.create_topics(CreateTopicsCall {
            topics,
            validate_only,
        })
    };
    let created = create("t", true).await.remove(0).result.unwrap();
    assert_eq!((created.replication_factor, said()), (1, 0), "a dry run");
    let created = create("t", false).await.remove(0).result.unwrap();
    assert_eq!((created.replication_factor, said()), (1, 1));
    assert!(create("t", false).await[0].result.is_err());
    assert_eq!(said(), 1, "what is refused is not kept");
    rig.topic("u", 1, &[]).await;
    assert_eq!(
        said(),
        1,
        "nor is there a line for what is as it was asked for"
    );
}

#[tokio::test]
async fn a_replication_factor_above_one_is_refused_without_the_clamp() {
    let config = BrokerConfig {
        replication_factor_clamp: false,
        ..BrokerConfig::default()
    };
    let rig = Rig::with(config);
    for (factor, is_refused) in [(3, true), (0, true), (-2, true), (1, false)] {
        let new = NewTopic {
            replication_factor: Some(factor),
            ..topic("t")
        };
        let call = CreateTopicsCall {
            topics: vec![new],
            validate_only: false,
        };
        let result = rig.service.create_topics(call).await.remove(0).result;
        let refusal = TopicError::InvalidReplicationFactor { factor };
        assert_eq!(result.err(), is_refused.then_some(refusal));
    }
}
