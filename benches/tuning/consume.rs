//! The knobs of a consumer that catches up: how many records a second it reads.

use std::time::Duration;

use highwater::{Codec, ConsumerConfig, ProducerConfig, StartAt};

use super::bound;
use super::kit::run::Run;
use super::rig::{Failure, Rig, TOPIC, Topic};
use super::table::{Column, Table, Turn};

/// What a row turns.
struct Knobs {
    consumer: ConsumerConfig,
    codec: Codec,
    partitions: i32,
}

pub(crate) fn measure(run: &Run) -> Result<Table, Failure> {
    let rig = Rig::new(run, "tuning-consume")?;
    let charts = &[Column::PerSecond, Column::Cpu];
    Table::measure(run, "catch up", charts, rows(), |knobs| {
        let bound = bound::consume(run, &rig.flights, knobs.codec)?;
        let turn = pass(run, &rig, knobs)?;
        Ok(Turn {
            bound: Some(bound),
            ..turn
        })
    })
}

fn rows() -> Vec<(String, Knobs)> {
    let defaults = ConsumerConfig::default();
    let of = |consumer: ConsumerConfig| Knobs {
        consumer,
        codec: Codec::None,
        partitions: 12,
    };
    let with = |codec: Codec, partitions: i32| Knobs {
        consumer: ConsumerConfig::default(),
        codec,
        partitions,
    };
    let rows = [
        ("defaults", of(defaults.clone())),
        (
            "max.poll.records=50",
            of(defaults.clone().max_poll_records(50)),
        ),
        (
            "max.poll.records=5000",
            of(defaults.clone().max_poll_records(5_000)),
        ),
        (
            "fetch.min.bytes=65536",
            of(defaults.clone().fetch_min_bytes(65_536)),
        ),
        (
            "max.partition.fetch.bytes=65536",
            of(defaults.clone().max_partition_fetch_bytes(65_536)),
        ),
        ("check.crcs=false", of(defaults.check_crcs(false))),
        ("compression.type=lz4", with(Codec::Lz4, 12)),
        ("compression.type=snappy", with(Codec::Snappy, 12)),
        ("compression.type=gzip", with(Codec::Gzip, 12)),
        ("1 partition", with(Codec::None, 1)),
        ("48 partitions", with(Codec::None, 48)),
    ];
    let named = rows
        .into_iter()
        .map(|(what, knobs)| (what.to_owned(), knobs));
    named.collect()
}

fn pass(run: &Run, rig: &Rig, knobs: &Knobs) -> Result<Turn, Failure> {
    let count = run.scale(RECORDS, 2_000);
    let topic = Topic {
        partitions: knobs.partitions,
        durability: "page-cache",
    };
    rig.with_topic(topic, async || {
        let producer = ProducerConfig::default().compression_type(knobs.codec);
        rig.flood(&producer, count).await?;
        rig.expect_stored(knobs.partitions, count).await?;
        let mut consumer = rig.client.consumer(knobs.consumer.clone());
        let before = rig.counts()?;
        consumer.assign_topic(TOPIC, StartAt::Earliest).await?;
        let mut left = count;
        while left > 0 {
            let records = consumer.poll(POLL_MAX).await?;
            if records.is_empty() {
                return Err(format!("{left} records are missing").into());
            }
            left = left.saturating_sub(records.len());
        }
        let spent = rig.since(before)?;
        Ok(Turn {
            per_second: Some(count as f64 / spent.seconds),
            cpu: Some(spent.cpu_seconds / count as f64),
            requests: Some(spent.fetch_requests as f64 * 1000.0 / count as f64),
            ..Turn::default()
        })
    })
}

/// Records that are read; at least half a second of it.
const RECORDS: usize = 400_000;
/// No record for so long: something is wrong.
const POLL_MAX: Duration = Duration::from_secs(10);
