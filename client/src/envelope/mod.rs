//! Events with a name: CloudEvents 1.0 in the headers of records.
//!
//! Floor 1 of client. Standards: CloudEvents 1.0.2 with its Kafka binding and its JSON format,
//! RFC 3339, RFC 9562 (UUID).
//!
//! Invariants
//! - Any record is read without a panic: it is an event, or an error says what it lacks.
//! - An event that was read can be written again and is then the same event.
//! - An event without data is written only if that is asked for: its record is a tombstone.
//! - One event has one id, however its UUID was written down.

#[cfg(feature = "json")]
mod base64;
mod event;
mod id;
mod rules;
mod structured;
#[cfg(test)]
mod tests;
mod time;
#[cfg(any(feature = "json", feature = "protobuf"))]
mod typed;
mod wire;

pub use event::Event;
pub use id::EventId;
pub use time::{EventTime, NoEventTime};
#[cfg(any(feature = "json", feature = "protobuf"))]
pub use typed::EventType;
pub use wire::Envelope;
