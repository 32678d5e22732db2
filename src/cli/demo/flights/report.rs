//! What happened in the demo: as tables, and as JSON.
//!
//! Floor 6 of cli.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use crate::cli::numbers::{bytes, count, duration, rate};
use crate::cli::table::{Side, Table};

/// Everything that was measured and checked.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// What was sent.
    pub(super) input: String,
    pub(super) key_field: String,
    pub(super) compression: String,
    pub(super) records: u64,
    pub(super) keys: u64,
    /// Records without a key.
    pub(super) unkeyed: u64,
    /// Lines of the input that were no record.
    pub(super) rejected: u64,
    /// Keys and values, before compression.
    pub(super) bytes: u64,
    /// In the segments.
    pub(super) stored_bytes: u64,
    pub(super) batches: u64,
    pub(super) produce: Phase,
    pub(super) consume: Phase,
    pub(super) consumers: i32,
    /// The longest time to the first acknowledgement of a partition, whose files are made then.
    pub(super) first_ack_us: u64,
    /// From the sending of a later record to its acknowledgement, durable.
    pub(super) ack_p50_us: u64,
    pub(super) ack_p99_us: u64,
    /// Whether what was read is what was sent, in order within each key.
    pub(super) verified: bool,
    /// If not: why not.
    pub(super) differences: Vec<String>,
    pub(super) partitions: Vec<PartitionReport>,
}

/// How long one direction took.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Phase {
    pub(super) seconds: f64,
    pub(super) records_per_second: f64,
    pub(super) bytes_per_second: f64,
}

/// One partition.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct PartitionReport {
    pub(super) partition: i32,
    pub(super) records: u64,
    pub(super) keys: u64,
    pub(super) bytes: u64,
    pub(super) stored_bytes: u64,
    pub(super) batches: u64,
    /// Which consumer read it, from 1.
    pub(super) consumer: i32,
}

impl Phase {
    pub(super) fn new(records: u64, bytes: u64, elapsed: Duration) -> Self {
        Self {
            seconds: elapsed.as_secs_f64(),
            records_per_second: rate(records, elapsed),
            bytes_per_second: rate(bytes, elapsed),
        }
    }

    fn row(&self, what: &str) -> [String; 4] {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is positive and far below 2^64"
        )]
        let records = count(self.records_per_second as u64);
        let elapsed = duration(Duration::from_secs_f64(self.seconds));
        let rate = format!("{:.1} MB/s", self.bytes_per_second / 1e6);
        [what.to_owned(), elapsed, format!("{records}/s"), rate]
    }
}

impl Report {
    /// For people.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}, keyed by {}\n\n{}",
            self.input,
            self.key_field,
            self.by_partition()
        );
        let _ = writeln!(text, "{}", self.by_phase());
        let [first, p50, p99] =
            [self.first_ack_us, self.ack_p50_us, self.ack_p99_us].map(Duration::from_micros);
        let [first, p50, p99] = [first, p50, p99].map(duration);
        let _ = writeln!(
            text,
            "acknowledged   after {p50} (p50), {p99} (p99), synced to the disk; \
             first of all after {first}, with new files"
        );
        let ratio = self.bytes as f64 / self.stored_bytes.max(1) as f64;
        let (before, after) = (bytes(self.bytes), bytes(self.stored_bytes));
        let codec = &self.compression;
        let _ = writeln!(
            text,
            "compression    {codec}: {before} became {after}, {ratio:.1} : 1"
        );
        let keys = count(self.keys);
        let records = count(self.records);
        if self.verified {
            let _ = writeln!(
                text,
                "verified       all {records} records, in order within each of {keys} keys"
            );
        }
        for difference in &self.differences {
            let _ = writeln!(text, "WRONG          {difference}");
        }
        text
    }

    fn by_partition(&self) -> Table {
        let right = Side::Right;
        let mut table = Table::new([
            ("PARTITION", right),
            ("RECORDS", right),
            ("KEYS", right),
            ("BYTES", right),
            ("STORED", right),
            ("BATCHES", right),
            ("READ BY", Side::Left),
        ]);
        for one in &self.partitions {
            table.row([
                one.partition.to_string(),
                count(one.records),
                count(one.keys),
                bytes(one.bytes),
                bytes(one.stored_bytes),
                count(one.batches),
                format!("consumer {}", one.consumer),
            ]);
        }
        let sums = [count(self.records), count(self.keys), bytes(self.bytes)];
        let [records, keys, before] = sums;
        let (stored, batches) = (bytes(self.stored_bytes), count(self.batches));
        let readers = format!("{} side by side", self.consumers);
        table.row([
            "all".to_owned(),
            records,
            keys,
            before,
            stored,
            batches,
            readers,
        ]);
        table
    }

    fn by_phase(&self) -> Table {
        let right = Side::Right;
        let mut table = Table::new([
            ("PHASE", Side::Left),
            ("TIME", right),
            ("RECORDS", right),
            ("BYTES", right),
        ]);
        table.row(self.produce.row("produced"));
        table.row(self.consume.row("consumed"));
        table
    }
}
