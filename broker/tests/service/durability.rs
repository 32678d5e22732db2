//! What an acknowledgement means when the disk fails, fills up, or the process dies.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use highwater_broker::Broker;
use highwater_broker::clock::VirtualClock;
use highwater_broker::config::BrokerConfig;
use highwater_broker::error::{ProduceError, TopicError};
use highwater_broker::ids::TopicRef;
use highwater_broker::service::produce::Acks;
use highwater_broker::service::topics::{CreateTopicsCall, NewTopic};
use highwater_log::fs::mem::MemFs;
use highwater_log::types::Offset;

use crate::disk::FaultyFs;
use crate::kit::{Rig, START, batch, copy_of, until};

fn faulty() -> (Rig, FaultyFs) {
    let fs = MemFs::new();
    let disk = FaultyFs::new(fs.clone());
    let (clock, config) = (VirtualClock::new(START), BrokerConfig::default());
    (Rig::on(Arc::new(disk.clone()), fs, clock, config), disk)
}

fn is_storage(result: &Result<impl Sized, ProduceError>) -> bool {
    matches!(result, Err(ProduceError::Storage { .. }))
}

#[tokio::test]
async fn a_failed_sync_is_final_and_nothing_beyond_it_is_read() {
    let (rig, disk) = faulty();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    disk.faults.syncs.store(true, Ordering::SeqCst);
    assert!(is_storage(&rig.produce("t", batch(&["b"])).await));
    assert_eq!(rig.end("t").await, 1, "what was not synced is not readable");
    assert_eq!(rig.values("t", 0).await, ["a"], "what was durable is");
    disk.faults.syncs.store(false, Ordering::SeqCst);
    assert!(
        is_storage(&rig.produce("t", batch(&["c"])).await),
        "it is never tried again"
    );
    assert!(rig.service.poisoned().is_some());
    assert_eq!(rig.values("t", 0).await, ["a"]);
    let rig = rig.kill();
    rig.produce("t", batch(&["d"])).await.unwrap();
    assert_eq!(
        rig.values("t", 0).await.first().map(String::as_str),
        Some("a")
    );
}

#[tokio::test]
async fn a_leaders_acknowledgement_does_not_wait_for_the_sync() {
    let (rig, disk) = faulty();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    disk.faults.syncs.store(true, Ordering::SeqCst);
    let written = rig
        .produce_to("t", 0, Some(batch(&["b"])), Acks::Leader)
        .await
        .unwrap();
    assert_eq!(written.base_offset, Offset(1));
    assert_eq!(rig.end("t").await, 1, "written, and not yet to be read");
}

