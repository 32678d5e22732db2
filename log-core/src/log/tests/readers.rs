//! Readers beside a writer that appends, rolls and deletes.
//!
//! Floor 6 of log-core: tests.

use std::sync::atomic::{AtomicBool, Ordering};

use highwater_proto::batch::Batches;

use super::*;

/// Follows the log from its start until the writer is done; every batch is whole, right, and
/// continues the one before it, unless retention has passed the reader.
fn follow(reader: &LogReader, is_done: &AtomicBool, bytes_max: usize) -> i64 {
    let mut next = 0;
    let mut batches = 0;
    loop {
        let done = is_done.load(Ordering::Acquire);
        let slice = match reader.read(Offset(next), bytes_max, UpTo::Durable, Minimum::OneBatch) {
            Ok(slice) => slice,
            Err(LogError::OutOfRange { start, .. }) => {
                assert!(start.0 > next, "only retention moves a reader");
                next = start.0;
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        if slice.is_empty() && done {
            assert_eq!(next, reader.end().0);
            return batches;
        }
        let bytes = slice.parts.concat();
        for found in Batches::new(&bytes) {
            let found = found.expect("whole batches");
            assert_eq!(found.header.base_offset, next);
            highwater_proto::batch::check_crc(found.bytes).expect("right batches");
            next = found.header.last_offset() + 1;
            batches += 1;
        }
        assert_eq!(next, slice.next_offset.0);
        std::thread::yield_now();
    }
}

#[test]
fn readers_see_whole_batches_in_order_whatever_the_writer_does() {
    let config = LogConfig {
        retention_bytes: Some(60_000),
        segment_bytes: 8000,
        ..small()
    };
    let mut rig = Rig::new(config);
    let is_done = AtomicBool::new(false);
    let readers = [
        (rig.log.reader(), 1),
        (rig.log.reader(), 700),
        (rig.log.reader(), 1 << 20),
    ];
    std::thread::scope(|scope| {
        let followers: Vec<_> = readers
            .iter()
            .map(|(reader, bytes_max)| {
                let (is_done, bytes_max) = (&is_done, *bytes_max);
                scope.spawn(move || follow(reader, is_done, bytes_max))
            })
            .collect();
        for round in 0..1500 {
            let group: Vec<_> = (0..round % 4)
                .map(|n| batch(&[n, 5], 40 * (round % 7) as usize, Codec::None))
                .collect();
            for answer in rig.log.append(&group, rig.now) {
                answer.unwrap();
            }
            if round % 50 == 0 {
                rig.log.apply_retention(rig.now).unwrap();
            }
        }
        is_done.store(true, Ordering::Release);
        for follower in followers {
            assert!(follower.join().unwrap() > 0);
        }
    });
}
