//! SASL on the listeners, as clients see it: who is let in, who is refused, and with which words.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as the test itself does"
)]

mod again;
#[path = "../kafka/kit.rs"]
#[expect(dead_code, reason = "the tests of the wire use the rest of it")]
mod kit;
mod limits;
#[path = "../kafka/logs.rs"]
mod logs;
mod proofs;
mod refusals;
mod rig;
mod users;
