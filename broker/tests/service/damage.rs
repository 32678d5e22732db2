//! Stored records that are damaged: found, named, passed over if somebody says so, and given up
//! by a repair only.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_broker::Broker;
use highwater_broker::clock::VirtualClock;
use highwater_broker::config::BrokerConfig;
use highwater_broker::error::{BrokerError, FetchError};
use highwater_broker::ids::{TopicId, TopicRef};
use highwater_broker::repair::{RepairMode, Repaired, repair};
use highwater_broker::service::configs::{
    AlterConfigs, AlterFrom, ConfigChange, ConfigOperation, ConfigResource,
};
use highwater_broker::service::fetch::FetchCall;
use highwater_log::fs::mem::MemFs;
use highwater_log::fs::{Fs, OpenMode};
use highwater_proto::clock::Now;

use crate::kit::{Rig, START, answer_of, batch, copy_of, fetch_call, records_of, until};

/// Each record is a batch of its own, two of them a segment.
const SMALL: &[(&str, &str)] = &[("segment.bytes", "300")];

/// A disk on which a broker has written `values` to the topic `t`, and was closed.
async fn closed_disk(values: &[&str]) -> MemFs {
    let rig = Rig::new();
    rig.topic("t", 1, SMALL).await;
    for value in values {
        rig.produce("t", batch(&[&padded(value)])).await.unwrap();
    }
    rig.broker.shutdown().await.unwrap();
    copy_of(&rig.fs)
}

fn padded(value: &str) -> String {
    format!("{value:-<60}")
}

fn rig_on(disk: &MemFs) -> Rig {
    let clock = VirtualClock::new(START);
    Rig::over(disk.clone(), clock, BrokerConfig::default())
}

fn files(fs: &MemFs, dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for path in fs.list(dir).unwrap().iter().map(|name| dir.join(name)) {
        if fs.list(&path).is_ok() {
            all.append(&mut files(fs, &path));
            continue;
        }
        let file = fs.open(&path, OpenMode::Read).unwrap();
        let len = usize::try_from(file.len().unwrap()).unwrap();
        all.insert(path, file.read_at(0, len).unwrap().to_vec());
    }
    all
}

/// Flips a byte of the record with this value.
fn damage(fs: &MemFs, value: &str) {
    let value = padded(value);
    for (path, bytes) in files(fs, Path::new("/data/logs")) {
        let found = bytes.windows(60).position(|part| part == value.as_bytes());
        if let Some(at) = found {
            flip(fs, &path, at as u64 + 50);
            return;
        }
    }
    panic!("{value} is nowhere");
}

fn flip(fs: &MemFs, path: &Path, at: u64) {
    let file = fs.open(path, OpenMode::Append).unwrap();
    let byte = file.read_at(at, 1).unwrap()[0] ^ 1;
    file.write_at(at, &[IoSlice::new(&[byte])]).unwrap();
}

async fn set(rig: &Rig, name: &str, value: &str) {
    let changed = AlterConfigs {
        resource: ConfigResource::Topic("t".to_owned()),
        from: AlterFrom::Current,
        changes: vec![ConfigChange {
            name: name.to_owned(),
            operation: ConfigOperation::Set(value.to_owned()),
        }],
    };
    let mut answers = rig.service.alter_configs(vec![changed], false).await;
    answers.remove(0).result.unwrap();
}

/// All that a consumer gets that goes on wherever it can.
async fn consumed(rig: &Rig, from: i64) -> Result<Vec<String>, FetchError> {
    let (mut next, mut values) = (from, Vec::new());
    loop {
        let records = records_of(&rig.fetch("t", next).await?);
        let Some((last, _)) = records.last() else {
            return Ok(values);
        };
        next = last + 1;
        let short = |value: &String| value.trim_end_matches('-').to_owned();
        values.extend(records.iter().map(|(_, value)| short(value)));
    }
}

fn mend(disk: &MemFs, mode: RepairMode) -> Result<Repaired, BrokerError> {
    let fs: Arc<dyn Fs> = Arc::new(disk.clone());
    repair(&fs, Path::new("/data"), mode, Now::default(), &mut |_| {})
}

