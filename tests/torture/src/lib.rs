//! The torture of Highwater: parts that break the disk, the process or the files, and a driver that
//! runs them within a budget, goes on where it stopped, and prints the scorecard.
//!
//! Nothing here is part of the product.

#![expect(
    clippy::disallowed_methods,
    reason = "budgets and deadlines of tests are real time"
)]

pub mod broker_life;
pub mod card;
pub mod drive;
pub mod ledger;
pub mod part;
pub mod parts;
pub mod place;
pub mod process;
pub mod stream_life;
