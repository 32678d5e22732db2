//! Topics, their configs, users, producer ids, leader epochs: decided purely, kept in the metadata
//! log.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - No clock, no disk, no random number: ids and times come as arguments.
//! - One topic name is one topic at a time; a topic that is being deleted keeps its name.

mod configs;
mod history;
mod input;
mod internal;
mod machine;
mod name;
mod plan;
mod state;
mod users;

pub(crate) use configs::unknown as unknown_topic;
pub use highwater_proto::meta::MetaRecord;
pub use input::{
    AlterFrom, ConfigChange, ConfigOperation, NewPartitions, NewTopic, NewTopicDescription,
};
pub use internal::OFFSETS_TOPIC;
pub use machine::{LastStop, MetaMachine};
pub use name::{check as check_name, is_reserved};
pub use state::{MetaState, Topic};
pub use users::{AlteredUser, CredentialChange, UserChange, Users};

/// The name that the metadata log would have; no topic may take it.
pub const META_TOPIC: &str = "__meta";
