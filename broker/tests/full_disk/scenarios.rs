//! The disk fills up while the broker runs: by what is produced, by others, at every step.

use highwater_broker::config::BrokerConfig;
use highwater_broker::ids::TopicRef;
use highwater_broker::service::offsets::DeleteRecordsPartition;
use highwater_broker::service::producer_ids::InitProducerId;
use highwater_log::types::Offset;

use crate::kit::batch;
use crate::member::{commit, committed, two};
use crate::small::{MIB, RESERVE, Small, config, is_storage};

#[tokio::test]
async fn filled_by_what_is_produced() {
    let small = Small::new().with_reserve().await;
    small.rig.topic("t", 1, &[]).await;
    let count = small.fill("t").await;
    assert!(count > 100, "most of the disk is used: {count}");
    assert_eq!(small.disk.refused(), 0, "refused before the disk is full");
    assert!(small.disk.free() > MIB - (64 << 10));
    assert_eq!(small.rig.end("t").await, count);
    commit(&small.rig, "g", "t", count).await.unwrap();
    assert_eq!(committed(&small.rig, "g", "t"), count);
    // Whoever deletes makes room.
    let before = DeleteRecordsPartition {
        topic: "t".to_owned(),
        partition: 0,
        before: Offset(count),
    };
    let deleted = small.rig.service.delete_records(vec![before]).await;
    assert!(deleted[0].result.is_ok());
    let gone = small
        .rig
        .service
        .delete_topics(vec![TopicRef::from("t")])
        .await;
    assert!(gone[0].result.is_ok());
    small.rig.topic("u", 1, &[]).await;
    small.produces_within("u", 5).await;
    assert_eq!(small.reserve(), Some(RESERVE), "nobody needed it");
}

#[tokio::test]
async fn filled_by_another_file_and_emptied_again() {
    let small = Small::new().with_reserve().await;
    small.rig.topic("t", 1, &[]).await;
    small.produce("t", 10).await.unwrap();
    small.disk.leave_free(MIB / 2);
    small.second().await;
    let refused = small.produce("t", 10).await.unwrap_err();
    assert!(is_storage(&refused) && refused.to_string().contains("min.free.bytes"));
    assert!(small.rig.service.room().is_short);
    assert_eq!(small.rig.values("t", 0).await.len(), 1);
    commit(&small.rig, "g", "t", 1).await.unwrap();
    small.disk.others_leave();
    small.produces_within("t", 1).await;
    assert!(!small.rig.service.room().is_short);
}

#[tokio::test]
async fn without_a_free_block_offsets_go_on_with_the_reserve_which_comes_back() {
    let small = Small::new().with_reserve().await;
    small.rig.topic("t", 1, &[]).await;
    small.produce("t", 10).await.unwrap();
    small.disk.leave_free(0);
    for offset in 1..200 {
        commit(&small.rig, "g", "t", offset).await.unwrap();
    }
    assert_eq!(small.reserve(), None, "it was given up");
    assert_eq!(committed(&small.rig, "g", "t"), 199);
    small.second().await;
    // What the reserve has left free is not for records.
    assert!(small.produce("t", 10).await.is_err());
    small.disk.others_leave();
    small.produces_within("t", 5).await;
    small.second().await;
    assert_eq!(small.reserve(), Some(RESERVE));
    assert_eq!(small.rig.service.poisoned(), None);
}

/// A limit that the file system has and does not tell of: the first word is an error of a write.
#[tokio::test]
async fn a_quota_that_only_writes_meet() {
    let small = Small::new().with_reserve().await;
    small.rig.topic("t", 1, &[]).await;
    small.produce("t", 10).await.unwrap();
    small.disk.keep_quiet();
    small.disk.leave_free(0);
    small.second().await;
    let refused = small.produce("t", 100 << 10).await.unwrap_err();
    assert!(is_storage(&refused), "{refused:?}");
    commit(&small.rig, "g", "t", 1).await.unwrap();
    assert_eq!(small.reserve(), None);
    small.disk.others_leave();
    small.produces_within("t", 5).await;
    assert_eq!(small.rig.service.poisoned(), None);
    let small = small.kill(MIB);
    assert_eq!(
        small.rig.values("t", 0).await.len(),
        2,
        "nothing of what was refused"
    );
    assert_eq!(committed(&small.rig, "g", "t"), 1);
}

/// Nothing is kept free: the disk itself says when it is full.
fn to_the_last_block() -> BrokerConfig {
    BrokerConfig {
        min_free_bytes: 0,
        log_dirs_reserve_bytes: 0,
        ..config()
    }
}

