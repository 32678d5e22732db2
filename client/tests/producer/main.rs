//! The producer's promises on a bad network: order, and exactly one copy of each record.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod face;
mod model;

use std::sync::Arc;
use std::time::Duration;

use highwater_client::{
    Acks, Client, ClientError, ErrorCode, Producer, ProducerConfig, Record, SystemClock,
};
use highwater_proto::clock::{Clock, Mono};
use model::{Fault, Model, ModelDial};
use proptest::prelude::*;

/// Runs a future on a clock that jumps.
fn paused<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

/// The time since a clock was made.
fn elapsed(clock: &SystemClock) -> Duration {
    clock.now().mono.since(Mono(0))
}

fn producer(model: &Arc<Model>, config: ProducerConfig) -> Producer {
    let dial = Arc::new(ModelDial(Arc::clone(model)));
    Client::over("model:1", dial, Arc::new(SystemClock::new()))
        .unwrap()
        .producer(config)
        .unwrap()
}

/// Small batches, so that many requests are needed.
fn small() -> ProducerConfig {
    ProducerConfig {
        batch_size: 150,
        linger_ms: 0,
        ..ProducerConfig::default()
    }
}

/// Sends records `0, 1, ..` by turns to all partitions; gives the outcomes in that order.
async fn send_all(producer: &Producer, partitions: i32, count: i32) -> Vec<Outcome> {
    let mut deliveries = Vec::new();
    for number in 0..count {
        let record = Record::to("t")
            .value(number.to_string())
            .partition(number % partitions);
        deliveries.push(producer.send(record).await.unwrap());
        if number % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut outcomes = Vec::new();
    for (number, delivery) in (0..).zip(deliveries) {
        let result = delivery.await.map(|it| it.offset);
        outcomes.push(Outcome {
            number,
            partition: number % partitions,
            result,
        });
    }
    outcomes
}

#[derive(Debug)]
struct Outcome {
    number: i32,
    partition: i32,
    result: Result<i64, ClientError>,
}

/// Order, one copy at most, and every outcome told truly.
fn check(model: &Model, outcomes: &[Outcome]) -> Result<(), TestCaseError> {
    for partition in 0..model.partitions {
        let values = model.values(partition);
        let numbers: Vec<i32> = values.iter().map(|value| value.parse().unwrap()).collect();
        prop_assert!(
            numbers.is_sorted_by(|a, b| a < b),
            "order or copies in partition {partition}: {numbers:?}"
        );
    }
    for Outcome {
        number,
        partition,
        result,
    } in outcomes
    {
        let values = model.values(*partition);
        let place = values.iter().position(|value| *value == number.to_string());
        match result {
            Ok(offset) => prop_assert_eq!(place, usize::try_from(*offset).ok()),
            Err(ClientError::Unknown(_)) => {}
            Err(error) => prop_assert_eq!(place, None, "{} failed with {}", number, error),
        }
    }
    Ok(())
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => (0..60_u64).prop_map(Fault::Ok),
        1 => Just(Fault::NotSent),
        2 => (0..60_u64).prop_map(Fault::LostRequest),
        2 => (0..60_u64).prop_map(Fault::LostReply),
        1 => Just(Fault::Silence),
        2 => (0..60_u64).prop_map(Fault::NotLeader),
        1 => (0..60_u64).prop_map(Fault::TooLarge),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_faults_keep_order_and_one_copy_of_each_record(
        faults in prop::collection::vec(fault(), 0..40),
        partitions in 1..4_i32,
        count in 1..120_i32,
        max_in_flight in 1..=5_usize,
        patience_ms in prop_oneof![Just(120_000_u64), 200..3_000_u64],
        batch_bytes_max in prop_oneof![Just(usize::MAX), 75..150_usize],
    ) {
        let model = Model::new(partitions, faults);
        model.refuse_above(batch_bytes_max);
        let config = ProducerConfig {
            max_in_flight,
            delivery_timeout_ms: patience_ms,
            request_timeout_ms: patience_ms.min(500),
            ..small()
        };
        let outcomes = paused(async {
            let producer = producer(&model, config);
            send_all(&producer, partitions, count).await
        });
        check(&model, &outcomes)?;
    }

    #[test]
    fn without_idempotence_order_holds_and_nothing_is_doubled(
        faults in prop::collection::vec(fault(), 0..40),
        count in 1..120_i32,
    ) {
        let model = Model::new(1, faults);
        let config = ProducerConfig {
            enable_idempotence: Some(false),
            request_timeout_ms: 500,
            ..small()
        };
        let outcomes = paused(async {
            let producer = producer(&model, config);
            send_all(&producer, 1, count).await
        });
        check(&model, &outcomes)?;
        prop_assert_eq!(model.producer_ids_count(), 0);
    }
}

/// Every record succeeds, whatever is lost, as long as nothing is refused for good.
fn all_arrive(faults: impl IntoIterator<Item = Fault>) -> Arc<Model> {
    let model = Model::new(1, faults);
    let outcomes = paused(async {
        let producer = producer(&model, small());
        send_all(&producer, 1, 60).await
    });
    let expected: Vec<String> = (0..60).map(|number| number.to_string()).collect();
    assert_eq!(model.values(0), expected);
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.result == Ok(i64::from(outcome.number)))
    );
    model
}

