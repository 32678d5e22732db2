//! Highwater's broker, to be embedded: topics, durable partitions and the Kafka wire in your
//! process.

mod broker;
pub mod clock;
mod codes;
pub mod config;
mod connections;
pub mod coordinator;
pub mod error;
pub mod group;
#[cfg(feature = "http")]
mod http;
pub mod ids;
mod kafka;
pub mod machine;
pub mod meta;
pub mod metrics;
mod native;
pub mod partition;
pub mod service;
pub mod shard;
mod sockets;
#[cfg(feature = "tls")]
mod tls;
pub mod waiting;
pub mod workers;

pub use broker::{Broker, Builder};
pub use highwater_proto::security::SecurityProtocol;
#[cfg(feature = "http")]
pub use http::HttpListener;
pub use kafka::{KafkaListener, faults};
pub use native::NativeListener;
pub use service::repair;
pub use sockets::Address;
