//! The words of `highwater story`.
//!
//! Floor 1 of cli.

use clap::{Args, ValueEnum};

use super::TargetArgs;

#[derive(Debug, Args)]
pub(crate) struct StoryOfArgs {
    /// A key, or the id that events have in common (ce_correlationid)
    #[arg(value_name = "KEY")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// What it is [default: a key; if no record has it, a correlation id]
    #[arg(long, value_enum)]
    pub(crate) by: Option<By>,
    /// Only in this topic; may be repeated
    #[arg(long, value_name = "TOPIC")]
    pub(crate) topic: Vec<String>,
    /// At most so many events, the oldest ones
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) max: usize,
    /// One JSON object an event
    #[arg(long)]
    pub(crate) json: bool,
}

/// What the events of a story have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// The key of their records; found by the key index of topics that have one
    Key,
    /// What they belong to: their ce_correlationid, or the ce_id of the event that it began with
    Correlation,
}
