//! Highwater's test kit: a simulated disk, models and workloads.
//!
//! Nothing here is part of the product; the product's tests are built on it.

#![expect(
    clippy::panic,
    reason = "a test kit says what is wrong by failing the test"
)]

#[cfg(feature = "chaos")]
pub mod chaos;
pub mod client;
pub mod conformance;
pub mod faults;
pub mod history;
pub mod life;
pub mod mishaps;
pub mod model;
pub mod oracle;
#[cfg(unix)]
pub mod postgres;
pub mod rng;
pub mod sabotage;
pub mod scales;
mod search;
pub mod sim_fs;
pub mod small_disk;
pub mod streams;
pub mod sweep;
pub mod volatile_fs;
pub mod watch;
pub mod wear_fs;
pub mod workload;
pub mod world;
