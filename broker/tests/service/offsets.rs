//! Offsets by time against a linear scan, by end, and the deletion of records.

use bytes::Bytes;
use highwater_broker::error::{DeleteRecordsError, FetchError, OffsetsError};
use highwater_broker::service::fetch::Isolation;
use highwater_broker::service::offsets::{
    DeleteRecordsPartition, ListOffsetsPartition, ListedOffset, OffsetAt,
};
use highwater_log::types::Offset;
use highwater_proto::compress::Codec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::kit::{Rig, START, batch, batch_of};

#[tokio::test]
async fn the_ends_of_a_log_have_no_time() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let at = |offset, leader_epoch| ListedOffset {
        offset: Offset(offset),
        timestamp_ms: -1,
        leader_epoch,
    };
    assert_eq!(rig.list("t", OffsetAt::Latest).await, Ok(at(0, 0)));
    // As Apache Kafka answers: the epoch in which the first record will be written.
    assert_eq!(rig.list("t", OffsetAt::Earliest).await, Ok(at(0, 0)));
    rig.produce("t", batch(&["a", "b", "c"])).await.unwrap();
    assert_eq!(rig.list("t", OffsetAt::Latest).await, Ok(at(3, 0)));
    assert_eq!(rig.list("t", OffsetAt::Earliest).await, Ok(at(0, 0)));
    assert_eq!(rig.list("t", OffsetAt::EarliestLocal).await, Ok(at(0, 0)));
    assert_eq!(
        rig.list("t", OffsetAt::LatestTiered).await,
        Ok(ListedOffset::NONE)
    );
}

#[tokio::test]
async fn an_empty_log_has_no_times() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    assert_eq!(
        rig.list("t", OffsetAt::MaxTimestamp).await,
        Ok(ListedOffset::NONE)
    );
    assert_eq!(
        rig.list("t", OffsetAt::Time(0)).await,
        Ok(ListedOffset::NONE)
    );
    let unknown = rig.list("u", OffsetAt::Time(0)).await;
    assert_eq!(unknown, Err(OffsetsError::UnknownTopicOrPartition));
}

/// Batches of records with times that jump about, in every codec.
fn batches() -> impl Strategy<Value = Vec<(u8, Vec<i64>)>> {
    prop::collection::vec((0_u8..4, prop::collection::vec(0_i64..60, 1..6)), 1..14)
}

#[test]
fn times_are_found_as_by_a_linear_scan() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    TestRunner::new(ProptestConfig::with_cases(24))
        .run(&batches(), |batches| runtime.block_on(times_agree(batches)))
        .unwrap();
}

async fn times_agree(batches: Vec<(u8, Vec<i64>)>) -> Result<(), TestCaseError> {
    let rig = Rig::new();
    rig.topic(
        "t",
        1,
        &[("segment.bytes", "500"), ("index.interval.bytes", "128")],
    )
    .await;
    let mut records: Vec<i64> = Vec::new();
    for (codec, times) in batches {
        let codec = [Codec::None, Codec::Lz4, Codec::Gzip, Codec::Snappy][usize::from(codec)];
        let of_batch: Vec<_> = times
            .iter()
            .map(|time| (START.0 + time, Some("k"), "value"))
            .collect();
        rig.produce("t", batch_of(codec, None, &of_batch))
            .await
            .unwrap();
        records.extend(of_batch.iter().map(|record| record.0));
    }
    let at = |offset: usize| ListedOffset {
        offset: Offset(i64::try_from(offset).unwrap()),
        timestamp_ms: records[offset],
        leader_epoch: 0,
    };
    for time in -1..=61 {
        let expected = records.iter().position(|record| *record >= START.0 + time);
        let found = rig.list("t", OffsetAt::Time(START.0 + time)).await.unwrap();
        prop_assert_eq!(
            found,
            expected.map_or(ListedOffset::NONE, at),
            "time {}",
            time
        );
    }
    let largest = *records.iter().max().unwrap();
    let found = rig.list("t", OffsetAt::MaxTimestamp).await.unwrap();
    prop_assert_eq!(found.timestamp_ms, largest);
    prop_assert_eq!(records[usize::try_from(found.offset.0).unwrap()], largest);
    Ok(())
}

