//! The knobs of a producer: how many records a second it takes at most, and how long a record waits
//! for its answer at a rate that every row can keep.

use highwater::{Acks, Codec, ProducerConfig};

use super::bound;
use super::kit::run::Run;
use super::rig::{Failure, Rig, TOPIC, Topic};
use super::table::{Column, Table, Turn};
use super::tail::{Paced, percentiles};

/// What a row turns.
#[derive(Clone)]
pub(crate) struct Knobs {
    pub(crate) producer: ProducerConfig,
    pub(crate) topic: Topic,
}

pub(crate) fn measure(run: &Run) -> Result<Table, Failure> {
    let rig = Rig::new(run, "tuning-produce")?;
    let raw = run.folder("tuning-produce-raw")?;
    let path = raw.path().join("written");
    let charts = &[Column::PerSecond, Column::P99];
    Table::measure(run, "produce", charts, rows(), |knobs| {
        let bound = bound::produce(run, &rig.flights, &knobs.producer, &path)?;
        let turn = pass(run, &rig, knobs)?;
        Ok(Turn {
            bound: Some(bound),
            ..turn
        })
    })
}

fn rows() -> Vec<(String, Knobs)> {
    let defaults = ProducerConfig::default();
    let of = |producer: ProducerConfig| Knobs {
        producer,
        topic: Topic::default(),
    };
    let on = |partitions: i32, durability: &'static str| Topic {
        partitions,
        durability,
    };
    let tuned = tuned();
    let rows = [
        ("defaults", of(defaults.clone())),
        ("acks=1", of(defaults.clone().acks(Acks::Leader))),
        ("acks=0", of(defaults.clone().acks(Acks::None))),
        ("batch.size=32768", of(defaults.clone().batch_size(32_768))),
        (
            "batch.size=262144",
            of(defaults.clone().batch_size(262_144)),
        ),
        ("linger.ms=0", of(defaults.clone().linger_ms(0))),
        ("linger.ms=20", of(defaults.clone().linger_ms(20))),
        (
            "compression.type=lz4",
            of(defaults.clone().compression_type(Codec::Lz4)),
        ),
        (
            "compression.type=snappy",
            of(defaults.clone().compression_type(Codec::Snappy)),
        ),
        (
            "compression.type=gzip",
            of(defaults.clone().compression_type(Codec::Gzip)),
        ),
        ("max.in.flight...=1", of(defaults.clone().max_in_flight(1))),
        (
            "1 partition",
            Knobs {
                topic: on(1, "fsync"),
                ..of(defaults.clone())
            },
        ),
        (
            "48 partitions",
            Knobs {
                topic: on(48, "fsync"),
                ..of(defaults.clone())
            },
        ),
        (
            "durability=page-cache",
            Knobs {
                topic: on(12, "page-cache"),
                ..of(defaults)
            },
        ),
        ("32768, 20 ms, lz4", of(tuned.clone())),
        ("- and acks=1", of(tuned.clone().acks(Acks::Leader))),
        (
            "- and page-cache",
            Knobs {
                topic: on(12, "page-cache"),
                ..of(tuned)
            },
        ),
    ];
    let named = rows
        .into_iter()
        .map(|(what, knobs)| (what.to_owned(), knobs));
    named.collect()
}

/// The documented tips together.
pub(crate) fn tuned() -> ProducerConfig {
    ProducerConfig::default()
        .batch_size(32_768)
        .linger_ms(20)
        .compression_type(Codec::Lz4)
}

/// As many records a second as are taken, and the latency at a rate.
fn pass(run: &Run, rig: &Rig, knobs: &Knobs) -> Result<Turn, Failure> {
    let count = run.scale(FLOOD, 2_000);
    let flood = rig.with_topic(knobs.topic, async || {
        let (before, stored) = (rig.counts()?, rig.stored_bytes()?);
        rig.flood(&knobs.producer, count).await?;
        let spent = rig.since(before)?;
        rig.expect_stored(knobs.topic.partitions, count).await?;
        let stored = rig.stored_bytes()? - stored;
        Ok(Turn {
            per_second: Some(count as f64 / spent.seconds),
            cpu: Some(spent.cpu_seconds / count as f64),
            stored: Some(stored as f64 / count as f64),
            requests: Some(spent.produce_requests as f64 * 1000.0 / count as f64),
            ..Turn::default()
        })
    })?;
    let paced = Paced {
        per_second: LATENCY_RATE,
        count: run.scale(LATENCY_RATE, 100),
    };
    let answered = rig.with_topic(knobs.topic, async || {
        paced.answered(rig, &knobs.producer, TOPIC).await
    })?;
    let (p50, p99) = percentiles(answered);
    Ok(Turn {
        p50: Some(p50),
        p99: Some(p99),
        ..flood
    })
}

/// Flights that are sent as fast as they are taken.
const FLOOD: usize = 200_000;
/// Flights a second at which the latency is measured: what a busy service sends.
const LATENCY_RATE: usize = 10_000;
