//! What the relay reads of PostgreSQL: by the snapshot of what is published, or as a queue.
//!
//! Floor 6 of client.
//!
//! Numbers of a sequence are taken before the commit, and a transaction's number at its first
//! write: neither is the order of commits. A reader that keeps the last number that it saw skips
//! what commits late; one that waits for all older transactions stalls behind an idle one, and
//! changes the order of a key. Both captures here do none of it, and nothing has to be locked:
//! whoever reads a row of a key in one snapshot reads there every earlier row of that key.
//!
//! Invariants
//! - A row is published once its transaction has committed, however late, whoever else is open.
//! - Rows of one key keep their order, if its writers wait for each other before they enqueue.

mod lead;
mod low_water;
pub(in crate::outbox) mod migrations;
mod position;
mod queue;
mod reading;
mod shape;
mod snapshot;
#[cfg(test)]
#[cfg(feature = "tokio-postgres")]
mod tests;

pub(super) use queue::Queue;
pub(super) use snapshot::Snapshot;
