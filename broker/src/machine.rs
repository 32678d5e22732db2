//! The contract of a pure coordinator: what decides, without clock, disk or socket.
//!
//! Floor 0 of broker.
//!
//! Invariants
//! - Same state and same question, same effects.
//! - Durable state is changed by `apply` alone. Replaying the log of a machine gives the same
//!   durable state as the machine that wrote it.

use std::fmt::Debug;

/// A pure coordinator whose durable state is a log.
///
/// Its decisions are methods that take `&self` and what they are asked, and give [`Effects`]:
/// they change nothing themselves.
pub trait Machine: Send + Sync + 'static {
    /// What it writes.
    type Record: Debug + Send + Sync + 'static;

    /// Whether a record that was found at recovery can be applied here; else a sentence.
    fn check(&self, record: &Self::Record) -> Result<(), String>;

    /// Applies one record: called once it is durable, and again for each record at recovery.
    fn apply(&mut self, record: &Self::Record);

    /// The whole durable state as records; the first one makes `apply` forget what came before.
    fn snapshot(&self) -> Vec<Self::Record>;
}

/// What a decision wants to happen: first the records, durable and applied, then the reply.
#[derive(Debug)]
pub struct Effects<R, P> {
    /// To be written, all in one batch or none.
    pub records: Vec<R>,
    /// To be answered once the records are durable; given up when they cannot be written.
    pub reply: P,
}

impl<R, P> Effects<R, P> {
    /// An answer that changes nothing.
    pub fn answer(reply: P) -> Self {
        Self {
            records: Vec::new(),
            reply,
        }
    }
}
