//! Fetches that wait: what ends the wait, and what does not.

use highwater_broker::config::BrokerConfig;
use highwater_broker::error::FetchError;
use highwater_broker::ids::TopicRef;
use highwater_broker::service::fetch::{FetchCall, FetchedPartition};
use highwater_broker::service::offsets::DeleteRecordsPartition;
use highwater_broker::service::produce::Acks;
use highwater_log::types::Offset;
use tokio::task::JoinHandle;

use crate::kit::{Rig, answer_of, batch, fetch_call, fetch_partition, records_of};

const WAIT_MS: i32 = 500;

fn waiting(rig: &Rig, call: FetchCall) -> JoinHandle<Vec<FetchedPartition>> {
    let service = rig.service.clone();
    tokio::spawn(async move { service.fetch(call).await })
}

fn patient(topic: &str, offset: i64) -> FetchCall {
    FetchCall {
        max_wait_ms: WAIT_MS,
        ..fetch_call(topic, offset)
    }
}

#[tokio::test]
async fn a_record_ends_the_wait() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    // The first record of a partition makes its log, which the fetch cannot know yet.
    for at in 0..3 {
        let fetch = waiting(&rig, patient("t", at));
        rig.until_parked(1).await;
        rig.produce("t", batch(&["a"])).await.unwrap();
        let answer = answer_of(fetch).await.remove(0).result.unwrap();
        assert_eq!(records_of(&answer), [(at, "a".to_owned())]);
        assert_eq!(rig.service.parked_count(), 0);
    }
}

#[tokio::test]
async fn the_time_ends_the_wait_and_no_earlier() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let fetch = waiting(&rig, patient("t", 0));
    rig.until_parked(1).await;
    rig.advance_ms(u64::try_from(WAIT_MS).unwrap() - 1);
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(!fetch.is_finished());
    rig.advance_ms(1);
    let answer = answer_of(fetch).await.remove(0).result.unwrap();
    assert!(answer.records.is_empty());
    assert_eq!(rig.service.parked_count(), 0);
}

#[tokio::test]
async fn no_wait_is_asked_for_with_a_zero_or_less() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    for max_wait_ms in [0, -1, i32::MIN] {
        let call = FetchCall {
            max_wait_ms,
            ..fetch_call("t", 0)
        };
        assert!(rig.service.fetch(call).await[0].result.is_ok());
    }
    let call = FetchCall {
        min_bytes: 0,
        ..patient("t", 0)
    };
    assert!(
        rig.service.fetch(call).await[0].result.is_ok(),
        "nothing is enough"
    );
}

#[tokio::test]
async fn fewer_bytes_than_asked_for_are_waited_with() {
    let rig = Rig::new();
    rig.topic("t", 2, &[]).await;
    let bytes = batch(&["value"]);
    let call = FetchCall {
        min_bytes: i32::try_from(3 * bytes.len()).unwrap(),
        partitions: vec![fetch_partition("t", 0, 0), fetch_partition("t", 1, 0)],
        ..patient("t", 0)
    };
    rig.produce_to("t", 0, Some(bytes.clone()), Acks::All)
        .await
        .unwrap();
    let fetch = waiting(&rig, call);
    rig.until_parked(1).await;
    rig.produce_to("t", 1, Some(bytes.clone()), Acks::All)
        .await
        .unwrap();
    rig.until_parked(1).await;
    assert!(!fetch.is_finished(), "two batches of three");
    rig.produce_to("t", 0, Some(bytes.clone()), Acks::All)
        .await
        .unwrap();
    let answers = answer_of(fetch).await;
    let sizes: Vec<usize> = answers
        .iter()
        .map(|answer| answer.result.as_ref().unwrap().records_bytes())
        .collect();
    assert_eq!(sizes, [2 * bytes.len(), bytes.len()]);
}