#[tokio::test]
async fn a_page_cache_topic_is_read_before_it_is_synced() {
    let (rig, disk) = faulty();
    rig.topic("t", 1, &[("durability", "page-cache")]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    disk.faults.syncs.store(true, Ordering::SeqCst);
    rig.produce("t", batch(&["b"])).await.unwrap();
    assert_eq!(rig.values("t", 0).await, ["a", "b"]);
    // The background sync fails, and that is final, too.
    let service = rig.service.clone();
    until(|| {
        rig.clock.advance(Duration::from_millis(100));
        service.poisoned().is_some()
    })
    .await;
    assert!(is_storage(&rig.produce("t", batch(&["c"])).await));
}

#[tokio::test]
async fn an_idle_broker_gives_back_the_memory_of_its_reads() {
    let (rig, disk) = faulty();
    let before = disk.faults.releases.load(Ordering::SeqCst);
    until(|| {
        rig.advance_ms(1000);
        disk.faults.releases.load(Ordering::SeqCst) > before + 1
    })
    .await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let mut rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    rig.topic("cached", 1, &[("durability", "page-cache")])
        .await;
    let mut expected = Vec::new();
    for round in 0..4 {
        let value = format!("value {round}");
        for topic in ["t", "cached"] {
            for acks in [Acks::All, Acks::Leader, Acks::None] {
                rig.produce_to(topic, 0, Some(batch(&[&value])), acks)
                    .await
                    .unwrap();
            }
        }
        expected.extend([value.clone(), value.clone(), value]);
        rig = rig.kill();
        for topic in ["t", "cached"] {
            assert_eq!(rig.values(topic, 0).await, expected, "{topic}");
        }
    }
}

#[tokio::test]
async fn a_full_disk_refuses_records_and_takes_deletions_and_resumes() {
    let (rig, disk) = faulty();
    rig.topic("t", 1, &[]).await;
    rig.topic("u", 1, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    disk.faults.free_bytes.store(1000, Ordering::SeqCst);
    rig.advance_ms(2000);
    assert!(is_storage(&rig.produce("t", batch(&["b"])).await));
    assert_eq!(rig.values("t", 0).await, ["a"]);
    let deleted = rig.service.delete_topics(vec![TopicRef::from("u")]).await;
    assert!(deleted[0].result.is_ok(), "else nobody could make room");
    disk.faults.free_bytes.store(u64::MAX, Ordering::SeqCst);
    rig.advance_ms(2000);
    rig.produce("t", batch(&["c"])).await.unwrap();
    assert_eq!(rig.values("t", 0).await, ["a", "c"]);
}

#[tokio::test]
async fn a_topic_whose_files_cannot_be_removed_stays_known_until_they_are() {
    let (rig, disk) = faulty();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    disk.faults.removes.store(true, Ordering::SeqCst);
    let deleted = rig.service.delete_topics(vec![TopicRef::from("t")]).await;
    assert!(deleted[0].result.is_ok(), "it is gone for clients");
    let produced = rig.produce("t", batch(&["b"])).await;
    assert_eq!(produced, Err(ProduceError::UnknownTopicOrPartition));
    let topics = vec![NewTopic {
        name: "t".to_owned(),
        ..NewTopic::default()
    }];
    let call = CreateTopicsCall {
        topics,
        validate_only: false,
    };
    let created = rig
        .service
        .create_topics(call.clone())
        .await
        .remove(0)
        .result;
    assert_eq!(created, Err(TopicError::Exists { deleting: true }));
    // Housekeeping goes on once the disk lets it.
    disk.faults.removes.store(false, Ordering::SeqCst);
    until(|| rig.clock.sleepers_count() >= 4).await;
    rig.advance_ms(rig.config.log_retention_check_interval_ms);
    until(|| rig.fs_topics() == 0).await;
    let rig = rig.restart().await;
    assert!(rig.service.create_topics(call).await[0].result.is_ok());
}

#[tokio::test]
async fn a_start_finishes_a_deletion_that_was_begun() {
    let (rig, disk) = faulty();
    rig.topic("t", 2, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    disk.faults.removes.store(true, Ordering::SeqCst);
    let deleted = rig.service.delete_topics(vec![TopicRef::from("t")]).await;
    assert!(deleted[0].result.is_ok());
    assert_eq!(rig.fs_topics(), 1);
    let rig = rig.kill();
    assert_eq!(rig.fs_topics(), 0);
    rig.topic("t", 1, &[]).await;
    assert_eq!(rig.end("t").await, 0);
}

#[tokio::test]
async fn a_start_that_fails_does_not_hide_the_unclean_stop_before_it() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    let image = copy_of(&rig.fs);
    let disk = FaultyFs::new(image.clone());
    disk.faults.writes.store(true, Ordering::SeqCst);
    let start = |disk: FaultyFs| {
        let clock = Arc::new(VirtualClock::new(START));
        Broker::builder()
            .fs(Arc::new(disk), "/data")
            .clock(clock)
            .start()
    };
    assert!(start(disk.clone()).is_err());
    disk.faults.writes.store(false, Ordering::SeqCst);
    disk.faults.syncs.store(true, Ordering::SeqCst);
    assert!(start(disk.clone()).is_err());
    let rig = Rig::over(image, VirtualClock::new(START), BrokerConfig::default());
    assert_eq!(rig.values("t", 0).await, ["a"]);
    let mut call = crate::kit::fetch_call("t", 0);
    call.partitions[0].current_leader_epoch = 0;
    assert!(
        rig.service.fetch(call).await[0].result.is_err(),
        "the epoch was raised"
    );
}

#[tokio::test]
async fn a_topic_whose_files_resist_holds_up_neither_the_others_nor_a_start() {
    let (rig, disk) = faulty();
    for name in ["t", "u", "v"] {
        rig.topic(name, 1, &[]).await;
        rig.produce(name, batch(&["a"])).await.unwrap();
    }
    let id = rig.service.topic_id("t").unwrap();
    let hex: String = id.0.iter().map(|byte| format!("{byte:02x}")).collect();
    *disk.faults.stuck.lock().unwrap() = Some(hex);
    let topics = ["t", "u"].map(TopicRef::from).to_vec();
    let deleted = rig.service.delete_topics(topics).await;
    assert!(deleted.iter().all(|topic| topic.result.is_ok()));
    assert_eq!(rig.fs_topics(), 2, "t resists, v lives, u is gone");
    rig.topic("u", 1, &[]).await;
    // A start over the same stubborn disk.
    let below = copy_of(&rig.fs);
    let again = FaultyFs {
        below: below.clone(),
        faults: Arc::clone(&disk.faults),
    };
    let (clock, config) = (VirtualClock::new(START), BrokerConfig::default());
    let rig = Rig::on(Arc::new(again), below, clock, config);
    assert_eq!(rig.values("v", 0).await, ["a"]);
    assert!(rig.service.topic_id("t").is_none());
    *disk.faults.stuck.lock().unwrap() = None;
    let rig = rig.restart().await;
    assert_eq!(rig.fs_topics(), 1, "only v has files");
}
