//! The life of a broker: started, shut down, dropped, anywhere.

use std::sync::Arc;

use highwater_broker::Broker;
use highwater_broker::config::BrokerConfig;
use highwater_broker::error::{BrokerError, ProduceError};
use highwater_broker::service::topics::{CreateTopicsCall, NewTopic};
use highwater_log::error::LogError;
use highwater_log::fs::mem::MemFs;

use crate::kit::{Rig, batch};

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
        let mut call = crate::kit::fetch_call("t", 0);
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