#[tokio::test]
async fn a_topic_says_whether_consumers_meet_an_error_or_pass_over_damage() {
    let disk = closed_disk(&["a", "b", "c", "d", "e"]).await;
    damage(&disk, "b");
    damage(&disk, "d");
    let rig = rig_on(&disk);
    assert!(matches!(
        consumed(&rig, 0).await,
        Err(FetchError::Corrupt { .. })
    ));
    set(&rig, "corrupt.read", "skip").await;
    assert_eq!(consumed(&rig, 0).await.unwrap(), ["a", "c", "e"]);
    assert_eq!(consumed(&rig, 1).await.unwrap(), ["c", "e"]);
    let rig = rig.restart().await;
    assert_eq!(consumed(&rig, 3).await.unwrap(), ["e"], "it is kept");
    set(&rig, "corrupt.read", "error").await;
    let error = consumed(&rig, 3).await.unwrap_err().to_string();
    assert!(error.contains("highwater log repair"), "{error}");
}

#[tokio::test]
async fn a_consumer_within_passed_over_damage_at_the_end_waits_for_what_comes() {
    let disk = closed_disk(&["a", "b", "c"]).await;
    damage(&disk, "c");
    let rig = rig_on(&disk);
    set(&rig, "corrupt.read", "skip").await;
    assert_eq!(consumed(&rig, 2).await.unwrap(), [""; 0]);
    let call = FetchCall {
        max_wait_ms: 500,
        ..fetch_call("t", 2)
    };
    let service = rig.service.clone();
    let fetch = tokio::spawn(async move { service.fetch(call).await });
    rig.until_parked(1).await;
    rig.produce("t", batch(&["new"])).await.unwrap();
    let answer = answer_of(fetch).await.remove(0).result.unwrap();
    assert_eq!(records_of(&answer), [(3, "new".to_owned())]);
}

#[tokio::test]
async fn damage_that_nobody_reads_is_found_told_and_noted_once() {
    let disk = closed_disk(&["a", "b", "c", "d", "e"]).await;
    damage(&disk, "b");
    let rig = rig_on(&disk);
    let metrics = rig.service.metrics();
    assert_eq!(rig.service.damaged_ranges().await, 0, "nobody knows it yet");
    rig.advance_ms(59_999);
    assert_eq!(metrics.scrub_bytes.value(), 0);
    until(|| {
        rig.advance_ms(1);
        metrics.scrub_errors.value() == 1
    })
    .await;
    assert_eq!(rig.service.damaged_ranges().await, 1);
    let rig = rig.restart().await;
    let metrics = rig.service.metrics();
    let scrub = tokio::spawn({
        let service = rig.service.clone();
        async move { service.scrub().await }
    });
    until(|| {
        rig.advance_ms(1);
        scrub.is_finished()
    })
    .await;
    assert!(metrics.scrub_bytes.value() > 300, "everything was read");
    assert_eq!(metrics.scrub_errors.value(), 0, "it is known");
    assert!(consumed(&rig, 1).await.is_err());
    assert_eq!(consumed(&rig, 2).await.unwrap(), ["c", "d", "e"]);
    assert_eq!(
        rig.service.damaged_ranges().await,
        1,
        "it is kept, and told once"
    );
    rig.broker.shutdown().await.unwrap();
    let disk = copy_of(&rig.fs);
    mend(&disk, RepairMode::GiveUp).unwrap();
    let rig = rig_on(&disk);
    assert_eq!(rig.service.damaged_ranges().await, 0, "it is given up");
}

#[tokio::test]
async fn looking_for_damage_where_there_is_none_writes_nothing() {
    let disk = closed_disk(&["a", "b", "c", "d", "e"]).await;
    let config = BrokerConfig {
        log_scrub_interval_ms: 600_000,
        ..BrokerConfig::default()
    };
    let rig = Rig::over(disk.clone(), VirtualClock::new(START), config);
    until(|| {
        rig.advance_ms(10);
        rig.service.metrics().scrub_bytes.value() > 300
    })
    .await;
    let before = files(&disk, Path::new("/data"));
    let bytes = rig.service.metrics().scrub_bytes.value();
    rig.advance_ms(600_000);
    until(|| {
        rig.advance_ms(10);
        rig.service.metrics().scrub_bytes.value() >= 2 * bytes
    })
    .await;
    let after = files(&disk, Path::new("/data"));
    assert!(before == after, "something was written");
}

