//! A disk that fails under the log of groups.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use highwater_broker::error::{BrokerError, GroupError};
use highwater_log::fs::mem::MemFs;
use highwater_proto::clock::Clock;

use crate::kit::{Rig, START, copy_of};
use crate::member::{commit, commit_all, committed, faulty, offset_of, two};

#[tokio::test]
async fn after_a_failed_sync_commits_are_refused_and_what_was_acknowledged_stays() {
    let (rig, disk) = faulty();
    rig.topic("t", 1, &[]).await;
    let (leader, _other) = two(&rig, "g").await;
    leader.commit(1).await.unwrap();
    assert!(rig.service.coordinator_available());
    disk.faults.syncs.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(matches!(
            leader.commit(2).await,
            Err(GroupError::Unavailable { .. })
        ));
        // The disk works again, and is not trusted any more.
        disk.faults.syncs.store(false, Ordering::SeqCst);
    }
    assert!(!rig.service.coordinator_available());
    assert_eq!(committed(&rig, "g", "t"), 1);
    assert!(rig.service.delete_groups(vec!["g".to_owned()]).await[0].is_err());
    let rig = rig.kill();
    // The refused commit may have reached the disk; nothing else may.
    assert!([1, 2].contains(&committed(&rig, "g", "t")));
    commit(&rig, "h", "t", 3).await.unwrap();
}

#[tokio::test]
async fn after_a_failed_sync_no_deletion_of_offsets_is_acknowledged() {
    let (rig, disk) = faulty();
    rig.topic("t", 2, &[]).await;
    commit(&rig, "g", "t", 1).await.unwrap();
    disk.faults.syncs.store(true, Ordering::SeqCst);
    let refused = commit_all(&rig.service, "g", vec![offset_of("t", 1, 5)]).await;
    assert!(matches!(refused, Err(GroupError::Unavailable { .. })));
    // Nothing is committed there now, but the refused commit may come back with the next start.
    let deleted = rig
        .service
        .delete_offsets("g".to_owned(), vec![("t".to_owned(), 1)]);
    assert!(matches!(deleted.await, Err(GroupError::Unavailable { .. })));
}

#[tokio::test]
async fn a_full_disk_does_not_keep_groups_from_going_on() {
    let (rig, disk) = faulty();
    rig.topic("t", 1, &[]).await;
    commit(&rig, "g", "t", 1).await.unwrap();
    disk.faults.free_bytes.store(1 << 20, Ordering::SeqCst);
    rig.advance_ms(60_000);
    let produced = rig.produce("t", crate::kit::batch(&["x"])).await;
    assert!(produced.is_err(), "the disk counts as full");
    commit(&rig, "g", "t", 2).await.unwrap();
    assert_eq!(committed(&rig, "g", "t"), 2);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_stops_the_start() {
    let (rig, _disk) = faulty();
    rig.topic("t", 1, &[]).await;
    commit(&rig, "g", "t", 1).await.unwrap();
    rig.broker.shutdown().await.unwrap();
    drop(rig.broker);
    let image = copy_of(&rig.fs);
    write_raw(&image, b"\x00\x01", Some(b"no offset"));
    let started = highwater_broker::Broker::builder()
        .fs(Arc::new(image), "/data")
        .start();
    match started {
        Err(BrokerError::Groups {
            partition, offset, ..
        }) => {
            assert_eq!((partition, offset.0), (0, 1));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_record_of_a_later_broker_is_kept() {
    let (rig, _disk) = faulty();
    rig.topic("t", 1, &[]).await;
    commit(&rig, "g", "t", 1).await.unwrap();
    rig.broker.shutdown().await.unwrap();
    drop(rig.broker);
    let image = copy_of(&rig.fs);
    write_raw(&image, b"\x00\x03later", Some(b"value"));
    let rig = Rig::over(image, rig.clock.clone(), rig.config.clone());
    assert_eq!(committed(&rig, "g", "t"), 1);
    let table = crate::topic::table(&rig, 0).await;
    assert_eq!(table[&b"\x00\x03later"[..]], &b"value"[..]);
}

/// Appends a record to the log of groups of a broker that is shut down.
pub(crate) fn write_raw(fs: &MemFs, key: &[u8], value: Option<&[u8]>) {
    use highwater_log::config::LogConfig;
    use highwater_log::data_dir::DataDir;
    use highwater_log::shard::{AckAt, Shard, ShardConfig};
    let now = highwater_broker::clock::VirtualClock::new(START).now();
    let dir = DataDir::open(Arc::new(fs.clone()), "/data".as_ref()).unwrap();
    let ids = dir.logs().unwrap();
    let logs = ids.iter().map(|id| (*id, LogConfig::default())).collect();
    let (shard, _) = Shard::open(dir, logs, ShardConfig::default(), now).unwrap();
    let meta = highwater_broker::ids::TopicId::META;
    let log = *ids.iter().find(|id| id.topic != meta.0).unwrap();
    let mut builder =
        highwater_proto::batch_builder::BatchBuilder::new(highwater_proto::compress::Codec::None);
    builder.append(START.0, Some(key), value, &[]).unwrap();
    let batch = highwater_proto::batch::validate_produced(
        &builder.build().unwrap(),
        &highwater_proto::batch::ProduceLimits::default(),
    );
    shard
        .append_wait(log, batch.unwrap(), AckAt::Durable, now)
        .unwrap();
    shard.close(now).unwrap();
}
