//! What clients do while the broker is disturbed, and what they are told.
//!
//! Invariants
//! - It is the same each time: topics, some thirty sends, rolls, commits, a deletion, a read.
//! - Whoever waits has a limit, and what was not answered in time is noted as unknown.

use std::future::Future;
use std::time::Duration;

use highwater_client::clock::SystemClock;
use highwater_client::{
    Acks, Admin, Client, ClientError, CommittedOffset, ConsumerConfig, Delivery, ErrorCode,
    NewTopic, Producer, ProducerConfig, Record, StartAt,
};
use highwater_kit::history::{Outcome, Read, Step};
use highwater_proto::clock::Clock as _;

use super::told::{
    ADMIN, BESIDE, CACHED, DRAIN, GONE, GROUP, ONE, PLACES, PRODUCER, Patience, READER, ROLES,
    ROLLS, Told,
};

/// The whole of it, from the first connection on.
pub(super) async fn play(bootstrap: String, patience: Patience, mut told: Told) -> Told {
    if let Err(error) = scenes(&bootstrap, patience, &mut told).await {
        told.refused(patience, &error);
    }
    told
}

async fn scenes(bootstrap: &str, patience: Patience, told: &mut Told) -> Result<(), ClientError> {
    let client = again(patience, || Client::connect(bootstrap)).await?;
    let admin = client.admin();
    for (name, configs) in TOPICS {
        create(&admin, name, configs, patience, told).await?;
    }
    let producer = client.producer(producing(patience, Acks::All))?;
    let one = client.producer(producing(patience, Acks::Leader))?;
    let mut sent = told.sent();
    for round in 0..ROUNDS {
        let mut sends = vec![(PRODUCER, ROLLS)];
        match round % 4 {
            1 => sends.push((PRODUCER, CACHED)),
            2 => sends.extend([(PRODUCER, BESIDE), (PRODUCER, CACHED)]),
            3 => sends.push((ONE, CACHED)),
            _ => {}
        }
        sent = send_all([&producer, &one], &sends, sent, patience, told).await;
        let operations = &told.history.operations[told.history.operations.len() - sends.len()..];
        if operations
            .iter()
            .any(|it| it.result != Outcome::Ok && it.process == PRODUCER)
        {
            break;
        }
        match round {
            5 | 11 => commit(&admin, patience, told).await?,
            8 => delete(&client, &admin, patience, told).await?,
            _ => {}
        }
    }
    committed(&admin, patience, told).await?;
    read(&client, READER, patience, told).await
}

/// Reads everything when the broker has been started again, and looks whether it is all there.
pub(super) async fn look(bootstrap: String, mut told: Told) -> Told {
    let patience = Patience::UNTIL_IT_IS_BACK;
    let looked = async {
        let client = again(patience, || Client::connect(&bootstrap)).await?;
        let admin = client.admin();
        let topics = again(patience, || admin.list_topics()).await?;
        for name in &told.created {
            let is_there = topics.iter().any(|topic| topic.name == *name);
            let is_wrong = match *name {
                GONE => is_there && told.is_deleted,
                _ => !is_there,
            };
            if is_wrong {
                let how = if is_there { "there" } else { "not there" };
                told.wrong.push(format!("D10: the topic {name} is {how}"));
            }
        }
        for (name, configs) in &TOPICS[..2] {
            create(&admin, name, configs, patience, &mut told).await?;
        }
        committed(&admin, patience, &mut told).await?;
        read(&client, DRAIN, patience, &mut told).await
    };
    if let Err(error) = looked.await {
        told.wrong.push(format!("after the restart: {error}"));
    }
    told
}

/// Tries until it succeeds, or time is up, or repeating does not help.
async fn again<T, F: Future<Output = Result<T, ClientError>>>(
    patience: Patience,
    call: impl Fn() -> F,
) -> Result<T, ClientError> {
    let clock = SystemClock::new();
    let until = clock.now().mono.plus(patience.answer);
    let mut last = ClientError::Unknown(format!("no answer in {:?}", patience.answer));
    let trying = async {
        loop {
            match call().await {
                Err(error) if error.is_retriable() => last = error,
                done => return done,
            }
            clock.sleep_until(clock.now().mono.plus(AGAIN)).await;
        }
    };
    let tried = tokio::select! {
        tried = trying => Some(tried),
        () = clock.sleep_until(until) => None,
    };
    tried.unwrap_or(Err(last))
}

