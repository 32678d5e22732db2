//! `highwater serve`: a broker as a process of its own.
//!
//! Floor 5 of cli.
//!
//! Invariants
//! - It never listens beyond this machine unless that was asked for.
//! - The first signal stops it in good order, exit code 0; the second at once, exit code 1.
//! - With `on.poison=exit` a failed write or sync ends it, exit code 1.

mod control;
mod test_mode;

use std::net::ToSocketAddrs;
use std::path::Path;
use std::sync::Arc;

use highwater_broker::config::{BrokerConfig, ClientAuth, OnPoison};
use highwater_broker::{Address, Broker, Builder};
use highwater_log::fs::Fs;

use crate::cli::args::ServeArgs;
use crate::cli::descriptors::{connections_max, raise_limit};
use crate::cli::failure::Failure;
use crate::cli::files;
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::cli::signals::Signals;
use crate::cli::target::shut_down;

/// Runs the command.
pub(crate) fn run(args: ServeArgs, disk: Option<Arc<dyn Fs>>) -> Result<(), Failure> {
    let settings = Settings::load(&args)?;
    if args.print_config {
        return output::text(&settings.to_toml());
    }
    if args.test_mode {
        return test_mode::run(&settings, &args);
    }
    if args.clock.is_some() || args.stop_with_stdin {
        let why = "--clock and --stop-with-stdin are for a broker in --test-mode";
        return Err(Failure::Usage(why.to_owned()));
    }
    if !settings.allow_unauthenticated {
        let mut open = unauthenticated(&settings);
        open.try_for_each(|(bind, may)| stays_on_this_machine(bind, may, PROOFS))?;
    }
    if args.dev {
        let folder = files::temporary_folder()?;
        let served = serve(&settings, folder.path(), disk);
        files::remove(folder)?;
        return served;
    }
    match &settings.data_dir {
        Some(dir) => serve(&settings, dir, disk),
        None => Err(Failure::Usage(
            "where is the data to live? Give --data-dir DIR, or --dev for a temporary folder"
                .to_owned(),
        )),
    }
}

/// Listeners whose clients do not prove who they are, and what anyone may do there.
fn unauthenticated(settings: &Settings) -> impl Iterator<Item = (&Address, &'static str)> {
    let has_certificates = settings.broker.ssl_client_auth == ClientAuth::Required;
    let kafka = settings.kafka.iter().filter(move |listener| {
        let protocol = listener.protocol;
        let shows_one = protocol.is_encrypted() && has_certificates;
        !(protocol.has_sasl() || shows_one)
    });
    let http = settings.http.iter();
    let http = http.filter(move |listener| !(listener.is_encrypted && has_certificates));
    let kafka = kafka.map(|listener| (&listener.bind, "read and write everything"));
    let native = settings.native.iter();
    let native = native.filter(move |listener| !(listener.is_encrypted && has_certificates));
    let native = native.map(|listener| &listener.bind);
    kafka
        .chain(native.map(|bind| (bind, "read and write everything")))
        .chain(http.map(|listener| (&listener.bind, "read the metrics")))
}

fn serve(settings: &Settings, dir: &Path, disk: Option<Arc<dyn Fs>>) -> Result<(), Failure> {
    let builder = Broker::builder().config(within_limits(&settings.broker));
    let builder = match disk {
        Some(disk) => builder.fs(disk, dir),
        None => builder.data_dir(dir),
    };
    let listeners = settings.kafka.iter().cloned();
    let builder = listeners.fold(builder, Builder::listen_kafka);
    let native = settings.native.iter().cloned();
    let builder = native.fold(builder, Builder::listen_native);
    let http = settings.http.iter().cloned();
    let broker = http.fold(builder, Builder::listen_http).start()?;
    let handle = broker.handle().clone();
    let stopped = handle.block_on(async {
        let mut signals = Signals::listen()?;
        let beside = beside(&broker);
        let place = format!("data in {}", dir.display());
        let ready = ready(&broker.bootstrap_servers(), &beside, &place, settings);
        // Nobody may be there to read it.
        let _ = output::text(&ready);
        let poisoned = tokio::select! {
            () = signals.next() => None,
            why = poisoned(&broker, settings.broker.on_poison) => Some(why),
        };
        tracing::info!("stopping; a second signal stops at once");
        let stopped = shut_down(&broker, &mut signals).await;
        // What was under way is answered; the stop cannot be a clean one.
        poisoned.map_or(stopped, |why| Err(Failure::Failed(why)))
    });
    drop(broker);
    stopped
}

/// Waits until the broker must not go on: it cannot write, and `on.poison` is `exit`.
async fn poisoned(broker: &Broker, on_poison: OnPoison) -> String {
    match on_poison {
        OnPoison::ReadOnly => std::future::pending().await,
        OnPoison::Exit => {
            let why = broker.service().until_poisoned().await;
            format!("nothing can be written any more, and on.poison is exit: {why}")
        }
    }
}

