//! `highwater outbox`: a relay as a process of its own, for tables that programs in any language
//! write.
//!
//! Floor 6 of cli.
//!
//! Invariants
//! - The first signal stops it in good order, exit code 0; the second at once, exit code 1.
//! - A password is never printed.

mod http;

use std::path::Path;
use std::sync::Arc;

use highwater_client::sql::{Database, Postgres, Sqlite};
use highwater_client::{
    Capturing, Client, Envelope, Outbox, OutboxError, ParkedKey, Relay, Router, SystemClock, Tcp,
};
use serde::Serialize;

use crate::cli::args::{Capture, Mode, OutboxArgs};
use crate::cli::failure::Failure;
use crate::cli::output::{self, Output};
use crate::cli::serve::stays_on_this_machine;
use crate::cli::signals::Signals;
use crate::cli::table::{Side, Table, cell};
use crate::cli::target::runtime;

/// Runs the command.
pub(crate) fn run(args: &OutboxArgs) -> Result<(), Failure> {
    let url = match &args.database {
        Some(url) => url.clone(),
        None => std::env::var(VARIABLE).map_err(|_| {
            let why = format!("which database? Give --database URL, or the variable {VARIABLE}");
            Failure::Usage(why)
        })?,
    };
    if let Some(bind) = &args.http
        && !args.allow_unauthenticated
    {
        stays_on_this_machine(bind, "read the metrics", "")?;
    }
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        match Place::of(&url)? {
            Place::Sqlite(path) => {
                if !args.migrate && !Path::new(path).is_file() {
                    return Err(Failure::Failed(format!("there is no database {path}")));
                }
                let database = Sqlite::open(path).await.map_err(Failure::failed)?;
                with(database, args, &mut signals).await
            }
            Place::Postgres(url) => {
                let connected = async { Postgres::connect(url).await.map_err(Failure::failed) };
                let database = signals.unless_interrupted(connected).await?;
                with(database, args, &mut signals).await
            }
        }
    });
    runtime.shutdown_background();
    done
}

/// Where the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place<'a> {
    Sqlite(&'a str),
    Postgres(&'a str),
}

impl<'a> Place<'a> {
    /// It does not repeat what was given: that may have a password.
    fn of(url: &'a str) -> Result<Self, Failure> {
        let path = url.strip_prefix("sqlite:").map(|rest| {
            // sqlite:shop.db, sqlite:/var/shop.db, sqlite:///var/shop.db
            rest.strip_prefix("//").unwrap_or(rest)
        });
        match path {
            Some("") => Err(Failure::Usage(
                "which file? It is sqlite:FILE, such as sqlite:/var/lib/shop.db".to_owned(),
            )),
            Some(path) => Ok(Self::Sqlite(path)),
            None if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Ok(Self::Postgres(url))
            }
            None => Err(Failure::Usage(
                "the database is sqlite:FILE or postgres://USER@HOST/NAME".to_owned(),
            )),
        }
    }
}

async fn with<D: Database>(
    database: D,
    args: &OutboxArgs,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let relay = async {
        if args.to.is_empty() && !args.migrate {
            parked(&database, args).await?;
            return Ok(None);
        }
        let client = client(args).await?;
        let relay = relay(&client, database.clone(), args)?;
        if args.migrate {
            relay.migrate().await.map_err(failure)?;
        }
        Ok((!args.to.is_empty()).then_some(relay))
    };
    match signals.unless_interrupted(relay).await? {
        Some(relay) => publish(relay, args, signals).await,
        None => Ok(()),
    }
}

/// A client of the brokers; if there are none, one that never has to find any.
async fn client(args: &OutboxArgs) -> Result<Client, Failure> {
    if args.to.is_empty() {
        let tcp = Arc::new(Tcp::new(NAME));
        let clock = Arc::new(SystemClock::new());
        return Ok(Client::over("localhost:9092", tcp, clock)?);
    }
    let config = args.client.config(&args.to)?.client_id(NAME);
    Ok(Client::connect_with(config).await?)
}

/// Lists parked keys, or does what is asked for with one of them.
async fn parked<D: Database>(database: &D, args: &OutboxArgs) -> Result<(), Failure> {
    // The topic matters to who enqueues only.
    let outbox = Outbox::to("").table(&args.table);
    let parked = outbox.parked(database, PARKED_MAX).await.map_err(failure)?;
    let done = match (args.retry, args.skip) {
        (Some(seq), _) => outbox.retry(database, find(&parked, seq)?).await,
        (None, Some(seq)) => outbox.skip(database, find(&parked, seq)?).await,
        (None, None) => return list(&parked, args.json),
    };
    done.map_err(failure)
}

