//! Dead letters as they are stored.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use highwater_client::{
    Attempt, Client, ClientError, ConsumerConfig, ConsumerRecord, DeadLetters, Handler,
    HandlerError, NewTopic, ProducerConfig, Record, StartAt, handler_fn,
};

use crate::Seen;
use crate::both;
use crate::committed_up_to;
use crate::ended_well;
use crate::fill;
use crate::group;
use crate::letters;
use crate::topic;

#[test]
fn what_cannot_be_read_is_kept_as_it_came_and_is_not_tried_again() {
    both(|client| async move {
        topic(&client, "t", 1).await;
        let producer = client.producer(ProducerConfig::default()).unwrap();
        let raw = Bytes::from_static(b"\xff\x00 no number");
        let record = Record::to("t")
            .key("k")
            .value(raw.clone())
            .header("h", "1")
            .timestamp(77);
        producer.send(record).await.unwrap().await.unwrap();
        let handler = handler_fn(|attempt: Attempt| async move {
            let number: i64 = read(&attempt.record)?;
            unreachable!("{number} was read");
        });
        let summary = group(&client, "t")
            .run(handler, committed_up_to(&client, "t", 1))
            .await;
        ended_well(&summary);
        assert_eq!((summary.failures, summary.dead_letters), (1, 1));
        let (_, letter) = letters(&client, "t-dlt", 1).await.remove(0);
        assert_eq!(
            (letter.key.as_deref(), &letter.value),
            (Some(&b"k"[..]), &Some(raw))
        );
        assert_eq!((&*letter.headers[0].key, letter.headers.len()), ("h", 1));
        assert_eq!(
            (letter.class.as_deref(), letter.attempts),
            (Some("invalid"), Some(1))
        );
        assert_eq!(
            (letter.timestamp, &*letter.timestamp_type),
            (77, "CreateTime")
        );
        assert_eq!(
            (&*letter.topic, letter.partition, letter.offset),
            ("t", 0, 0)
        );
        assert_eq!(letter.group.as_deref(), Some("g"));
        assert!(letter.error.ends_with("ClientError"), "{}", letter.error);
        assert!(
            letter
                .message
                .starts_with("the value of t-0@0 cannot be read")
        );
    });
}

/// A reader of texts, as the readers of JSON and protobuf are.
fn read<T: FromStr>(record: &ConsumerRecord) -> Result<T, ClientError> {
    let value = record.value.as_deref().unwrap_or_default();
    let text = std::str::from_utf8(value).ok();
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| ClientError::Undecodable {
            topic: record.topic.to_string(),
            partition: record.partition,
            offset: record.offset,
            format: "a number",
            why: "it is none".to_owned(),
        })
}

/// A handler that panics.
struct Panics;

impl Handler for Panics {
    async fn handle(&self, attempt: Attempt) -> Result<(), HandlerError> {
        let values: [u8; 0] = [];
        let at = usize::try_from(attempt.record.offset)?;
        drop(values[at..=at].to_vec());
        Ok(())
    }
}

#[test]
fn a_panic_counts_as_an_attempt_and_ends_as_a_dead_letter() {
    both(|client| async move {
        topic(&client, "t", 1).await;
        fill(&client, "t", 0, &["a"]).await;
        let handling = group(&client, "t");
        let metrics = handling.metrics();
        let summary = handling.run(Panics, committed_up_to(&client, "t", 1)).await;
        ended_well(&summary);
        assert_eq!(
            (summary.failures, summary.panics, summary.dead_letters),
            (4, 4, 1)
        );
        let counts = metrics.snapshot();
        assert_eq!(
            (counts.failures, counts.panics, counts.dead_letters),
            (4, 4, 1)
        );
        assert_eq!((counts.retries, counts.handled), (3, 0));
        let (_, letter) = letters(&client, "t-dlt", 1).await.remove(0);
        assert_eq!(
            (letter.class.as_deref(), letter.attempts),
            (Some("panic"), Some(4))
        );
        assert!(
            letter
                .message
                .starts_with("the handler panicked: range end index 0")
        );
        assert!(letter.first_failed_at.unwrap().ms() <= letter.last_failed_at.unwrap().ms());
    });
}

