//! Answers that tell of a stream wait until what they tell is durable.

use super::*;
use crate::fs::{Fs, OpenMode};
use crate::keys::{Expect, Keyed, RecordKey};
use crate::log::Sent;

/// The log with a key index.
const K: LogId = LogId {
    topic: [0xee; 16],
    partition: 0,
};

fn rig() -> Rig {
    let rig = Rig::new();
    let config = LogConfig {
        key_index: true,
        // Sixteen events become a file.
        segment_bytes: 64 << 10,
        ..LogConfig::default()
    };
    rig.shard
        .add_log(K, config, LeaderEpoch(0), rig.now)
        .unwrap();
    rig.shard.tick(rig.now);
    rig.fs.forget();
    rig
}

/// Queues one event of the one stream.
fn enqueue(rig: &Rig, name: u32, expect: Expect, ack: AckAt) {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(1, Some(b"k"), Some(b"v"), &[]).unwrap();
    let bytes = builder.build().unwrap();
    let batch = validate_produced(&bytes, &ProduceLimits::default()).unwrap();
    let key = rig.shard.reader(K).unwrap().key_seed().unwrap().hash(b"k");
    let record = RecordKey {
        key,
        is_tombstone: false,
        expect,
    };
    let keyed = Some(Keyed {
        checks: Vec::new(),
        records: vec![record],
    });
    rig.shard.enqueue(Append {
        log: K,
        sent: Sent { batch, keyed },
        ack,
        now: rig.now,
        done: Done::new(rig.answers.note(name)),
    });
}

const NEW: Expect = Expect::NoStream {
    allow_recreate: false,
};

fn conflict(answer: &(u32, Result<i64, String>), name: u32) -> bool {
    let is_told = |why: &String| why.contains("no stream was expected, and the stream is at");
    answer.0 == name && answer.1.as_ref().is_err_and(is_told)
}

#[test]
fn a_conflict_with_what_is_not_durable_yet_waits_for_it() {
    let rig = rig();
    enqueue(&rig, 1, NEW, AckAt::Durable);
    rig.shard.write_once();
    enqueue(&rig, 2, NEW, AckAt::Durable);
    // Also whoever would not wait for a sync of its own.
    enqueue(&rig, 3, NEW, AckAt::Written);
    rig.shard.write_once();
    assert!(rig.answers.take().is_empty());
    rig.shard.sync_once();
    let answers = rig.answers.take();
    assert_eq!(answers[0], (1, Ok(0)));
    assert!(conflict(&answers[1], 2) && conflict(&answers[2], 3));
    // Now it is durable, and the answer is, too.
    enqueue(&rig, 4, NEW, AckAt::Durable);
    rig.shard.write_once();
    assert!(conflict(&rig.answers.take()[0], 4));
}

#[test]
fn a_conflict_waits_for_a_sync_that_runs_already() {
    let rig = rig();
    enqueue(&rig, 1, NEW, AckAt::Durable);
    rig.shard.write_once();
    let (shard, answers) = (Arc::clone(&rig.shard), rig.answers.clone());
    let late = Rig {
        fs: rig.fs.clone(),
        shard,
        recovered: ShardRecovered::default(),
        now: rig.now,
        answers,
    };
    let mut is_first = true;
    rig.fs.set_hook(move |op, _| {
        if op == Op::Sync && std::mem::take(&mut is_first) {
            enqueue(&late, 2, NEW, AckAt::Durable);
            late.shard.write_once();
        }
        Ok(())
    });
    rig.shard.sync_once();
    rig.fs.clear_hook();
    assert_eq!(rig.answers.take(), [(1, Ok(0))]);
    assert!(rig.shard.sync_once(), "somebody waits");
    assert!(conflict(&rig.answers.take()[0], 2));
}

#[test]
fn a_conflict_with_what_the_disk_refused_to_sync_is_no_conflict() {
    let rig = rig();
    enqueue(&rig, 1, NEW, AckAt::Durable);
    enqueue(&rig, 2, NEW, AckAt::Durable);
    rig.shard.write_once();
    rig.fs.set_hook(|op, _| match op {
        Op::Sync => Err(std::io::ErrorKind::Other.into()),
        _ => Ok(()),
    });
    rig.shard.sync_once();
    for (_, answer) in rig.answers.take() {
        assert!(answer.unwrap_err().contains("read-only since"));
    }
}

#[test]
fn of_two_in_one_group_one_wins() {
    let rig = rig();
    enqueue(&rig, 1, NEW, AckAt::Durable);
    enqueue(&rig, 2, NEW, AckAt::Durable);
    enqueue(&rig, 3, Expect::Revision(0), AckAt::Durable);
    rig.shard.write_once();
    rig.shard.sync_once();
    let answers = rig.answers.take();
    assert_eq!([&answers[0], &answers[2]], [&(1, Ok(0)), &(3, Ok(1))]);
    assert!(conflict(&answers[1], 2));
    assert_eq!(rig.fs.take(Op::Write, LOG_FILE), 1);
}

#[test]
fn a_failed_sync_of_names_in_a_merge_is_final() {
    let rig = rig();
    for name in 0..16 * 8 {
        enqueue(&rig, name, Expect::Any, AckAt::Durable);
        rig.shard.write_once();
    }
    rig.shard.sync_once();
    rig.fs.set_hook(|op, _| match op {
        Op::SyncDir => Err(std::io::ErrorKind::Other.into()),
        _ => Ok(()),
    });
    let failed = rig.shard.merge_keys();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(rig.shard.poisoned().is_some());
}

#[test]
fn a_merge_that_comes_upon_damage_mends_it_and_goes_on() {
    let rig = rig();
    for name in 0..16 * 8 {
        enqueue(&rig, name, Expect::Any, AckAt::Durable);
        rig.shard.write_once();
    }
    rig.shard.sync_once();
    let dir = Path::new(DIR).join("logs").join(K.topic_dir()).join("0");
    let name = format!("{:020}-{:020}.keys", 16, 32);
    let file = rig.fs.open(&dir.join(name), OpenMode::Append).unwrap();
    file.write_at(5, &[std::io::IoSlice::new(b"rot")]).unwrap();
    assert!(rig.shard.merge_keys().is_empty());
    let reader = rig.shard.reader(K).unwrap();
    assert_eq!(reader.key_index_size().unwrap().runs, 1);
    assert_eq!(reader.stream_head(b"k").unwrap().unwrap().revision, 127);
}
