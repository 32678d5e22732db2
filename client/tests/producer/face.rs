//! What a user of the producer is promised beside order: waiting, giving up, closing, choosing.

use std::sync::Arc;
use std::time::Duration;

use highwater_client::{
    Client, ClientError, ErrorCode, Outcome, Producer, ProducerConfig, Record, SystemClock,
};
use highwater_proto::clock::Clock;
use proptest::prelude::*;

use super::model::{Fault, Model, ModelDial};
use super::{elapsed, paused, producer, small};

/// A producer that has room for a few records only.
fn tight() -> ProducerConfig {
    ProducerConfig {
        batch_size: 100,
        buffer_memory: 400,
        linger_ms: 0,
        max_block_ms: 3_000,
        ..ProducerConfig::default()
    }
}

/// Lets so many milliseconds pass.
async fn pass(time_ms: u64) {
    let clock = SystemClock::new();
    let at = clock.now().mono.plus(Duration::from_millis(time_ms));
    clock.sleep_until(at).await;
}

/// Sends until there is no room; gives how many were accepted.
async fn fill(producer: &Producer) -> usize {
    let mut count = 0;
    loop {
        match producer.send(Record::to("t").value("0123456789")).await {
            Ok(_) => count += 1,
            Err(error) => {
                assert!(
                    matches!(&error, ClientError::NotSent(why) if why.contains("buffer.memory")),
                    "{error}"
                );
                return count;
            }
        }
    }
}

#[test]
fn send_gives_up_waiting_for_room_after_max_block_ms() {
    let model = Model::new(1, [Fault::Silence]);
    paused(async {
        let producer = producer(&model, tight());
        let clock = SystemClock::new();
        assert!((2..20).contains(&fill(&producer).await));
        assert_eq!(elapsed(&clock), Duration::from_secs(3));
    });
}