async fn create(
    admin: &Admin,
    name: &'static str,
    configs: &[(&str, &str)],
    patience: Patience,
    told: &mut Told,
) -> Result<(), ClientError> {
    let configs = configs
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    let topic = NewTopic {
        name: name.to_owned(),
        partitions: Some(if name == "rolls" { 2 } else { 1 }),
        configs: configs.collect(),
        ..Default::default()
    };
    match again(patience, || admin.create_topic(&topic)).await {
        // A repetition of one that was done.
        Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => {}
        done => done?,
    }
    told.created.push(name);
    told.is_deleted &= name != GONE;
    Ok(())
}

async fn delete(
    client: &Client,
    admin: &Admin,
    patience: Patience,
    told: &mut Told,
) -> Result<(), ClientError> {
    // Its records are nobody's business, but its files are: they stand in the way of the deletion.
    let producer = client.producer(producing(patience, Acks::All))?;
    let record = Record::to(GONE).partition(0).value(payload(1));
    let sent = async { producer.send(record).await?.await };
    if let Err(error) = sent.await {
        told.refused(patience, &error);
    }
    let delete = async || match admin.delete_topic(GONE).await {
        // A repetition of one that was done.
        Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => Ok(()),
        done => done,
    };
    again(patience, delete).await?;
    told.is_deleted = true;
    Ok(())
}

/// Sends at once, and waits for all answers.
async fn send_all(
    producers: [&Producer; 2],
    sends: &[(u32, u32)],
    mut sent: u64,
    patience: Patience,
    told: &mut Told,
) -> u64 {
    let mut waiting: Vec<(u32, Step, u64, Result<Delivery, ClientError>)> = Vec::new();
    for (process, place) in sends {
        sent += 1;
        let (topic, partition) = PLACES[*place as usize];
        let record = Record::to(topic).partition(partition).value(payload(sent));
        let step = Step::Send {
            partition: *place,
            value: sent,
            offset: None,
        };
        let start_us = told.now_us();
        let delivery = producers[*process as usize].send(record).await;
        waiting.push((*process, step, start_us, delivery));
    }
    for (process, mut step, start_us, delivery) in waiting {
        let result = match delivery {
            Ok(delivery) => delivery.await,
            Err(error) => Err(error),
        };
        let outcome = match result {
            Ok(stored) => {
                if let Step::Send { offset, .. } = &mut step {
                    *offset = u64::try_from(stored.offset).ok();
                }
                Outcome::Ok
            }
            Err(error) => {
                // The producer with acks=1 repeats nothing that may have been done.
                let is_firm = patience.is_firm && process == PRODUCER;
                told.refused(
                    Patience {
                        is_firm,
                        ..patience
                    },
                    &error,
                );
                match error {
                    ClientError::NotSent(_) => Outcome::Fail,
                    _ => Outcome::Info,
                }
            }
        };
        told.note(process, start_us, outcome, vec![step]);
    }
    sent
}

async fn commit(admin: &Admin, patience: Patience, told: &mut Told) -> Result<(), ClientError> {
    let offsets = [ROLLS, CACHED].map(|place| {
        let (topic, partition) = PLACES[place as usize];
        CommittedOffset {
            topic: topic.to_owned(),
            partition,
            offset: told.end(place),
            ..CommittedOffset::default()
        }
    });
    let steps = [ROLLS, CACHED].map(|partition| Step::Commit {
        group: 0,
        partition,
        offset: told.end(partition).cast_unsigned(),
    });
    let start_us = told.now_us();
    let done = again(patience, || admin.alter_group_offsets(GROUP, &offsets)).await;
    let outcome = match &done {
        Ok(()) => Outcome::Ok,
        Err(_) => Outcome::Info,
    };
    told.note(ADMIN, start_us, outcome, steps.into());
    match done {
        Err(error) if !patience.is_firm => {
            told.refused(patience, &error);
            Ok(())
        }
        done => done,
    }
}

async fn committed(admin: &Admin, patience: Patience, told: &mut Told) -> Result<(), ClientError> {
    let start_us = told.now_us();
    let found = again(patience, || admin.group_offsets(GROUP, None)).await?;
    let steps = [ROLLS, CACHED].map(|place| {
        let (topic, partition) = PLACES[place as usize];
        let its = found
            .iter()
            .find(|it| it.topic == topic && it.partition == partition);
        Step::Committed {
            group: 0,
            partition: place,
            offset: its.and_then(|it| u64::try_from(it.offset).ok()),
        }
    });
    told.note(ADMIN, start_us, Outcome::Ok, steps.into());
    Ok(())
}

