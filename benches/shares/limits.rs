//! What the machine can do: the rows that the others are read against.

use std::error::Error;

use highwater_proto::batch::crc_of;

use super::kit::raw;
use super::kit::run::{Run, Unit, median, rate};

pub(crate) fn measure(run: &mut Run) -> Result<(), Box<dyn Error>> {
    memory(run);
    disk(run)?;
    let count = run.scale(40_000, 100);
    let stream = middle(run, |run| raw::stream(run, PIECE_BYTES, count))?;
    run.row("loopback stream, 32 KiB pieces", stream, Unit::Rate);
    let count = run.scale(20_000, 100);
    let trip = middle(run, |run| raw::round_trip(run, count))?;
    run.row("loopback round trip, 1 byte", trip, Unit::Time);
    Ok(())
}

/// The median of some measurements.
pub(crate) fn middle<E>(run: &Run, mut one: impl FnMut(&Run) -> Result<f64, E>) -> Result<f64, E> {
    let values: Result<Vec<_>, E> = (0..run.scale(5, 1)).map(|_| one(run)).collect();
    values.map(median)
}

/// Bytes a second of the checksum of batches.
pub(crate) fn crc_rate(run: &Run) -> f64 {
    let piece = vec![7_u8; PIECE_BYTES];
    let count = run.scale(50_000, 100);
    let (seconds, _) = run.seconds(|| {
        for _ in 0..count {
            std::hint::black_box(crc_of(std::hint::black_box(&piece)));
        }
    });
    rate(count * PIECE_BYTES, seconds)
}

fn memory(run: &mut Run) {
    // Half a page apart: a copy to just behind the same place of a page is ten times slower.
    let mut buffer = vec![7_u8; 2 * PIECE_BYTES + HALF_PAGE_BYTES];
    let count = run.scale(100_000, 100);
    let (seconds, ()) = run.seconds(|| {
        for _ in 0..count {
            let (source, target) =
                std::hint::black_box(&mut buffer).split_at_mut(PIECE_BYTES + HALF_PAGE_BYTES);
            target.copy_from_slice(&source[..PIECE_BYTES]);
        }
    });
    run.row(
        "memcpy, 32 KiB in cache",
        rate(count * PIECE_BYTES, seconds),
        Unit::Rate,
    );
    let crc = crc_rate(run);
    run.row("CRC-32C, 32 KiB in cache", crc, Unit::Rate);
}

fn disk(run: &mut Run) -> Result<(), Box<dyn Error>> {
    let folder = run.folder("limits")?;
    let piece = vec![7_u8; PIECE_BYTES];
    let count = run.scale(4096, 32);
    let path = folder.path().join("written");
    let write = middle(run, |run| raw::write_loop(run, &path, &piece, count))?;
    run.row("write(), 32 KiB, one growing file", write, Unit::Rate);

    let mut file = raw::create(&folder.path().join("read"))?;
    for _ in 0..count {
        std::io::Write::write_all(&mut file, &piece)?;
    }
    let megabytes = (count * PIECE_BYTES) >> 20;
    for (piece_bytes, what) in [
        (PIECE_BYTES, "pread, cached, 32 KiB"),
        (1 << 20, "pread, cached, 1 MiB"),
    ] {
        let count = (megabytes << 20) / piece_bytes;
        let read = middle(run, |run| raw::pread_loop(run, &file, piece_bytes, count))?;
        run.row(what, read, Unit::Rate);
    }
    for (kib, name) in [(4, "4 KiB"), (32, "32 KiB")] {
        for files_count in [1, 12] {
            let mut files = (0..files_count)
                .map(|i| raw::create(&folder.path().join(format!("{kib}-{i}"))))
                .collect::<Result<Vec<_>, _>>()?;
            let commits = run.scale(100, 3);
            let times = (0..commits).map(|_| raw::commit(run, &mut files, &piece[..kib << 10]));
            let time = median(times.collect::<Result<_, _>>()?);
            let what = format!("write {name} and fdatasync, {files_count} growing, one thread");
            run.row(&what, time, Unit::Time);
        }
    }
    Ok(())
}

/// The piece that most rows move.
pub(crate) const PIECE_BYTES: usize = 32 << 10;
const HALF_PAGE_BYTES: usize = 2048;