/// The settings, with no more connections than this process may have.
fn within_limits(config: &BrokerConfig) -> BrokerConfig {
    let mut config = config.clone();
    if let Some(limit) = raise_limit().map(connections_max)
        && limit < config.max_connections
    {
        tracing::info!(
            limit,
            "max.connections is lowered: this process may not open more files"
        );
        config.max_connections = limit;
    }
    config
}

/// Where else the broker listens, each with a comma behind it.
fn beside(broker: &Broker) -> String {
    let native = broker.native_addresses();
    let native = native.iter().map(|address| format!("native {address}, "));
    let http = broker.http_addresses();
    let http = http.iter().map(|address| format!("http {address}, "));
    native.chain(http).collect()
}

/// One line: where to connect, and what surprises people.
fn ready(bootstrap: &str, beside: &str, place: &str, settings: &Settings) -> String {
    let entries = settings.broker.entries();
    let surprising: Vec<String> = entries
        .iter()
        .filter(|entry| SURPRISING.contains(&entry.name))
        .map(|entry| format!("{}={}", entry.name, entry.value))
        .collect();
    format!(
        "highwater {} is ready: bootstrap {bootstrap}, {beside}{place}, {}\n",
        env!("CARGO_PKG_VERSION"),
        surprising.join(", ")
    )
}

/// Refuses an address at which anyone who reaches this machine `may` do something.
///
/// `instead` is what else can be done, with a comma behind it, if there is something.
pub(crate) fn stays_on_this_machine(
    bind: &Address,
    may: &str,
    instead: &str,
) -> Result<(), Failure> {
    if is_of_this_machine(bind)? {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "listening on {bind} would let anyone who reaches this machine {may}, for clients are not \
         authenticated; bind to 127.0.0.1, {instead}or accept it with --allow-unauthenticated"
    )))
}

/// Whether nobody reaches this address from elsewhere.
fn is_of_this_machine(bind: &Address) -> Result<bool, Failure> {
    let found = (bind.host.as_str(), bind.port).to_socket_addrs();
    let mut found =
        found.map_err(|error| Failure::Failed(format!("cannot listen on {bind}: {error}")))?;
    Ok(found.all(|address| address.ip().to_canonical().is_loopback()))
}

/// How clients of a listener can prove who they are.
const PROOFS: &str = "ask for certificates (protocol=SSL and ssl.client.auth=required) or, of Kafka \
                      clients, for passwords (protocol=SASL_SSL), ";
/// Defaults that people meet.
const SURPRISING: &[&str] = &[
    "auto.create.topics.enable",
    "num.partitions",
    "log.durability",
    "log.retention.ms",
    "group.initial.rebalance.delay.ms",
];

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Args, Command};

    /// The listeners that need `--allow-unauthenticated` beyond this machine.
    fn open_ones(flags: &[&str]) -> Vec<String> {
        let words = [&["highwater", "serve"], flags].concat();
        let Command::Serve(args) = Args::parse_from(words).command else {
            panic!("it is serve")
        };
        let settings = Settings::load(&args).unwrap();
        let open = unauthenticated(&settings).map(|(bind, _)| bind.to_string());
        open.collect()
    }

    #[test]
    fn passwords_and_required_certificates_authenticate_and_encryption_alone_does_not() {
        let kafka = ["--kafka", "P=a:1", "--kafka", "S=a:2,protocol=SSL"];
        let sasl = [
            "--kafka",
            "Q=a:3,protocol=SASL_PLAINTEXT",
            "--kafka",
            "R=a:4,protocol=SASL_SSL",
        ];
        let http = ["--http", "a:5"];
        let https = ["--http", "a:6,protocol=SSL"];
        let all = |http: &[&str], more: &[&str]| open_ones(&[&kafka, &sasl, http, more].concat());
        assert_eq!(all(&http, &[]), ["a:1", "a:2", "a:5"]);
        assert_eq!(all(&https, &[]), ["a:1", "a:2", "a:6"]);
        assert_eq!(
            all(&http, &["--native", "a:7"]),
            ["a:1", "a:2", "a:7", "a:5"]
        );
        let auth = |how| format!("ssl.client.auth={how}");
        let (requested, required) = (auth("requested"), auth("required"));
        let with = |how| ["--set", "ssl.ca.location=ca.pem", "--set", how];
        assert_eq!(all(&https, &with(&requested)), ["a:1", "a:2", "a:6"]);
        assert_eq!(all(&https, &with(&required)), ["a:1"]);
        assert_eq!(all(&http, &with(&required)), ["a:1", "a:5"]);
        let native = ["--http", "a:5", "--native", "a:7,protocol=SSL"];
        assert_eq!(
            all(&native, &with(&requested)),
            ["a:1", "a:2", "a:7", "a:5"]
        );
        assert_eq!(all(&native, &with(&required)), ["a:1", "a:5"]);
    }
}