/// Reads all partitions from their first records to their ends: everything acknowledged is there.
async fn read(
    client: &Client,
    process: u32,
    patience: Patience,
    told: &mut Told,
) -> Result<(), ClientError> {
    let start_us = told.now_us();
    // What a restart interrupts begins anew.
    let (steps, wrong) = again(patience, || read_all(client)).await?;
    told.wrong.extend(wrong);
    for place in [ROLLS, BESIDE, CACHED] {
        let mut missing: Vec<u64> = told.acked(place).collect();
        for step in &steps {
            if let Step::Poll(reads) = step {
                missing.retain(|value| !reads.iter().any(|it| it.value == *value));
            }
        }
        if !missing.is_empty() {
            let (topic, partition) = PLACES[place as usize];
            let role = ROLES[process as usize];
            told.wrong.push(format!(
                "O1: {role:?} does not find what was acknowledged in {topic}/{partition}: {missing:?}"
            ));
        }
    }
    told.note(process, start_us, Outcome::Ok, steps);
    Ok(())
}

async fn read_all(client: &Client) -> Result<(Vec<Step>, Vec<String>), ClientError> {
    let mut consumer = client.consumer(ConsumerConfig {
        fetch_max_wait_ms: 20,
        ..ConsumerConfig::default()
    });
    let (mut ends, mut wrong) = (Vec::new(), Vec::new());
    for (topic, partition) in PLACES {
        let end = consumer.end_offsets(topic).await?[usize::try_from(partition).unwrap_or(0)];
        consumer.assign(topic, partition, StartAt::Earliest).await?;
        ends.push(end);
    }
    let all = (0..).take(PLACES.len()).map(|place| (place, Some(0)));
    let mut steps = vec![Step::Assign(all.collect())];
    let is_behind = |consumer: &highwater_client::Consumer| {
        let mut places = PLACES.iter().zip(&ends);
        places.any(|((topic, partition), end)| {
            consumer
                .position(topic, *partition)
                .is_none_or(|position| position < *end)
        })
    };
    while is_behind(&consumer) {
        let mut reads = Vec::new();
        for record in consumer.poll(POLL).await? {
            let bytes = record.value.as_deref().unwrap_or_default();
            let value = bytes
                .first_chunk()
                .map_or(0, |bytes| u64::from_be_bytes(*bytes));
            let place = PLACES
                .iter()
                .position(|it| *it == (&*record.topic, record.partition));
            if payload(value) != bytes {
                let (topic, offset) = (&record.topic, record.offset);
                wrong.push(format!("O11: damaged bytes at offset {offset} of {topic}"));
            }
            reads.push(Read {
                partition: place
                    .and_then(|place| u32::try_from(place).ok())
                    .unwrap_or(0),
                offset: record.offset.cast_unsigned(),
                value,
            });
        }
        steps.push(Step::Poll(reads));
    }
    Ok((steps, wrong))
}

fn producing(patience: Patience, acks: Acks) -> ProducerConfig {
    let delivery_timeout_ms = u64::try_from(patience.delivery.as_millis()).unwrap_or(u64::MAX);
    ProducerConfig {
        acks,
        linger_ms: 0,
        retry_backoff_ms: 20,
        request_timeout_ms: delivery_timeout_ms.min(30_000),
        delivery_timeout_ms,
        ..ProducerConfig::default()
    }
}

/// The bytes of a value: they are looked at whole.
fn payload(value: u64) -> Vec<u8> {
    value.to_be_bytes().repeat(25)
}

/// Small segments roll within the script; a short background sync falls into it.
const TOPICS: [(&str, &[(&str, &str)]); 3] = [
    ("rolls", &[("segment.bytes", "1500")]),
    (
        "cached",
        &[("durability", "page-cache"), ("flush.ms", "10")],
    ),
    (GONE, &[]),
];

/// Thirty sends by the idempotent producer, four by the other.
const ROUNDS: u64 = 17;

const AGAIN: Duration = Duration::from_millis(20);
const POLL: Duration = Duration::from_millis(100);
