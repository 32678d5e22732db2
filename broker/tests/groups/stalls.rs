//! A broker that stands still and goes on: time that passed without it counts for no member, while
//! a clock that is moved by hand expels at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use highwater_broker::Broker;
use highwater_broker::clock::VirtualClock;
use highwater_broker::config::BrokerConfig;
use highwater_broker::error::GroupError;
use highwater_broker::service::groups::GroupState;
use highwater_log::fs::Fs;
use highwater_log::fs::mem::MemFs;
use highwater_proto::clock::{Clock, Mono, Now, Sleep};

use crate::disk::FaultyFs;
use crate::kit::{Rig, START, answer_of, until};
use crate::member::{SESSION_MS, TIMERS, TIMERS_IDLE, pass, state_of, two};

/// A clock like that of a machine: what it moves at once went by while nothing ran.
#[derive(Debug)]
struct MachineClock(VirtualClock);

impl Clock for MachineClock {
    fn now(&self) -> Now {
        self.0.now()
    }

    fn sleep_until(&self, at: Mono) -> Sleep {
        self.0.sleep_until(at)
    }

    fn runs_by_itself(&self) -> bool {
        true
    }
}

fn rig(disk: Arc<dyn Fs>, fs: MemFs) -> Rig {
    let clock = VirtualClock::new(START);
    let config = BrokerConfig::default();
    let broker = Broker::builder()
        .fs(disk, "/data")
        .config(config.clone())
        .clock(Arc::new(MachineClock(clock.clone())))
        .start()
        .unwrap();
    let service = broker.service().clone();
    Rig {
        broker,
        service,
        clock,
        fs,
        config,
    }
}

fn simple_rig() -> Rig {
    let fs = MemFs::new();
    rig(Arc::new(fs.clone()), fs)
}

/// The broker runs for so long.
async fn run(rig: &Rig, ms: u64) {
    for _ in 0..ms / STEP_MS {
        pass(rig, STEP_MS, TIMERS).await;
    }
}

#[tokio::test]
async fn members_outlive_a_broker_that_stood_still() {
    let rig = simple_rig();
    rig.topic("t", 1, &[]).await;
    let (leader, other) = two(&rig, "g").await;
    run(&rig, 3_000).await;
    for stall_ms in [SHORT_MS, LONG_MS, LONG_MS] {
        pass(&rig, stall_ms, TIMERS).await;
        // The timers have fired before anybody is heard.
        assert_eq!(state_of(&rig, "g"), GroupState::Stable);
        assert_eq!(leader.heartbeat().await, Ok(()), "after {stall_ms} ms");
        assert_eq!(other.heartbeat().await, Ok(()), "after {stall_ms} ms");
    }
    // From here on time counts again.
    run(&rig, session_ms() - STEP_MS).await;
    assert_eq!(leader.heartbeat().await, Ok(()));
    run(&rig, STEP_MS).await;
    let is_over = || state_of(&rig, "g") == GroupState::PreparingRebalance;
    until(is_over).await;
    assert_eq!(other.heartbeat().await, Err(GroupError::UnknownMember));
}

#[tokio::test]
async fn a_dead_member_is_given_up_after_its_session_without_the_stalls() {
    let rig = simple_rig();
    rig.topic("t", 1, &[]).await;
    let (leader, other) = two(&rig, "g").await;
    other.heartbeat().await.unwrap();
    let mut ran_ms = 0;
    while leader.heartbeat().await.is_ok() {
        assert!(ran_ms < 2 * session_ms(), "stalls keep a dead member");
        run(&rig, 2 * STEP_MS).await;
        ran_ms += 2 * STEP_MS;
        pass(&rig, LONG_MS, TIMERS).await;
    }
    assert!(ran_ms >= session_ms(), "it was given up after {ran_ms} ms");
}

#[tokio::test]
async fn members_outlive_a_stall_behind_a_write() {
    let fs = MemFs::new();
    let disk = FaultyFs::new(fs.clone());
    let rig = rig(Arc::new(disk.clone()), fs);
    rig.topic("t", 1, &[]).await;
    let (leader, other) = two(&rig, "g").await;
    let held = disk.faults.hold_syncs();
    let written = leader.begin_commit(8);
    until(|| disk.faults.waiting_syncs.load(Ordering::SeqCst) > 0).await;
    // The shard's timer waits for the sync, too; the groups' one has no other moment to wait for,
    // since sessions end behind the write.
    for ms in [STEP_MS; 6].into_iter().chain([LONG_MS]) {
        pass(&rig, ms, TIMERS - 1).await;
    }
    drop(held);
    answer_of(written).await.unwrap();
    assert_eq!(leader.heartbeat().await, Ok(()));
    assert_eq!(other.heartbeat().await, Ok(()));
}

#[tokio::test]
async fn a_clock_that_is_moved_by_hand_expels_at_once() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let (leader, other) = two(&rig, "g").await;
    pass(&rig, LONG_MS, TIMERS_IDLE).await;
    until(|| state_of(&rig, "g") == GroupState::Empty).await;
    for worker in [leader, other] {
        assert_eq!(worker.heartbeat().await, Err(GroupError::UnknownMember));
    }
}

fn session_ms() -> u64 {
    u64::try_from(SESSION_MS).unwrap()
}

const STEP_MS: u64 = 500;
/// Less than a session, and with what has passed before it more.
const SHORT_MS: u64 = 4_000;
const LONG_MS: u64 = 8_000;
