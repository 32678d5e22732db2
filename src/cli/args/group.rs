//! The words of `highwater group`.
//!
//! Floor 1 of cli.

use clap::{ArgGroup, Args, Subcommand};

use super::TargetArgs;
use crate::cli::moment::From;
use crate::cli::scope::Part;

#[derive(Debug, Args)]
pub(crate) struct GroupArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(subcommand)]
    pub(crate) command: GroupCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// List the groups
    List {
        /// Only groups in this state, such as Stable or Empty
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show how far a group got: its lag by partition, in records and in seconds
    ///
    /// The lag in seconds is the age of the oldest record that the group has not read.
    Describe {
        /// Its id
        group: String,
        /// Its members and what they read, instead of the partitions
        #[arg(long)]
        members: bool,
        /// One JSON object, with partitions and members
        #[arg(long)]
        json: bool,
    },
    /// Move a group that has no members to another place
    ///
    /// Shows the plan; --execute carries it out.
    Reset(ResetArgs),
    /// Delete groups that have no members, with their offsets
    Delete {
        /// Their ids
        #[arg(required = true)]
        groups: Vec<String>,
        /// Only the offsets of this topic, or of some of its partitions (T:0,1); may be repeated.
        /// Fine while the group has members that read other topics
        #[arg(long, value_name = "TOPIC[:PARTITIONS]")]
        topic: Vec<Part>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("place").required(true).args(["to", "shift_by"]))]
#[command(group = ArgGroup::new("scope").required(true).args(["topic", "all_topics"]))]
pub(crate) struct ResetArgs {
    /// The group's id; a group that does not exist yet is made
    pub(crate) group: String,
    /// earliest, latest, an offset, -N (N records before the end), a time such as
    /// 2013-01-01T10:00:00Z, or @ and milliseconds since 1970
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    pub(crate) to: Option<From>,
    /// So many records on, or back if negative, from where the group is
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) shift_by: Option<i64>,
    /// In this topic, or in some of its partitions (T:0,1); may be repeated
    #[arg(long, value_name = "TOPIC[:PARTITIONS]", conflicts_with = "all_topics")]
    pub(crate) topic: Vec<Part>,
    /// In every partition where the group has committed an offset
    #[arg(long)]
    pub(crate) all_topics: bool,
    /// Only show the plan; so it is without --execute, too
    #[arg(long, conflicts_with = "execute")]
    pub(crate) dry_run: bool,
    /// Carry the plan out
    #[arg(long)]
    pub(crate) execute: bool,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}
