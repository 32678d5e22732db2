//! Settings of clients, producers and consumers: Kafka's names and defaults, each said once.
//!
//! Floor 1 of client.
//!
//! Every config can be written as a literal, by chained setters, or from properties by Kafka's
//! names: a setting `batch.size` is the field and the setter `batch_size`.
//!
//! Invariants
//! - What would fail later is refused by `validated`, with a sentence that names the settings.

mod client;
mod consumer;
mod names;
mod password;
mod producer;
mod properties;
mod table;
#[cfg(test)]
mod tests;
mod values;

pub use client::ClientConfig;
pub use consumer::ConsumerConfig;
pub use password::Password;
pub use producer::ProducerConfig;
pub use properties::Properties;
pub use table::Property;
pub use values::{Acks, AssignmentStrategy, OffsetReset};
