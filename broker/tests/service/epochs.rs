//! Leader epochs: raised by an unclean start, so that readers notice a lost tail.

use highwater_broker::error::{EpochError, OffsetsError};
use highwater_broker::service::fetch::{EpochEnd, FetchCall};
use highwater_broker::service::offsets::EpochPartition;
use highwater_log::types::Offset;
use highwater_proto::batch::BatchHeader;

use crate::kit::{Rig, batch, fetch_call};

async fn end_of(rig: &Rig, epoch: i32) -> (i32, i64) {
    let asked = EpochPartition {
        topic: "t".to_owned(),
        partition: 0,
        current_leader_epoch: -1,
        leader_epoch: epoch,
    };
    let answer = rig
        .service
        .offset_for_leader_epoch(vec![asked])
        .remove(0)
        .result
        .unwrap();
    (answer.epoch, answer.end_offset.0)
}

#[tokio::test]
async fn each_unclean_start_begins_an_epoch_and_a_clean_one_does_not() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a", "b"])).await.unwrap();
    assert_eq!(end_of(&rig, 0).await, (0, 2));
    let rig = rig.restart().await;
    assert_eq!(end_of(&rig, 0).await, (0, 2), "a clean start");
    let rig = rig.kill();
    assert_eq!(end_of(&rig, 0).await, (0, 2));
    assert_eq!(
        end_of(&rig, 1).await,
        (1, 2),
        "known before the first append under it"
    );
    rig.produce("t", batch(&["c"])).await.unwrap();
    let rig = rig.kill().restart().await;
    rig.produce("t", batch(&["d", "e"])).await.unwrap();
    for (epoch, expected) in [
        (0, (0, 2)),
        (1, (1, 3)),
        (2, (2, 5)),
        (3, (-1, -1)),
        (-1, (-1, -1)),
        (i32::MAX, (-1, -1)),
    ] {
        assert_eq!(end_of(&rig, epoch).await, expected, "the end of {epoch}");
    }
    let stamped = |bytes: &[u8]| BatchHeader::parse(bytes).unwrap().leader_epoch;
    for (offset, epoch) in [(0, 0), (2, 1), (3, 2)] {
        let fetched = rig.fetch("t", offset).await.unwrap().records.concat();
        assert_eq!(stamped(&fetched), epoch, "the batch at {offset}");
    }
}

#[tokio::test]
async fn a_partition_without_records_has_the_current_epoch() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let rig = rig.kill();
    assert_eq!(end_of(&rig, 1).await, (1, 0));
    assert_eq!(end_of(&rig, 2).await, (-1, -1));
    rig.produce("t", batch(&["a"])).await.unwrap();
    assert_eq!(end_of(&rig, 1).await, (1, 1), "its first log begins in it");
}

#[tokio::test]
async fn a_topic_of_a_later_epoch_begins_in_it() {
    let rig = Rig::new().kill();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    assert_eq!(end_of(&rig, 1).await, (1, 1));
    assert_eq!(
        end_of(&rig, 0).await,
        (0, 0),
        "below the first known epoch: where that begins"
    );
}

#[tokio::test]
async fn an_epoch_that_is_over_or_unknown_is_told() {
    let rig = Rig::new().kill();
    rig.topic("t", 1, &[]).await;
    for (current_leader_epoch, expected) in [
        (
            0,
            EpochError::Fenced {
                asked: 0,
                current: 1,
            },
        ),
        (
            2,
            EpochError::Unknown {
                asked: 2,
                current: 1,
            },
        ),
    ] {
        let topic = "t".to_owned();
        let asked = EpochPartition {
            topic,
            partition: 0,
            current_leader_epoch,
            leader_epoch: 0,
        };
        let result = rig
            .service
            .offset_for_leader_epoch(vec![asked])
            .remove(0)
            .result;
        assert_eq!(result, Err(OffsetsError::Epoch(expected)));
    }
}

/// A reader at offset 5 of epoch 0 comes back after a power cut that took all from 2 on.
#[tokio::test]
async fn a_reader_learns_where_its_epoch_ended() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a", "b"])).await.unwrap();
    let rig = rig.kill();
    rig.produce("t", batch(&["c", "d", "e", "f"]))
        .await
        .unwrap();
    let ask = |offset: i64, last_fetched_epoch: i32| {
        let mut call = FetchCall {
            max_wait_ms: 1000,
            ..fetch_call("t", offset)
        };
        call.partitions[0].last_fetched_epoch = last_fetched_epoch;
        let service = rig.service.clone();
        async move { service.fetch(call).await.remove(0).result.unwrap() }
    };
    let fetched = ask(5, 0).await;
    assert_eq!(
        fetched.diverging,
        Some(EpochEnd {
            epoch: 0,
            end_offset: Offset(2)
        })
    );
    assert!(fetched.records.is_empty());
    for (offset, epoch) in [(2, 0), (5, 1), (0, -1)] {
        let fetched = ask(offset, epoch).await;
        assert_eq!(fetched.diverging, None, "{offset} of {epoch}");
        assert!(!fetched.records.is_empty());
    }
}
