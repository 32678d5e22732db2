//! Large batches of several logs: their files are synced at the same time.

use std::io;

use super::probe_fs::Gate;
use super::*;

/// A shard whose disk syncs three files at the same time, or not at all.
fn rig() -> (Rig, Arc<Gate>) {
    let rig = Rig::new();
    let Rig { fs, shard, now, .. } = rig;
    shard.close(now).unwrap();
    // Open for the start, at which the shard learns what the disk can do.
    let gate = Arc::new(Gate::new(3));
    *lock(&gate.arrived) = 1_000;
    fs.set_gate(Arc::clone(&gate));
    (Rig::on(fs, ShardConfig::default(), at(0)), gate)
}

fn write_large(rig: &Rig) {
    for (name, log) in [A, B, C].into_iter().enumerate() {
        let name = u32::try_from(name).unwrap();
        rig.enqueue_batch(name, log, batch(300 << 10), AckAt::Durable);
    }
    rig.shard.write_once();
}

#[test]
fn large_batches_of_several_logs_are_synced_at_the_same_time() {
    let (rig, gate) = rig();
    write_large(&rig);
    *lock(&gate.arrived) = 0;
    rig.fs.forget();
    rig.shard.sync_once();
    assert_eq!(*lock(&gate.arrived), 3);
    assert_eq!(rig.answers.take_names(), [0, 1, 2]);
    assert_eq!(rig.fs.take(Op::Sync, LOG_FILE), 3);
    assert_eq!(rig.fs.take(Op::Sync, JOURNAL), 0);
    for id in [A, B, C] {
        assert_eq!(rig.marks(id), [1, 1, 1]);
    }
}

#[test]
fn one_failure_or_panic_among_parallel_syncs_poisons_and_answers_everybody() {
    for is_panic in [false, true] {
        let (rig, _gate) = rig();
        write_large(&rig);
        rig.fs.set_hook(move |op, path| {
            let is_b = op == Op::Sync && path.to_str().unwrap().contains("/1/");
            assert!(!(is_b && is_panic), "a disk that panics");
            if is_b {
                Err(io::ErrorKind::Other.into())
            } else {
                Ok(())
            }
        });
        let shard = std::panic::AssertUnwindSafe(&rig.shard);
        let outcome = std::panic::catch_unwind(|| shard.sync_once());
        assert_eq!(outcome.is_err(), is_panic);
        let answers = rig.answers.take();
        assert_eq!(answers.len(), 3);
        assert!(
            answers.iter().all(|(_, answer)| answer.is_err()),
            "{answers:?}"
        );
        assert!(rig.shard.poisoned().is_some());
        assert_eq!(rig.marks(B)[..2], [0, 0]);
    }
}
