//! Each call fails, one after the other: the Nth of its kind, once or from then on, for N from 1
//! until no call is left to fail. And what a failed sync means.

use highwater_kit::faults::{Story, each_call_fails, each_room};
use highwater_kit::oracle::Survived;
use highwater_kit::rng::Rng;
use highwater_kit::sim_fs::{AfterFailedSync, Crash, Errno, Fault, Op};
use highwater_kit::workload::Step;
use highwater_kit::world::{Damage, Stop, World};

#[test]
fn the_nth_call_fails() {
    let mut failed = 0;
    for on in Op::ALL {
        // All of them are the torture's part `nth-fault`.
        for (errno, sticky) in [(Errno::Io, false), (Errno::NoSpace, true)] {
            for after_sync in after_failures(on) {
                let fault = Fault {
                    on,
                    nth: 1,
                    sticky,
                    errno,
                    after_sync,
                };
                match each_call_fails(fault, None) {
                    Ok(calls) => failed += calls,
                    Err(finding) => panic!("{finding}"),
                }
            }
        }
    }
    println!("{failed} calls failed");
    assert!(
        failed > 500,
        "only {failed} calls failed: the faults miss their calls"
    );
}

/// A start that had made the data directory itself took a denied sync of the directory above for a
/// foreign one that need not be synced: the next power cut took everything.
#[test]
fn a_directory_that_was_made_just_now_is_durable_or_the_start_is_refused() {
    let denied = Fault {
        on: Op::SyncDir,
        nth: 1,
        sticky: false,
        errno: Errno::Denied,
        after_sync: AfterFailedSync::CleanNew,
    };
    if let Err(finding) = each_call_fails(denied, None) {
        panic!("{finding}");
    }
}

/// Others take the room that the disk had: batches are refused, and no more than that.
#[test]
fn the_disk_runs_full_at_every_size() {
    for story in Story::ALL {
        match each_room(story, Errno::NoSpace) {
            Ok(disks) => assert!(disks > 10, "{story:?}: only {disks} disks ran full"),
            Err(finding) => panic!("{finding}"),
        }
    }
}

/// The next sync of the directory answered success, and an acknowledged batch was in a log that no
/// disk knew.
#[test]
fn a_failed_sync_of_names_is_final() {
    for after_sync in AfterFailedSync::ALL {
        for nth in 1..=2 {
            let mut world = World::new_started();
            world.step(Step::AppendBoth).unwrap();
            world.disk.inject(Fault {
                on: Op::SyncDir,
                nth,
                sticky: false,
                errno: Errno::Io,
                after_sync,
            });
            let place = format!("{after_sync:?}, sync {nth}");
            let refused = world.step(Step::CreateLog);
            assert!(
                matches!(refused, Err(Stop::Refused(_))),
                "{place}: {refused:?}"
            );
            assert!(world.poisoned().is_some(), "{place}: the shard goes on");
            let again = world.step(Step::CreateLog);
            assert!(matches!(again, Err(Stop::Refused(_))), "{place}: {again:?}");
            let mut after = world.crash(Crash::Nothing, &mut Rng::new(1));
            after.start().unwrap();
            after.verify(Survived::PowerCut).unwrap();
            after.step(Step::CreateLog).unwrap();
        }
    }
}

fn after_failures(on: Op) -> Vec<AfterFailedSync> {
    match on {
        Op::Sync | Op::SyncDir => AfterFailedSync::ALL.to_vec(),
        _ => vec![AfterFailedSync::default()],
    }
}

/// The page cache shows the new bytes, or the old ones, or writes them later after all; the second
/// sync succeeds in every case, and proves nothing.
#[test]
fn a_failed_sync_is_final() {
    for after_sync in AfterFailedSync::ALL {
        for step in [Step::Append, Step::AppendBoth, Step::Roll] {
            let mut world = World::new_started();
            world.step(Step::AppendBoth).unwrap();
            world.step(Step::AppendLarge).unwrap();
            let once = Fault {
                on: Op::Sync,
                nth: 1,
                sticky: false,
                errno: Errno::Io,
                after_sync,
            };
            world.disk.inject(once);
            let place = format!("{step:?}, {after_sync:?}");
            let refused = world.step(step);
            assert!(
                matches!(refused, Err(Stop::Refused(_))),
                "{place}: {refused:?}"
            );
            assert!(world.poisoned().is_some(), "{place}: the shard goes on");

            let disk = world.disk.clone();
            let calls = || [Op::Write, Op::Sync, Op::Create].map(|op| disk.calls(op));
            let before = calls();
            for later in [
                Step::Append,
                Step::AppendCached,
                Step::AppendWritten,
                Step::Flush,
            ] {
                let _refused = world.step(later);
            }
            assert_eq!(
                calls(),
                before,
                "{place}: the disk was written or synced again"
            );
            let Damage { refused, wrong } = world.read_damaged();
            assert!(
                refused.is_empty() && wrong.is_empty(),
                "{place}: {refused:?} {wrong:?}"
            );
            for crash in [Crash::Nothing, Crash::Subset, Crash::Killed] {
                let mut after = world.crash(crash, &mut Rng::new(1));
                after.start().unwrap();
                after.verify(Survived::PowerCut).unwrap();
                after.carry_on().unwrap();
            }
        }
    }
}
