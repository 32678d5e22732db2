//! Appends that are sent again while the first is under way, has failed, or was another process's.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};

use bytes::Bytes;
use highwater_broker::clock::VirtualClock;
use highwater_broker::config::BrokerConfig;
use highwater_broker::service::events::{
    AppendCall, AppendError, AppendedEvents, NewEvent, StreamCheck,
};
use highwater_log::fs::mem::MemFs;
use highwater_log::keys::Expect;

use crate::disk::FaultyFs;
use crate::kit::{Rig, START, until};

const STORE: &[(&str, &str)] = &[("append.conditional", "true"), ("retention.ms", "-1")];

fn call(id: &str, expect: Expect) -> AppendCall {
    let key = Bytes::from("a");
    AppendCall {
        topic: "t".to_owned(),
        partition: None,
        checks: vec![StreamCheck {
            key: key.clone(),
            expect,
        }],
        events: vec![NewEvent {
            key,
            value: Some("x".into()),
            headers: vec![(
                "ce_id".to_owned(),
                Some(Bytes::copy_from_slice(id.as_bytes())),
            )],
        }],
    }
}

/// Revision, and whether it was stored before.
fn told(answer: Result<AppendedEvents, AppendError>) -> (u64, bool) {
    let appended = answer.unwrap();
    (appended.revisions[0], appended.is_duplicate)
}

async fn faulty() -> (Rig, FaultyFs) {
    let fs = MemFs::new();
    let disk = FaultyFs::new(fs.clone());
    let (clock, config) = (VirtualClock::new(START), BrokerConfig::default());
    let rig = Rig::on(Arc::new(disk.clone()), fs, clock, config);
    rig.topic("t", 1, STORE).await;
    let first = rig.service.append_events(call("0", Expect::Any)).await;
    assert_eq!(told(first), (0, false));
    (rig, disk)
}

macro_rules! is_pending {
    ($future:expr) => {
        $future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    };
}

#[tokio::test]
async fn a_repeat_is_answered_when_what_it_repeats_is_durable() {
    for expect in [Expect::Any, Expect::Exists] {
        let (rig, disk) = faulty().await;
        let held = disk.faults.hold_syncs();
        let begun = rig.service.begin_append_events(call("1", expect)).await;
        let mut first = Box::pin(begun.unwrap());
        let mut again = Box::pin(rig.service.append_events(call("1", expect)));
        until(|| disk.faults.waiting_syncs.load(Ordering::SeqCst) > 0).await;
        for _ in 0..100 {
            assert!(is_pending!(first) && is_pending!(again));
            tokio::task::yield_now().await;
        }
        drop(held);
        assert_eq!(told(again.await), (1, true));
        assert_eq!(told(first.await), (1, false));
    }
}

/// The connection is gone before there is an answer, and the client sends it again.
#[tokio::test]
async fn a_repeat_is_known_though_nobody_has_waited_for_the_first_answer() {
    let (rig, disk) = faulty().await;
    let held = disk.faults.hold_syncs();
    let begun = rig
        .service
        .begin_append_events(call("1", Expect::Any))
        .await;
    drop(begun.unwrap());
    drop(held);
    let again = rig.service.append_events(call("1", Expect::Any)).await;
    assert_eq!(told(again), (1, true));
}

#[tokio::test]
async fn a_repeat_of_what_cannot_be_made_durable_fails_as_well() {
    let (rig, disk) = faulty().await;
    let held = disk.faults.hold_syncs();
    let begun = rig
        .service
        .begin_append_events(call("1", Expect::Any))
        .await;
    let first = begun.unwrap();
    let mut again = Box::pin(rig.service.append_events(call("1", Expect::Any)));
    assert!(is_pending!(again));
    disk.faults.syncs.store(true, Ordering::SeqCst);
    drop(held);
    for answer in [first.await, again.await] {
        assert!(matches!(answer, Err(AppendError::Produce(_))), "{answer:?}");
    }
    let late = rig.service.append_events(call("1", Expect::Any)).await;
    assert!(matches!(late, Err(AppendError::Produce(_))), "{late:?}");
}

/// It has its turn behind the one that failed.
#[tokio::test]
async fn a_repeat_of_what_was_not_written_is_stored() {
    let (rig, disk) = faulty().await;
    disk.faults.free_bytes.store(1000, Ordering::SeqCst);
    rig.advance_ms(2000);
    let full = rig.service.append_events(call("1", Expect::Any)).await;
    assert!(matches!(full, Err(AppendError::Produce(_))), "{full:?}");
    disk.faults.free_bytes.store(u64::MAX, Ordering::SeqCst);
    rig.advance_ms(2000);
    let again = rig.service.append_events(call("1", Expect::Any)).await;
    assert_eq!(told(again), (1, false));
}

#[tokio::test]
async fn a_broker_that_was_started_anew_remembers_no_ids() {
    let rig = Rig::new();
    rig.topic("t", 1, STORE).await;
    for (revision, is_known) in [(0, false), (0, true)] {
        let answer = rig.service.append_events(call("1", Expect::Any)).await;
        assert_eq!(told(answer), (revision, is_known));
    }
    let rig = rig.restart().await;
    let answer = rig.service.append_events(call("1", Expect::Any)).await;
    assert_eq!(told(answer), (1, false));
}
