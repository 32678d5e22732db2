//! Starts and stops on a disk without room.

use std::path::Path;
use std::sync::Arc;

use highwater_broker::Broker;
use highwater_broker::clock::VirtualClock;
use highwater_broker::error::BrokerError;
use highwater_kit::small_disk::SmallDisk;
use highwater_log::fs::Fs;
use highwater_log::fs::mem::MemFs;

use crate::kit::START;
use crate::member::{commit, committed};
use crate::small::{MIB, RESERVE, Small, config};

async fn used() -> Small {
    let small = Small::new().with_reserve().await;
    for topic in ["t", "u"] {
        small.rig.topic(topic, 1, &[("segment.bytes", "500")]).await;
        for _ in 0..5 {
            small.produce(topic, 100).await.unwrap();
        }
    }
    commit(&small.rig, "g", "t", 5).await.unwrap();
    small
}

async fn expect_all(small: &Small) {
    for topic in ["t", "u"] {
        assert_eq!(small.rig.values(topic, 0).await.len(), 5, "{topic}");
    }
    assert_eq!(committed(&small.rig, "g", "t"), 5);
    commit(&small.rig, "g", "t", 5).await.unwrap();
}

/// The epoch rises with an unclean start only.
async fn epoch(small: &Small) -> i32 {
    let quorum = small.rig.service.quorum();
    quorum.leader_epoch
}

#[tokio::test]
async fn a_clean_stop_and_a_start_on_a_full_disk() {
    let small = used().await;
    let before = epoch(&small).await;
    small.disk.leave_free(0);
    let small = small.restart().await;
    assert_eq!(epoch(&small).await, before, "the stop was a clean one");
    expect_all(&small).await;
    assert!(small.produce("t", 10).await.is_err());
    small.disk.others_leave();
    small.produces_within("t", 5).await;
    small.second().await;
    assert_eq!(small.reserve(), Some(RESERVE));
}

#[tokio::test]
async fn a_start_on_a_full_disk_after_a_kill() {
    for free in [0, 4096, 3 * 4096, 64 << 10] {
        let small = used().await.kill(free);
        expect_all(&small).await;
        // The reserve may be gone by now: what it has left free is enough for many starts.
        let left = small.disk.free();
        let small = small.kill(left);
        expect_all(&small).await;
        small.disk.others_leave();
        small.produces_within("t", 5).await;
    }
}

#[tokio::test]
async fn a_first_start_without_room_says_so_and_the_next_one_with_room_works() {
    let fs = MemFs::new();
    fs.create_dir(Path::new("/data")).unwrap();
    for blocks in 0..40 {
        let disk = SmallDisk::new(Arc::new(fs.clone()), Path::new("/data"), 8 * MIB);
        disk.leave_free(blocks * 4096);
        let started = Broker::builder()
            .fs(Arc::new(disk.clone()), "/data")
            .config(config())
            .clock(Arc::new(VirtualClock::new(START)))
            .start();
        match started {
            Ok(broker) => {
                assert!(blocks > 3, "nothing fits into {blocks} blocks");
                drop(broker);
                return;
            }
            Err(BrokerError::DiskFull { .. } | BrokerError::MetaWrite { .. }) => {}
            Err(other) => panic!("{other:?} with {blocks} blocks"),
        }
    }
    panic!("160 KiB are enough for a start");
}

#[tokio::test]
async fn a_disk_that_is_too_small_for_the_reserve_goes_without() {
    let mut config = config();
    config.log_dirs_reserve_bytes = 64 * MIB;
    let small = Small::with(config);
    small.rig.topic("t", 1, &[]).await;
    for _ in 0..3 {
        small.second().await;
        assert_eq!(small.reserve(), None);
        // What the reserve lacks counts as gone.
        assert!(small.produce("t", 10).await.is_err());
    }
    commit(&small.rig, "g", "t", 0).await.unwrap();
}

#[tokio::test]
async fn a_reserve_of_another_size_is_made_anew() {
    let mut small = Small::new().with_reserve().await;
    small.rig.config.log_dirs_reserve_bytes = 2 * RESERVE;
    let mut small = small.restart().await;
    small.second().await;
    assert_eq!(small.reserve(), Some(2 * RESERVE));
    small.rig.config.log_dirs_reserve_bytes = 0;
    let small = small.restart().await;
    small.second().await;
    assert_eq!(small.reserve(), None);
}

/// A crash while the reserve is made leaves a file of another name, which the next start removes.
#[tokio::test]
async fn half_a_reserve_is_none() {
    let small = Small::new().with_reserve().await;
    let left = small.rig.fs.create(Path::new("/data/RESERVE.tmp")).unwrap();
    left.write_at(0, &[std::io::IoSlice::new(b"half")]).unwrap();
    small.rig.fs.remove(Path::new("/data/RESERVE")).unwrap();
    let small = small.kill(4 * MIB).with_reserve().await;
    assert_eq!(small.disk.length(Path::new("/data/RESERVE.tmp")), None);
}

#[tokio::test]
async fn a_disk_without_an_end_has_no_reserve() {
    let rig = crate::kit::Rig::with(config());
    rig.topic("t", 1, &[]).await;
    rig.produce("t", crate::kit::batch(&["a"])).await.unwrap();
    for _ in 0..3 {
        crate::member::pass(&rig, 1000, crate::member::TIMERS_IDLE).await;
    }
    assert!(
        !rig.fs
            .list(Path::new("/data"))
            .unwrap()
            .contains(&"RESERVE".to_owned())
    );
}
