//! The words of the command line.
//!
//! Floor 1 of cli.
//!
//! Invariants
//! - A flag that sets what Kafka has a name for is that name with dashes.

mod client;
mod demo;
mod dlq;
mod doctor;
mod events;
mod group;
mod outbox;
mod story;
mod topic;
mod user;

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use highwater_broker::{HttpListener, KafkaListener, NativeListener};
use highwater_client::{Acks, Codec};

use crate::cli::moment::From;
pub(crate) use client::ClientArgs;
pub(crate) use demo::{DemoArgs, DemoCommand, FlightsArgs, StoryArgs};
pub(crate) use dlq::{DlqArgs, DlqCommand, LetterPlace, RedriveArgs};
pub(crate) use doctor::{DoctorArgs, HealthArgs};
pub(crate) use events::{AppendArgs, EventsArgs, EventsCommand, StreamArgs};
pub(crate) use group::{GroupArgs, GroupCommand, ResetArgs};
pub(crate) use outbox::{Capture, Mode, OutboxArgs};
pub(crate) use story::{By, StoryOfArgs};
pub(crate) use topic::{Preset, TopicArgs, TopicCommand};
pub(crate) use user::{UserArgs, UserCommand};

/// An event log that you embed, with the Kafka wire.
#[derive(Debug, Parser)]
#[command(
    name = "highwater",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Args {
    /// What is logged to the standard error: error, warn, info, debug, trace, or RUST_LOG's form
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a broker
    Serve(ServeArgs),
    /// Create, list, describe, alter or delete topics
    Topic(TopicArgs),
    /// List, describe, reset or delete consumer groups
    Group(GroupArgs),
    /// Set, list or delete the users that prove who they are by a password
    User(UserArgs),
    /// Send each line of the input as a record
    Produce(ProduceArgs),
    /// Print records
    Consume(ConsumeArgs),
    /// List and show dead letters, or send them back to where they came from
    Dlq(DlqArgs),
    /// Show a stream of events, append to it if it is as expected, or see its state build up
    Events(EventsArgs),
    /// Tell all that happened to one key or one correlation id, in every topic, and what caused
    /// what
    Story(StoryOfArgs),
    /// Publish the rows of an outbox table, from a database to a broker
    Outbox(OutboxArgs),
    /// Look into a data directory without a broker; nothing is changed
    Log(LogArgs),
    /// Look at a data directory and its disk for what costs data or nights
    Doctor(DoctorArgs),
    /// Ask a running broker whether it is ready
    Health(HealthArgs),
    /// See it work, in seconds: orders, their events, and payments that happen once, whatever
    /// goes wrong between
    Demo(DemoArgs),
}

/// Settings come from the flags, else the environment (HIGHWATER_NUM_PARTITIONS), else the file,
/// else the defaults.
#[derive(Debug, Group)]
pub(crate) struct ServeArgs {
    /// Where the data lives; made if it is missing
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// For trying out: a temporary folder that is removed at the end, on port 9092
    #[arg(long, conflicts_with = "data_dir")]
    pub(crate) dev: bool,
    /// For tests of other programs, on this machine only: in memory, on free ports, its time moved
    /// and its requests broken over HTTP
    #[arg(long, conflicts_with_all = ["data_dir", "dev", "allow_unauthenticated"])]
    pub(crate) test_mode: bool,
    /// In test mode, whose time it is: the machine's, or one that starts with it and can be moved
    /// [default: system]
    #[arg(long, value_enum, value_name = "CLOCK")]
    pub(crate) clock: Option<ClockChoice>,
    /// In test mode: end when the standard input does, so with the program that holds it
    #[arg(long)]
    pub(crate) stop_with_stdin: bool,
    /// Where Kafka clients connect: HOST:PORT, with a name, the address that clients are told if it
    /// is another one, and PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL; may be repeated
    /// [default: 127.0.0.1:9092]
    #[arg(
        long,
        value_name = "[NAME=]HOST:PORT[,advertise=HOST:PORT][,protocol=PROTOCOL]"
    )]
    pub(crate) kafka: Vec<KafkaListener>,
    /// Serve /health/live, /health/ready and /metrics over HTTP here, or with protocol=SSL over
    /// HTTPS [default: nowhere]
    #[arg(long, value_name = "HOST:PORT[,protocol=SSL]")]
    pub(crate) http: Option<HttpListener>,
    /// Where clients of Highwater's own protocol connect, 127.0.0.1:9192 by convention; beside a
    /// listener with SASL access=everybody says that these need no password [default: nowhere]
    #[arg(long, value_name = "HOST:PORT[,protocol=SSL][,access=everybody]")]
    pub(crate) native: Option<NativeListener>,
    /// Listen beyond this machine also where clients do not prove who they are: anyone who can
    /// connect may do anything
    #[arg(long)]
    pub(crate) allow_unauthenticated: bool,
    /// The built-in defaults to start from
    #[arg(long, value_parser = ["server", "edge"])]
    pub(crate) profile: Option<String>,
    /// A TOML file of settings
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// One setting by Kafka's name; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,
    /// Print every setting with where it comes from, as TOML that --config takes, and end
    #[arg(long)]
    pub(crate) print_config: bool,
}

