//! `highwater demo flights`: real records through an embedded broker, and every one checked.
//!
//! Floor 6 of cli.
//!
//! Invariants
//! - Nothing is left behind: the folder is its own and removed, unless it was asked for by name.
//! - It fails (exit code 1) if a single record is lost, doubled, changed or out of order.

mod latencies;
mod ledger;
mod read;
mod report;
mod sample;
mod send;
mod stored;

use std::path::Path;
use std::sync::Arc;

use crate::embed::EmbeddedClient;
use highwater_broker::Broker;
use highwater_broker::clock::SystemClock;
use highwater_client::{Client, NewTopic};
use highwater_proto::clock::Clock;

use crate::cli::args::FlightsArgs;
use crate::cli::failure::Failure;
use crate::cli::files::{self, Input};
use crate::cli::intake::Intake;
use crate::cli::output;
use crate::cli::signals::Signals;
use crate::cli::target::{runtime, shut_down};
use ledger::Ledger;
use read::Reading;
use report::{PartitionReport, Phase, Report};
use send::Sending;

/// Runs the command.
pub(super) fn run(args: &FlightsArgs) -> Result<(), Failure> {
    if args.partitions < 1 || args.consumers < 1 {
        return Err(Failure::Usage(
            "at least one partition and one consumer are needed".to_owned(),
        ));
    }
    let source = Source::new(args)?;
    let report = match &args.data_dir {
        Some(dir) => measure(args, source, dir)?,
        None => {
            let folder = files::temporary_folder()?;
            let measured = measure(args, source, folder.path());
            files::remove(folder)?;
            measured?
        }
    };
    if args.json {
        output::json(&report)?;
    } else {
        output::text(&report.to_text())?;
    }
    if report.verified {
        Ok(())
    } else {
        Err(Failure::Found)
    }
}

/// What is sent.
struct Source {
    name: String,
    topic: &'static str,
    key_field: String,
    input: Input,
}

impl Source {
    fn new(args: &FlightsArgs) -> Result<Self, Failure> {
        match (&args.input, &args.key_field) {
            (Some(path), Some(field)) => Ok(Self {
                name: path.display().to_string(),
                topic: "demo",
                key_field: field.clone(),
                input: Input::file(path)?,
            }),
            _ => Ok(Self {
                name: "24,000 flights out of New York in January 2013".to_owned(),
                topic: "flights",
                key_field: "tailnum".to_owned(),
                input: Input::built_in(sample::lines()?),
            }),
        }
    }
}

/// The broker's life: from the opening of the folder to the counting of what lies there.
fn measure(args: &FlightsArgs, source: Source, dir: &Path) -> Result<Report, Failure> {
    let broker = Broker::builder().data_dir(dir).start()?;
    let client = Client::embedded(&broker);
    let runtime = runtime()?;
    let topic = source.topic;
    let measured = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let measured = signals
            .unless_interrupted(send_and_read(&client, args, source))
            .await;
        let topic_id = broker.service().topic_id(topic);
        shut_down(&broker, &mut signals).await?;
        Ok::<_, Failure>((measured?, topic_id))
    });
    runtime.shutdown_background();
    let (mut report, topic_id) = measured?;
    let topic_id = topic_id.ok_or_else(|| Failure::failed("the topic of the demo is gone"))?;
    stored::count(dir, topic_id, &mut report)?;
    Ok(report)
}

async fn send_and_read(
    client: &Client,
    args: &FlightsArgs,
    source: Source,
) -> Result<Report, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let new = NewTopic {
        name: source.topic.to_owned(),
        partitions: Some(args.partitions),
        ..NewTopic::default()
    };
    client.admin().create_topic(&new).await?;
    let bar = source.input.bar.clone();
    let intake = Intake::start(source.input, Some(source.key_field.clone()));
    let sending = Sending {
        topic: source.topic,
        partitions: args.partitions,
        codec: args.compression,
    };
    let sent = sending.run(client, intake, &clock).await?;
    bar.finish_and_clear();
    if sent.ledger.records() == 0 {
        return Err(Failure::failed("the input holds no record"));
    }
    let reading = Reading {
        topic: source.topic,
        consumers: args.consumers,
    };
    let read = reading.run(client, sent.ledger.records(), &clock).await?;
    let mut differences = Ledger::differences(&sent.ledger, &read.ledger);
    differences.extend(read.gaps);
    let (records, bytes) = (sent.ledger.records(), sent.bytes());
    let partition = |(partition, (records, bytes)): (i32, &(u64, u64))| PartitionReport {
        partition,
        records: *records,
        keys: sent.ledger.keys_of(partition),
        bytes: *bytes,
        consumer: partition % args.consumers + 1,
        ..PartitionReport::default()
    };
    Ok(Report {
        input: source.name,
        key_field: source.key_field,
        compression: args.compression.to_string(),
        records,
        keys: sent.ledger.keys(),
        unkeyed: sent.ledger.unkeyed(),
        rejected: sent.rejected,
        bytes,
        stored_bytes: 0,
        batches: 0,
        produce: Phase::new(records, bytes, sent.elapsed),
        consume: Phase::new(records, bytes, read.elapsed),
        consumers: args.consumers.min(args.partitions),
        first_ack_us: micros(sent.first),
        ack_p50_us: micros(sent.latencies.quantile(0.5)),
        ack_p99_us: micros(sent.latencies.quantile(0.99)),
        verified: differences.is_empty(),
        differences,
        partitions: (0..).zip(&sent.partitions).map(partition).collect(),
    })
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