#[test]
fn a_lost_reply_is_not_stored_twice() {
    all_arrive([
        Fault::LostReply(5),
        Fault::LostReply(5),
        Fault::LostReply(5),
    ]);
}

#[test]
fn a_batch_behind_a_lost_one_is_sent_again_after_it() {
    let later = std::iter::repeat_n(Fault::Ok(0), 8);
    let faults = [Fault::Ok(0), Fault::LostRequest(50)];
    all_arrive(faults.into_iter().chain(later));
}

#[test]
fn the_batch_behind_a_lost_first_one_is_not_stored_before_it() {
    // Any first sequence number of a new producer id is taken, so nothing may overtake.
    all_arrive([Fault::LostRequest(50), Fault::Ok(0), Fault::Ok(0)]);
}

#[test]
fn a_lost_reply_is_recognised_however_many_answers_overtake_it() {
    // The broker remembers five batches: the sixth behind an open one has to wait.
    let later = std::iter::repeat_n(Fault::Ok(0), 30);
    all_arrive(
        [Fault::Ok(0), Fault::LostReply(50)]
            .into_iter()
            .chain(later),
    );
}

#[test]
fn a_leader_that_moves_loses_nothing() {
    all_arrive([
        Fault::NotLeader(0),
        Fault::NotLeader(9),
        Fault::Ok(0),
        Fault::NotLeader(1),
    ]);
}

#[test]
fn a_broker_that_does_not_answer_is_asked_again() {
    all_arrive([Fault::Silence, Fault::Silence]);
}

#[test]
fn a_refused_batch_fails_alone_and_the_next_get_a_new_epoch() {
    let model = Model::new(1, [Fault::TooLarge(0)]);
    let outcomes = paused(async {
        let producer = producer(&model, small());
        send_all(&producer, 1, 60).await
    });
    check(&model, &outcomes).unwrap();
    let failed = outcomes
        .iter()
        .filter(|outcome| outcome.result.is_err())
        .count();
    assert!((1..20).contains(&failed), "{failed} records failed");
    let Err(ClientError::Broker { code, .. }) = &outcomes[0].result else {
        panic!("{:?}", outcomes[0])
    };
    assert_eq!(*code, ErrorCode::MessageTooLarge);
    assert_eq!((model.producer_ids_count(), model.epochs_count(0)), (1, 2));
}

#[test]
fn a_record_is_given_up_after_the_delivery_timeout() {
    // A leader that lost its place says so of what it has appended, too: it may be stored.
    let model = Model::new(1, std::iter::repeat_n(Fault::NotLeader(0), 10_000));
    paused(async {
        let clock = SystemClock::new();
        let config = ProducerConfig {
            delivery_timeout_ms: 5_000,
            request_timeout_ms: 5_000,
            ..small()
        };
        let delivery = producer(&model, config)
            .send(Record::to("t").value("v"))
            .await
            .unwrap();
        let error = delivery.await.unwrap_err();
        assert!(
            matches!(&error, ClientError::Unknown(why) if why.contains("NOT_LEADER")),
            "{error}"
        );
        let waited = elapsed(&clock);
        assert!(
            waited >= Duration::from_secs(5) && waited < Duration::from_secs(7),
            "{waited:?}"
        );
    });
}

#[test]
fn a_silent_broker_leaves_the_outcome_unknown() {
    let model = Model::new(1, [Fault::Silence; 4]);
    paused(async {
        let config = ProducerConfig {
            delivery_timeout_ms: 1_000,
            request_timeout_ms: 1_000,
            ..small()
        };
        let delivery = producer(&model, config)
            .send(Record::to("t").value("v"))
            .await
            .unwrap();
        assert!(matches!(delivery.await, Err(ClientError::Unknown(_))));
    });
}

