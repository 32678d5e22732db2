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
use highwater_client::{Client, ClientConfig, Password, Properties};
use tokio::runtime::Runtime;

use crate::cli::args::{ClientArgs, TargetArgs};
use crate::cli::failure::Failure;
use crate::cli::files;
use crate::cli::secret;
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
                let config = self.client.config(&self.bootstrap)?;
                let connected = async { Ok(Client::connect_with(config).await?) };
                let client = signals.unless_interrupted(connected).await?;
                work(client, &mut signals).await
            }),
        };
        // Nobody waits for a thread that reads a terminal.
        runtime.shutdown_background();
        outcome
    }
}

impl ClientArgs {
    /// Who the user is, over what the file says.
    fn log_in(&self, config: &mut ClientConfig) -> Result<(), Failure> {
        let flag = &self.sasl_username;
        take(&mut config.sasl_username, flag, "sasl.username");
        if let Some(mechanism) = self.sasl_mechanism {
            config.sasl_mechanism = Some(mechanism);
        } else if let Some(text) = variable("sasl.mechanism") {
            let parsed = text.parse();
            config.sasl_mechanism =
                Some(parsed.map_err(|error| {
                    Failure::Usage(format!("{VARIABLES}SASL_MECHANISM: {error}"))
                })?);
        }
        if let Some(path) = &self.sasl_password_file {
            config.sasl_password = Some(secret::from_file(path)?);
        } else if let Some(text) = variable("sasl.password") {
            config.sasl_password = Some(Password::from(text));
        }
        Ok(())
    }

    /// The settings of a client of these brokers.
    pub(crate) fn config(&self, bootstrap: &[String]) -> Result<ClientConfig, Failure> {
        let file = match &self.client_config {
            Some(path) => files::read_text(path, FILE_BYTES_MAX)?,
            None => String::new(),
        };
        let mut config = Properties::parse(&file)?.client;
        if let Some(protocol) = self.security_protocol {
            config.security_protocol = protocol;
        } else if let Some(text) = variable("security.protocol") {
            let parsed = text.parse();
            config.security_protocol = parsed.map_err(|error| {
                Failure::Usage(format!("{VARIABLES}SECURITY_PROTOCOL: {error}"))
            })?;
        }
        let flag = &self.ssl_ca_location;
        take(&mut config.ssl_ca_location, flag, "ssl.ca.location");
        let flag = &self.ssl_certificate_location;
        take(
            &mut config.ssl_certificate_location,
            flag,
            "ssl.certificate.location",
        );
        let flag = &self.ssl_key_location;
        take(&mut config.ssl_key_location, flag, "ssl.key.location");
        self.log_in(&mut config)?;
        Ok(config.bootstrap_servers(bootstrap.join(",")))
    }
}

/// Takes a flag, else the environment, over what the file says.
fn take(setting: &mut Option<String>, flag: &Option<String>, name: &str) {
    if let Some(value) = flag.clone().or_else(|| variable(name)) {
        *setting = Some(value);
    }
}

/// The variable of a client's setting.
fn variable(name: &str) -> Option<String> {
    let name = name.to_ascii_uppercase().replace('.', "_");
    std::env::var(format!("{VARIABLES}{name}")).ok()
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

/// What the names of a client's variables begin with.
const VARIABLES: &str = "HIGHWATER_CLIENT_";
/// A file of settings is much smaller.
const FILE_BYTES_MAX: u64 = 1 << 20;
