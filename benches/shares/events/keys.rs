//! What ten million keys take of memory: while they are written, and behind a start.
//!
//! Invariants
//! - It is what the process has of its own (`RssAnon`) more than before, whatever it is for; the
//!   figure that the index tells of itself is only the smaller part of it.

use std::error::Error;

use bytes::Bytes;
use highwater::Broker;
use highwater_proto::batch_builder::BatchBuilder;
use highwater_proto::compress::Codec;
use tokio::runtime::Runtime;

use super::{produce, read, told, topic};
use crate::kit::disk;
use crate::kit::run::{Run, Unit, median};

pub(super) fn measure(run: &mut Run) -> Result<(), Box<dyn Error>> {
    let folder = run.folder("events-keys")?;
    let runtime = Runtime::new()?;
    let count = run.scale(10_000_000, 10_000);
    let own = || disk::memory(std::process::id(), "RssAnon").map(|bytes| bytes as f64);

    let before = own()?;
    let broker = Broker::open(folder.path())?;
    let service = broker.service().clone();
    let (seconds, filled) = run.seconds(|| {
        runtime.block_on(async {
            topic(&service, TOPIC, "page-cache", true).await?;
            for first in (0..count).step_by(BATCH) {
                let mut builder = BatchBuilder::new(Codec::None);
                for number in first..count.min(first + BATCH) {
                    builder.append(1_700_000_000_000, Some(&key(number)), Some(b"{}"), &[])?;
                }
                produce(&service, TOPIC, builder.build()?).await?;
            }
            Ok(())
        })
    });
    filled.map_err(told)?;
    run.row(
        &format!("{count} new keys, one event each"),
        count as f64 / seconds,
        Unit::PerSecond,
    );
    let grown = (own()? - before).max(0.0);
    let what = "- memory of the broker behind them";
    run.at_most(what, grown, Unit::Size, MEMORY_MAX);
    drop(service);
    broker.shutdown_blocking()?;
    drop(broker);

    let before = own()?;
    let broker = Broker::open(folder.path())?;
    let service = broker.service().clone();
    let mut times = Vec::new();
    for number in (0..count).step_by(count.div_ceil(LOOKS)) {
        let read = read(TOPIC, Bytes::copy_from_slice(&key(number)));
        let (seconds, read) = run.seconds(|| runtime.block_on(service.read_stream(read)));
        assert_eq!(read?.events.len(), 1, "key {number}");
        times.push(seconds);
    }
    let grown = (own()? - before).max(0.0);
    let what = format!("- behind a start and {} keys read", times.len());
    run.at_most(&what, grown, Unit::Size, MEMORY_MAX);
    run.row("- each of them", median(times), Unit::Time);
    Ok(())
}

/// Keys in an order that is not that of their hashes, of the length of an id.
fn key(number: usize) -> [u8; 16] {
    let mut key = *b"order-0000000000";
    let mut left = number;
    for digit in key.iter_mut().rev().take(10) {
        *digit = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
    }
    key
}

const TOPIC: &str = "keys";
/// Events of a batch.
const BATCH: usize = 1_000;
/// Keys that are read, about.
const LOOKS: usize = 100_000;
/// The specification's: 256 MiB.
const MEMORY_MAX: f64 = (256_u64 << 20) as f64;
