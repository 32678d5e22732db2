//! The words of `highwater topic`.
//!
//! Floor 1 of cli.

use clap::{Args, Subcommand, ValueEnum};

use super::{TargetArgs, pair};
use crate::cli::moment::From;

#[derive(Debug, Args)]
pub(crate) struct TopicArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(subcommand)]
    pub(crate) command: TopicCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicCommand {
    /// Create a topic
    Create {
        /// Its name
        topic: String,
        /// How many partitions [default: the broker's num.partitions]
        #[arg(long, value_name = "N")]
        partitions: Option<i32>,
        /// Settings that belong together; --set goes before what is in them
        #[arg(long, value_enum)]
        preset: Option<Preset>,
        /// A setting of the topic, such as retention.ms; may be repeated
        #[arg(long, visible_alias = "config", value_name = "NAME=VALUE", value_parser = pair)]
        set: Vec<(String, String)>,
        /// It is fine if the topic exists
        #[arg(long)]
        if_not_exists: bool,
        /// Show the topic as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// List the topics
    List {
        /// Those of the broker itself, too
        #[arg(long)]
        internal: bool,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show a topic's partitions, their offsets and sizes, and its settings
    Describe {
        /// Its name
        topic: String,
        /// Every setting, not only those that somebody has set
        #[arg(long)]
        all: bool,
        /// One JSON object, with every setting
        #[arg(long)]
        json: bool,
    },
    /// Change a topic's settings, or add partitions
    Alter {
        /// Its name
        topic: String,
        /// Grow to so many partitions; keys move to other partitions
        #[arg(long, value_name = "N")]
        partitions: Option<i32>,
        /// Grow by so many partitions; keys move to other partitions
        #[arg(long, value_name = "N", conflicts_with = "partitions")]
        add_partitions: Option<i32>,
        /// Set a setting; may be repeated
        #[arg(long, visible_alias = "config", value_name = "NAME=VALUE", value_parser = pair)]
        set: Vec<(String, String)>,
        /// Take a setting back to its default; may be repeated
        #[arg(long, visible_alias = "delete-config", value_name = "NAME")]
        unset: Vec<String>,
        /// Show the topic as it is then, as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Delete topics and everything in them
    Delete {
        /// Their names
        #[arg(required = true)]
        topics: Vec<String>,
        /// It is fine if a topic does not exist
        #[arg(long)]
        if_exists: bool,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Let the oldest records of a topic go; the topic stays
    DeleteRecords {
        /// Its name
        topic: String,
        /// What goes is older than this: latest (everything goes), an offset, -N (the last N of
        /// each partition stay), a time such as 2013-01-01T10:00:00Z, or @ and milliseconds
        #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
        before: From,
        /// Only in this partition; may be repeated
        #[arg(long, value_name = "N")]
        partition: Vec<i32>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
}

/// Settings of a topic that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// A stream of events for each key: appends may expect its last revision, and nothing is
    /// removed
    EventStore,
}
