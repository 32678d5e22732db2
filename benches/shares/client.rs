//! Records of 100 bytes over loopback through our client, the broker beside it, at `page-cache`:
//! against what the limits of the same turn allow when both share the cores.
//!
//! The bound is the smallest of three, in records a second, from the cost of each step:
//! - all cores over the sum of what both sides do;
//! - one core over what the broker's connection does: to receive, check, write and answer, or to
//!   send;
//! - one core over what the client does: to build the batch, send and be answered, or to receive,
//!   check the batch and read its records.
//!
//! Requests and answers cost what bare sockets take for as many bytes, with as many requests on
//! their way.
//!
//! Invariants
//! - Every record that was sent is stored, and every record that was stored is read, else the run
//!   fails.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use highwater::{ConsumerConfig, ProducerConfig, Record, StartAt};
use highwater_proto::batch::{ProduceLimits, check_crc, validate_produced};
use highwater_proto::batch_builder::BatchBuilder;
use highwater_proto::compress::Codec;
use highwater_proto::record::RecordIter;

use super::kit::disk;
use super::kit::raw;
use super::kit::run::{Run, Target, Unit, median};
use super::limits::PIECE_BYTES;
use super::wire::{Rig, TOPIC};

type Failure = Box<dyn Error>;

pub(crate) fn measure(run: &mut Run) -> Result<(), Failure> {
    let folder = run.folder("client")?;
    let raw_folder = run.folder("client-raw")?;
    let rig = Rig::new(folder.path())?;
    let limits = Limits {
        path: &raw_folder.path().join("written"),
        batch: batch()?,
        count: run.scale(2048, 16),
    };
    let records = run.scale(2_000_000, 4_000);
    for (batch_bytes, linger_ms, partitions, what) in [
        (16_384, 5, 1, "produce 100 B, defaults"),
        (
            PIECE_BYTES,
            20,
            1,
            "produce 100 B, batch.size 32 KiB, linger.ms 20",
        ),
        (PIECE_BYTES, 20, 12, "the same, twelve partitions"),
    ] {
        let config = ProducerConfig {
            batch_size: batch_bytes,
            linger_ms,
            ..ProducerConfig::default()
        };
        let pass = |run: &Run| produce(run, &rig, &config, partitions, records);
        row(run, what, PRODUCED_MIN, pass, |run| {
            limits.produce(run, partitions.unsigned_abs() as usize * batch_bytes)
        })?;
    }
    for (records_max, what) in [
        (500, "consume 100 B, defaults"),
        (10_000, "consume 100 B, max.poll.records 10000"),
    ] {
        let config = ConsumerConfig {
            max_poll_records: records_max,
            ..ConsumerConfig::default()
        };
        let pass = |run: &Run| consume(run, &rig, &config, records);
        row(run, what, CONSUMED_MIN, pass, |run| limits.consume(run))?;
    }
    Ok(())
}

/// What one pass has shown.
struct Pass {
    per_second: f64,
    /// Of both sides, a record.
    cpu_seconds: f64,
}

/// Three rows: the share of the bound, the share of a fixed rate, and the CPU of a record.
fn row(
    run: &mut Run,
    what: &str,
    least: f64,
    pass: impl Fn(&Run) -> Result<Pass, Failure>,
    bound: impl Fn(&Run) -> Result<f64, Failure>,
) -> Result<(), Failure> {
    let mut cpu = Vec::new();
    let figure = || {
        let pass = pass(run)?;
        cpu.push(pass.cpu_seconds);
        Ok::<_, Failure>(pass.per_second)
    };
    let turns = run.turns(figure, || bound(run))?;
    run.share(
        what,
        Unit::PerSecond,
        turns,
        "bound of both sides",
        Target::AtLeast(0.8),
    );
    run.at_least(
        "- or, whatever the bound",
        turns.value,
        Unit::PerSecond,
        least,
    );
    run.row(
        "- CPU of a record, broker and client",
        median(cpu),
        Unit::Time,
    );
    Ok(())
}

fn produce(
    run: &Run,
    rig: &Rig,
    config: &ProducerConfig,
    partitions: i32,
    count: usize,
) -> Result<Pass, Failure> {
    let value = Bytes::from(vec![7; RECORD_BYTES]);
    let work = async {
        let producer = rig.client.producer(config.clone())?;
        let (start, cpu) = (run.now().mono, disk::cpu("self")?);
        for _ in 0..count {
            producer
                .send(Record::to(TOPIC).value(value.clone()))
                .await?;
        }
        producer.flush().await;
        let seconds = run.now().mono.since(start).as_secs_f64();
        let cpu_seconds = (disk::cpu("self")? - cpu) / count as f64;
        rig.expect_stored(partitions, count).await?;
        Ok(Pass {
            per_second: count as f64 / seconds,
            cpu_seconds,
        })
    };
    rig.with_topic(partitions, || rig.runtime.block_on(work))
}

