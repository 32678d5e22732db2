//! A gang: twelve of our consumers in one group, of which one dies without a word.
//!
//! Invariants
//! - A partition counts as owned when its consumer works on it, not when it was dealt out; that is
//!   looked at after each `poll`, so that a time is too long by up to `POLL`.
//! - Who dies takes its runtime with it: no task is left that could leave the group.
//! - It dies soon after a sign of life, so that nearly the whole session has to pass.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use highwater::{Client, Consumer, ConsumerConfig};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::{Failure, MEMBERS, PARTITIONS, PATIENCE, Rig, runtime};
use crate::kit::run::{Run, Unit, median};

pub(super) fn measure(run: &mut Run, rig: &Rig) -> Result<(), Failure> {
    rig.topic(TOPIC)?;
    let (mut joins, mut often, mut rare) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..run.scale(5, 1) {
        let start = run.now().mono;
        let mut first = Gang::start(run, rig, (turn, BEAT_MS))?;
        first.owned(MEMBERS)?;
        joins.push(run.now().mono.since(start).as_secs_f64());
        let mut second = Gang::start(run, rig, (turn, rare_beat_ms(run)))?;
        second.owned(MEMBERS)?;
        // Both at once: the one is over long before anything happens in the other.
        let death = run.now().mono;
        first.kill();
        second.kill();
        first.owned(MEMBERS - 1)?;
        often.push(run.now().mono.since(death).as_secs_f64());
        second.owned(MEMBERS - 1)?;
        rare.push(run.now().mono.since(death).as_secs_f64());
        first.close(rig)?;
        second.close(rig)?;
    }
    let beat = f64::from(BEAT_MS) * 1e-3;
    run.at_most(
        "12 members join at once, heartbeats every 50 ms",
        median(joins),
        Unit::Time,
        beat + SLACK,
    );
    let session = f64::from(session_ms(run)) * 1e-3;
    run.at_most(
        "death of 1 of 12, 6 s session, until all is owned",
        median(often),
        Unit::Time,
        session + SLACK,
    );
    // The others hear of it with their next heartbeat, whatever the broker does.
    let what = "the same, heartbeats every 2.5 s";
    let beat = f64::from(rare_beat_ms(run)) * 1e-3;
    run.at_most(what, median(rare), Unit::Time, session + beat + SLACK);
    Ok(())
}

/// The session timeout of the members: in a measurement the shortest that a broker allows unless
/// it is told otherwise.
pub(super) fn session_ms(run: &Run) -> i32 {
    match run.is_smoke() {
        true => 500,
        false => 6_000,
    }
}

/// About the default of three seconds. Not a part of the session: members that were assigned at the
/// same time would all send a heartbeat just when it ends.
fn rare_beat_ms(run: &Run) -> u32 {
    match run.is_smoke() {
        true => 210,
        false => 2_500,
    }
}

/// What a member says when it has changed.
type Word = (usize, Result<Share, String>);

/// The generation that a member works in, and its partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Share {
    generation: i32,
    partitions: Vec<i32>,
}

struct Gang {
    /// What the members have said last.
    shares: Vec<Share>,
    words: Receiver<Word>,
    /// Partitions are to be owned in a generation behind this one.
    generation: i32,
    others: Vec<JoinHandle<Result<(), String>>>,
    is_over: Arc<AtomicBool>,
    victim: Option<Runtime>,
}

