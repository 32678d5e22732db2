//! Any weather: producers and consumers work while anything happens to the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use highwater_client::{
    Client, ClientConfig, ClientError, Consumer, ConsumerConfig, OffsetReset, Outcome,
    ProducerConfig, Record, StartAt,
};
use proptest::prelude::*;

use crate::fake::{Event, Fake, TOPIC};
use crate::ms;
use crate::paused;

fn event() -> impl Strategy<Value = Event> {
    let broker = || 0..3_usize;
    prop_oneof![
        4 => (0..4_usize, broker()).prop_map(|(partition, to)| Event::Move(partition, to)),
        1 => (0..4_usize).prop_map(Event::Orphan),
        2 => broker().prop_map(Event::Coordinate),
        2 => broker().prop_map(Event::Kill),
        3 => broker().prop_map(Event::Start),
        2 => (broker(), 0..1_500_u64).prop_map(|(id, lag)| Event::Slow(id, lag)),
        2 => broker().prop_map(Event::Freeze),
        3 => broker().prop_map(Event::Thaw),
        1 => broker().prop_map(Event::Stale),
        1 => broker().prop_map(Event::Learn),
    ]
}

/// Leaders that move while slow brokers store and answer.
fn unrest() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let event = prop_oneof![
        3 => (0..3_usize, 100..700_u64).prop_map(|(id, lag)| Event::Slow(id, lag)),
        3 => (0..4_usize).prop_map(Event::Orphan),
        3 => (0..4_usize, 0..3_usize).prop_map(|(partition, to)| Event::Move(partition, to)),
        1 => event(),
    ];
    prop::collection::vec((0..500_u64, event), 0..40)
}

/// What happens, each after so many milliseconds.
fn weather() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let pause = prop_oneof![Just(0_u64), 0..200_u64, 0..3_000_u64];
    prop::collection::vec((pause, event()), 0..30)
}

fn quick() -> ClientConfig {
    ClientConfig::new()
        .request_timeout_ms(2_000)
        .socket_connection_setup_timeout_ms(1_000)
}

/// The fate of a record: its offset, or why it has none.
#[derive(Debug)]
struct Sent {
    value: String,
    partition: i32,
    result: Result<i64, ClientError>,
}

/// Sends records `p0-0, p0-1, ..` to all partitions by turns.
async fn produce(fake: Arc<Fake>, number: usize, plan: Plan, config: ProducerConfig) -> Vec<Sent> {
    let producer = fake.client(quick()).producer(config).unwrap();
    let mut sent = Vec::new();
    for count in 0..plan.records {
        let value = format!("p{number}-{count}");
        let partition = i32::try_from(count % plan.partitions).unwrap();
        let record = Record::to(TOPIC).partition(partition).value(value.clone());
        let delivery = producer.send(record).await;
        sent.push((value, partition, delivery));
        if count % 3 == number {
            fake.sleep(plan.pace_ms).await;
        }
    }
    let mut fates = Vec::new();
    for (value, partition, delivery) in sent {
        let result = match delivery {
            Ok(delivery) => delivery.await.map(|it| it.offset),
            Err(error) => Err(error),
        };
        fates.push(Sent {
            value,
            partition,
            result,
        });
    }
    fates
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    partitions: usize,
    records: usize,
    pace_ms: u64,
}

fn plan() -> impl Strategy<Value = Plan> {
    (1..4_usize, 1..60_usize, 0..400_u64).prop_map(|(partitions, records, pace_ms)| Plan {
        partitions,
        records,
        pace_ms,
    })
}

/// One copy of each record at most, in the order of its producer.
fn check_order(logs: &[Vec<String>]) -> Result<(), TestCaseError> {
    for (partition, log) in logs.iter().enumerate() {
        let values: BTreeSet<&String> = log.iter().collect();
        prop_assert_eq!(
            values.len(),
            log.len(),
            "copies in {}: {:?}",
            partition,
            log
        );
        prop_assert!(is_in_order(log.iter()), "order in {partition}: {log:?}");
    }
    Ok(())
}

/// Every fate is told truly.
fn check_fates(logs: &[Vec<String>], sent: &[Sent]) -> Result<(), TestCaseError> {
    for it in sent {
        let log = &logs[usize::try_from(it.partition).unwrap()];
        match &it.result {
            Ok(offset) => {
                let stored = log.get(usize::try_from(*offset).unwrap());
                prop_assert_eq!(stored, Some(&it.value), "at {}", offset);
            }
            Err(error) if error.outcome() == Outcome::MayBeWritten => {}
            Err(error) => {
                prop_assert!(!log.contains(&it.value), "{} failed with {error}", it.value);
            }
        }
    }
    Ok(())
}

/// Whether each producer's values count up.
fn is_in_order<'a>(values: impl Iterator<Item = &'a String>) -> bool {
    let mut next: BTreeMap<&str, u64> = BTreeMap::new();
    let mut values = values.map(|value| value.split_once('-').unwrap());
    values.all(|(producer, count)| {
        let count: u64 = count.parse().unwrap();
        let least = next.insert(producer, count + 1).unwrap_or(0);
        least <= count
    })
}

/// Lets it happen, then makes everything well.
async fn blow(fake: &Fake, weather: Vec<(u64, Event)>) {
    for (pause_ms, event) in weather {
        fake.sleep(pause_ms).await;
        fake.apply(event);
    }
    fake.sleep(1_000).await;
    fake.heal();
}

