//! Groups: each rule and each refusal by name, and the model that all of them hold together.

mod commits;
mod joining;
mod kit;
mod leaving;
mod model;
mod rebalancing;
mod recovery;
mod stalls;
mod statics;
mod syncing;
mod upkeep;
mod view;
mod waiting;
