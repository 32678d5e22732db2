//! Consumer groups: who is in a group, what each member works on, how far each got.
//!
//! Floor 2 of broker. Pure: no clock, no disk, no socket, no random bytes.
//!
//! Kafka's classic group protocol. `machine` finds the group of a request and its timers, `state`
//! is one group, and one file each holds what the group does: `join`, `replace`, `sync`, `leave`,
//! `rebalance`, `commit`, `upkeep`. What a group owes to the log is in `durable`.

mod call;
mod commit;
mod config;
mod durable;
mod join;
mod leave;
mod machine;
mod member;
mod offsets;
mod rebalance;
mod recover;
mod replace;
mod roster;
mod state;
mod step;
mod sync;
#[cfg(test)]
mod tests;
mod timers;
mod upkeep;
mod view;
mod vote;

pub use call::*;
pub use config::GroupConfig;
pub use machine::GroupMachine;