impl Gang {
    fn start(run: &Run, rig: &Rig, (turn, beat_ms): (usize, u32)) -> Result<Self, Failure> {
        let config = ConsumerConfig {
            group_id: Some(format!("gang-{turn}-{beat_ms}")),
            session_timeout_ms: session_ms(run),
            heartbeat_interval_ms: beat_ms.into(),
            ..ConsumerConfig::default()
        };
        let victim = runtime()?;
        // Never full: it is read all the time, and only changes are told.
        let (tell, words) = sync_channel(1 << 10);
        let is_over = Arc::new(AtomicBool::new(false));
        let mut others = Vec::new();
        for index in 0..MEMBERS {
            let member = Member {
                address: rig.broker.bootstrap_servers(),
                config: config.clone(),
                index,
                tell: tell.clone(),
                is_over: Arc::clone(&is_over),
            };
            match index {
                VICTIM => drop(victim.spawn(member.serve())),
                _ => others.push(rig.runtime.spawn(member.serve())),
            }
        }
        Ok(Self {
            shares: vec![Share::default(); MEMBERS],
            words,
            generation: 0,
            others,
            is_over,
            victim: Some(victim),
        })
    }

    /// Waits until so many members have all partitions in one new generation.
    fn owned(&mut self, members: usize) -> Result<(), Failure> {
        while !self.is_owned(members) {
            let word = self.words.recv_timeout(PATIENCE);
            let (index, share) = word.map_err(|_| "the group does not come together")?;
            self.shares[index] = share?;
        }
        self.generation = self.newest();
        Ok(())
    }

    fn newest(&self) -> i32 {
        let generations = self.shares.iter().map(|share| share.generation);
        generations.max().unwrap_or_default()
    }

    fn is_owned(&self, members: usize) -> bool {
        let newest = self.newest();
        let shares = || {
            let shares = self.shares.iter();
            shares.filter(|share| share.generation == newest)
        };
        let partitions: BTreeSet<i32> = shares().flat_map(|it| it.partitions.clone()).collect();
        newest > self.generation
            && shares().count() == members
            && partitions.into_iter().eq(0..PARTITIONS)
    }

    /// One member is gone, with its connections, and has told nobody.
    fn kill(&mut self) {
        if let Some(victim) = self.victim.take() {
            victim.shutdown_background();
        }
    }

    /// The others leave.
    fn close(self, rig: &Rig) -> Result<(), Failure> {
        self.is_over.store(true, Ordering::Relaxed);
        for other in self.others {
            rig.runtime.block_on(other)??;
        }
        Ok(())
    }
}

struct Member {
    address: String,
    config: ConsumerConfig,
    index: usize,
    tell: SyncSender<Word>,
    is_over: Arc<AtomicBool>,
}

impl Member {
    async fn serve(self) -> Result<(), String> {
        let served = self.work().await.map_err(|error| error.to_string());
        if let Err(error) = &served {
            // Nobody listens once all is over, which is no error.
            let _ = self.tell.send((self.index, Err(error.clone())));
        }
        served
    }

    async fn work(&self) -> Result<(), highwater::ClientError> {
        let client = Client::connect(&self.address).await?;
        let mut consumer = client.consumer(self.config.clone());
        consumer.subscribe([TOPIC])?;
        let mut told = Share::default();
        while !self.is_over.load(Ordering::Relaxed) {
            consumer.poll(POLL).await?;
            let share = share(&consumer);
            if share != told {
                told.clone_from(&share);
                let _ = self.tell.send((self.index, Ok(share)));
            }
        }
        consumer.close(PATIENCE).await.result()
    }
}

fn share(consumer: &Consumer) -> Share {
    let Some(member) = consumer.group_metadata() else {
        return Share::default();
    };
    let assignment = consumer.assignment().into_iter();
    Share {
        generation: member.generation,
        partitions: assignment.map(|(_, partition)| partition).collect(),
    }
}

const TOPIC: &str = "shared";
/// The member that dies.
const VICTIM: usize = 5;
/// The time between two heartbeats, in milliseconds: only with its own does a member hear that
/// the group needs it, so that it must be below what a rebalance may take.
const BEAT_MS: u32 = 50;
/// What a group may take beside the waiting that its members have asked for, in seconds.
const SLACK: f64 = 0.1;
/// How often a member looks what it owns.
const POLL: Duration = Duration::from_millis(5);
