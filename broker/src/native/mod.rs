//! The native protocol: what Kafka's cannot say. Listeners, connections, and a session for clients
//! in this process; `docs/native.md` and `proto/native.proto` are the contract.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - It translates, nothing else: what a request does is decided by the service.
//! - Only `conn` touches a socket once it is accepted; only `errors` knows wire codes of errors.
//! - Nothing below this folder names a message of the protocol.

mod address;
mod calls;
mod conn;
mod end;
mod errors;
mod lane;
mod local;
mod server;
mod subscription;

pub use address::NativeListener;
#[cfg(feature = "tls")]
pub(crate) use server::Secure;
pub(crate) use server::Server;
