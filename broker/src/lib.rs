//! Highwater's broker, to be embedded: topics, durable partitions and the Kafka wire in your
//! process.

mod broker;
pub mod clock;
pub mod config;
pub mod coordinator;
pub mod error;
pub mod ids;
mod kafka;
pub mod machine;
pub mod meta;
pub mod metrics;
pub mod partition;
pub mod service;
pub mod shard;
pub mod waiting;

pub use broker::{Broker, Builder};
pub use kafka::{Address, KafkaListener};
