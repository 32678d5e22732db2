//! The life of a broker: started, shut down, dropped, anywhere.

use std::sync::Arc;

use highwater_broker::Broker;
use highwater_broker::config::BrokerConfig;
use highwater_broker::error::{BrokerError, ProduceError};
use highwater_broker::service::fetch::FetchCall;
use highwater_broker::service::produce::{Acks, ProduceCall, ProduceTopic, ZstdAllowed};
use highwater_broker::service::producer_ids::InitProducerId;
use highwater_broker::service::topics::{CreateTopicsCall, NewTopic};
use highwater_log::error::LogError;
use highwater_log::fs::mem::MemFs;

use crate::kit::{Rig, batch, fetch_call};

#[test]
fn a_broker_in_memory_serves_blocking_code() {
    let broker = Broker::in_memory().unwrap();
    let service = broker.service().clone();
    let topics = vec![NewTopic {
        name: "t".to_owned(),
        ..NewTopic::default()
    }];
    let call = CreateTopicsCall {
        topics,
        validate_only: false,
    };
    let created = broker
        .block_on(async move { service.create_topics(call).await })
        .unwrap();
    assert!(created[0].result.is_ok());
    broker.shutdown_blocking().unwrap();
}

#[tokio::test]
async fn a_shutdown_may_be_asked_for_again_and_everywhere() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let (one, two) = (rig.broker.shutdown(), rig.broker.shutdown());
    let (one, two) = tokio::join!(one, two);
    one.unwrap();
    two.unwrap();
    rig.broker.shutdown().await.unwrap();
    let refused = rig.produce("t", batch(&["a"])).await;
    assert!(
        matches!(refused, Err(ProduceError::Storage { .. })),
        "{refused:?}"
    );
    let topics = vec![NewTopic {
        name: "u".to_owned(),
        ..NewTopic::default()
    }];
    let call = CreateTopicsCall {
        topics,
        validate_only: false,
    };
    assert!(rig.service.create_topics(call).await[0].result.is_err());
    assert!(rig.service.closing().has_begun());
}

#[test]
fn a_drop_closes_in_good_order_without_a_runtime() {
    let fs = MemFs::new();
    let open = || Broker::builder().fs(Arc::new(fs.clone()), "/data").start();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let broker = open().unwrap();
        ids.push(broker.service().cluster().id);
        assert!(matches!(
            open(),
            Err(BrokerError::Log(LogError::Locked { .. }))
        ));
        drop(broker);
    }
    ids.dedup();
    assert_eq!(
        ids.len(),
        1,
        "each start found what the one before had written"
    );
}

#[tokio::test]
async fn a_drop_closes_in_good_order_inside_of_a_runtime() {
    let mut rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    for at in 0..3 {
        rig.produce("t", batch(&["a"])).await.unwrap();
        let Rig {
            broker,
            service,
            clock,
            fs,
            config,
        } = rig;
        drop(broker);
        assert!(service.closing().has_begun());
        rig = Rig::over(fs, clock, config);
        assert_eq!(rig.end("t").await, at + 1);
        let mut call = fetch_call("t", 0);
        call.partitions[0].current_leader_epoch = 0;
        assert!(
            rig.service.fetch(call).await[0].result.is_ok(),
            "the stop was clean"
        );
    }
}

#[test]
fn a_data_directory_is_made_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("not/there/yet");
    let id = Broker::open(&path).unwrap().service().cluster().id;
    assert_eq!(Broker::open(&path).unwrap().service().cluster().id, id);
}

#[test]
fn settings_that_are_not_possible_stop_the_start() {
    let config = BrokerConfig {
        num_partitions: 0,
        ..BrokerConfig::default()
    };
    let error = Broker::builder().config(config).start().unwrap_err();
    let BrokerError::Config(error) = error else {
        panic!("{error}")
    };
    assert_eq!(error.name, "num.partitions");
}

#[tokio::test]
async fn many_brokers_live_side_by_side() {
    let rigs: Vec<Rig> = (0..8).map(|_| Rig::new()).collect();
    for (at, rig) in rigs.iter().enumerate() {
        rig.topic("t", 1, &[]).await;
        rig.produce("t", batch(&[&at.to_string()])).await.unwrap();
    }
    let mut ids = std::collections::BTreeSet::new();
    for (at, rig) in rigs.into_iter().enumerate() {
        assert_eq!(
            rig.values("t", 0).await,
            [at.to_string()],
            "each has its own data"
        );
        assert!(ids.insert(rig.service.cluster().id), "and its own id");
        // The end of one is no matter to those that come after it.
        drop(rig);
    }
}

#[test]
fn a_broker_may_be_dropped_by_one_of_its_own_tasks() {
    let fs = MemFs::new();
    let open = || Broker::builder().fs(Arc::new(fs.clone()), "/data").start();
    let broker = open().unwrap();
    let handle = broker.handle().clone();
    let (done, dropped) = std::sync::mpsc::sync_channel(1);
    handle.spawn(async move {
        drop(broker);
        done.send(()).unwrap();
    });
    dropped.recv().unwrap();
    drop(open().unwrap());
}

/// Clones of the service outlive their broker: each operation says so, and none hangs.
#[tokio::test]
async fn after_the_drop_every_operation_answers() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    let Rig {
        broker, service, ..
    } = rig;
    drop(broker);
    let partitions = |at| vec![(at, Some(batch(&["b"])))];
    for at in [0, 1] {
        let call = ProduceCall {
            acks: Acks::All,
            transactional_id: None,
            zstd: ZstdAllowed::Yes,
            topics: vec![ProduceTopic {
                topic: "t".to_owned(),
                partitions: partitions(at),
            }],
        };
        assert!(service.produce(call).await.await[0].result.is_err());
    }
    let patient = FetchCall {
        max_wait_ms: 60_000,
        ..fetch_call("t", 1)
    };
    assert_eq!(service.fetch(patient).await.len(), 1);
    let topics = vec![NewTopic {
        name: "u".to_owned(),
        ..NewTopic::default()
    }];
    let call = CreateTopicsCall {
        topics,
        validate_only: false,
    };
    assert!(service.create_topics(call).await[0].result.is_err());
    assert!(
        service.delete_topics(vec!["t".into()]).await[0]
            .result
            .is_err()
    );
    let wanted = InitProducerId {
        transactional_id: None,
        producer_id: -1,
        epoch: -1,
    };
    assert!(service.init_producer_id(wanted).await.is_err());
}
