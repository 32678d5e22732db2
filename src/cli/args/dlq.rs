//! The words of `highwater dlq`.
//!
//! Floor 1 of cli.

use std::fmt;
use std::str::FromStr;

use clap::{ArgGroup, Args, Subcommand};
use highwater_client::LetterFilter;

use super::TargetArgs;
use crate::cli::moment::time;

#[derive(Debug, Args)]
pub(crate) struct DlqArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(subcommand)]
    pub(crate) command: DlqCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// List dead letters: where they lie, where they came from, and why
    List {
        /// The topic of dead letters, such as orders-dlt
        topic: String,
        #[command(flatten)]
        filter: FilterArgs,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100)]
        max: usize,
        /// One JSON object a line, with everything that is known
        #[arg(long)]
        json: bool,
    },
    /// Show everything about one dead letter
    Show {
        /// The topic of dead letters
        topic: String,
        /// Where it lies there: PARTITION@OFFSET, as `list` prints it
        at: LetterPlace,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Send the records of dead letters back to the topics and partitions that they came from
    ///
    /// Shows the plan; --execute carries it out. Every group that reads such a topic gets the
    /// records again, and the letters stay where they are.
    Redrive(RedriveArgs),
}

/// Which letters: those that meet every condition.
#[derive(Debug, Args)]
pub(crate) struct FilterArgs {
    /// Of this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Of this class; letters of others than Highwater have none
    #[arg(long, value_name = "CLASS", value_parser = ["retry", "dead", "invalid", "panic"])]
    class: Option<String>,
    /// Of this type of error
    #[arg(long, value_name = "TYPE")]
    error: Option<String>,
    /// Of the group that could not handle them
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Stored then or later: a time such as 2013-01-01T10:00:00Z, or @ and milliseconds since 1970
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<i64>,
    /// Stored before that time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<i64>,
    /// The one at this place
    #[arg(long, value_name = "PARTITION@OFFSET")]
    at: Option<LetterPlace>,
    /// Those that come after this place: to go on where a run ended
    #[arg(long, value_name = "PARTITION@OFFSET")]
    behind: Option<LetterPlace>,
}

impl FilterArgs {
    /// The same for the library.
    pub(crate) fn letters(&self) -> LetterFilter {
        let mut filter = LetterFilter::all();
        if let Some(key) = &self.key {
            filter = filter.key(key.clone());
        }
        if let Some(class) = &self.class {
            filter = filter.class(class);
        }
        if let Some(error) = &self.error {
            filter = filter.error(error);
        }
        if let Some(group) = &self.group {
            filter = filter.group(group);
        }
        if let Some(ms) = self.since {
            filter = filter.since(ms);
        }
        if let Some(ms) = self.until {
            filter = filter.until(ms);
        }
        if let Some(LetterPlace { partition, offset }) = self.at {
            filter = filter.at(partition, offset);
        }
        if let Some(LetterPlace { partition, offset }) = self.behind {
            filter = filter.behind(partition, offset);
        }
        filter
    }
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("scope").required(true).multiple(true).args([
    "key", "class", "error", "group", "since", "until", "at", "behind", "all",
]))]
pub(crate) struct RedriveArgs {
    /// The topic of dead letters
    pub(crate) topic: String,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// All of them
    #[arg(long, conflicts_with_all = [
        "key", "class", "error", "group", "since", "until", "at", "behind",
    ])]
    all: bool,
    /// Only show the plan; so it is without --execute, too
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    /// Carry the plan out
    #[arg(long)]
    pub(crate) execute: bool,
    /// At most so many in a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) per_second: Option<u32>,
    /// Refuse a record that has been sent back so often
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) max_redrives: u32,
    /// Take at most so many letters [default: 10000, and it is a failure if there are more]
    #[arg(long, value_name = "N")]
    pub(crate) max: Option<usize>,
    /// One JSON object a letter, each as soon as it is known what became of it
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where a letter lies in its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LetterPlace {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

impl FromStr for LetterPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let place = text.split_once('@').and_then(|(partition, offset)| {
            let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
            (partition >= 0 && offset >= 0).then_some(Self { partition, offset })
        });
        place.ok_or_else(|| "it is PARTITION@OFFSET, such as 0@17".to_owned())
    }
}

impl fmt::Display for LetterPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_partition_and_an_offset() {
        let place = LetterPlace {
            partition: 3,
            offset: 17,
        };
        assert_eq!("3@17".parse(), Ok(place));
        assert_eq!(place.to_string(), "3@17");
        for text in [
            "", "3", "@17", "3@", "-1@17", "3@-1", "3:17", "t-3@17", "3@17@1",
        ] {
            assert!(text.parse::<LetterPlace>().is_err(), "{text}");
        }
    }
}
