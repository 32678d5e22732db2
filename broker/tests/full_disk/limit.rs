//! `log.dirs.max.bytes`: the directory stays below it, by refusing or by dropping what is oldest.

use highwater_broker::config::BrokerConfig;
use highwater_broker::ids::TopicRef;

use crate::kit::{batch, until};
use crate::member::{commit, committed};
use crate::small::{MIB, Small, config, is_storage};

const LIMIT: u64 = 2 * MIB;
const DROPS: [(&str, &str); 2] = [("on.full", "drop-oldest"), ("segment.bytes", "40000")];

fn limited() -> BrokerConfig {
    BrokerConfig {
        log_dirs_max_bytes: 2 << 20,
        log_dirs_reserve_bytes: 0,
        ..config()
    }
}

/// Produces so much that it would fill the directory many times over; refusals are tried again.
async fn pour(small: &Small, topic: &str, batches: usize) {
    for _ in 0..batches {
        let mut tries = 0;
        while let Err(error) = small.produce(topic, 16 << 10).await {
            assert!(is_storage(&error), "{error:?}");
            tries += 1;
            assert!(tries < 1000, "no room is made");
            small.second().await;
        }
        assert!(small.dir_bytes() <= LIMIT, "{} bytes", small.dir_bytes());
    }
}

#[tokio::test]
async fn at_the_limit_producers_are_refused_and_offsets_go_on() {
    let small = Small::with(limited());
    small.rig.topic("t", 1, &[]).await;
    let count = small.fill("t").await;
    assert!(count > 60, "{count}");
    let refused = small.produce("t", 16 << 10).await.unwrap_err();
    assert!(
        refused.to_string().contains("log.dirs.max.bytes"),
        "{refused}"
    );
    for offset in 0..100 {
        commit(&small.rig, "g", "t", offset).await.unwrap();
    }
    assert_eq!(committed(&small.rig, "g", "t"), 99);
    small.rig.topic("u", 1, &[]).await;
    let bytes = small.counted_bytes();
    assert!(bytes <= LIMIT && bytes > LIMIT * 3 / 4, "{bytes}");
    assert_eq!(small.rig.end("t").await, count, "nothing was dropped");
    let gone = small
        .rig
        .service
        .delete_topics(vec![TopicRef::from("t")])
        .await;
    assert!(gone[0].result.is_ok());
    small.produce("u", 16 << 10).await.unwrap();
}

#[tokio::test]
async fn after_a_restart_the_directory_is_as_full_as_before() {
    let small = Small::with(limited());
    small.rig.topic("t", 1, &[]).await;
    small.fill("t").await;
    let small = small.restart().await;
    assert!(small.produce("t", 16 << 10).await.is_err());
    small.counted_bytes();
    let small = small.kill(4 * MIB);
    assert!(small.produce("t", 16 << 10).await.is_err());
    small.counted_bytes();
}

#[tokio::test]
async fn the_oldest_segments_of_topics_that_allow_it_go() {
    let mut small = Small::with(limited());
    small
        .rig
        .topic("kept", 1, &[("segment.bytes", "40000")])
        .await;
    for topic in ["old", "new"] {
        small.rig.topic(topic, 1, &DROPS).await;
    }
    pour(&small, "kept", 20).await;
    pour(&small, "old", 20).await;
    small.second().await;
    commit(&small.rig, "g", "kept", 7).await.unwrap();
    assert_eq!(small.rig.service.room().dropped_segments, 0);
    // More than there is room for beside the old ones.
    pour(&small, "new", 75).await;
    let service = small.rig.service.clone();
    until(|| service.room().dropped_segments > 0).await;
    assert!(service.room().dropped_bytes > 16 << 10);
    assert!(small.rig.start("old").await > 0, "the older one first");
    assert_eq!(small.rig.start("new").await, 0);
    pour(&small, "new", 300).await;
    assert!(small.rig.start("new").await > 200);
    assert_eq!(small.rig.start("kept").await, 0, "never without leave");
    assert_eq!(small.rig.values("kept", 0).await.len(), 20);
    assert_eq!(
        small.rig.start("__consumer_offsets").await,
        0,
        "never an internal one"
    );
    assert_eq!(committed(&small.rig, "g", "kept"), 7);
    for _ in 0..2 {
        let kept = small.rig.end("new").await - small.rig.start("new").await;
        assert!(kept > 30, "no more than is needed: {kept} are left");
        assert_eq!(small.rig.service.poisoned(), None);
        small = small.restart().await;
    }
}

#[tokio::test]
async fn idle_partitions_with_one_segment_each_make_room_as_well() {
    let small = Small::with(limited());
    small.rig.topic("idle", 8, &DROPS[..1]).await;
    let value = "v".repeat(100 << 10);
    for partition in 0..8 {
        let batch = batch(&[&value]);
        let acks = highwater_broker::service::produce::Acks::All;
        small
            .rig
            .produce_to("idle", partition, Some(batch), acks)
            .await
            .unwrap();
        small.second().await;
    }
    small.rig.topic("busy", 1, &[]).await;
    pour(&small, "busy", 80).await;
    let service = small.rig.service.clone();
    until(|| service.room().dropped_segments > 0).await;
    assert_eq!(small.rig.start("idle").await, 1, "the oldest of them");
    assert_eq!(small.rig.start("busy").await, 0);
}

#[tokio::test]
async fn a_topic_that_is_changed_is_dropped_from_then_on() {
    let small = Small::with(limited());
    small.rig.topic("t", 1, &[("segment.bytes", "40000")]).await;
    small.fill("t").await;
    small.set_config("t", "on.full", "drop-oldest").await;
    let service = small.rig.service.clone();
    small.second().await;
    until(|| service.room().dropped_segments > 0).await;
    pour(&small, "t", 100).await;
    assert!(small.rig.start("t").await > 0);
}

/// A reader that waits at an offset which is dropped is told at once.
#[tokio::test]
async fn what_is_dropped_is_out_of_range() {
    let small = Small::with(limited());
    small.rig.topic("t", 1, &DROPS).await;
    pour(&small, "t", 200).await;
    assert!(small.rig.fetch("t", 0).await.is_err());
    let start = small.rig.start("t").await;
    assert!(!small.rig.values("t", start).await.is_empty());
}

#[test]
fn a_limit_that_holds_nothing_is_refused() {
    let mut config = BrokerConfig::default();
    config.set("log.dirs.max.bytes", "1000").unwrap();
    assert_eq!(config.validate().unwrap_err().name, "log.dirs.max.bytes");
    config.set("log.dirs.max.bytes", "-1").unwrap();
    config.validate().unwrap();
}
