//! All tips together, from end to end: as many records a second as go in and come out, and how long
//! one takes at a rate.

use std::time::Duration;

use highwater::{Acks, ConsumerConfig, ProducerConfig, StartAt};

use super::kit::run::Run;
use super::produce::tuned;
use super::rig::{Failure, Rig, TOPIC, Topic};
use super::table::{Column, Table, Turn};
use super::tail::{Paced, percentiles};

/// What a row turns.
#[derive(Clone)]
struct Knobs {
    producer: ProducerConfig,
    consumer: ConsumerConfig,
    topic: Topic,
}

pub(crate) fn measure(run: &Run) -> Result<Table, Failure> {
    let rig = Rig::new(run, "tuning-profile")?;
    let charts = &[Column::PerSecond, Column::P99];
    Table::measure(run, "from end to end", charts, rows()?, |knobs| {
        pass(run, &rig, knobs)
    })
}

fn rows() -> Result<Vec<(String, Knobs)>, Failure> {
    let untuned = Knobs {
        producer: ProducerConfig::default().linger_ms(0),
        consumer: ConsumerConfig::default(),
        topic: Topic {
            partitions: 1,
            ..Topic::default()
        },
    };
    let tuned = Knobs {
        producer: tuned()?,
        consumer: ConsumerConfig::default()
            .max_poll_records(5_000)
            .fetch_min_bytes(65_536),
        topic: Topic::default(),
    };
    let defaults = Knobs {
        producer: ProducerConfig::default(),
        topic: Topic::default(),
        ..untuned.clone()
    };
    let relaxed = Knobs {
        producer: tuned.producer.clone().acks(Acks::Leader),
        ..tuned.clone()
    };
    let cached = Knobs {
        topic: Topic {
            durability: "page-cache",
            ..tuned.topic
        },
        ..tuned.clone()
    };
    let rows = [
        ("untuned: 1 partition, linger.ms=0", untuned),
        ("defaults, 12 partitions", defaults),
        ("tuned", tuned),
        ("tuned, acks=1", relaxed),
        ("tuned, page-cache", cached),
    ];
    let named = rows
        .into_iter()
        .map(|(what, knobs)| (what.to_owned(), knobs));
    Ok(named.collect())
}

fn pass(run: &Run, rig: &Rig, knobs: &Knobs) -> Result<Turn, Failure> {
    let count = run.scale(FLOOD, 2_000);
    let flood = rig.with_topic(knobs.topic, async || {
        let mut consumer = rig.client.consumer(knobs.consumer.clone());
        consumer.assign_topic(TOPIC, StartAt::Earliest).await?;
        let before = rig.counts()?;
        let read = async {
            let mut left = count;
            while left > 0 {
                let records = consumer.poll(POLL_MAX).await?;
                if records.is_empty() {
                    return Err(format!("{left} records are missing").into());
                }
                left = left.saturating_sub(records.len());
            }
            Ok::<_, Failure>(())
        };
        tokio::try_join!(rig.flood(&knobs.producer, count), read)?;
        let spent = rig.since(before)?;
        let requests = spent.produce_requests + spent.fetch_requests;
        Ok(Turn {
            per_second: Some(count as f64 / spent.seconds),
            cpu: Some(spent.cpu_seconds / count as f64),
            stored: Some(rig.stored_bytes()? as f64 / count as f64),
            requests: Some(requests as f64 * 1000.0 / count as f64),
            ..Turn::default()
        })
    })?;
    let paced = Paced {
        per_second: RATE,
        count: run.scale(RATE, 100),
    };
    let latencies = rig.with_topic(knobs.topic, async || {
        let consumer = knobs.consumer.clone();
        paced.consumed(rig, &knobs.producer, consumer).await
    })?;
    let (p50, p99) = percentiles(latencies);
    Ok(Turn {
        p50: Some(p50),
        p99: Some(p99),
        ..flood
    })
}

/// Flights that go through as fast as they can: for so long that the last fetch, which waits for
/// `fetch.min.bytes` that do not come any more, is a small part of it.
const FLOOD: usize = 2_000_000;
/// Flights a second at which the latency is measured.
const RATE: usize = 5_000;
/// No record for so long: something is wrong.
const POLL_MAX: Duration = Duration::from_secs(10);
