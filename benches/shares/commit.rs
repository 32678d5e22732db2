//! Commits at `fsync`, in process: one log against a raw write and sync, twelve logs against one,
//! and threads that sync for themselves against the same with a thread that syncs for them.

use std::error::Error;
use std::sync::Arc;

use highwater_log::config::Durability;
use highwater_log::shard::{Append, Done};
use highwater_log::{AckAt, LogId};
use highwater_proto::batch::ProducedBatch;

use super::kit::load::{self, Disk};
use super::kit::raw;
use super::kit::run::{Run, Target, Unit, median};

type Failure = Box<dyn Error>;

pub(crate) fn measure(run: &mut Run) -> Result<(), Failure> {
    for (kib, name) in [(4, "4 KiB"), (32, "32 KiB")] {
        let batch = load::produced(kib << 10)?;
        one(run, &batch, name)?;
        twelve(run, &batch, name)?;
    }
    sixteen(run, &load::produced(2 << 10)?)
}

/// Threads that append and wait, each its own batches.
fn sixteen(run: &mut Run, batch: &ProducedBatch) -> Result<(), Failure> {
    let appends = run.scale(APPENDS, 2);
    let turns = run.turns(
        || blocking(run, batch, appends, false),
        || blocking(run, batch, appends, true),
    )?;
    run.share(
        "sixteen threads that append and wait, 2 KiB",
        Unit::PerSecond,
        turns,
        "the same and a committer",
        Target::AtLeast(0.8),
    );
    Ok(())
}

/// Appends a second of sixteen threads, each of which waits until its own is durable.
fn blocking(
    run: &Run,
    batch: &ProducedBatch,
    appends: usize,
    has_committer: bool,
) -> Result<f64, Failure> {
    let disk = Disk::new(run, "commit-blocking")?;
    let log = disk.log(0, Durability::Fsync)?;
    let append = || {
        (0..appends).try_for_each(|_| {
            let sent = batch.clone();
            let appended = disk.shard.append_wait(log, sent, AckAt::Durable, run.now());
            appended.map(drop)
        })
    };
    let (seconds, done) = std::thread::scope(|scope| {
        if has_committer {
            scope.spawn(|| disk.shard.commit_loop());
        }
        let (seconds, done) = run.seconds(|| {
            let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(append)).collect();
            callers.into_iter().try_for_each(|caller| {
                let done = caller.join().map_err(|_| "a caller panicked")?;
                done.map_err(Failure::from)
            })
        });
        // The committer ends with the shard.
        let closed = disk.shard.close(run.now());
        (seconds, done.and_then(|()| Ok(closed?)))
    });
    done?;
    Ok((CALLERS * appends) as f64 / seconds)
}

fn one(run: &mut Run, batch: &ProducedBatch, name: &str) -> Result<(), Failure> {
    let disk = Disk::new(run, "commit-one")?;
    let log = [disk.log(0, Durability::Fsync)?];
    let folder = run.folder("commit-raw")?;
    let mut files = [raw::create(&folder.path().join("written"))?];
    let commits = run.scale(COMMITS, 2);
    let raw_commit = || {
        let times = (0..commits).map(|_| raw::commit(run, &mut files, batch.bytes()));
        Ok::<_, Failure>(median(times.collect::<Result<_, _>>()?))
    };
    let turns = run.turns(|| commit_time(run, &disk, &log, batch, commits), raw_commit)?;
    let what = format!("commit of one log, {name}");
    run.share(
        &what,
        Unit::Time,
        turns,
        "write + fdatasync, growing",
        Target::AtMost(1.3),
    );
    Ok(())
}

fn twelve(run: &mut Run, batch: &ProducedBatch, name: &str) -> Result<(), Failure> {
    let disk = Disk::new(run, "commit-twelve")?;
    let lone = [disk.log(12, Durability::Fsync)?];
    let logs: Vec<_> = (0..12)
        .map(|i| disk.log(i, Durability::Fsync))
        .collect::<Result<_, _>>()?;
    let commits = run.scale(COMMITS, 2);
    // Not the first life of the journal's files, in which they grow.
    let warm = run.scale(JOURNAL_BYTES / (12 * batch.bytes().len()), 1);
    commit_time(run, &disk, &logs, batch, warm)?;
    let turns = run.turns(
        || commit_time(run, &disk, &logs, batch, commits),
        || commit_time(run, &disk, &lone, batch, commits),
    )?;
    let what = format!("commit of twelve logs, {name} each");
    run.share(
        &what,
        Unit::Time,
        turns,
        "commit of one log",
        Target::AtMost(2.0),
    );
    Ok(())
}

/// The median of the seconds from the first append to the last answer, all in one cycle.
fn commit_time(
    run: &Run,
    disk: &Disk,
    logs: &[LogId],
    batch: &ProducedBatch,
    commits: usize,
) -> Result<f64, Failure> {
    let mut times = Vec::with_capacity(commits);
    for _ in 0..commits {
        let answered = Arc::new(());
        let (seconds, ()) = run.seconds(|| {
            for log in logs {
                let witness = Arc::clone(&answered);
                disk.shard.enqueue(Append {
                    log: *log,
                    sent: batch.clone().into(),
                    ack: AckAt::Durable,
                    now: run.now(),
                    // A refused append keeps its witness for good, and is counted below.
                    done: Done::new(move |result| match result {
                        Ok(_) => drop(witness),
                        Err(_) => std::mem::forget(witness),
                    }),
                });
            }
            disk.shard.write_once();
            disk.shard.sync_once();
        });
        if Arc::strong_count(&answered) > 1 {
            return Err("a batch was refused, or is not durable after its sync".into());
        }
        times.push(seconds);
    }
    Ok(median(times))
}

const COMMITS: usize = 100;
const CALLERS: usize = 16;
/// Of each caller.
const APPENDS: usize = 1_000;
/// The journal's two files together, as they are by default.
const JOURNAL_BYTES: usize = 128 << 20;