#[tokio::test]
async fn during_a_roll() {
    let small = Small::with(to_the_last_block());
    small.rig.topic("t", 1, &[("segment.bytes", "300")]).await;
    let mut taken = 0;
    for blocks in 0..12 {
        small.disk.leave_free(blocks * 4096);
        small.second().await;
        for _ in 0..12 {
            taken += i64::from(small.produce("t", 100).await.is_ok());
        }
        assert_eq!(small.rig.end("t").await, taken, "with {blocks} blocks");
    }
    assert!(small.disk.refused() > 0 && taken > 0);
    small.disk.others_leave();
    small.produces_within("t", 1).await;
    let small = small.kill(4 * MIB);
    assert_eq!(small.rig.end("t").await, taken + 1);
    assert_eq!(
        small.rig.values("t", 0).await.len(),
        usize::try_from(taken).unwrap() + 1
    );
}

#[tokio::test]
async fn during_a_commit_of_several_partitions() {
    let small = Small::with(to_the_last_block());
    let topics = ["a", "b", "c"];
    for topic in topics {
        small.rig.topic(topic, 1, &[]).await;
        small.produce(topic, 10).await.unwrap();
    }
    let mut taken = [1; 3];
    for blocks in 0..16 {
        small.disk.leave_free(blocks * 4096);
        for _ in 0..3 {
            let [a, b, c] = topics.map(|topic| small.produce(topic, 5000));
            let (a, b, c) = tokio::join!(a, b, c);
            for (taken, produced) in taken.iter_mut().zip([a, b, c]) {
                *taken += usize::from(produced.is_ok());
            }
        }
    }
    assert!(small.disk.refused() > 0);
    small.disk.others_leave();
    small.produces_within("a", 1).await;
    taken[0] += 1;
    for (topic, taken) in topics.iter().zip(taken) {
        assert_eq!(small.rig.values(topic, 0).await.len(), taken, "{topic}");
    }
    let small = small.kill(4 * MIB);
    for (topic, taken) in topics.iter().zip(taken) {
        assert_eq!(
            small.rig.values(topic, 0).await.len(),
            taken,
            "{topic} after a kill"
        );
    }
}

#[tokio::test]
async fn during_the_creation_of_a_topic() {
    let small = Small::new().with_reserve().await;
    small.disk.leave_free(0);
    small.second().await;
    small.rig.topic("t", 3, &[]).await;
    assert!(small.produce("t", 10).await.is_err());
    assert_eq!(
        small.rig.fs_topics(),
        0,
        "no files for records that are refused"
    );
    small.disk.others_leave();
    small.produces_within("t", 5).await;
    assert_eq!(small.rig.end("t").await, 1);
}

#[tokio::test]
async fn during_the_first_commit_of_all() {
    let small = Small::new().with_reserve().await;
    small.rig.topic("t", 1, &[]).await;
    small.disk.leave_free(0);
    commit(&small.rig, "g", "t", 0).await.unwrap();
    let left = small.disk.free();
    let small = small.kill(left);
    assert_eq!(committed(&small.rig, "g", "t"), 0);
}

#[tokio::test]
async fn during_a_rebalance() {
    let small = Small::new().with_reserve().await;
    small.rig.topic("t", 1, &[]).await;
    small.disk.leave_free(0);
    let (leader, other) = two(&small.rig, "g").await;
    leader.commit(3).await.unwrap();
    other.commit(4).await.unwrap();
    leader.leave().await;
    assert_eq!(committed(&small.rig, "g", "t"), 4);
}

#[tokio::test]
async fn while_topics_are_deleted() {
    let small = Small::new().with_reserve().await;
    for topic in ["t", "u"] {
        small.rig.topic(topic, 2, &[]).await;
        small.produce(topic, 2 << 20).await.unwrap_err();
        small.produce(topic, 900 << 10).await.unwrap();
    }
    small.disk.leave_free(0);
    small.second().await;
    assert!(small.produce("u", 10).await.is_err());
    let deleted = small
        .rig
        .service
        .delete_topics(vec![TopicRef::from("t")])
        .await;
    assert!(deleted[0].result.is_ok());
    assert_eq!(small.rig.fs_topics(), 1);
    // What it held is less than what is to be free, the reserve included.
    let room = small.disk.free();
    assert!(room > 900 << 10 && room < MIB + RESERVE, "{room}");
    small.disk.leave_free(2 * MIB);
    small.produces_within("u", 5).await;
}

#[tokio::test]
async fn while_retention_removes() {
    let small = Small::new().with_reserve().await;
    let configs = [("segment.bytes", "20000"), ("retention.bytes", "20000")];
    small.rig.topic("t", 1, &configs).await;
    for _ in 0..20 {
        small.produce("t", 16 << 10).await.unwrap();
    }
    small.disk.leave_free(0);
    small.second().await;
    assert!(small.produce("t", 10).await.is_err());
    small.rig.service.apply_retention().await.unwrap();
    assert!(small.rig.start("t").await > 15);
    assert!(small.disk.free() > 250 << 10);
    assert_eq!(small.rig.service.poisoned(), None);
}

