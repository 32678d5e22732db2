//! TLS on the listeners, as clients see it: what is let in, what is refused, and with which words.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as the test itself does"
)]

#[expect(dead_code, reason = "the tests of the client use the rest of it")]
mod certs;
mod clients;
mod foreign;
mod handshake;
mod https;
#[path = "../kafka/logs.rs"]
mod logs;
mod native;
mod reload;
mod rig;