#[test]
fn a_send_that_is_dropped_sends_nothing_and_takes_no_room() {
    let model = Model::new(1, [Fault::Silence]);
    paused(async {
        let producer = producer(&model, tight());
        let accepted = fill(&producer).await;
        for _ in 0..50 {
            let send = producer.send(Record::to("t").value("dropped"));
            tokio::select! {
                biased;
                done = send => panic!("there was room: {done:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
        producer.flush().await;
        let values = model.values(0);
        assert_eq!(values.len(), accepted);
        assert!(values.iter().all(|value| value == "0123456789"));
        // All the room is there again.
        model.then([Fault::Silence; 8]);
        assert_eq!(fill(&producer).await, accepted);
    });
}

#[test]
fn what_lingers_behind_a_batch_without_an_answer_leaves_in_time() {
    let model = Model::new(1, []);
    paused(async {
        let config = ProducerConfig {
            linger_ms: 10,
            ..small()
        };
        let producer = producer(&model, config);
        let first = producer.send(Record::to("t").value("first")).await.unwrap();
        first.await.unwrap();
        model.then([Fault::Silence]);
        let clock = SystemClock::new();
        // The second does not fit behind the first, which fills a batch at once.
        for _ in 0..2 {
            let record = Record::to("t").value(vec![b'v'; 80]);
            producer.send(record).await.unwrap();
        }
        pass(15).await;
        assert_eq!(model.values(0).len(), 3, "{:?}", elapsed(&clock));
    });
}

#[test]
fn close_sends_what_was_accepted_and_reports() {
    let model = Model::new(1, [Fault::NotLeader(10)]);
    paused(async {
        let config = ProducerConfig {
            linger_ms: 20_000,
            ..ProducerConfig::default()
        };
        let producer = producer(&model, config);
        let (clock, clone) = (SystemClock::new(), producer.clone());
        for _ in 0..3 {
            producer.send(Record::to("t").value("v")).await.unwrap();
        }
        let report = producer.close(Duration::from_secs(10)).await;
        assert_eq!((report.stored, report.failed, report.abandoned), (3, 0, 0));
        assert!(elapsed(&clock) < Duration::from_secs(1), "it lingered");
        assert_eq!(model.values(0).len(), 3);
        let refused = clone.send(Record::to("t").value("v")).await;
        assert!(matches!(refused, Err(ClientError::Closed)));
    });
}

#[test]
fn close_gives_up_in_time_and_each_delivery_tells_what_may_be_stored() {
    let model = Model::new(1, [Fault::Silence]);
    paused(async {
        let producer = producer(&model, small());
        let sent = producer.send(Record::to("t").value("sent")).await.unwrap();
        pass(1).await;
        // The first batch of a producer id travels alone.
        let queued = producer
            .send(Record::to("t").value("queued"))
            .await
            .unwrap();
        let clock = SystemClock::new();
        let report = producer.close(Duration::from_secs(2)).await;
        assert_eq!((report.stored, report.failed, report.abandoned), (0, 0, 2));
        assert_eq!(elapsed(&clock), Duration::from_secs(2));
        assert_eq!(sent.await.unwrap_err().outcome(), Outcome::MayBeWritten);
        assert_eq!(queued.await.unwrap_err().outcome(), Outcome::NotWritten);
    });
}

#[test]
fn when_the_senders_runtime_ends_nobody_is_left_waiting() {
    let model = Model::new(1, [Fault::Silence]);
    let (producer, delivery) = paused(async {
        let producer = producer(&model, small());
        let delivery = producer.send(Record::to("t").value("v")).await.unwrap();
        pass(1).await;
        (producer, delivery)
    });
    paused(async {
        assert_eq!(delivery.await.unwrap_err().outcome(), Outcome::MayBeWritten);
        let refused = producer.send(Record::to("t").value("v")).await;
        assert!(matches!(refused, Err(ClientError::Closed)));
        producer.flush().await;
    });
}

#[test]
fn a_batch_that_is_too_large_for_the_broker_goes_on_in_parts() {
    for enable_idempotence in [true, false] {
        let model = Model::new(1, []);
        model.refuse_above(300);
        let config = ProducerConfig {
            enable_idempotence: Some(enable_idempotence),
            ..ProducerConfig::default()
        };
        paused(async {
            let producer = producer(&model, config);
            let mut deliveries = Vec::new();
            for number in 0..200 {
                let record = Record::to("t").value(number.to_string());
                deliveries.push(producer.send(record).await.unwrap());
            }
            // One record that is too large by itself fails alone, with the broker's words.
            let large = Record::to("t").value(vec![b'x'; 400]);
            let large = producer.send(large).await.unwrap();
            let last = producer.send(Record::to("t").value("last")).await.unwrap();
            for (number, delivery) in (0..).zip(deliveries) {
                assert_eq!(delivery.await.unwrap().offset, number);
            }
            let error = large.await.unwrap_err();
            assert_eq!(error.code(), Some(ErrorCode::MessageTooLarge), "{error}");
            assert_eq!(last.await.unwrap().offset, 200);
        });
        let expected = (0..200).map(|number| number.to_string());
        let expected: Vec<String> = expected.chain(["last".to_owned()]).collect();
        assert_eq!(model.values(0), expected);
    }
}

#[test]
fn a_partitioner_chooses_for_records_that_name_no_partition() {
    let model = Model::new(4, []);
    paused(async {
        let dial = Arc::new(ModelDial(Arc::clone(&model)));
        let client = Client::over("model:1", dial, Arc::new(SystemClock::new())).unwrap();
        let by_value = |record: &Record, partitions: i32| match record.value.as_deref() {
            Some(b"last") => Some(partitions - 1),
            Some(b"beyond") => Some(partitions),
            _ => None,
        };
        let producer = client.producer_with(small(), by_value).unwrap();
        let send = |record: Record| async { producer.send(record).await.map(|it| it.partition()) };
        assert_eq!(send(Record::to("t").value("last")).await.unwrap(), 3);
        let named = Record::to("t").value("last").partition(1);
        assert_eq!(send(named).await.unwrap(), 1);
        // By the key, as without a partitioner.
        let keyed = Record::to("t").value("v").key("N14228");
        let expected = highwater_client::producer::partition_of(b"N14228", 4);
        assert_eq!(send(keyed).await.unwrap(), expected);
        let error = send(Record::to("t").value("beyond")).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
    });
}

#[test]
fn keys_can_be_ignored() {
    let model = Model::new(4, []);
    let config = ProducerConfig {
        partitioner_ignore_keys: true,
        ..small()
    };
    paused(async {
        let producer = producer(&model, config);
        for _ in 0..200 {
            let record = Record::to("t").key("same").value("0123456789");
            producer.send(record).await.unwrap();
        }
        producer.flush().await;
        let used = (0..4).filter(|partition| !model.values(*partition).is_empty());
        assert!(used.count() > 1);
    });
}

#[test]
fn a_delivery_may_be_polled_by_one_task_and_awaited_by_another() {
    let model = Model::new(1, [Fault::Ok(50)]);
    paused(async {
        let producer = producer(&model, small());
        let mut delivery = producer.send(Record::to("t").value("v")).await.unwrap();
        tokio::select! {
            biased;
            done = &mut delivery => panic!("answered too early: {done:?}"),
            () = tokio::task::yield_now() => {}
        }
        let delivery = tokio::spawn(delivery).await.unwrap().unwrap();
        assert_eq!((delivery.partition, delivery.offset), (0, 0));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_waits_for_answers_never_takes_more_than_buffer_memory(
        buffer_memory in 200..2_000_usize,
        sizes in prop::collection::vec(0..150_usize, 1..80),
    ) {
        let model = Model::new(2, std::iter::repeat_n(Fault::Ok(20), 1_000));
        let config = ProducerConfig { buffer_memory, ..small() };
        paused(async {
            let producer = producer(&model, config);
            let (mut sent, mut deliveries) = (0, Vec::new());
            for size in sizes {
                let record = Record::to("t").value(vec![b'v'; size]);
                deliveries.push(producer.send(record).await.unwrap());
                sent += size;
                let stored: usize = (0..2)
                    .flat_map(|partition| model.values(partition))
                    .map(|value| value.len())
                    .sum();
                prop_assert!(sent - stored <= buffer_memory, "{sent} sent, {stored} stored");
            }
            let report = producer.close(Duration::from_secs(60)).await;
            prop_assert_eq!(report.stored, deliveries.len() as u64);
            Ok(())
        })?;
    }
}
