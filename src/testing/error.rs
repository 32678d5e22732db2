//! What can go wrong with a test broker itself.

use std::io;

use highwater_broker::error::BrokerError;
use highwater_client::ClientError;
use thiserror::Error;

/// A test broker could not do what it was asked for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TestError {
    /// The broker refused to start or to stop.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A client of the test broker's own failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The operating system refused something.
    #[error("cannot {op}: {source}")]
    System {
        /// What was tried.
        op: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The clock cannot be moved.
    #[error(
        "this test broker lives by the machine's clock, which cannot be moved: start it without \
         `system_clock()`"
    )]
    SystemClock,
    /// The power of a real disk cannot be cut.
    #[error(
        "the power can be cut in memory only: what a real disk would lose cannot be taken from it \
         here; use `restart()`, or start the test broker without `on_disk()`"
    )]
    RealDisk,
    /// Not everything in a topic can be read.
    #[error("topic {topic:?} cannot be read: {why}")]
    Unreadable {
        /// The topic.
        topic: String,
        /// Where, and why.
        why: String,
    },
    /// The broker is down.
    #[error("the test broker is down: it was shut down, or it failed to start again")]
    Down,
}

impl TestError {
    pub(super) fn system(op: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { op, source }
    }
}