#[test]
fn the_topic_has_the_partitions_of_its_source_and_keeps_records_for_ever() {
    both(|client| async move {
        topic(&client, "t", 3).await;
        fill(&client, "t", 2, &["a"]).await;
        let seen = Seen::default();
        let handler = seen.handler(|_| Err(HandlerError::dead("card 4111 was declined")));
        let letters_of = DeadLetters::record().redact(|text| text.replace("4111", "(hidden)"));
        let run = group(&client, "t").dead_letters(letters_of);
        let stored = async {
            while client.admin().list_groups().await.unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            committed_in(&client, 2, 1).await;
        };
        let summary = run.run(handler, stored).await;
        ended_well(&summary);
        let admin = client.admin();
        assert_eq!(admin.describe_topic("t-dlt").await.unwrap().partitions, 3);
        let configs = admin.topic_configs("t-dlt").await.unwrap();
        let retention = configs.iter().find(|it| it.name == "retention.ms").unwrap();
        assert_eq!(retention.value.as_deref(), Some("-1"));
        let (partition, letter) = letters(&client, "t-dlt", 1).await.remove(0);
        assert_eq!((partition, letter.partition), (2, 2), "the same number");
        assert_eq!(letter.message, "card (hidden) was declined");
        assert!(!letter.stack.contains("4111"), "{}", letter.stack);
    });
}

async fn committed_in(client: &Client, partition: i32, offset: i64) {
    let admin = client.admin();
    loop {
        let offsets = admin
            .group_offsets("g", Some(&[("t", partition)]))
            .await
            .unwrap();
        if offsets.first().is_some_and(|it| it.offset >= offset) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_partition_that_is_not_there_is_chosen_by_the_producer() {
    both(|client| async move {
        topic(&client, "t", 3).await;
        topic(&client, "t.DLT", 1).await;
        fill(&client, "t", 2, &["a"]).await;
        let handler = Seen::default().handler(|_| Err(HandlerError::dead("no")));
        let run = group(&client, "t").dead_letters(DeadLetters::record().topic_suffix(".DLT"));
        let summary = run.run(handler, committed_in(&client, 2, 1)).await;
        ended_well(&summary);
        let (partition, letter) = letters(&client, "t.DLT", 1).await.remove(0);
        assert_eq!((partition, letter.partition), (0, 2));
    });
}

#[test]
fn what_is_too_large_is_kept_as_a_reference_to_its_origin() {
    both(|client| async move {
        topic(&client, "t", 1).await;
        let small = NewTopic::named("t-dlt")
            .partitions(1)
            .config("max.message.bytes", "2000");
        client.admin().create_topic(&small).await.unwrap();
        let producer = client.producer(ProducerConfig::default()).unwrap();
        let large = Record::to("t")
            .key("k")
            .value(vec![7; 5_000])
            .header("h", "1");
        producer.send(large).await.unwrap().await.unwrap();
        let handler = Seen::default().handler(|_| Err(HandlerError::dead("no")));
        let summary = group(&client, "t")
            .run(handler, committed_up_to(&client, "t", 1))
            .await;
        ended_well(&summary);
        let (_, letter) = letters(&client, "t-dlt", 1).await.remove(0);
        assert!(letter.is_left_out);
        assert_eq!(
            (&letter.key, &letter.value, letter.headers.len()),
            (&None, &None, 0)
        );
        // The reference leads to the record.
        let mut consumer = client.consumer(ConsumerConfig::default());
        let at = StartAt::Offset(letter.offset);
        consumer
            .assign(&letter.topic, letter.partition, at)
            .await
            .unwrap();
        let origin = consumer
            .poll(Duration::from_secs(60))
            .await
            .unwrap()
            .remove(0);
        assert_eq!(origin.value.unwrap().len(), 5_000);
    });
}
