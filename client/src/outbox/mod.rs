//! Events that are written with the state they tell of, in one transaction, and published from
//! there: the transactional outbox.
//!
//! Floor 6 of client. What decides is `machine`; `runner` does it; `capture` is what it reads from.
//!
//! [`Outbox`] puts an event into a table of your own database, in your transaction: both are there,
//! or neither. [`Relay`] publishes the rows, each at least once and those of a key in their order.
//!
//! Invariants
//! - Only the public parts of producer and administration are used: it runs the same against every
//!   broker that speaks Kafka's protocol.
//! - A row leaves the table only after an acknowledgement that a power failure does not undo, and
//!   only while the relay is proved to lead.
//! - Of a key, nothing counts as published behind a row that is not.

mod capture;
mod destination;
mod enqueue;
mod error;
mod json;
mod machine;
mod metrics;
mod migrations;
mod parked;
mod postgres;
mod progress;
mod publisher;
mod relay;
mod router;
mod runner;
mod sqlite;
mod table;
mod worker;

pub use enqueue::{Outbox, Outgoing};
pub use error::OutboxError;
pub use metrics::{OutboxMetrics, RelayMetrics};
pub use parked::ParkedKey;
pub use relay::{Capturing, Relay, RelaySummary};
pub use router::Router;
