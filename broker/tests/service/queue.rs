//! The queue between producers and the disk: who waits for the sync, and for room.

use std::sync::Arc;
use std::task::{Context, Waker};

use highwater_broker::clock::VirtualClock;
use highwater_broker::config::BrokerConfig;
use highwater_broker::service::produce::{Acks, ProduceCall, ProduceTopic, ZstdAllowed};
use highwater_log::fs::mem::MemFs;
use highwater_log::types::Offset;

use crate::disk::FaultyFs;
use crate::kit::{Rig, START, answer_of, batch, fetch_call, records_of, until};

fn rig_with(config: BrokerConfig) -> (Rig, FaultyFs) {
    let fs = MemFs::new();
    let disk = FaultyFs::new(fs.clone());
    let rig = Rig::on(Arc::new(disk.clone()), fs, VirtualClock::new(START), config);
    (rig, disk)
}

fn call(acks: Acks, value: &str) -> ProduceCall {
    ProduceCall {
        acks,
        transactional_id: None,
        zstd: ZstdAllowed::Yes,
        topics: vec![ProduceTopic {
            topic: "t".to_owned(),
            partitions: vec![(0, Some(batch(&[value])))],
        }],
    }
}

/// Looks once whether a future is done.
macro_rules! is_pending {
    ($future:expr) => {
        $future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    };
}

#[tokio::test]
async fn while_a_sync_runs_the_written_are_answered_and_the_durable_and_readers_wait() {
    let (rig, disk) = rig_with(BrokerConfig::default());
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    let held = disk.faults.hold_syncs();
    let mut all = Box::pin(rig.service.produce(call(Acks::All, "b")).await);
    let written = rig.service.produce(call(Acks::Leader, "c")).await.await;
    assert_eq!(
        written[0].result.as_ref().unwrap().base_offset,
        Offset(2),
        "it stands behind the one that was enqueued before it"
    );
    let service = rig.service.clone();
    let patient = highwater_broker::service::fetch::FetchCall {
        max_wait_ms: 1000,
        ..fetch_call("t", 1)
    };
    let fetch = tokio::spawn(async move { service.fetch(patient).await });
    rig.until_parked(1).await;
    assert!(is_pending!(all), "not durable yet");
    assert_eq!(rig.end("t").await, 1, "and not to be read");
    drop(held);
    assert_eq!(all.await[0].result.as_ref().unwrap().base_offset, Offset(1));
    let fetched = answer_of(fetch).await.remove(0).result.unwrap();
    assert_eq!(records_of(&fetched)[0], (1, "b".to_owned()));
    until(|| rig.service.parked_count() == 0).await;
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_undoes_nothing() {
    let (rig, disk) = rig_with(BrokerConfig::default());
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    let held = disk.faults.hold_syncs();
    drop(rig.service.produce(call(Acks::All, "b")).await);
    drop(held);
    assert_eq!(
        rig.produce("t", batch(&["c"])).await.unwrap().base_offset,
        Offset(2)
    );
    assert_eq!(rig.values("t", 0).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_full_queue_makes_producers_wait_until_there_is_room() {
    let config = BrokerConfig {
        queued_max_bytes: 1 << 20,
        ..BrokerConfig::default()
    };
    let (rig, disk) = rig_with(config);
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    let held = disk.faults.hold_syncs();
    let large = "x".repeat(600_000);
    let first = rig.service.produce(call(Acks::All, &large)).await;
    let mut second = Box::pin(rig.service.produce(call(Acks::All, &large)));
    for _ in 0..100 {
        assert!(is_pending!(second), "two do not fit");
        tokio::task::yield_now().await;
    }
    let small = rig.service.produce(call(Acks::Leader, "small"));
    let mut small = Box::pin(small);
    assert!(is_pending!(small), "nobody overtakes");
    drop(held);
    assert_eq!(
        first.await[0].result.as_ref().unwrap().base_offset,
        Offset(1)
    );
    let second = second.await.await;
    assert_eq!(second[0].result.as_ref().unwrap().base_offset, Offset(2));
    let small = small.await.await;
    assert_eq!(small[0].result.as_ref().unwrap().base_offset, Offset(3));
}

/// Waiting for room is no commitment: who gives up has produced nothing, and takes no room.
#[tokio::test]
async fn who_gives_up_waiting_for_room_has_produced_nothing() {
    let config = BrokerConfig {
        queued_max_bytes: 1 << 20,
        ..BrokerConfig::default()
    };
    let (rig, disk) = rig_with(config);
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    let held = disk.faults.hold_syncs();
    let large = "x".repeat(600_000);
    let first = rig.service.produce(call(Acks::All, &large)).await;
    let mut second = Box::pin(rig.service.produce(call(Acks::All, &large)));
    assert!(is_pending!(second));
    drop(second);
    drop(held);
    assert!(first.await[0].result.is_ok());
    let third = rig.service.produce(call(Acks::All, &large)).await.await;
    assert_eq!(third[0].result.as_ref().unwrap().base_offset, Offset(2));
}
