//! Every interleaving of two callers and a committer on a whole shard, within the bounds.
//!
//! Floor 7 of log-core. Run by `tests/loom`: at most 3 threads, preemption bound 2.

use std::path::Path;

use highwater_proto::batch::{ProduceLimits, ProducedBatch, validate_produced};
use highwater_proto::batch_builder::BatchBuilder;
use highwater_proto::compress::Codec;
use loom::thread;

use super::*;
use crate::combine::Reply;
use crate::config::LogConfig;
use crate::data_dir::DataDir;
use crate::fs::mem::MemFs;
use crate::types::LeaderEpoch;

const A: LogId = LogId {
    topic: [1; 16],
    partition: 0,
};
const B: LogId = LogId {
    topic: [1; 16],
    partition: 1,
};

fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.max_branches = 20_000;
    builder.check(body);
}

fn batch() -> ProducedBatch {
    let mut builder = BatchBuilder::new(Codec::None);
    builder
        .append(1_700_000_000_000, None, Some(b"v"), &[])
        .unwrap();
    validate_produced(&builder.build().unwrap(), &ProduceLimits::default()).unwrap()
}

fn shard() -> Arc<Shard> {
    let now = Now::default();
    let dir = DataDir::open(Arc::new(MemFs::new()), Path::new("/data")).unwrap();
    let (shard, _) = Shard::open(dir, Vec::new(), ShardConfig::default(), now).unwrap();
    for log in [A, B] {
        shard
            .add_log(log, LogConfig::default(), LeaderEpoch(0), now)
            .unwrap();
    }
    shard
}

/// Appends and waits; a durable answer means that the durable mark has passed the batch.
fn append(shard: &Shard, log: LogId) {
    let appended = shard
        .append_wait(log, batch(), AckAt::Durable, Now::default())
        .unwrap();
    assert!(appended.last_offset < shard.reader(log).unwrap().durable());
}

/// Without a committer: whoever writes for the other syncs for it, too.
#[test]
fn loom_blocking_callers_leave_nobody_waiting() {
    model(|| {
        let shard = shard();
        let other = Arc::clone(&shard);
        let other = thread::spawn(move || append(&other, B));
        append(&shard, A);
        other.join().unwrap();
        assert!(
            !shard.write_once() && !shard.sync_once(),
            "something was left behind"
        );
    });
}

/// The same with a third one, so that the turn to sync is handed on while it is wanted.
#[test]
fn loom_the_turn_to_sync_is_never_lost() {
    model(|| {
        let shard = shard();
        let others = [A, B].map(|log| {
            let shard = Arc::clone(&shard);
            thread::spawn(move || append(&shard, log))
        });
        append(&shard, A);
        for other in others {
            other.join().unwrap();
        }
        assert!(
            !shard.write_once() && !shard.sync_once(),
            "something was left behind"
        );
    });
}

/// Stage 1 of one caller against stage 2 of another thread: an answer is never given for a batch
/// that the running sync does not cover, and none is missing.
#[test]
fn loom_stage_one_runs_beside_stage_two() {
    model(|| {
        let shard = shard();
        shard.append(A, batch(), AckAt::Durable, Now::default(), |_| {});
        let committer = {
            let shard = Arc::clone(&shard);
            thread::spawn(move || while shard.sync_once() {})
        };
        append(&shard, A);
        committer.join().unwrap();
        assert_eq!(shard.reader(A).unwrap().durable(), Offset(2));
    });
}

/// The shard is poisoned while a caller appends and nobody syncs: the poison answers it, whether
/// it finds the append in the queue, in the driver's hands, between the stages, or not yet there.
#[test]
fn loom_poison_answers_a_caller_wherever_it_is() {
    model(|| {
        let shard = shard();
        let failing = {
            let shard = Arc::clone(&shard);
            thread::spawn(move || {
                drop(shard.poison(&LogError::Poisoned {
                    why: "a test".into(),
                }))
            })
        };
        let reply = Arc::new(Reply::new());
        let answer = Arc::clone(&reply);
        let give = move |result| answer.give(result);
        shard.append(A, batch(), AckAt::Durable, Now::default(), give);
        assert!(matches!(
            reply.wait().given(),
            Err(LogError::Poisoned { .. })
        ));
        failing.join().unwrap();
    });
}

/// The shard is closed while a caller appends: it gets an answer, and what was acknowledged is
/// in the log.
#[test]
fn loom_closing_answers_a_caller() {
    model(|| {
        let shard = shard();
        let reader = shard.reader(A).unwrap();
        let closing = {
            let shard = Arc::clone(&shard);
            thread::spawn(move || shard.close(Now::default()).unwrap())
        };
        match shard.append_wait(A, batch(), AckAt::Durable, Now::default()) {
            Ok(_) => assert_eq!(reader.durable(), Offset(1)),
            Err(error) => assert!(matches!(error, LogError::Closed)),
        }
        closing.join().unwrap();
    });
}
