//! The words of `highwater events`.
//!
//! Floor 1 of cli.

use clap::{Args, Subcommand};
use highwater_client::events::Expect;

use super::TargetArgs;
use crate::cli::moment::Moment;

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(subcommand)]
    pub(crate) command: EventsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// List the events of a stream: revision, time, offset, type, id and data
    ///
    /// A broker's key index finds them (--bootstrap highwater://HOST:PORT, or --data-dir). Where
    /// there is none, the key's partition is read from its beginning.
    Show {
        #[command(flatten)]
        stream: StreamArgs,
        /// The stream as it was then: a revision, offset:N, a time such as 2013-01-01T10:00:00Z,
        /// or @ and milliseconds since 1970
        #[arg(long, value_name = "MOMENT")]
        as_of: Option<Moment>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 1_000)]
        max: usize,
        /// One JSON object a line, with headers
        #[arg(long)]
        json: bool,
    },
    /// Append one event to a stream, if the stream is as expected
    ///
    /// Needs Highwater's own protocol: --bootstrap highwater://HOST:PORT, or --data-dir.
    Append(AppendArgs),
    /// Follow a stream event by event, and show how each changes its state
    ///
    /// The state is what the events' JSON data gives if the members of each are laid over those
    /// before; your own program may fold them otherwise. It ends at the end of the stream as it was
    /// at the start. No group is involved, nothing is committed and nothing happens outside.
    Replay {
        #[command(flatten)]
        stream: StreamArgs,
        /// Up to then: a revision, offset:N, a time such as 2013-01-01T10:00:00Z, or @ and
        /// milliseconds since 1970
        #[arg(long, value_name = "MOMENT")]
        as_of: Option<Moment>,
        /// One JSON object an event, with what it changed and the state behind it
        #[arg(long)]
        json: bool,
    },
}

/// Which stream.
#[derive(Clone, Debug, Args)]
pub(crate) struct StreamArgs {
    /// The key of its records
    pub(crate) key: String,
    /// The topic
    #[arg(long, value_name = "TOPIC")]
    pub(crate) topic: String,
    /// The partition [default: the key's, as Kafka's clients choose it]
    #[arg(long, value_name = "N")]
    pub(crate) partition: Option<i32>,
}

#[derive(Debug, Args)]
pub(crate) struct AppendArgs {
    #[command(flatten)]
    pub(crate) stream: StreamArgs,
    /// What happened, with its version: order.paid.v1
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) event_type: String,
    /// Its data, @ and a file, or - for the standard input
    #[arg(long, value_name = "JSON|@FILE|-", default_value = "{}")]
    pub(crate) data: String,
    /// What the data is; what is not JSON is not checked
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    pub(crate) content_type: String,
    /// What must hold of the stream: any, no-stream, no-stream-or-deleted, exists, the revision of
    /// its last event, or offset:N, that of its last event
    #[arg(long, value_name = "WHAT", value_parser = expect)]
    pub(crate) expect: Expect,
    /// The event's id: with the same one again, the event is not stored twice where a revision or
    /// no-stream is expected [default: a new one]
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Where it happened [default: a slash and the topic]
    #[arg(long, value_name = "URI")]
    pub(crate) source: Option<String>,
    /// The id of what it belongs to
    #[arg(long, value_name = "ID")]
    pub(crate) correlation: Option<String>,
    /// The id of the event that it follows from
    #[arg(long, value_name = "ID")]
    pub(crate) causation: Option<String>,
    /// Show where it is as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is expected of a stream.
fn expect(text: &str) -> Result<Expect, String> {
    let wrong = || {
        format!(
            "{text:?} is not any, no-stream, no-stream-or-deleted, exists, a revision or offset:N"
        )
    };
    Ok(match text {
        "any" => Expect::Any,
        "no-stream" => Expect::NoStream,
        "no-stream-or-deleted" => Expect::NoStreamOrDeleted,
        "exists" => Expect::Exists,
        _ => match text.parse::<Moment>() {
            Ok(Moment::Revision(revision)) => Expect::Revision(revision),
            Ok(Moment::Offset(offset)) => Expect::LastOffset(offset),
            _ => return Err(wrong()),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expectation_has_its_word() {
        for (text, expected) in [
            ("any", Expect::Any),
            ("no-stream", Expect::NoStream),
            ("no-stream-or-deleted", Expect::NoStreamOrDeleted),
            ("exists", Expect::Exists),
            ("3", Expect::Revision(3)),
            ("revision:3", Expect::Revision(3)),
            ("offset:3", Expect::LastOffset(3)),
        ] {
            assert_eq!(expect(text), Ok(expected), "{text}");
        }
        for text in ["", "none", "-1", "@3", "2013-01-01T10:00:00Z"] {
            assert!(expect(text).is_err(), "{text}");
        }
    }
}
