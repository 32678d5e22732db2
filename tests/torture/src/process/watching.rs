//! Who looks on in a life: at committed offsets and at the ends of logs; and who reads everything
//! when it is over.
//!
//! Invariants
//! - The beginning of a log stays; its end goes back only where a power cut may take it.
//! - The records of an idempotent producer stand in each log in the order of their sends.

use std::collections::BTreeMap;
use std::time::Duration;

use highwater_client::{Admin, Client, ClientError, ConsumerConfig, OffsetSpec, StartAt};
use highwater_kit::history::{Durability, FaultKind, Operation, Outcome, Role, Step};

use super::consuming::group_name;
use super::scene::{Scene, sender};

/// Looks on until it is over.
pub(super) async fn watch(scene: Scene, process: u32, kind: FaultKind) -> Vec<Operation> {
    let admin = scene.client("watcher").await.admin();
    let mut ends = BTreeMap::new();
    let mut done = Vec::new();
    while !scene.is_over() {
        done.extend(committed(&scene, &admin, process).await);
        ends_stay(&scene, &admin, kind, &mut ends).await;
        scene.pause(50).await;
    }
    done
}

/// The committed offsets of all groups.
pub(super) async fn committed(scene: &Scene, admin: &Admin, process: u32) -> Vec<Operation> {
    let places = scene.places();
    let mut done = Vec::new();
    for group in 0..scene.groups() {
        let start_us = scene.now_us();
        let found = admin.group_offsets(&group_name(group), Some(&places)).await;
        let during = [start_us, scene.now_us()];
        let Ok(found) = found else {
            continue;
        };
        let step = |(index, place): (usize, &(&str, i32))| {
            let is_it = |it: &&highwater_client::CommittedOffset| {
                (it.topic.as_str(), it.partition) == *place
            };
            let offset = found.iter().find(is_it).map(|it| it.offset);
            Step::Committed {
                group,
                partition: u32::try_from(index).unwrap_or(u32::MAX),
                offset: offset.and_then(|offset| u64::try_from(offset).ok()),
            }
        };
        let steps = places.iter().enumerate().map(step).collect();
        done.push(Operation::new(process, during, Outcome::Ok, steps));
    }
    done
}

async fn ends_stay(
    scene: &Scene,
    admin: &Admin,
    kind: FaultKind,
    ends: &mut BTreeMap<(&'static str, i32), i64>,
) {
    let topics = scene.topics().iter();
    let may_fall = |topic: &str| {
        let mut topics = topics.clone();
        topics.any(|it| it.name == topic && it.durability == Durability::PageCache)
            && kind == FaultKind::PowerCut
    };
    for (topic, partition) in scene.places() {
        let start = admin.offset(topic, partition, OffsetSpec::Earliest).await;
        if let Ok(start) = start
            && start != Some(0)
        {
            scene.wrong(format!(
                "O8: {topic}/{partition} begins at {start:?}, not at 0"
            ));
        }
        let end = admin.offset(topic, partition, OffsetSpec::Latest).await;
        let Ok(Some(end)) = end else {
            continue;
        };
        let before = ends.insert((topic, partition), end);
        if let Some(before) = before.filter(|before| *before > end && !may_fall(topic)) {
            scene.wrong(format!(
                "O8: the end of {topic}/{partition} went back from {before} to {end}"
            ));
        }
    }
}

/// Reads all partitions from their first records to their ends.
pub(super) async fn drain(
    scene: &Scene,
    client: &Client,
    process: u32,
) -> Result<Vec<Operation>, ClientError> {
    let mut consumer = client.consumer(ConsumerConfig {
        fetch_max_wait_ms: 20,
        max_poll_records: 5_000,
        ..ConsumerConfig::default()
    });
    let mut ends = BTreeMap::new();
    for topic in scene.topics() {
        for (partition, end) in (0..).zip(consumer.end_offsets(topic.name).await?) {
            ends.insert((topic.name, partition), end);
            consumer
                .assign(topic.name, partition, StartAt::Earliest)
                .await?;
        }
    }
    let now = scene.now_us();
    let all = (0..).take(ends.len()).map(|place| (place, Some(0)));
    let steps = vec![Step::Assign(all.collect())];
    let mut done = vec![Operation::new(process, [now, now], Outcome::Ok, steps)];
    let is_behind = |consumer: &highwater_client::Consumer| {
        let mut ends = ends.iter();
        ends.any(|((topic, partition), end)| {
            let position = consumer.position(topic, *partition);
            position.is_none_or(|position| position < *end)
        })
    };
    while is_behind(&consumer) {
        let start_us = scene.now_us();
        let records = consumer.poll(Duration::from_millis(100)).await?;
        done.push(scene.poll(process, [start_us, scene.now_us()], &records));
    }
    order(scene, &done);
    Ok(done)
}

/// Looks at the order of what idempotent producers have sent.
fn order(scene: &Scene, drained: &[Operation]) {
    let mut newest = BTreeMap::new();
    let polls = drained.iter().flat_map(|operation| &operation.steps);
    for step in polls {
        let Step::Poll(reads) = step else {
            continue;
        };
        for read in reads {
            let process = sender(read.value);
            let role = usize::try_from(process)
                .ok()
                .and_then(|index| scene.roles().get(index));
            if role != Some(&Role::Idempotent) {
                continue;
            }
            let before = newest.insert((read.partition, process), read.value);
            if before.is_some_and(|before| before >= read.value) {
                scene.wrong(format!(
                    "O4: record {:#x} of partition {} stands before one that was sent before it",
                    read.value, read.partition
                ));
            }
        }
    }
}
