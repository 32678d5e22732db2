//! `highwater serve --test-mode`: a broker for the tests of other programs, driven over HTTP.
//!
//! Floor 5 of cli.
//!
//! Invariants
//! - It listens on this machine only, whatever is asked for: whoever reaches it may break it.
//! - All data lives in memory, and is gone with the process.

use std::sync::Arc;

use highwater_broker::clock::SystemClock;
use highwater_broker::{Address, KafkaListener};
use highwater_proto::clock::Clock;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::control::{self, Control};
use super::{is_of_this_machine, ready, within_limits};
use crate::cli::args::{ClockChoice, ServeArgs};
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::cli::signals::Signals;
use crate::testing::TestBroker;

/// Runs the command.
pub(super) fn run(settings: &Settings, args: &ServeArgs) -> Result<(), Failure> {
    let [kafka] = settings.kafka.as_slice() else {
        let why = "a broker in test mode has one Kafka listener: give --kafka once";
        return Err(Failure::Usage(why.to_owned()));
    };
    let Some(http) = &settings.http.as_ref().map(|http| &http.bind) else {
        let why = "a broker in test mode is driven over HTTP: give --http 127.0.0.1:0";
        return Err(Failure::Usage(why.to_owned()));
    };
    if settings.native.is_some() {
        let why = "a broker in test mode has no native listener: leave --native out";
        return Err(Failure::Usage(why.to_owned()));
    }
    [&kafka.bind, http].into_iter().try_for_each(check_bind)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("cannot start the runtime: {error}")))?;
    let served = runtime.block_on(serve(settings, args, kafka, http));
    // Nobody waits for the thread that reads the standard input.
    runtime.shutdown_background();
    served
}

async fn serve(
    settings: &Settings,
    args: &ServeArgs,
    kafka: &KafkaListener,
    http: &Address,
) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let builder = TestBroker::builder()
        .config(within_limits(&settings.broker))
        .listen(kafka.to_string());
    let clock = args.clock.unwrap_or(ClockChoice::System);
    let builder = match clock {
        ClockChoice::System => builder.system_clock(),
        // The clients of other processes stamp their records with the machine's time.
        ClockChoice::Virtual => builder.starts_at_ms(SystemClock::new().now().wall.0),
    };
    let broker = Arc::new(builder.start().await.map_err(Failure::failed)?);
    let cannot = |error| Failure::Failed(format!("cannot listen on {http}: {error}"));
    let socket = TcpListener::bind((http.host.as_str(), http.port));
    let socket = socket.await.map_err(cannot)?;
    let address = socket.local_addr().map_err(cannot)?.to_string();
    let control = Control::new(Arc::clone(&broker), clock);
    let serving = tokio::spawn(control::serve(socket, control));
    let place = match clock {
        ClockChoice::System => "data in memory, clock system",
        ClockChoice::Virtual => "data in memory, clock virtual",
    };
    // Nobody may be there to read it.
    let beside = format!("http {address}, ");
    let _ = output::text(&ready(broker.bootstrap(), &beside, place, settings));
    tokio::select! {
        () = signals.next() => tracing::info!("stopping; a second signal stops at once"),
        () = end_of_input(), if args.stop_with_stdin => {
            tracing::info!("stopping: the standard input has ended");
        }
    }
    serving.abort();
    tokio::select! {
        stopped = broker.shutdown() => stopped.map_err(Failure::failed),
        () = signals.next() => std::process::exit(1),
    }
}

fn check_bind(bind: &Address) -> Result<(), Failure> {
    if is_of_this_machine(bind)? {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "a broker in test mode listens on this machine only, for whoever reaches it may stop its \
         time and cut its power: use 127.0.0.1 instead of {bind}"
    )))
}

/// Waits for the end of the standard input, whatever comes before it.
async fn end_of_input() {
    let (ended, end) = oneshot::channel::<()>();
    tokio::task::spawn_blocking(move || {
        // An input that cannot be read has ended, too.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(ended);
    });
    drop(end.await);
}
