//! What both cores would allow if they did nothing but what has to be done: records a second.
//!
//! To produce: a batch is built and compressed, goes over loopback and is answered, its checksum
//! is checked, and it is written into the page cache. To consume: a batch goes over loopback, its
//! checksum is checked, it is decompressed and its records are read. What syncs cost is not in it.

use std::path::Path;

use bytes::Bytes;
use highwater::{Codec, ProducerConfig};
use highwater_proto::batch::{ProduceLimits, check_crc, validate_produced};
use highwater_proto::batch_builder::BatchBuilder;
use highwater_proto::record::RecordIter;

use super::flights::Flights;
use super::kit::raw;
use super::kit::run::Run;
use super::rig::Failure;

/// A batch as a producer with these settings would fill it.
struct Batch {
    bytes: Bytes,
    records: usize,
}

/// Records a second, to produce.
pub(crate) fn produce(
    run: &Run,
    flights: &Flights,
    config: &ProducerConfig,
    path: &Path,
) -> Result<f64, Failure> {
    let batch = build(flights, config.compression_type, config.batch_size)?;
    let count = run.scale(BYTES_MOVED / config.batch_size, 8).max(AHEAD);
    let request = raw::request(run, batch.bytes.len(), AHEAD, count)?;
    let built = each(run, count, || {
        build(flights, config.compression_type, config.batch_size).map(drop)
    })?;
    let checked = each(run, count, || {
        Ok(validate_produced(&batch.bytes, &ProduceLimits::default()).map(drop)?)
    })?;
    let written = batch.bytes.len() as f64 / raw::write_loop(run, path, &batch.bytes, count)?;
    // Both ends of the connection work at the same time.
    records_per_second(&batch, request + built, request + checked + written)
}

/// Records a second, to consume.
pub(crate) fn consume(run: &Run, flights: &Flights, codec: Codec) -> Result<f64, Failure> {
    let batch_size = ProducerConfig::default().batch_size;
    let batch = build(flights, codec, batch_size)?;
    let count = run.scale(BYTES_MOVED / batch_size, 8);
    let stream = batch.bytes.len() as f64 / raw::stream(run, batch.bytes.len(), count)?;
    let read = each(run, count, || {
        check_crc(&batch.bytes)?;
        let records: Result<Vec<_>, _> =
            RecordIter::new(batch.bytes.clone(), DECOMPRESSED_BYTES_MAX)?.collect();
        drop(std::hint::black_box(records?));
        Ok(())
    })?;
    records_per_second(&batch, stream + read, stream)
}

fn records_per_second(batch: &Batch, client: f64, broker: f64) -> Result<f64, Failure> {
    let cores = std::thread::available_parallelism()?.get() as f64;
    let seconds = ((client + broker) / cores).max(client).max(broker);
    Ok(batch.records as f64 / seconds)
}

fn build(flights: &Flights, codec: Codec, batch_size: usize) -> Result<Batch, Failure> {
    let mut builder = BatchBuilder::new(codec);
    let mut records = 0;
    loop {
        let (key, value) = flights.pair(records);
        let more = builder.record_bytes(TIMESTAMP, key, Some(value), &[]);
        if records > 0 && builder.bytes() + more > batch_size {
            break;
        }
        builder.append(TIMESTAMP, key, Some(value), &[])?;
        records += 1;
    }
    let bytes = builder.build()?;
    Ok(Batch { bytes, records })
}

/// Seconds of one call.
fn each(
    run: &Run,
    count: usize,
    mut work: impl FnMut() -> Result<(), Failure>,
) -> Result<f64, Failure> {
    let (seconds, done) = run.seconds(|| (0..count).try_for_each(|_| work()));
    done?;
    Ok(seconds / count as f64)
}

/// A moment of 2013, in milliseconds since 1970.
const TIMESTAMP: i64 = 1_357_034_400_000;
/// More than any batch here holds.
const DECOMPRESSED_BYTES_MAX: usize = 1 << 20;
/// Bytes that each step moves to be timed.
const BYTES_MOVED: usize = 16 << 20;
/// Requests on their way, as many as a producer has.
const AHEAD: usize = 5;