#[tokio::test]
async fn a_partition_counts_up_to_its_own_limit() {
    let rig = Rig::new();
    rig.topic("t", 2, &[]).await;
    let bytes = batch(&["value"]);
    let len = i32::try_from(bytes.len()).unwrap();
    let mut call = FetchCall {
        min_bytes: 2 * len,
        partitions: vec![fetch_partition("t", 0, 0), fetch_partition("t", 1, 0)],
        ..patient("t", 0)
    };
    call.partitions[0].max_bytes = len;
    let fetch = waiting(&rig, call);
    rig.until_parked(1).await;
    for _ in 0..3 {
        rig.produce_to("t", 0, Some(bytes.clone()), Acks::All)
            .await
            .unwrap();
        rig.until_parked(1).await;
    }
    assert!(!fetch.is_finished(), "one partition alone is not enough");
    rig.produce_to("t", 1, Some(bytes.clone()), Acks::All)
        .await
        .unwrap();
    let answers = answer_of(fetch).await;
    assert!(
        answers
            .iter()
            .all(|a| a.result.as_ref().unwrap().records_bytes() == bytes.len())
    );
}

#[tokio::test]
async fn more_than_an_answer_may_have_is_not_waited_for() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let bytes = batch(&["value"]);
    rig.produce("t", bytes.clone()).await.unwrap();
    let max_bytes = i32::try_from(bytes.len()).unwrap();
    let call = FetchCall {
        min_bytes: i32::MAX,
        max_bytes,
        ..patient("t", 0)
    };
    let answer = rig.service.fetch(call).await.remove(0).result.unwrap();
    assert_eq!(answer.records_bytes(), bytes.len());
}

#[tokio::test]
async fn an_error_of_one_partition_is_told_at_once() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let partitions = vec![fetch_partition("t", 0, 0), fetch_partition("u", 0, 0)];
    let answers = rig
        .service
        .fetch(FetchCall {
            partitions,
            ..patient("t", 0)
        })
        .await;
    assert!(answers[0].result.is_ok());
    assert_eq!(answers[1].result, Err(FetchError::UnknownTopicOrPartition));
}

#[tokio::test]
async fn the_deletion_of_the_topic_ends_the_wait() {
    let rig = Rig::new();
    rig.topic("t", 3, &[]).await;
    let call = FetchCall {
        partitions: vec![fetch_partition("t", 2, 0)],
        ..patient("t", 0)
    };
    let fetch = waiting(&rig, call);
    rig.until_parked(1).await;
    rig.service
        .delete_topics(vec![TopicRef::from("t")])
        .await
        .remove(0)
        .result
        .unwrap();
    let answer = answer_of(fetch).await.remove(0).result;
    assert_eq!(answer, Err(FetchError::UnknownTopicOrPartition));
}

#[tokio::test]
async fn the_deletion_of_the_records_that_it_would_read_ends_the_wait() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    let fetch = waiting(
        &rig,
        FetchCall {
            min_bytes: 10_000,
            ..patient("t", 0)
        },
    );
    rig.until_parked(1).await;
    let before = Offset(1);
    let asked = DeleteRecordsPartition {
        topic: "t".to_owned(),
        partition: 0,
        before,
    };
    rig.service
        .delete_records(vec![asked])
        .await
        .remove(0)
        .result
        .unwrap();
    let answer = answer_of(fetch).await.remove(0).result;
    assert!(
        matches!(answer, Err(FetchError::OffsetOutOfRange { .. })),
        "{answer:?}"
    );
}

#[tokio::test]
async fn the_end_of_the_broker_ends_the_wait() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let fetch = waiting(&rig, patient("t", 0));
    rig.until_parked(1).await;
    rig.broker.shutdown().await.unwrap();
    assert!(
        answer_of(fetch).await[0]
            .result
            .as_ref()
            .unwrap()
            .records
            .is_empty()
    );
}

#[tokio::test]
async fn a_fetch_that_is_given_up_leaves_nothing_behind() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let fetch = waiting(&rig, patient("t", 0));
    rig.until_parked(1).await;
    fetch.abort();
    rig.until_parked(0).await;
}

#[tokio::test]
async fn a_full_waiting_room_answers_at_once() {
    let rig = Rig::with(BrokerConfig {
        fetch_parked_max: 1,
        ..BrokerConfig::default()
    });
    rig.topic("t", 1, &[]).await;
    let first = waiting(&rig, patient("t", 0));
    rig.until_parked(1).await;
    let second = rig.service.fetch(patient("t", 0)).await;
    assert!(second[0].result.as_ref().unwrap().records.is_empty());
    assert!(!first.is_finished());
}
