//! What happened in the story: as a table, and as JSON.
//!
//! Floor 6 of cli.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use crate::cli::numbers::{count, duration};
use crate::cli::table::{Side, Table};

/// Everything that was counted and checked.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) orders: u32,
    /// What the shop has committed, each with its event.
    pub(super) changes: u64,
    pub(super) rolled_back: u64,
    pub(super) relay_crashes: u64,
    /// In the topic.
    pub(super) records: u64,
    pub(super) repeated_by_the_relay: u64,
    pub(super) sent_again: u64,
    pub(super) service_crashes: u64,
    pub(super) failed_calls: u64,
    pub(super) slow_calls: u64,
    pub(super) dead_letters: u64,
    pub(super) sent_back: u64,
    /// Records that the inbox has left out.
    pub(super) left_out: u64,
    pub(super) effects: u64,
    pub(super) seconds: f64,
    /// Whether each change has one effect, in order, and nothing else was seen.
    pub(super) verified: bool,
    /// If not: why not.
    pub(super) differences: Vec<String>,
}

impl Report {
    /// As text.
    pub(super) fn to_text(&self) -> String {
        let mut table = Table::new([("WHAT HAPPENED", Side::Left), ("COUNT", Side::Right)]);
        let rows = [
            (
                "changes of orders, each in one transaction with its event",
                self.changes,
            ),
            (
                "transactions that were rolled back, event and all",
                self.rolled_back,
            ),
            (
                "crashes of the relay between database and topic",
                self.relay_crashes,
            ),
            (
                "records in the topic, 12 partitions, kept for 7 days",
                self.records,
            ),
            (
                "  repeated by the relay after a crash",
                self.repeated_by_the_relay,
            ),
            (
                "  sent again by somebody who saw no answer",
                self.sent_again,
            ),
            ("  sent back from the dead letters", self.sent_back),
            ("crashes of the payment service", self.service_crashes),
            ("calls that failed, and were made again", self.failed_calls),
            ("calls that were slow", self.slow_calls),
            (
                "dead letters, of poison and of what builds on it",
                self.dead_letters,
            ),
            ("repetitions that had no effect", self.left_out),
            ("effects", self.effects),
        ];
        for (what, number) in rows {
            table.row([what.to_owned(), count(number)]);
        }
        let orders = count(self.orders.into());
        let time = duration(Duration::from_secs_f64(self.seconds.max(0.0)));
        let mut text = format!(
            "{orders} orders by the seed {}, in {time}\n\n{table}\n",
            self.seed
        );
        if self.verified {
            let changes = count(self.changes);
            let _ = writeln!(
                text,
                "verified  each of the {changes} changes has exactly one effect, those of an order \
                 in their order"
            );
        }
        for difference in &self.differences {
            let _ = writeln!(text, "WRONG     {difference}");
        }
        text
    }
}
