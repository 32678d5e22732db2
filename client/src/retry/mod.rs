//! Records that cannot be handled: tried again, kept as dead letters, never lost in silence.
//!
//! Floor 6 of client. What decides is `machine`; `runner` does it.
//!
//! Invariants
//! - Only the public parts of producer, consumer and administration are used: it runs the same
//!   against every broker that speaks Kafka's protocol.
//! - Time is the client's clock: delays, windows and probes move with a clock that a test moves.

mod backoff;
mod dead_letters;
mod handling;
mod letter;
mod letter_topic;
mod machine;
mod metrics;
mod notices;
mod redrive;
mod runner;

pub use backoff::Backoff;
pub use dead_letters::DeadLetters;
pub use handling::{Halted, HandlerSummary, Handling};
pub use letter::DeadLetter;
pub use letter_topic::{LetterFilter, LetterTopic, Letters, StoredLetter};
pub use machine::Order;
pub use metrics::{HandlerCounts, HandlerMetrics};
pub use redrive::{Redrive, RedriveEntry, RedriveSummary, Redriven};
