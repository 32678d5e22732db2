//! The broker as clients of the native protocol see it: real connections on the loopback interface,
//! and the session of an embedded client.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as the test itself does"
)]

mod calls;
mod conditions;
mod hostile;
mod kit;
mod listeners;
mod local;
#[path = "../kafka/logs.rs"]
mod logs;
mod mutations;
mod order;
mod repeats;
mod streams;
mod subscriptions;
