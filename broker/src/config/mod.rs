//! What can be set: the broker's own settings, and the configs of topics.
//!
//! Floor 1 of broker.
//!
//! Invariants
//! - One table for each; settings, descriptions, printing and documentation all come from it.

mod broker;
pub mod dynamic;
mod mechanisms;
pub mod overrides;
mod recording;
mod setting;
pub mod topic;
mod topic_table;
pub mod value;
mod words;

pub use broker::BrokerConfig;
pub use mechanisms::Mechanisms;
pub use recording::Recording;
pub use words::{ClientAuth, OnPoison, Validation};