#[tokio::test]
async fn records_that_the_log_stamped_are_found_by_its_time() {
    let rig = Rig::new();
    rig.topic("t", 1, &[("message.timestamp.type", "LogAppendTime")])
        .await;
    rig.produce("t", batch(&["a", "b"])).await.unwrap();
    rig.advance_ms(1000);
    rig.produce("t", batch(&["c", "d"])).await.unwrap();
    let found = rig.list("t", OffsetAt::Time(START.0 + 1)).await.unwrap();
    assert_eq!(
        (found.offset, found.timestamp_ms),
        (Offset(2), START.0 + 1000)
    );
}

#[tokio::test]
async fn the_epoch_of_a_lookup_is_compared() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let asked = ListOffsetsPartition {
        topic: "t".to_owned(),
        partition: 0,
        current_leader_epoch: 4,
        at: OffsetAt::Latest,
    };
    let result = rig
        .service
        .list_offsets(Isolation::ReadUncommitted, vec![asked])
        .await
        .remove(0)
        .result;
    assert!(matches!(result, Err(OffsetsError::Epoch(_))), "{result:?}");
}

async fn delete(rig: &Rig, topic: &str, before: i64) -> Result<i64, DeleteRecordsError> {
    let before = Offset(before);
    let asked = DeleteRecordsPartition {
        topic: topic.to_owned(),
        partition: 0,
        before,
    };
    rig.service
        .delete_records(vec![asked])
        .await
        .remove(0)
        .result
        .map(|start| start.0)
}

#[tokio::test]
async fn records_are_deleted_in_the_middle_of_a_batch_and_stay_deleted() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a", "b", "c", "d"]))
        .await
        .unwrap();
    assert_eq!(delete(&rig, "t", 2).await, Ok(2));
    assert_eq!(
        delete(&rig, "t", 1).await,
        Ok(2),
        "the start never goes back"
    );
    let (rig, mut rigs) = (rig.kill(), 0);
    let mut rig = rig;
    while rigs < 2 {
        assert_eq!((rig.start("t").await, rig.end("t").await), (2, 4));
        assert!(matches!(
            rig.fetch("t", 1).await,
            Err(FetchError::OffsetOutOfRange { .. })
        ));
        assert_eq!(rig.values("t", 2).await, ["c", "d"]);
        rig = rig.restart().await;
        rigs += 1;
    }
    assert_eq!(delete(&rig, "t", -1).await, Ok(4), "everything");
    assert!(rig.values("t", 4).await.is_empty());
    assert_eq!(
        rig.produce("t", batch(&["e"]))
            .await
            .unwrap()
            .log_start_offset,
        Offset(4)
    );
}

#[tokio::test]
async fn what_cannot_be_deleted_is_refused() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    rig.topic("kept", 1, &[("cleanup.policy", "compact")]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    for before in [2, -2] {
        let expected = DeleteRecordsError::OffsetOutOfRange {
            asked: Offset(before),
            high_watermark: Offset(1),
        };
        assert_eq!(delete(&rig, "t", before).await, Err(expected));
    }
    assert_eq!(
        delete(&rig, "u", 0).await,
        Err(DeleteRecordsError::UnknownTopicOrPartition)
    );
    assert_eq!(
        delete(&rig, "kept", 0).await,
        Err(DeleteRecordsError::CompactedTopic)
    );
    assert_eq!(
        delete(&rig, "__meta", 0).await,
        Err(DeleteRecordsError::InternalTopic)
    );
    assert_eq!(rig.start("t").await, 0);
}

#[tokio::test]
async fn an_empty_partition_has_nothing_to_delete() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    assert_eq!(delete(&rig, "t", -1).await, Ok(0));
    assert_eq!(delete(&rig, "t", 0).await, Ok(0));
    rig.produce("t", Bytes::clone(&batch(&["a"])))
        .await
        .unwrap();
    assert_eq!(rig.start("t").await, 0);
}