/// Polls until it has seen as many records as there are, which is known at the end.
async fn read_all(
    mut consumer: Consumer,
    total: tokio::sync::watch::Receiver<Option<usize>>,
    seen: Arc<Mutex<BTreeSet<(i32, i64)>>>,
) -> Vec<(i32, i64)> {
    let mut read = Vec::new();
    let mut idle = 0;
    loop {
        let records = consumer.poll(ms(500)).await.unwrap();
        idle = if records.is_empty() { idle + 1 } else { 0 };
        for record in records {
            read.push((record.partition, record.offset));
            seen.lock()
                .unwrap()
                .insert((record.partition, record.offset));
        }
        let is_all = total
            .borrow()
            .is_some_and(|it| seen.lock().unwrap().len() >= it);
        if is_all {
            return read;
        }
        assert!(
            total.borrow().is_none() || idle < 600,
            "{:?} of {:?} records came",
            seen.lock().unwrap().len(),
            *total.borrow()
        );
    }
}

fn in_order(read: &[(i32, i64)]) -> bool {
    let mut next: BTreeMap<i32, i64> = BTreeMap::new();
    read.iter().all(|(partition, offset)| {
        let expected = next.entry(*partition).or_insert(0);
        *expected += 1;
        *offset == *expected - 1
    })
}

fn group_member(client: &Client) -> Consumer {
    let config = ConsumerConfig {
        group_id: Some("g".to_owned()),
        auto_offset_reset: OffsetReset::Earliest,
        auto_commit_interval_ms: 500,
        session_timeout_ms: 10_000,
        request_timeout_ms: 2_000,
        ..ConsumerConfig::default()
    };
    let mut consumer = client.consumer(config);
    consumer.subscribe([TOPIC]).unwrap();
    consumer
}

fn producer_config() -> ProducerConfig {
    ProducerConfig {
        batch_size: 150,
        request_timeout_ms: 2_000,
        ..ProducerConfig::default()
    }
}

async fn nothing_is_lost_or_doubled(
    plan: Plan,
    weather: Vec<(u64, Event)>,
    tells: bool,
) -> Result<(), TestCaseError> {
    let fake = Fake::start(3, plan.partitions, tells).await;
    let (tell, total) = tokio::sync::watch::channel(None);
    let alone = Arc::new(Mutex::default());
    let together = Arc::new(Mutex::default());
    let mut reader = fake.client(quick()).consumer(ConsumerConfig {
        request_timeout_ms: 2_000,
        ..ConsumerConfig::default()
    });
    reader.assign_topic(TOPIC, StartAt::Earliest).await.unwrap();
    let reader = tokio::spawn(read_all(reader, total.clone(), alone));
    let members: Vec<_> = (0..2)
        .map(|_| group_member(&fake.client(quick())))
        .map(|member| tokio::spawn(read_all(member, total.clone(), Arc::clone(&together))))
        .collect();
    let producers: Vec<_> = (0..2)
        .map(|number| produce(Arc::clone(&fake), number, plan, producer_config()))
        .map(tokio::spawn)
        .collect();
    blow(&fake, weather).await;
    let mut sent = Vec::new();
    for producer in producers {
        sent.extend(producer.await.unwrap());
    }
    let failed = sent.iter().find(|it| it.result.is_err());
    prop_assert!(failed.is_none(), "{failed:?}");
    let logs = fake.stored(plan.partitions).await;
    check_fates(&logs, &sent)?;
    check_order(&logs)?;
    tell.send_replace(Some(logs.iter().map(Vec::len).sum()));
    let read = reader.await.unwrap();
    prop_assert!(in_order(&read), "read alone: {read:?}");
    for member in members {
        member.await.unwrap();
    }
    Ok(())
}

/// With little patience records may fail, but what is told of them is true.
async fn fates_are_true(
    plan: Plan,
    weather: Vec<(u64, Event)>,
    is_idempotent: bool,
) -> Result<(), TestCaseError> {
    let fake = Fake::start(3, plan.partitions, true).await;
    let config = ProducerConfig {
        request_timeout_ms: 500,
        delivery_timeout_ms: 2_000,
        enable_idempotence: Some(is_idempotent),
        ..producer_config()
    };
    let producers: Vec<_> = (0..2)
        .map(|number| produce(Arc::clone(&fake), number, plan, config.clone()))
        .map(tokio::spawn)
        .collect();
    blow(&fake, weather).await;
    let mut sent = Vec::new();
    for producer in producers {
        sent.extend(producer.await.unwrap());
    }
    // What slow brokers still hold is done by now.
    fake.sleep(60_000).await;
    let logs = fake.stored(plan.partitions).await;
    check_fates(&logs, &sent)?;
    match is_idempotent {
        true => check_order(&logs),
        // What is in doubt may still arrive at any time, and a retry may double it.
        false => Ok(()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn in_any_weather_nothing_is_lost_nothing_comes_twice_and_order_holds(
        plan in plan(),
        weather in weather(),
        tells in any::<bool>(),
    ) {
        paused(nothing_is_lost_or_doubled(plan, weather, tells))?;
    }

    #[test]
    fn in_any_weather_what_is_told_of_a_record_is_true(
        plan in plan(),
        weather in prop_oneof![weather(), unrest()],
    ) {
        paused(fates_are_true(plan, weather, true))?;
    }

    #[test]
    fn without_idempotence_what_is_told_of_a_record_is_true(
        plan in plan(),
        weather in prop_oneof![weather(), unrest()],
    ) {
        paused(fates_are_true(plan, weather, false))?;
    }
}
