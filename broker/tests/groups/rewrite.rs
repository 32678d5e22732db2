//! The log of groups stays small, and says the same. The week of a thousand groups is a part of the
//! torture (`--only offsets-week`).

use std::path::Path;
use std::sync::Arc;

use highwater_broker::clock::VirtualClock;
use highwater_broker::config::BrokerConfig;
use highwater_broker::service::Service;
use highwater_broker::service::groups::OffsetToCommit;
use highwater_broker::service::offsets::OffsetAt;
use highwater_kit::scales::Scales;
use highwater_log::fs::mem::MemFs;
use highwater_log::types::LogId;
use highwater_proto::batch::HEADER_BYTES;

use crate::kit::{Rig, START, copy_of, until};
use crate::member::{commit, commit_all, committed, two};
use crate::poison::write_raw;
use crate::topic::{TOPIC, table};

const SEGMENT_BYTES: i32 = 1 << 20;
const PARTITIONS: i32 = 12;
const INTERVAL_MS: u64 = 5_000;
const TASKS: usize = 64;

fn rig(config: BrokerConfig) -> (Rig, Scales) {
    let fs = MemFs::new();
    let scales = Scales::over(Arc::new(fs.clone()));
    let clock = VirtualClock::new(START);
    let rig = Rig::on(Arc::new(scales.clone()), fs, clock, config);
    (rig, scales)
}

fn small() -> BrokerConfig {
    BrokerConfig {
        offsets_topic_segment_bytes: SEGMENT_BYTES,
        ..BrokerConfig::default()
    }
}

fn offsets(round: u64) -> Vec<OffsetToCommit> {
    let offset = i64::try_from(round * 1_000).unwrap();
    let one = |partition| OffsetToCommit {
        topic: "t".to_owned(),
        partition,
        offset: offset + i64::from(partition),
        leader_epoch: 0,
        metadata: String::new(),
    };
    (0..PARTITIONS).map(one).collect()
}

