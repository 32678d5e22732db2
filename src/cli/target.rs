//! The broker that a command works on: one that runs, or one of its own over a data directory.
//!
//! Floor 4 of cli.
//!
//! Invariants
//! - A command that only reads never makes a data directory.
//! - A broker of the command's own is closed in good order, however the command ends.

use std::path::Path;

use crate::embed::EmbeddedClient;
use highwater_broker::Broker;
use highwater_client::Client;
use tokio::runtime::Runtime;

use crate::cli::args::TargetArgs;
use crate::cli::failure::Failure;
use crate::cli::settings::Settings;
use crate::cli::signals::Signals;

/// Whether the command may make a data directory that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    Make,
    Refuse,
}

impl TargetArgs {
    /// Does some work with a client of the broker.
    pub(crate) fn run<T>(
        &self,
        missing: Missing,
        work: impl AsyncFnOnce(Client, &mut Signals) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let runtime = runtime()?;
        let outcome = match &self.data_dir {
            Some(dir) => {
                let broker = open(dir, missing)?;
                runtime.block_on(async {
                    let mut signals = Signals::listen()?;
                    let outcome = work(Client::embedded(&broker), &mut signals).await;
                    shut_down(&broker, &mut signals).await?;
                    outcome
                })
            }
            None => runtime.block_on(async {
                let mut signals = Signals::listen()?;
                let connected = async { Ok(Client::connect(&self.bootstrap.join(",")).await?) };
                let client = signals.unless_interrupted(connected).await?;
                work(client, &mut signals).await
            }),
        };
        // Nobody waits for a thread that reads a terminal.
        runtime.shutdown_background();
        outcome
    }
}

/// A runtime for the client of one command.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("highwater-cli")
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("cannot start the runtime: {error}")))
}

/// Closes a broker in good order; a signal meanwhile ends the process at once.
pub(crate) async fn shut_down(broker: &Broker, signals: &mut Signals) -> Result<(), Failure> {
    tokio::select! {
        closed = broker.shutdown() => Ok(closed?),
        () = signals.next() => std::process::exit(1),
    }
}

fn open(dir: &Path, missing: Missing) -> Result<Broker, Failure> {
    if missing == Missing::Refuse && !dir.is_dir() {
        return Err(Failure::Failed(format!(
            "there is no data directory {}",
            dir.display()
        )));
    }
    Ok(Broker::builder()
        .data_dir(dir)
        .config(Settings::for_one_command()?)
        .start()?)
}
