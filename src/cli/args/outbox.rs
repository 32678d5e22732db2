//! The words of `highwater outbox`.
//!
//! Floor 1 of cli.

use clap::{Args, ValueEnum};
use highwater_broker::Address;

use super::{ClientArgs, pair};

/// Publishes the rows of a table that others write: at least once, those of a key in their order.
#[derive(Debug, Args)]
pub(crate) struct OutboxArgs {
    /// The database: sqlite:FILE, or postgres://USER@HOST/NAME; else the variable
    /// DATABASE_URL, where a password is in no list of processes
    #[arg(long, value_name = "URL")]
    pub(crate) database: Option<String>,
    /// The brokers to publish to; several with commas between
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',',
          required_unless_present_any = ["migrate", "parked", "retry", "skip"])]
    pub(crate) to: Vec<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// The table, with its schema if it has one: shop.outbox
    #[arg(long, value_name = "NAME", default_value = "outbox")]
    pub(crate) table: String,
    /// Which records the rows become
    #[arg(long, value_enum, value_name = "MODE", default_value = "debezium")]
    pub(crate) mode: Mode,
    /// A property of Debezium's outbox event router, such as route.topic.replacement; may be
    /// repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,
    /// In PostgreSQL, how new rows are found [default: queue for rows of Debezium, snapshot for
    /// CloudEvents]
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) capture: Option<Capture>,
    /// The column that orders the rows: whole numbers that ascend [default: seq]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) order_column: Option<String>,
    /// The column that says when a row was written, so that its age is known [default: created_at
    /// with --mode cloudevents, and with --migrate unless there is --order-column]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) created_column: Option<String>,
    /// The database was restored, or is another one: publish all rows that are in it
    #[arg(long)]
    pub(crate) adopt: bool,
    /// Publish to topics that lose acknowledged records in a power failure
    #[arg(long)]
    pub(crate) allow_memory_ack: bool,
    /// First make the tables that are missing: the outbox too, unless --order-column says that it
    /// is somebody else's. Without --to, that is all
    #[arg(long, conflicts_with_all = ["parked", "retry", "skip"])]
    pub(crate) migrate: bool,
    /// List the keys that wait because a row of theirs cannot be published, and end
    #[arg(long, conflicts_with_all = ["to", "retry", "skip"])]
    pub(crate) parked: bool,
    /// Publish the rows of the parked key whose first row has this number, and end
    #[arg(long, value_name = "SEQ", conflicts_with_all = ["to", "skip"])]
    pub(crate) retry: Option<i64>,
    /// Drop that row, publish the later ones of its key, and end
    #[arg(long, value_name = "SEQ", conflicts_with = "to")]
    pub(crate) skip: Option<i64>,
    /// Serve /health/live and /metrics over HTTP here, among them how long the oldest row has been
    /// waiting [default: nowhere]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) http: Option<Address>,
    /// Listen beyond this machine though anyone who can connect may read the metrics
    #[arg(long)]
    pub(crate) allow_unauthenticated: bool,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which records the rows become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Those of Debezium's outbox event router
    Debezium,
    /// CloudEvents, as Highwater's own outbox writes them
    Cloudevents,
}

/// How new rows are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Capture {
    /// By what a new snapshot of the database sees and the last one did not
    Snapshot,
    /// The lowest rows that are there; they are deleted when they are published
    Queue,
}