#[tokio::test]
async fn what_a_repair_gave_up_is_passed_over_and_everything_else_is_there() {
    let disk = closed_disk(&["a", "b", "c", "d", "e"]).await;
    damage(&disk, "b");
    damage(&disk, "e");
    let before = files(&disk, Path::new("/data"));
    let planned = mend(&disk, RepairMode::DryRun).unwrap();
    assert!(before == files(&disk, Path::new("/data")), "a dry run");
    let done = mend(&disk, RepairMode::GiveUp).unwrap();
    let offsets = |repaired: &Repaired| -> Vec<_> {
        let losses = repaired.losses.iter();
        losses.map(|loss| (loss.log, loss.offsets)).collect()
    };
    assert_eq!(offsets(&planned), offsets(&done));
    assert_eq!(done.losses.len(), 2);
    assert!(!done.is_metadata_lost);
    assert!(mend(&disk, RepairMode::GiveUp).unwrap().is_sound());
    let rig = rig_on(&disk);
    assert_eq!(consumed(&rig, 0).await.unwrap(), ["a", "c", "d"]);
    rig.produce("t", batch(&["new"])).await.unwrap();
    assert_eq!(consumed(&rig, 4).await.unwrap(), ["new"]);
}

#[tokio::test]
async fn a_running_broker_is_not_repaired() {
    let disk = closed_disk(&["a"]).await;
    let rig = rig_on(&disk);
    let sentence = mend(&disk, RepairMode::GiveUp).unwrap_err().to_string();
    assert!(sentence.starts_with("the data directory /data is in use"));
    drop(rig);
}

fn meta_dir() -> PathBuf {
    let id: String = TopicId::META.0.iter().map(|b| format!("{b:02x}")).collect();
    Path::new("/data/logs").join(id).join("0")
}

fn refusal(disk: &MemFs) -> String {
    let started = Broker::builder()
        .fs(Arc::new(disk.clone()), "/data")
        .clock(Arc::new(VirtualClock::new(START)))
        .start();
    started.unwrap_err().to_string()
}

/// The only topic, whatever its name is.
async fn only_topic(rig: &Rig) -> String {
    use highwater_broker::service::topics::{MetadataCall, MetadataTopics};
    let call = MetadataCall {
        topics: MetadataTopics::All,
        allow_auto_create: false,
    };
    let mut topics = rig.service.metadata(call).await;
    assert_eq!(topics.len(), 1, "{topics:?}");
    topics.remove(0).result.unwrap().name
}

#[tokio::test]
async fn metadata_that_is_damaged_or_gone_is_made_anew_from_the_logs() {
    for is_gone in [true, false] {
        let disk = closed_disk(&["a", "b", "c"]).await;
        for name in disk.list(&meta_dir()).unwrap() {
            let path = meta_dir().join(&name);
            if is_gone {
                disk.remove(&path).unwrap();
            } else if name.ends_with(".log") {
                // Every batch: the topic's among them.
                let bytes = files(&disk, &meta_dir()).remove(&path).unwrap();
                let mut at = 0;
                while at + 61 < bytes.len() {
                    flip(&disk, &path, at as u64 + 61);
                    let length = i32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap());
                    at += 12 + usize::try_from(length).unwrap();
                }
            }
        }
        let sentence = refusal(&disk);
        assert!(sentence.contains("highwater log repair"), "{sentence}");
        let done = mend(&disk, RepairMode::GiveUp).unwrap();
        assert!(done.is_metadata_lost, "{done:?}");
        assert_eq!(done.topics.len(), 1);
        assert!(mend(&disk, RepairMode::GiveUp).unwrap().is_sound());
        let rig = rig_on(&disk);
        let name = only_topic(&rig).await;
        assert_eq!(name, done.topics[0].name);
        assert!(name.starts_with("recovered-"), "{name}");
        let call = fetch_call(&name, 0);
        assert_eq!(call.partitions[0].topic, TopicRef::from(name.as_str()));
        let fetched = rig.service.fetch(call).await.remove(0).result.unwrap();
        assert_eq!(records_of(&fetched).len(), 3);
    }
}
