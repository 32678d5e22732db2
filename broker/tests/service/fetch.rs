//! Fetch: every offset with every limit, and what readers are told.

use highwater_broker::config::BrokerConfig;
use highwater_broker::error::{EpochError, FetchError};
use highwater_broker::ids::{TopicId, TopicRef};
use highwater_broker::service::fetch::{FetchCall, FetchPartition, Isolation};
use highwater_log::types::Offset;
use highwater_proto::batch::{BatchHeader, HEADER_BYTES};

use crate::kit::{Rig, batch, fetch_call, fetch_partition, records_of};

/// Batches of 1 to 4 records over several segments; the base and the end of each.
async fn filled(rig: &Rig) -> Vec<(i64, i64, usize)> {
    rig.topic(
        "t",
        1,
        &[("segment.bytes", "400"), ("index.interval.bytes", "100")],
    )
    .await;
    let mut batches = Vec::new();
    let mut next = 0;
    for count in [1, 3, 2, 4, 1, 1, 2, 3, 4, 2] {
        let bytes = batch(&vec!["value"; count]);
        let base = rig.produce("t", bytes.clone()).await.unwrap().base_offset;
        assert_eq!(base, Offset(next));
        let end = next + i64::try_from(count).unwrap();
        batches.push((next, end, bytes.len()));
        next = end;
    }
    batches
}

#[tokio::test]
async fn every_offset_with_every_limit_makes_progress() {
    let rig = Rig::new();
    let batches = filled(&rig).await;
    let end = batches.last().unwrap().1;
    for offset in 0..=end {
        for max_bytes in (0..1200).step_by(7) {
            let mut call = fetch_call("t", offset);
            call.partitions[0].max_bytes = max_bytes;
            let fetched = rig.service.fetch(call).await.remove(0).result.unwrap();
            assert_eq!(fetched.high_watermark, Offset(end));
            let bytes = fetched.records.concat();
            let Some(first) = batches.iter().find(|(_, end, _)| *end > offset) else {
                assert!(bytes.is_empty(), "nothing is there yet");
                continue;
            };
            let header = BatchHeader::parse(&bytes).unwrap();
            assert_eq!(
                header.base_offset, first.0,
                "the batch that contains {offset} comes first"
            );
            assert!(bytes.len() >= first.2, "and whole");
            let limit = usize::try_from(max_bytes).unwrap();
            assert!(
                bytes.len() <= limit.max(first.2),
                "{} of {limit} bytes",
                bytes.len()
            );
            let records = records_of(&fetched);
            let offsets: Vec<i64> = records.iter().map(|(offset, _)| *offset).collect();
            let count = i64::try_from(offsets.len()).unwrap();
            assert_eq!(
                offsets,
                (first.0..first.0 + count).collect::<Vec<_>>(),
                "without gaps"
            );
        }
    }
}

#[tokio::test]
async fn an_offset_outside_of_the_log_is_an_error() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a", "b"])).await.unwrap();
    for offset in [-1, 3, i64::MAX, i64::MIN] {
        let error = rig.fetch("t", offset).await.unwrap_err();
        let (asked, start, end) = (Offset(offset), Offset(0), Offset(2));
        assert_eq!(error, FetchError::OffsetOutOfRange { asked, start, end });
    }
    assert!(rig.fetch("t", 2).await.unwrap().records.is_empty());
}

#[tokio::test]
async fn a_partition_that_was_never_written_is_an_empty_log() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let fetched = rig.fetch("t", 0).await.unwrap();
    assert_eq!(
        (fetched.high_watermark, fetched.log_start_offset),
        (Offset(0), Offset(0))
    );
    assert!(fetched.records.is_empty());
    assert!(matches!(
        rig.fetch("t", 1).await,
        Err(FetchError::OffsetOutOfRange { .. })
    ));
}

