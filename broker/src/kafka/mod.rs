//! The Kafka wire: listeners, connections, and a session for clients in this process.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - It translates, nothing else: what a request does is decided by the service.
//! - Only `conn` touches a socket once it is accepted; only `errors` knows wire codes of errors.
//! - Requests of one session take effect, and are answered, in the order in which they came.

mod address;
mod api;
mod conn;
mod dispatch;
mod end;
mod errors;
mod fan_out;
pub mod faults;
mod lane;
mod listener;
mod local;
mod sasl;
mod server;
mod session;

pub use address::KafkaListener;
pub(crate) use server::Server;
