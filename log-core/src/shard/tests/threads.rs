//! Many threads at once: everybody is answered, nothing is lost, groups form.

use std::thread;

use super::*;

const THREADS: i64 = 4;
const APPENDS: i64 = 50;

fn hammer(shard: &Arc<Shard>, now: Now) {
    thread::scope(|scope| {
        for number in 0..THREADS {
            scope.spawn(move || {
                for round in 0..APPENDS {
                    let id = [A, B, C][usize::try_from((number + round) % 3).unwrap()];
                    let ack = if round % 4 == 0 {
                        AckAt::Written
                    } else {
                        AckAt::Durable
                    };
                    let appended = shard.append_wait(id, batch(10), ack, now).unwrap();
                    let reader = shard.reader(id).unwrap();
                    assert!(appended.last_offset < reader.end());
                    assert!(ack == AckAt::Written || appended.last_offset < reader.durable());
                }
            });
        }
    });
}

fn written(rig: &Rig) -> i64 {
    [A, B, C].iter().map(|id| rig.marks(*id)[2]).sum()
}

#[test]
fn blocking_callers_sync_for_each_other() {
    let rig = Rig::new();
    hammer(&rig.shard, rig.now);
    assert_eq!(written(&rig), THREADS * APPENDS);
    rig.shard.sync_once();
    let readable = [A, B, C].iter().map(|id| rig.readable(*id)).sum::<i64>();
    assert_eq!(readable, THREADS * APPENDS);
}

#[test]
fn a_committer_serves_them_until_the_shard_is_closed() {
    let rig = Rig::new();
    thread::scope(|scope| {
        let committer = scope.spawn(|| rig.shard.commit_loop());
        let keeper = scope.spawn(|| {
            let mut ms = 0;
            while rig.shard.tick(at(ms)) != Mono::NEVER {
                rig.shard.wait_for_work(Duration::from_millis(1));
                ms += 500;
            }
        });
        hammer(&rig.shard, rig.now);
        assert_eq!(written(&rig), THREADS * APPENDS);
        rig.shard.close(rig.now).unwrap();
        committer.join().unwrap();
        keeper.join().unwrap();
    });
    let rig = rig.cut_power();
    assert!(rig.recovered.is_clean);
    let readable = [A, B, C].iter().map(|id| rig.readable(*id)).sum::<i64>();
    assert_eq!(readable, THREADS * APPENDS);
}

#[test]
fn closing_under_load_answers_everybody() {
    let rig = Rig::new();
    thread::scope(|scope| {
        let committer = scope.spawn(|| rig.shard.commit_loop());
        let callers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        match rig.shard.append_wait(A, batch(10), AckAt::Durable, rig.now) {
                            Ok(_) => {}
                            Err(error) => return error,
                        }
                    }
                })
            })
            .collect();
        while rig.marks(A)[1] < 20 {
            thread::yield_now();
        }
        rig.shard.close(rig.now).unwrap();
        for caller in callers {
            assert!(matches!(caller.join().unwrap(), LogError::Closed));
        }
        committer.join().unwrap();
    });
}
