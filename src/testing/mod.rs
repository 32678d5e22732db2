//! A broker inside a test: ready in milliseconds, its clock moved, its requests broken on purpose.
//!
//! A [`TestBroker`] is a whole Highwater broker on the runtime of the test: in memory or in a
//! temporary folder, with a port of its own for every Kafka client and a client without a socket
//! for Rust. Many stand side by side in one process; each ends when it is dropped.
//!
//! ```
//! use std::time::Duration;
//! use highwater::testing::{ApiKey, ErrorCode, Fault, TestBroker};
//! use highwater::{ProducerConfig, Record};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = TestBroker::start().await?;
//! let refused = broker.faults().add(
//!     Fault::fail(ErrorCode::NotLeaderOrFollower).on(ApiKey::Produce).topic("orders").times(3),
//! );
//!
//! let producer = broker.client().producer(ProducerConfig::default())?;
//! let sent = producer.send(Record::to("orders").key("order-42").value("paid")).await?;
//! broker.advance(Duration::from_secs(5)).await; // the pauses between four attempts
//! sent.await?;
//! assert_eq!(refused.hits(), 3);
//!
//! broker.advance(Duration::from_secs(8 * 24 * 3600)).await; // longer than records are kept
//! # Ok(())
//! # }
//! ```
//!
//! # Crashes
//!
//! [`crash_everywhere`] crashes a handler at each of its commit points in turn, and compares what
//! its database has in the end.
//!
//! # Time
//!
//! The clock of a test broker starts at a fixed date, [`START_MS`], runs as fast as the machine's,
//! and jumps when [`TestBroker::advance`] says so: from one timer to the next, each time until
//! nothing is left to be done at that moment, so that a week passes in milliseconds and in order.
//! Clients that are made by [`TestBroker::client`] live by the same clock. With
//! [`TestBrokerBuilder::frozen_clock`] time moves by `advance` alone, and what waits for time (the
//! linger of a producer, the timeout of a poll) waits until then.

mod broker;
mod builder;
mod crash;
mod embedded;
mod error;
mod expect;
mod rest;
mod story;
mod tail;

pub use broker::TestBroker;
pub use builder::{START_MS, TestBrokerBuilder};
pub use crash::{
    CrashDifference, CrashError, CrashReport, CrashRun, CrashTest, Crashing, CrashingTx, OnInner,
    crash_everywhere, on_inner,
};
pub use error::TestError;
pub use expect::{Expectation, NotSeen};
pub use highwater_broker::faults::{ApiKey, ErrorCode, Fault, Faults, ScriptedFault};
