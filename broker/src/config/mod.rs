//! What can be set: the broker's own settings, and the configs of topics.
//!
//! Floor 1 of broker.
//!
//! Invariants
//! - One table for each; settings, descriptions, printing and documentation all come from it.

mod broker;
pub mod dynamic;
pub mod overrides;
mod recording;
mod setting;
pub mod topic;
mod topic_table;
pub mod value;

pub use broker::{BrokerConfig, OnPoison, Validation};
pub use recording::Recording;
