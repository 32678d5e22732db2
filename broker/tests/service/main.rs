//! The service as an embedder sees it: data in, answers out, over a disk in memory and a clock
//! that is moved by hand.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as the test itself does"
)]

mod configs;
mod damage;
mod disk;
mod durability;
mod epochs;
mod fetch;
mod history;
mod idempotence;
mod kit;
mod life;
mod lines;
mod long_poll;
mod offsets;
mod produce;
mod queue;
mod refusals;
mod repeats;
mod retention;
mod topics;