#[tokio::test]
async fn while_records_are_deleted() {
    let small = Small::new().with_reserve().await;
    small.rig.topic("t", 1, &[]).await;
    for _ in 0..3 {
        small.produce("t", 10).await.unwrap();
    }
    small.disk.leave_free(0);
    let before = DeleteRecordsPartition {
        topic: "t".to_owned(),
        partition: 0,
        before: Offset(2),
    };
    let deleted = small.rig.service.delete_records(vec![before]).await;
    assert_eq!(
        deleted[0].result,
        Ok(Offset(2)),
        "with the room of the reserve"
    );
    let small = small.kill(MIB);
    assert_eq!(small.rig.start("t").await, 2);
}

#[tokio::test]
async fn while_the_recovery_points_are_written() {
    let small = Small::with(to_the_last_block());
    for topic in ["t", "u"] {
        small.rig.topic(topic, 1, &[]).await;
    }
    small.disk.leave_free(32 << 10);
    let mut taken = 0;
    for _ in 0..5 {
        taken += usize::from(small.produce("t", 10).await.is_ok());
        small.disk.leave_free(0);
        small.second().await;
    }
    assert_eq!(small.rig.service.poisoned(), None);
    // Without a reserve a start needs some room.
    let small = small.kill(128 << 10);
    assert_eq!(small.rig.values("t", 0).await.len(), taken);
}

#[tokio::test]
async fn a_page_cache_topic() {
    let small = Small::with(to_the_last_block());
    small
        .rig
        .topic("t", 1, &[("durability", "page-cache")])
        .await;
    small.produce("t", 10).await.unwrap();
    small.disk.leave_free(0);
    let mut taken = 1;
    for _ in 0..5 {
        taken += usize::from(small.produce("t", 3000).await.is_ok());
        small.second().await;
    }
    assert!(taken < 4, "a block has its end: {taken}");
    assert_eq!(small.rig.service.poisoned(), None);
    assert_eq!(small.rig.values("t", 0).await.len(), taken);
    small.disk.others_leave();
    small.produces_within("t", 1).await;
}

#[tokio::test]
async fn ids_of_producers_go_on() {
    let small = Small::new().with_reserve().await;
    small.disk.leave_free(0);
    let asked = InitProducerId {
        transactional_id: None,
        producer_id: -1,
        epoch: -1,
    };
    let given = small.rig.service.init_producer_id(asked).await;
    assert!(given.is_ok(), "{given:?}");
}

#[tokio::test]
async fn the_log_of_groups_is_rewritten() {
    let config = BrokerConfig {
        offsets_topic_segment_bytes: 64 << 10,
        ..config()
    };
    let small = Small::with(config).with_reserve().await;
    small.rig.topic("t", 1, &[]).await;
    commit(&small.rig, "g", "t", 0).await.unwrap();
    small.disk.leave_free(0);
    for offset in 1..3000 {
        commit(&small.rig, "g", "t", offset).await.unwrap();
    }
    // 100 bytes each, and only the newest of each partition is kept.
    let left = small.disk.free();
    assert!(left > 32 << 10, "{left} bytes are left of the reserve");
    let small = small.kill(left);
    assert_eq!(committed(&small.rig, "g", "t"), 2999);
}

/// A batch that does not fit leaves nothing, and an idempotent producer goes on where it was.
#[tokio::test]
async fn a_producer_sends_again_what_did_not_fit() {
    let small = Small::with(to_the_last_block());
    small.rig.topic("t", 1, &[]).await;
    let large = "v".repeat(100 << 10);
    let sent = |sequence| crate::kit::idempotent(9, 0, sequence, &[&large]);
    small.rig.produce("t", sent(0)).await.unwrap();
    small.disk.leave_free(20 << 10);
    for _ in 0..3 {
        assert!(is_storage(
            &small.rig.produce("t", sent(1)).await.unwrap_err()
        ));
    }
    small.disk.others_leave();
    let produced = small.rig.produce("t", sent(1)).await.unwrap();
    assert_eq!(produced.base_offset, Offset(1));
    let again = small.rig.produce("t", sent(1)).await.unwrap();
    assert_eq!(again.base_offset, Offset(1), "once");
    small.rig.produce("t", batch(&["x"])).await.unwrap();
    assert_eq!(small.rig.end("t").await, 3);
}

#[tokio::test]
async fn unless_it_is_told_a_hundredth_stays_free_and_64_mib_at_least() {
    for (disk, free) in [(20 << 10, 205), (1 << 10, 64)] {
        let config = BrokerConfig {
            min_free_bytes: -1,
            ..config()
        };
        let clock = highwater_broker::clock::VirtualClock::new(crate::kit::START);
        let fs = highwater_log::fs::mem::MemFs::new();
        let small = Small::over(fs, clock, config, disk * MIB)
            .with_reserve()
            .await;
        small.rig.topic("t", 1, &[]).await;
        for (free, is_enough) in [(free - 1, false), (free + 1, true)] {
            small.disk.leave_free(free * MIB);
            small.second().await;
            let produced = small.produce("t", 10).await;
            assert_eq!(produced.is_ok(), is_enough, "{free} of {disk} MiB");
        }
    }
}