/// Every group commits once.
async fn round(service: &Service, groups_count: usize, round: u64) {
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let service = service.clone();
            tokio::spawn(async move {
                for group in (task..groups_count).step_by(TASKS) {
                    let name = format!("group-{group:04}");
                    let outcomes = commit_all(&service, &name, offsets(round)).await.unwrap();
                    assert!(outcomes.iter().all(|outcome| outcome.is_ok()));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// What the groups hold, as their log would hold it if it were written anew: a batch a group.
async fn live_bytes(rig: &Rig) -> u64 {
    let groups = rig.service.list_groups().len();
    let records = table(rig, 0).await;
    // Each record has seven bytes or so of lengths and deltas around key and value.
    let bytes: usize = records
        .iter()
        .map(|(key, value)| key.len() + value.len() + 7)
        .sum();
    (groups * HEADER_BYTES + bytes) as u64
}

/// Rounds of commits; the largest use of the disk stays within its bound. Prints the figures.
async fn run(groups_count: usize, rounds: std::ops::Range<u64>, rig: &Rig, scales: &Scales) {
    round(&rig.service, groups_count, rounds.start).await;
    let live = live_bytes(rig).await;
    let segment_bytes = rig.config.offsets_topic_segment_bytes;
    let bound = 2 * live + u64::try_from(segment_bytes).unwrap();
    let id = LogId {
        topic: rig.service.topic_id(TOPIC).unwrap().0,
        partition: 0,
    };
    let dir = Path::new("/data/logs").join(id.to_string());
    let mut bytes_max = scales.take_peak(&dir);
    assert!(bytes_max >= live, "the scales know the log");
    for number in rounds.start + 1..rounds.end {
        rig.advance_ms(INTERVAL_MS);
        round(&rig.service, groups_count, number).await;
        bytes_max = bytes_max.max(scales.take_peak(&dir));
        assert!(
            bytes_max <= bound,
            "round {number}: {bytes_max} bytes, {live} live, a segment of {segment_bytes}"
        );
    }
    println!(
        "{groups_count} groups, {rounds:?}: at most {bytes_max} bytes, bound {bound}, {live} live; \
         the log starts at {} and ends at {}",
        rig.start(TOPIC).await,
        rig.end(TOPIC).await
    );
}

async fn check(rig: &Rig, groups_count: usize, round: u64) {
    assert_eq!(rig.service.list_groups().len(), groups_count);
    let expected: Vec<_> = offsets(round)
        .into_iter()
        .map(|one| (one.partition, one.offset))
        .collect();
    for group in 0..groups_count {
        let offsets = rig
            .service
            .fetch_offsets(&format!("group-{group:04}"), None);
        let mut offsets: Vec<_> = offsets.iter().map(|o| (o.partition, o.offset)).collect();
        offsets.sort_unstable();
        assert_eq!(offsets, expected, "group {group}");
    }
    assert_eq!(
        table(rig, 0).await.len(),
        groups_count * usize::try_from(PARTITIONS).unwrap()
    );
}

#[tokio::test]
async fn the_log_stays_within_twice_what_it_says_and_a_segment() {
    let (rig, scales) = rig(small());
    rig.topic("t", PARTITIONS, &[]).await;
    run(50, 0..200, &rig, &scales).await;
    assert!(rig.start(TOPIC).await > 0, "it was rewritten");
    check(&rig, 50, 199).await;
    let rig = rig.kill();
    check(&rig, 50, 199).await;
    // Fewer groups: what is dead goes.
    let gone: Vec<String> = (10..50).map(|group| format!("group-{group:04}")).collect();
    let outcomes = rig.service.delete_groups(gone).await;
    assert!(outcomes.iter().all(|outcome| outcome.is_ok()));
    check(&rig, 10, 199).await;
}

#[tokio::test]
async fn members_are_rewritten_with_their_group() {
    let (rig, _scales) = rig(small());
    rig.topic("t", 1, &[]).await;
    let (leader, other) = two(&rig, "g").await;
    let before = rig.service.describe_group("g");
    while rig.start(TOPIC).await == 0 {
        leader.commit(1).await.unwrap();
        for worker in [&leader, &other] {
            worker.heartbeat().await.unwrap();
        }
    }
    let rig = rig.kill();
    assert_eq!(rig.service.describe_group("g"), before);
    assert_eq!(committed(&rig, "g", "t"), 1);
    assert_eq!(table(&rig, 0).await.len(), 2);
}

#[tokio::test]
async fn what_a_later_broker_wrote_is_rewritten_with_the_rest() {
    let (rig, _scales) = rig(small());
    rig.topic("t", 1, &[]).await;
    commit(&rig, "g", "t", 1).await.unwrap();
    rig.broker.shutdown().await.unwrap();
    drop(rig.broker);
    let image = copy_of(&rig.fs);
    write_raw(&image, b"\x00\x03later", Some(b"value"));
    let rig = Rig::over(image, rig.clock.clone(), rig.config.clone());
    let mut offset = 1;
    while rig.start(TOPIC).await < 2 {
        offset += 1;
        commit(&rig, "g", "t", offset).await.unwrap();
    }
    let table = table(&rig, 0).await;
    assert_eq!(table[&b"\x00\x03later"[..]], &b"value"[..]);
    assert_eq!(table.len(), 2);
}

/// What the torture does for a week, with several threads: two minutes and a half of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_groups_with_the_default_segment() {
    let (rig, scales) = rig(BrokerConfig::default());
    rig.topic("t", PARTITIONS, &[]).await;
    run(1_000, 0..30, &rig, &scales).await;
    check(&rig, 1_000, 29).await;
    let rig = rig.kill();
    check(&rig, 1_000, 29).await;
}

#[tokio::test]
async fn commits_go_on_while_the_log_is_rewritten() {
    let (rig, _scales) = rig(small());
    rig.topic("t", PARTITIONS, &[]).await;
    round(&rig.service, 40, 0).await;
    let mut number = 1;
    while rig.list(TOPIC, OffsetAt::Earliest).await.unwrap().offset.0 < 20_000 {
        round(&rig.service, 40, number).await;
        number += 1;
    }
    until(|| rig.service.list_groups().len() == 40).await;
    check(&rig, 40, number - 1).await;
}