#[tokio::test]
async fn unknown_topics_partitions_and_ids_are_told_apart() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let id = rig.service.topic_id("t").unwrap();
    let ask = |topic: TopicRef, partition: i32| FetchPartition {
        topic,
        ..fetch_partition("", partition, 0)
    };
    for (asked, expected) in [
        (
            ask(TopicRef::from("u"), 0),
            Some(FetchError::UnknownTopicOrPartition),
        ),
        (
            ask(TopicRef::from("t"), 1),
            Some(FetchError::UnknownTopicOrPartition),
        ),
        (
            ask(TopicRef::from("t"), -1),
            Some(FetchError::UnknownTopicOrPartition),
        ),
        (
            ask(TopicRef::Id(TopicId([9; 16])), 0),
            Some(FetchError::UnknownTopicId),
        ),
        (
            ask(TopicRef::Id(TopicId::META), 0),
            Some(FetchError::UnknownTopicId),
        ),
        (
            ask(TopicRef::Id(id), 1),
            Some(FetchError::UnknownTopicOrPartition),
        ),
        (ask(TopicRef::Id(id), 0), None),
    ] {
        let call = FetchCall {
            partitions: vec![asked.clone()],
            ..fetch_call("t", 0)
        };
        let answer = rig.service.fetch(call).await.remove(0);
        assert_eq!(
            (&answer.topic, answer.partition),
            (&asked.topic, asked.partition)
        );
        assert_eq!(answer.result.err(), expected, "{asked:?}");
    }
}

#[tokio::test]
async fn the_first_partition_with_data_ignores_the_limits_and_the_next_get_the_rest() {
    let rig = Rig::new();
    rig.topic("t", 4, &[]).await;
    let bytes = batch(&["value"]);
    for partition in 1..4 {
        let acks = highwater_broker::service::produce::Acks::All;
        rig.produce_to("t", partition, Some(bytes.clone()), acks)
            .await
            .unwrap();
    }
    let len = bytes.len();
    for (max_bytes, expected) in [
        (0, [0, len, 0, 0]),
        (len - 1, [0, len, 0, 0]),
        (len, [0, len, 0, 0]),
        (2 * len - 1, [0, len, 0, 0]),
        (2 * len, [0, len, len, 0]),
        (10 * len, [0, len, len, len]),
    ] {
        let call = FetchCall {
            max_bytes: i32::try_from(max_bytes).unwrap(),
            partitions: (0..4)
                .map(|partition| fetch_partition("t", partition, 0))
                .collect(),
            ..fetch_call("t", 0)
        };
        let answers = rig.service.fetch(call).await;
        let sizes: Vec<usize> = answers
            .iter()
            .map(|answer| answer.result.as_ref().unwrap().records_bytes())
            .collect();
        assert_eq!(sizes, expected, "max_bytes {max_bytes}");
        let marks = answers
            .iter()
            .map(|a| a.result.as_ref().unwrap().high_watermark.0);
        assert_eq!(
            marks.collect::<Vec<_>>(),
            [0, 1, 1, 1],
            "marks are told without records, too"
        );
    }
}

#[tokio::test]
async fn an_answer_is_bounded_by_the_brokers_limit() {
    let rig = Rig::with(BrokerConfig {
        fetch_max_bytes: 1024,
        ..BrokerConfig::default()
    });
    rig.topic("t", 1, &[]).await;
    for _ in 0..40 {
        rig.produce("t", batch(&["value"])).await.unwrap();
    }
    let fetched = rig.fetch("t", 0).await.unwrap();
    assert!(fetched.records_bytes() <= 1024 && fetched.records_bytes() > 1024 - 2 * HEADER_BYTES);
}

#[tokio::test]
async fn the_readers_epoch_must_be_the_current_one() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    let rig = rig.kill();
    for (asked, expected) in [
        (-1, None),
        (
            0,
            Some(EpochError::Fenced {
                asked: 0,
                current: 1,
            }),
        ),
        (1, None),
        (
            2,
            Some(EpochError::Unknown {
                asked: 2,
                current: 1,
            }),
        ),
    ] {
        let mut call = fetch_call("t", 0);
        call.partitions[0].current_leader_epoch = asked;
        let result = rig.service.fetch(call).await.remove(0).result;
        assert_eq!(result.err(), expected.map(FetchError::Epoch));
    }
}

#[tokio::test]
async fn readers_of_committed_records_see_the_same_without_transactions() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    let call = FetchCall {
        isolation: Isolation::ReadCommitted,
        ..fetch_call("t", 0)
    };
    let fetched = rig.service.fetch(call).await.remove(0).result.unwrap();
    assert_eq!(fetched.last_stable_offset, Offset(1));
    assert_eq!(records_of(&fetched), [(0, "a".to_owned())]);
}

#[tokio::test]
async fn a_call_without_partitions_is_answered_at_once() {
    let rig = Rig::new();
    let call = FetchCall {
        max_wait_ms: 1000,
        partitions: Vec::new(),
        ..fetch_call("t", 0)
    };
    assert!(rig.service.fetch(call).await.is_empty());
}
