//! Highwater's test kit: a simulated disk, models and workloads.
//!
//! Nothing here is part of the product; the product's tests are built on it.

#![expect(
    clippy::panic,
    reason = "a test kit says what is wrong by failing the test"
)]

pub mod client;
pub mod conformance;
pub mod faults;
pub mod life;
pub mod model;
pub mod oracle;
pub mod rng;
pub mod sabotage;
mod search;
pub mod sim_fs;
pub mod sweep;
pub mod workload;
pub mod world;
