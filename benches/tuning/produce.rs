//! The knobs of a producer: how many records a second it takes at most, and how long a record waits
//! for its answer at a rate that every row can keep.

use highwater::ProducerConfig;

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
    Table::measure(run, "produce", charts, rows()?, |knobs| {
        let bound = bound::produce(run, &rig.flights, &knobs.producer, &path)?;
        let turn = pass(run, &rig, knobs)?;
        Ok(Turn {
            bound: Some(bound),
            ..turn
        })
    })
}

fn rows() -> Result<Vec<(String, Knobs)>, Failure> {
    let row = |(what, settings, partitions, durability): &Row| {
        let producer = ProducerConfig::from_properties(settings.iter().copied())?;
        let topic = Topic {
            partitions: *partitions,
            durability,
        };
        Ok(((*what).to_owned(), Knobs { producer, topic }))
    };
    ROWS.iter().map(row).collect()
}

/// The documented tips together.
pub(crate) fn tuned() -> Result<ProducerConfig, Failure> {
    Ok(ProducerConfig::from_properties(TIPS)?)
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

/// What it is called, the producer's settings, partitions and `durability` of the topic.
type Row = (&'static str, Settings, i32, &'static str);
type Settings = &'static [(&'static str, &'static str)];

const ROWS: [Row; 17] = [
    ("defaults", &[], 12, "fsync"),
    ("acks=1", &[("acks", "1")], 12, "fsync"),
    ("acks=0", &[("acks", "0")], 12, "fsync"),
    ("batch.size=32768", &[("batch.size", "32768")], 12, "fsync"),
    (
        "batch.size=262144",
        &[("batch.size", "262144")],
        12,
        "fsync",
    ),
    ("linger.ms=0", &[("linger.ms", "0")], 12, "fsync"),
    ("linger.ms=20", &[("linger.ms", "20")], 12, "fsync"),
    ("compression.type=lz4", &[LZ4], 12, "fsync"),
    (
        "compression.type=snappy",
        &[("compression.type", "snappy")],
        12,
        "fsync",
    ),
    (
        "compression.type=gzip",
        &[("compression.type", "gzip")],
        12,
        "fsync",
    ),
    (
        "one request in flight",
        &[("max.in.flight.requests.per.connection", "1")],
        12,
        "fsync",
    ),
    ("1 partition", &[], 1, "fsync"),
    ("48 partitions", &[], 48, "fsync"),
    ("durability=page-cache", &[], 12, "page-cache"),
    ("32768, 20 ms, lz4", &TIPS, 12, "fsync"),
    (
        "- and acks=1",
        &[TIPS[0], TIPS[1], LZ4, ("acks", "1")],
        12,
        "fsync",
    ),
    ("- and page-cache", &TIPS, 12, "page-cache"),
];
const TIPS: [(&str, &str); 3] = [("batch.size", "32768"), ("linger.ms", "20"), LZ4];
const LZ4: (&str, &str) = ("compression.type", "lz4");

/// Flights that are sent as fast as they are taken.
const FLOOD: usize = 200_000;
/// Flights a second at which the latency is measured: what a busy service sends.
const LATENCY_RATE: usize = 10_000;