/// The relay that was asked for.
fn relay<D: Database>(
    client: &Client,
    database: D,
    args: &OutboxArgs,
) -> Result<Relay<D>, Failure> {
    let router = match args.mode {
        Mode::Debezium => {
            let properties = args.set.iter().map(|(name, value)| (name, value));
            Router::debezium(properties).map_err(failure)?
        }
        Mode::Cloudevents if args.set.is_empty() => Router::cloud_events(Envelope::new()),
        Mode::Cloudevents => {
            let why = "--set has properties of Debezium's router, and the mode is cloudevents";
            return Err(Failure::Usage(why.to_owned()));
        }
    };
    let mut relay = client.relay(database).table(&args.table).router(router);
    if let Some(column) = &args.order_column {
        relay = relay.order_column(column);
    }
    // What the migration has made has it.
    let is_made = args.migrate && args.order_column.is_none();
    let created = args.created_column.as_deref();
    if let Some(column) = created.or_else(|| is_made.then_some("created_at")) {
        relay = relay.created_column(column);
    }
    if let Some(capture) = args.capture {
        relay = relay.capture(match capture {
            Capture::Snapshot => Capturing::Snapshot,
            Capture::Queue => Capturing::Queue,
        });
    }
    if args.adopt {
        relay = relay.adopt();
    }
    if args.allow_memory_ack {
        relay = relay.allow_memory_ack();
    }
    Ok(relay)
}

/// Publishes until a signal comes.
async fn publish<D: Database>(
    relay: Relay<D>,
    args: &OutboxArgs,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let mut at = String::new();
    if let Some(address) = &args.http {
        let (socket, bound) = http::listen(address).await?;
        at = format!(", metrics at http://{bound}/metrics");
        tokio::spawn(http::serve(socket, relay.metrics()));
    }
    let (table, to) = (&args.table, args.to.join(","));
    // Nobody may be there to read it.
    let ready = format!("highwater outbox: rows of {table} are published to {to}{at}\n");
    let _ = output::text(&ready);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = relay.run(async { stopped.await.unwrap_or_default() });
    let mut running = std::pin::pin!(running);
    let summary = tokio::select! {
        summary = &mut running => summary,
        () = signals.next() => {
            tracing::info!("stopping; a second signal stops at once");
            drop(stop);
            tokio::select! {
                summary = running => summary,
                () = signals.next() => return Err(Failure::Interrupted),
            }
        }
    };
    let (published, parked) = (summary.published, summary.parked);
    tracing::info!(published, parked, "the relay has ended");
    summary.result().map_err(failure)
}

/// What `--parked --json` says of a key.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    seq: i64,
    route: &'a str,
    key: &'a str,
    rows: u64,
    attempts: u32,
    error: &'a str,
}

fn list(parked: &[ParkedKey], json: bool) -> Result<(), Failure> {
    let mut out = Output::new();
    let (left, right) = (Side::Left, Side::Right);
    let mut table = Table::new([
        ("SEQ", right),
        ("ROUTE", left),
        ("KEY", left),
        ("ROWS", right),
        ("TRIES", right),
        ("ERROR", left),
    ]);
    for it in parked {
        if json {
            out.json(&Listed {
                seq: it.seq,
                route: &it.route,
                key: &it.key,
                rows: it.rows,
                attempts: it.attempts,
                error: &it.error,
            })?;
            continue;
        }
        table.row([
            it.seq.to_string(),
            cell(&it.route, NAME_MAX),
            cell(&it.key, NAME_MAX),
            it.rows.to_string(),
            it.attempts.to_string(),
            cell(&it.error, ERROR_MAX),
        ]);
    }
    if !json {
        out.bytes(table.to_string().as_bytes())?;
    }
    out.flush()
}

fn find(parked: &[ParkedKey], seq: i64) -> Result<&ParkedKey, Failure> {
    parked.iter().find(|it| it.seq == seq).ok_or_else(|| {
        Failure::Failed(format!(
            "no parked key has {seq} as the number of its first row; --parked lists them"
        ))
    })
}

fn failure(error: OutboxError) -> Failure {
    match error {
        OutboxError::Invalid(why) => Failure::Usage(why),
        OutboxError::Client(error) => error.into(),
        OutboxError::ForeignDatabase { .. } | OutboxError::RestoredDatabase { .. } => {
            Failure::Failed(format!("{error}, with --adopt"))
        }
        OutboxError::WrongTable { .. } => {
            let sentence = error.to_string();
            let sentence = sentence.replace("Outbox::migrate", "--migrate");
            Failure::Failed(sentence.replace("Relay::migrate", "--migrate"))
        }
        OutboxError::MemoryAck { .. } => {
            let sentence = error.to_string();
            Failure::Failed(sentence.replace("allow_memory_ack", "--allow-memory-ack"))
        }
        other => Failure::failed(other),
    }
}

/// The client id.
const NAME: &str = "highwater-outbox";
const VARIABLE: &str = "DATABASE_URL";
/// How many parked keys are looked at.
const PARKED_MAX: u32 = 10_000;
/// What a cell shows at most, in characters.
const NAME_MAX: usize = 40;
const ERROR_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_a_file_or_a_server() {
        for (url, place) in [
            ("sqlite:shop.db", Place::Sqlite("shop.db")),
            ("sqlite:/var/shop.db", Place::Sqlite("/var/shop.db")),
            ("sqlite:///var/shop.db", Place::Sqlite("/var/shop.db")),
            ("postgres://a@b/c", Place::Postgres("postgres://a@b/c")),
            ("postgresql://a@b/c", Place::Postgres("postgresql://a@b/c")),
        ] {
            assert_eq!(Place::of(url).ok(), Some(place), "{url}");
        }
        for url in [
            "",
            "sqlite:",
            "sqlite://",
            "shop.db",
            "mysql://root:secret@h/d",
        ] {
            let why = Place::of(url).err();
            let why = why.as_ref().and_then(Failure::sentence).unwrap();
            assert!(!why.contains("secret"), "{why}");
        }
    }
}
