//! How long a start takes, and what it reads: what lies above the recovery points, however much
//! lies below.

use std::time::Duration;

use bytes::Bytes;
use highwater_client::{Acks, Client, ProducerConfig, Record};

use super::records::create;
use super::{Scenarios, block_on, failed};
use crate::part::{Finding, Notes, Tier};
use crate::process::{Server, pause};

/// An empty directory: 50 ms.
pub(super) fn empty(place: &Scenarios, notes: &Notes) -> Result<(), Finding> {
    let server = place.plan("empty")?.start()?;
    timed(
        notes,
        "start, empty directory",
        &server,
        Duration::from_millis(50),
    )
}

/// A thousand partitions: 200 ms after a clean stop, 1 s after a kill.
pub(super) fn many_partitions(place: &Scenarios, notes: &Notes) -> Result<(), Finding> {
    let bytes: u64 = match place.tier {
        Tier::Ci => 1 << 30,
        Tier::Nightly | Tier::Release => 10 << 30,
    };
    let mut plan = place.plan("partitions")?.set("log.segment.bytes", 4 << 20);
    let server = plan.start()?;
    block_on(fill(server.bootstrap.clone(), bytes))?;
    // Behind a load that the disk cannot follow, what is not synced yet is all above the points.
    pause(CAUGHT_UP);
    server.kill();

    let about = format!("start, {PARTITIONS} partitions, {} GiB,", bytes >> 30);
    let server = plan.start()?;
    timed(
        notes,
        &format!("{about} after kill -9"),
        &server,
        Duration::from_secs(1),
    )?;
    let read = read_bytes(&server)?;
    notes.row(
        format!("{about} after kill -9, bytes read"),
        format!("{} MiB", read >> 20),
    );
    if read > READ_BYTES_MAX {
        return Err(Finding::new(format!(
            "a start after a kill read {read} bytes of {bytes}: more than lies above the recovery \
             points"
        )));
    }
    server.stop()?;
    let server = plan.start()?;
    timed(
        notes,
        &format!("{about} after a clean stop"),
        &server,
        Duration::from_millis(200),
    )?;
    server.stop()?;
    std::fs::remove_dir_all(&plan.data_dir).map_err(|error| Finding::new(error.to_string()))
}

const CAUGHT_UP: Duration = Duration::from_secs(3);
const PARTITIONS: i32 = 1_000;
/// The recovery points and the saved indexes are at most 64 MiB of synced bytes behind when the
/// process dies, and what lies above the points is read twice; to find the end of an index, each
/// partition is read from the last entry on.
const READ_BYTES_MAX: u64 = 3 * (64 << 20) + PARTITIONS as u64 * (64 << 10);
const RECORD_BYTES: usize = 64 << 10;

/// Writes so much, evenly, to all partitions.
async fn fill(bootstrap: String, bytes: u64) -> Result<(), Finding> {
    let client = Client::connect(&bootstrap)
        .await
        .map_err(failed("no connection"))?;
    create(&client, "much", PARTITIONS, &[("durability", "page-cache")]).await?;
    let config = ProducerConfig {
        acks: Acks::Leader,
        enable_idempotence: Some(false),
        batch_size: 256 << 10,
        linger_ms: 100,
        buffer_memory: 256 << 20,
        ..ProducerConfig::default()
    };
    let producer = client.producer(config).map_err(failed("no producer"))?;
    let value = Bytes::from(vec![b'x'; RECORD_BYTES]);
    // A few records in a row for each, so that batches fill.
    let rounds = bytes / (RECORD_BYTES as u64 * 4 * PARTITIONS as u64);
    let mut last = Vec::new();
    for _ in 0..rounds {
        last.clear();
        for partition in 0..PARTITIONS {
            for _ in 0..4 {
                let record = Record::to("much").partition(partition).value(value.clone());
                last.push(
                    producer
                        .send(record)
                        .await
                        .map_err(failed("a record is refused"))?,
                );
            }
        }
    }
    for delivery in last {
        delivery
            .await
            .map_err(failed("a record is not delivered"))?;
    }
    Ok(())
}

fn timed(notes: &Notes, what: &str, server: &Server, target: Duration) -> Result<(), Finding> {
    let (took, target_ms) = (server.start, target.as_millis());
    notes.row(
        what,
        format!("{} ms (target {target_ms} ms)", took.as_millis()),
    );
    if took > 10 * target {
        return Err(Finding::new(format!(
            "{what} took {} ms, ten times its target of {target_ms} ms and more",
            took.as_millis()
        )));
    }
    Ok(())
}

/// What the process has read from files since it began, page cache included.
fn read_bytes(server: &Server) -> Result<u64, Finding> {
    super::idle::io(server, "rchar")
}