fn consume(run: &Run, rig: &Rig, config: &ConsumerConfig, count: usize) -> Result<Pass, Failure> {
    let work = async {
        fill(rig, count).await?;
        let mut consumer = rig.client.consumer(config.clone());
        let (start, cpu) = (run.now().mono, disk::cpu("self")?);
        consumer.assign_topic(TOPIC, StartAt::Earliest).await?;
        let mut left = count;
        while left > 0 {
            let records = consumer.poll(POLL_MAX).await?;
            let bytes: usize = records
                .iter()
                .filter_map(|it| it.value.as_ref())
                .map(Bytes::len)
                .sum();
            if records.is_empty() || bytes != records.len() * RECORD_BYTES {
                return Err(format!("{left} records are missing or wrong").into());
            }
            left = left.saturating_sub(records.len());
        }
        let seconds = run.now().mono.since(start).as_secs_f64();
        Ok(Pass {
            per_second: count as f64 / seconds,
            cpu_seconds: (disk::cpu("self")? - cpu) / count as f64,
        })
    };
    rig.with_topic(1, || rig.runtime.block_on(work))
}

async fn fill(rig: &Rig, count: usize) -> Result<(), Failure> {
    let producer = rig.client.producer(ProducerConfig::default())?;
    let value = Bytes::from(vec![7; RECORD_BYTES]);
    for _ in 0..count {
        producer
            .send(Record::to(TOPIC).value(value.clone()))
            .await?;
    }
    producer.flush().await;
    rig.expect_stored(1, count).await
}

/// What the machine allows right now.
struct Limits<'a> {
    path: &'a Path,
    batch: Bytes,
    count: usize,
}

impl Limits<'_> {
    /// With requests of so many bytes.
    fn produce(&self, run: &Run, request_bytes: usize) -> Result<f64, Failure> {
        let bytes = self.batch.len() as f64;
        let ahead = ProducerConfig::default().max_in_flight;
        let count = (self.count * PIECE_BYTES / request_bytes).max(ahead);
        let request = raw::request(run, request_bytes, ahead, count)?;
        let request = request * bytes / request_bytes as f64;
        let client = request + self.each(run, || batch().map(drop))?;
        let check = self.each(run, || {
            Ok(validate_produced(&self.batch, &ProduceLimits::default()).map(drop)?)
        })?;
        let write = bytes / raw::write_loop(run, self.path, &self.batch, self.count)?;
        self.bound(client, request + check + write)
    }

    fn consume(&self, run: &Run) -> Result<f64, Failure> {
        let bytes = self.batch.len();
        let stream = bytes as f64 / raw::stream(run, bytes, self.count)?;
        let read = self.each(run, || {
            check_crc(&self.batch)?;
            let records: Result<Vec<_>, _> = RecordIter::new(self.batch.clone(), 0)?.collect();
            drop(std::hint::black_box(records?));
            Ok(())
        })?;
        self.bound(stream + read, stream)
    }

    /// Records a second, from the seconds that each side takes for a batch.
    fn bound(&self, client: f64, broker: f64) -> Result<f64, Failure> {
        let cores = std::thread::available_parallelism()?.get() as f64;
        let seconds = ((client + broker) / cores).max(client).max(broker);
        Ok(batch_records() as f64 / seconds)
    }

    /// Seconds of one call.
    fn each(
        &self,
        run: &Run,
        mut work: impl FnMut() -> Result<(), Failure>,
    ) -> Result<f64, Failure> {
        let (seconds, done) = run.seconds(|| (0..self.count).try_for_each(|_| work()));
        done?;
        Ok(seconds / self.count as f64)
    }
}

/// A batch of 32 KiB.
fn batch() -> Result<Bytes, Failure> {
    let mut builder = BatchBuilder::new(Codec::None);
    let value = [7; RECORD_BYTES];
    for _ in 0..batch_records() {
        builder.append(1_700_000_000_000, None, Some(&value), &[])?;
    }
    Ok(builder.build()?)
}

const fn batch_records() -> usize {
    PIECE_BYTES / (RECORD_BYTES + OVERHEAD_BYTES)
}

/// The value of a record in bytes.
const RECORD_BYTES: usize = 100;

/// What the format adds to a record, about.
const OVERHEAD_BYTES: usize = 9;

/// Records a second that suffice, whatever the bound is.
const PRODUCED_MIN: f64 = 3e6;
const CONSUMED_MIN: f64 = 4e6;

/// No record for so long: something is wrong.
const POLL_MAX: Duration = Duration::from_secs(10);