#[test]
fn a_refusal_after_a_lost_reply_does_not_say_that_nothing_is_stored() {
    let model = Model::new(1, [Fault::LostReply(0), Fault::TooLarge(0)]);
    paused(async {
        let delivery = producer(&model, small())
            .send(Record::to("t").value("v"))
            .await
            .unwrap();
        assert!(matches!(delivery.await, Err(ClientError::Unknown(_))));
    });
    assert_eq!(model.values(0), ["v"]);
}

#[test]
fn what_lingers_shares_a_batch_and_flush_does_not_wait_for_it() {
    let model = Model::new(1, []);
    paused(async {
        let clock = SystemClock::new();
        let config = ProducerConfig {
            linger_ms: 1_000,
            ..ProducerConfig::default()
        };
        let producer = producer(&model, config);
        for number in 0..10 {
            producer
                .send(Record::to("t").value(number.to_string()))
                .await
                .unwrap();
        }
        let last = producer.send(Record::to("t").value("last")).await.unwrap();
        assert_eq!(last.await.unwrap().offset, 10);
        assert_eq!(elapsed(&clock), Duration::from_secs(1));
        assert_eq!(model.requests_count(), 1);
        producer
            .send(Record::to("t").value("flushed"))
            .await
            .unwrap();
        producer.flush().await;
        assert_eq!(elapsed(&clock), Duration::from_secs(1));
        assert_eq!(model.values(0).len(), 12);
    });
}

#[test]
fn send_waits_for_room_and_lingering_batches_make_some() {
    let model = Model::new(1, std::iter::repeat_n(Fault::Ok(10), 1_000));
    paused(async {
        let config = ProducerConfig {
            linger_ms: 60_000,
            batch_size: 400,
            buffer_memory: 400,
            ..ProducerConfig::default()
        };
        let producer = producer(&model, config);
        let clock = SystemClock::new();
        for number in 0..100 {
            producer
                .send(Record::to("t").value(number.to_string()))
                .await
                .unwrap();
        }
        producer.flush().await;
        assert_eq!(model.values(0).len(), 100);
        assert!(
            elapsed(&clock) < Duration::from_secs(10),
            "{:?}",
            elapsed(&clock)
        );
    });
}

#[test]
fn a_dropped_producer_still_sends_what_it_accepted() {
    let model = Model::new(1, [Fault::LostRequest(3)]);
    paused(async {
        let config = ProducerConfig {
            linger_ms: 60_000,
            ..ProducerConfig::default()
        };
        let producer = producer(&model, config);
        let delivery = producer.send(Record::to("t").value("v")).await.unwrap();
        drop(producer);
        assert_eq!(delivery.await.unwrap().offset, 0);
    });
}

#[test]
fn without_acknowledgements_the_offset_is_not_known() {
    let model = Model::new(1, []);
    paused(async {
        for (acks, offset) in [(Acks::Leader, 0), (Acks::None, -1)] {
            let producer = producer(&model, ProducerConfig { acks, ..small() });
            let delivery = producer.send(Record::to("t").value("v")).await.unwrap();
            assert_eq!(delivery.await.unwrap().offset, offset);
        }
        assert_eq!((model.values(0).len(), model.producer_ids_count()), (2, 0));
    });
}

#[test]
fn records_without_a_key_stay_together_and_are_spread_batch_by_batch() {
    let model = Model::new(4, []);
    paused(async {
        let producer = producer(&model, small());
        let mut partitions = Vec::new();
        for _ in 0..200 {
            let delivery = producer
                .send(Record::to("t").value("0123456789"))
                .await
                .unwrap();
            partitions.push(delivery.partition());
        }
        producer.flush().await;
        let changes = partitions
            .windows(2)
            .filter(|pair| pair[0] != pair[1])
            .count();
        assert!(
            (4..100).contains(&changes),
            "{changes} changes in 200 records"
        );
        for partition in 0..4 {
            assert!(!model.values(partition).is_empty());
        }
    });
}

#[test]
fn a_partition_that_does_not_exist_is_an_error_of_send() {
    let model = Model::new(2, []);
    paused(async {
        let record = Record::to("t").value("v").partition(2);
        let error = producer(&model, small()).send(record).await.unwrap_err();
        let unknown = ErrorCode::UnknownTopicOrPartition;
        assert!(matches!(error, ClientError::Broker { code, .. } if code == unknown));
    });
}