/// Whose time a broker in test mode lives by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClockChoice {
    /// The machine's
    System,
    /// One that runs like the machine's, and jumps when it is told to
    Virtual,
}

/// Which broker: one that runs, or one of this command's own over a data directory.
#[derive(Clone, Debug, Group)]
pub(crate) struct TargetArgs {
    /// A broker to connect to; several with commas between
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:9092",
        conflicts_with = "data_dir",
        global = true
    )]
    pub(crate) bootstrap: Vec<String>,
    /// No running broker: open this data directory for the time of the command
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Group)]
pub(crate) struct ProduceArgs {
    /// Where to
    pub(crate) topic: String,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Read this file (may be .gz) instead of the standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Lines are JSON objects; this field is the key. Missing or null: a record without a key
    #[arg(long, value_name = "FIELD")]
    pub(crate) key_field: Option<String>,
    /// Every record to this partition [default: by the key]
    #[arg(long, value_name = "N")]
    pub(crate) partition: Option<i32>,
    /// none, gzip, snappy, lz4 or zstd
    #[arg(long, value_name = "CODEC", default_value = "none")]
    pub(crate) compression: Codec,
    /// When the broker answers: all (durable), 1 (written) or 0 (never)
    #[arg(long, default_value = "all")]
    pub(crate) acks: Acks,
    /// Bytes that a batch holds before it is sent
    #[arg(long, value_name = "BYTES", default_value_t = 16_384)]
    pub(crate) batch_size: usize,
    /// How long a record waits for others to share its batch, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5)]
    pub(crate) linger_ms: u64,
    /// How long a record may take to be acknowledged, retries included, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 120_000)]
    pub(crate) delivery_timeout_ms: u64,
    /// Rejected lines do not make the command fail
    #[arg(long)]
    pub(crate) skip_bad: bool,
}

#[derive(Debug, Group)]
pub(crate) struct ConsumeArgs {
    /// Where from
    pub(crate) topic: String,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// As a member of this group: go on behind what it has committed, share the partitions with
    /// its other members, and commit what was printed
    #[arg(long, value_name = "GROUP", conflicts_with = "partition")]
    pub(crate) group: Option<String>,
    /// earliest, latest, an offset, -N (the last N of each partition), a time such as
    /// 2013-01-01T10:00:00Z, or @ and milliseconds since 1970. With --group: earliest or latest,
    /// and only where the group has committed nothing
    #[arg(long, default_value = "earliest", allow_hyphen_values = true)]
    pub(crate) from: From,
    /// End after so many records
    #[arg(long, value_name = "N")]
    pub(crate) max: Option<u64>,
    /// Only this partition; may be repeated
    #[arg(long, value_name = "N")]
    pub(crate) partition: Vec<i32>,
    /// One JSON object a record instead of its bare value
    #[arg(long)]
    pub(crate) json: bool,
    /// Go on with what comes, until interrupted
    #[arg(long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Group)]
pub(crate) struct LogArgs {
    #[command(subcommand)]
    pub(crate) command: LogCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Print what stands in the segments: their batches, or their records
    Dump {
        /// A data directory, one log's folder in it, or a .log file
        path: PathBuf,
        /// The records, too
        #[arg(long)]
        records: bool,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Give up what is lost in a data directory that no broker uses, and say exactly what that is;
    /// a copy of it stays in its folder `quarantine`
    Repair {
        /// A data directory
        path: PathBuf,
        /// Change nothing: say what would be given up
        #[arg(long)]
        dry_run: bool,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Read everything and check every checksum, index and offset
    Verify {
        /// A data directory, or one log's folder in it
        path: PathBuf,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

/// `NAME=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err("it is NAME=VALUE".to_owned()),
    }
}
