//! What a disk of flash is spared: an idle broker writes nothing, a slow one hardly more than a
//! page for each sync.

use std::path::Path;
use std::sync::Arc;

use highwater_broker::clock::VirtualClock;
use highwater_broker::config::BrokerConfig;
use highwater_kit::wear_fs::{Wear, WearFs};
use highwater_log::config::LogConfig;
use highwater_log::data_dir::DataDir;
use highwater_log::fs::mem::MemFs;
use highwater_log::shard::{AckAt, Append, Done, Shard, ShardConfig};
use highwater_log::types::{LeaderEpoch, LogId};
use highwater_proto::batch::{ProduceLimits, ProducedBatch, validate_produced};
use highwater_proto::batch_builder::BatchBuilder;
use highwater_proto::clock::{Mono, Now, Wall};
use highwater_proto::compress::Codec;

use crate::kit::{Rig, START, batch};
use crate::member::{TIMERS_IDLE, commit, pass, pass_all, two};

const SECONDS: u64 = 600;

fn at(ms: u64) -> Now {
    Now {
        mono: Mono(ms * 1_000_000),
        wall: Wall(START.0 + i64::try_from(ms).unwrap()),
    }
}

fn record() -> ProducedBatch {
    let mut builder = BatchBuilder::new(Codec::None);
    let value = [b'v'; 40];
    builder
        .append(START.0, Some(b"key"), Some(&value), &[])
        .unwrap();
    validate_produced(&builder.build().unwrap(), &ProduceLimits::default()).unwrap()
}

fn log(number: u32) -> LogId {
    LogId {
        topic: [7; 16],
        partition: number,
    }
}

/// Ten cycles a second for ten minutes, each with one durable record for each log that `logs_of`
/// gives it; what that did to the disk, the making of the logs not counted.
fn ten_minutes(logs_count: u32, logs_of: impl Fn(u64) -> Vec<u32>) -> Wear {
    let disk = WearFs::new(Arc::new(MemFs::new()));
    let dir = DataDir::open(Arc::new(disk.clone()), Path::new("/data")).unwrap();
    let (shard, _) = Shard::open(dir, Vec::new(), ShardConfig::default(), at(0)).unwrap();
    for number in 0..logs_count {
        let config = LogConfig::default();
        shard
            .add_log(log(number), config, LeaderEpoch(0), at(0))
            .unwrap();
    }
    let mut tick_at = shard.tick(at(0));
    let _made = disk.take();
    for cycle in 0..SECONDS * 10 {
        let now = at(1 + cycle * 100);
        for number in logs_of(cycle) {
            shard.enqueue(Append {
                log: log(number),
                sent: record().into(),
                ack: AckAt::Durable,
                now,
                done: Done::new(|result| drop(result.unwrap())),
            });
        }
        shard.write_once();
        assert!(shard.sync_once(), "durable at once");
        if tick_at <= now.mono {
            tick_at = shard.tick(now);
        }
    }
    shard.tick(at(SECONDS * 1000 + 1001));
    disk.take()
}

/// At most so many pages for each sync.
fn expect_frugal(name: &str, pages: u64, share_max: f64, wear: Wear) {
    let share = pages as f64 / wear.syncs as f64;
    println!(
        "{name}: {pages} pages, {} syncs: {share:.3}; {wear:?}",
        wear.syncs
    );
    assert!(
        share <= share_max,
        "{name}: {share:.3} pages a sync; {wear:?}"
    );
}

#[test]
fn ten_durable_records_a_second_write_a_page_a_sync() {
    let wear = ten_minutes(1, |_| vec![0]);
    assert!(wear.syncs <= SECONDS * 11 + 2, "{wear:?}");
    expect_frugal("one log", wear.touched_pages, 1.05, wear);
}

#[test]
fn ten_logs_in_turn_write_a_page_a_sync() {
    let wear = ten_minutes(10, |cycle| vec![u32::try_from(cycle % 10).unwrap()]);
    assert!(wear.syncs <= SECONDS * 11 + 2, "{wear:?}");
    expect_frugal("ten logs in turn", wear.touched_pages, 1.05, wear);
}

/// Several logs in one cycle go through the journal, and that costs more: each page of a log is
/// written once a second, with the sync that empties the journal, the journal writes the page of
/// its header once a second, and the records of four logs fill pages of their own.
#[test]
fn several_logs_at_once_write_little_more_than_a_page_a_sync() {
    let wear = ten_minutes(4, |_| vec![0, 1, 2, 3]);
    assert!(
        wear.syncs < SECONDS * 16,
        "not one for each record: {wear:?}"
    );
    expect_frugal("four logs at once", wear.synced_pages, 1.15, wear);
}

async fn hour(rig: &Rig, timers_count: usize) {
    for _ in 0..3600 {
        pass(rig, 1000, timers_count).await;
    }
}

#[tokio::test]
async fn an_idle_broker_writes_nothing_for_an_hour() {
    let below = MemFs::new();
    let disk = WearFs::new(Arc::new(below.clone()));
    let clock = VirtualClock::new(START);
    let rig = Rig::on(
        Arc::new(disk.clone()),
        below,
        clock,
        BrokerConfig::default(),
    );
    for topic in ["t", "u"] {
        rig.topic(topic, 2, &[]).await;
        rig.produce(topic, batch(&["a"])).await.unwrap();
    }
    commit(&rig, "offsets", "u", 1).await.unwrap();
    let (leader, other) = two(&rig, "g").await;
    leader.commit(1).await.unwrap();
    other.leave().await;
    leader.leave().await;
    pass_all(&rig, 60_000).await;
    // Threads end what was begun, and time does not wait for them: they have the first hour for it.
    hour(&rig, TIMERS_IDLE).await;
    let _made = disk.take();
    let checks = rig.service.metrics().retention_checks.value();
    hour(&rig, TIMERS_IDLE).await;
    assert!(rig.service.metrics().retention_checks.value() >= checks + 12);
    assert_eq!(disk.take(), Wear::default());
    // It was not asleep for ever.
    rig.produce("t", batch(&["b"])).await.unwrap();
    assert!(disk.take().syncs > 0);
}

/// A start after a clean stop writes what it must, once, and then nothing.
#[tokio::test]
async fn a_broker_that_was_started_again_writes_nothing_more() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    rig.broker.shutdown().await.unwrap();
    drop(rig.broker);
    let disk = WearFs::new(Arc::new(rig.fs.clone()));
    let rig = Rig::on(Arc::new(disk.clone()), rig.fs, rig.clock, rig.config);
    for _ in 0..2 {
        pass(&rig, 1000, TIMERS_IDLE).await;
    }
    let _made = disk.take();
    hour(&rig, TIMERS_IDLE).await;
    assert_eq!(disk.take(), Wear::default());
}
