//! Power cuts at each operation of the disk: what was acknowledged to a group is there, nothing is
//! there that was not asked for, and no offset points beyond the end of its log.
//!
//! `HW_NIGHTLY=1` cuts at every operation, with more images of the disk each.

use std::sync::Arc;

use highwater_broker::Broker;
use highwater_broker::clock::VirtualClock;
use highwater_broker::config::BrokerConfig;
use highwater_broker::ids::TopicRef;
use highwater_broker::service::produce::Acks;
use highwater_broker::service::topics::{CreateTopicsCall, NewTopic};
use highwater_kit::rng::Rng;
use highwater_kit::sim_fs::{Crash, SimFs};
use highwater_log::fs::mem::MemFs;

use crate::kit::{Rig, START, batch};
use crate::member::{commit, commit_all, committed, offset_of};

fn config() -> BrokerConfig {
    BrokerConfig {
        offsets_topic_segment_bytes: 64 * 1024,
        log_journal_bytes: 64 * 1024,
        ..BrokerConfig::default()
    }
}

/// A broker over the disk, unless the disk dies during its start.
fn start(disk: &SimFs) -> Option<Rig> {
    let clock = VirtualClock::new(START);
    let started = Broker::builder()
        .fs(Arc::new(disk.clone()), "/data")
        .config(config())
        .clock(Arc::new(clock.clone()))
        .start();
    let broker = match started {
        Ok(broker) => broker,
        Err(error) if disk.is_dead() => {
            drop(error);
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    let service = broker.service().clone();
    Some(Rig {
        broker,
        service,
        clock,
        fs: MemFs::new(),
        config: config(),
    })
}

/// What a group was told about its offset in a topic.
#[derive(Clone, Copy, Debug)]
struct Told {
    group: &'static str,
    topic: &'static str,
    acknowledged: i64,
    asked: i64,
}

impl Told {
    const fn nothing(group: &'static str, topic: &'static str) -> Self {
        Self {
            group,
            topic,
            acknowledged: -1,
            asked: -1,
        }
    }

    async fn commit(&mut self, rig: &Rig, offset: i64) {
        self.asked = self.asked.max(offset);
        if commit(rig, self.group, self.topic, offset).await.is_ok() {
            self.acknowledged = offset;
        }
    }
}

const NOTHING: [Told; 3] = [
    Told::nothing("g", "safe"),
    Told::nothing("g", "fast"),
    Told::nothing("h", "fast"),
];

/// Produces and commits until the disk dies, or it is done.
async fn work(rig: &Rig, told: &mut [Told; 3]) {
    if !make(rig, "safe", "fsync").await || !make(rig, "fast", "page-cache").await {
        return;
    }
    for offset in 1..=6 {
        for topic in ["safe", "fast"] {
            let batch = Some(batch(&["value"]));
            if rig.produce_to(topic, 0, batch, Acks::Leader).await.is_err() {
                return;
            }
        }
        let [safe, fast, other] = told;
        safe.commit(rig, offset).await;
        tokio::join!(fast.commit(rig, offset), other.commit(rig, offset));
    }
}

async fn make(rig: &Rig, name: &str, durability: &str) -> bool {
    let topic = NewTopic {
        name: name.to_owned(),
        configs: vec![("durability".to_owned(), Some(durability.to_owned()))],
        ..NewTopic::default()
    };
    let call = CreateTopicsCall {
        topics: vec![topic],
        validate_only: false,
    };
    rig.service.create_topics(call).await[0].result.is_ok()
}

async fn check(rig: &Rig, told: &[Told; 3], what: &str) {
    for told in told {
        let found = committed(rig, told.group, told.topic);
        assert!(
            (told.acknowledged..=told.asked).contains(&found),
            "{what}: {told:?}, found {found}"
        );
        if found > 0 {
            let end = rig.end(told.topic).await;
            assert!(
                found <= end,
                "{what}: {told:?} points to {found}, the log ends at {end}"
            );
        }
    }
}

fn crashes() -> &'static [Crash] {
    match is_nightly() {
        true => &[
            Crash::Nothing,
            Crash::Subset,
            Crash::Subset,
            Crash::Subset,
            Crash::Lengths,
        ],
        false => &[Crash::Nothing, Crash::Subset],
    }
}

fn is_nightly() -> bool {
    std::env::var_os("HW_NIGHTLY").is_some()
}

/// Cuts the power at operations of the disk after `first`, one a run; `check` looks at what is
/// left of each.
async fn sweep<T>(
    base: &SimFs,
    first: usize,
    operations: usize,
    mut run: impl AsyncFnMut(&SimFs) -> T,
    mut check: impl AsyncFnMut(&Rig, &T, &str),
) {
    let step = if is_nightly() { 1 } else { 3 };
    let mut rng = Rng::new(7);
    for operation in (first..operations).step_by(step) {
        let disk = base.image(Crash::Killed, &mut rng);
        disk.crash_at(operation);
        let told = run(&disk).await;
        for (index, crash) in crashes().iter().enumerate() {
            let what = format!("{crash:?} at operation {operation}, image {index}");
            let image = disk.image(*crash, &mut rng);
            let rig = start(&image).unwrap();
            check(&rig, &told, &what).await;
        }
    }
}

#[tokio::test]
async fn a_power_cut_takes_no_acknowledged_offset_and_leaves_none_without_its_record() {
    let disk = SimFs::new(1);
    let mut told = NOTHING;
    let rig = start(&disk).unwrap();
    work(&rig, &mut told).await;
    assert!(told.iter().all(|told| told.acknowledged == 6));
    drop(rig);
    let operations = disk.operations();
    let run = async |disk: &SimFs| {
        let mut told = NOTHING;
        if let Some(rig) = start(disk) {
            work(&rig, &mut told).await;
        }
        told
    };
    let check = async |rig: &Rig, told: &[Told; 3], what: &str| check(rig, told, what).await;
    sweep(&SimFs::new(1), 0, operations, run, check).await;
}

#[tokio::test]
async fn a_power_cut_while_the_log_is_rewritten_takes_nothing() {
    let disk = SimFs::new(2);
    let rig = start(&disk).unwrap();
    assert!(make(&rig, "t", "fsync").await);
    let groups = ["a", "b", "c", "d"];
    let at = |offset| vec![offset_of("t", 0, offset); 40];
    for offset in 1..=3 {
        for group in groups {
            commit_all(&rig.service, group, at(offset)).await.unwrap();
        }
    }
    rig.broker.shutdown().await.unwrap();
    drop(rig);
    let base = disk.image(Crash::Killed, &mut Rng::new(3));
    let run = async |disk: &SimFs| {
        let mut last = 3;
        let Some(rig) = start(disk) else { return last };
        for offset in 4..40 {
            for group in groups {
                if commit_all(&rig.service, group, at(offset)).await.is_err() {
                    return last;
                }
            }
            last = offset;
            if rig.start("__consumer_offsets").await > 0 {
                break;
            }
        }
        last
    };
    let whole = base.image(Crash::Killed, &mut Rng::new(4));
    let last = run(&whole).await;
    assert!(
        (5..39).contains(&last),
        "it was rewritten after {last} rounds"
    );
    let check = async |rig: &Rig, last: &i64, what: &str| {
        for group in groups {
            let found = committed(rig, group, "t");
            assert!(
                (*last..=last + 1).contains(&found),
                "{what}: {group} has {found} of {last}"
            );
        }
    };
    sweep(&base, base.operations(), whole.operations(), run, check).await;
}

#[tokio::test]
async fn a_power_cut_while_a_topic_goes_leaves_no_offset_to_its_successor() {
    let disk = SimFs::new(4);
    let rig = start(&disk).unwrap();
    assert!(make(&rig, "t", "fsync").await);
    for group in ["a", "b"] {
        commit(&rig, group, "t", 5).await.unwrap();
    }
    rig.broker.shutdown().await.unwrap();
    drop(rig);
    let base = disk.image(Crash::Killed, &mut Rng::new(5));
    let run = async |disk: &SimFs| {
        if let Some(rig) = start(disk) {
            rig.service.delete_topics(vec![TopicRef::from("t")]).await;
        }
    };
    let whole = base.image(Crash::Killed, &mut Rng::new(6));
    run(&whole).await;
    let check = async |rig: &Rig, (): &(), what: &str| {
        let is_gone = rig.service.topic_id("t").is_none();
        if is_gone {
            assert!(make(rig, "t", "fsync").await, "{what}: the name is free");
        }
        for group in ["a", "b"] {
            let expected = if is_gone { -1 } else { 5 };
            assert_eq!(committed(rig, group, "t"), expected, "{what}: {group}");
        }
    };
    sweep(&base, base.operations(), whole.operations(), run, check).await;
}
