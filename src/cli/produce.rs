//! `highwater produce`: each line of the input becomes a record.
//!
//! Floor 6 of cli.
//!
//! Invariants
//! - Every line is either acknowledged or told as rejected, with its number and the reason.
//! - The end of the input, and the first signal, end the command after what was read is answered;
//!   the second signal ends it at once.

use std::time::Duration;

use highwater_broker::clock::SystemClock;
use highwater_client::{Client, ClientError, Delivery, ProducerConfig, Record};
use highwater_proto::clock::Clock;
use indicatif::ProgressBar;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::cli::args::ProduceArgs;
use crate::cli::failure::Failure;
use crate::cli::files::Input;
use crate::cli::intake::{Entry, Intake};
use crate::cli::numbers::{bytes, count, duration, rate};
use crate::cli::signals::Signals;
use crate::cli::target::Missing;
use crate::cli::topic::named;

/// Runs the command.
pub(crate) fn run(args: ProduceArgs) -> Result<(), Failure> {
    let input = match &args.input {
        Some(path) => Input::file(path)?,
        None => Input::stdin(),
    };
    args.target
        .clone()
        .run(Missing::Make, async |client: Client, signals| {
            let clock = SystemClock::new();
            let bar = input.bar.clone();
            let tally = send_all(&client, &args, input, signals).await?;
            bar.finish_and_clear();
            eprint!(
                "{}",
                tally.summary(clock.now().mono.since(Default::default()))
            );
            match (tally.stopped, tally.rejected) {
                (Some(failure), _) => Err(failure),
                (None, 1..) if !args.skip_bad => Err(Failure::Found),
                _ => Ok(()),
            }
        })
}

/// A record that was sent, and the line that it came from.
struct Sent {
    number: u64,
    bytes: u64,
    delivery: Delivery,
}

/// What was asked for, and around it what has room for it.
fn config(args: &ProduceArgs) -> ProducerConfig {
    let default = ProducerConfig::default();
    let beyond_linger = args.delivery_timeout_ms.saturating_sub(args.linger_ms);
    ProducerConfig {
        acks: args.acks,
        batch_size: args.batch_size,
        max_request_size: default.max_request_size.max(args.batch_size),
        buffer_memory: default.buffer_memory.max(args.batch_size),
        linger_ms: args.linger_ms,
        compression_type: args.compression,
        delivery_timeout_ms: args.delivery_timeout_ms,
        request_timeout_ms: default.request_timeout_ms.min(beyond_linger).max(1),
        ..default
    }
}

async fn send_all(
    client: &Client,
    args: &ProduceArgs,
    input: Input,
    signals: &mut Signals,
) -> Result<Tally, Failure> {
    let producer = client.producer(config(args))?;
    let bar = input.bar.clone();
    let mut intake = Intake::start(input, args.key_field.clone());
    let (sender, sent) = channel(UNANSWERED_MAX);
    let answers = tokio::spawn(await_answers(sent, bar.clone()));
    let mut tally = Tally::default();
    let sending = async {
        loop {
            let entries = intake.next().await?;
            if entries.is_empty() {
                return Ok(());
            }
            for entry in entries {
                send(&producer, args, entry, &sender, &mut tally, &bar).await?;
            }
        }
    };
    let mut signals_left = 2;
    let stopped = tokio::select! {
        done = sending => done.err(),
        () = signals.next() => {
            signals_left -= 1;
            None
        }
    };
    drop(sender);
    // The answers come when the records have gone: now, and not at the end of their linger time.
    let answered = async { tokio::join!(producer.flush(), answers).1 };
    let told_twice = async {
        for _ in 0..signals_left {
            signals.next().await;
        }
    };
    let answered = tokio::select! {
        answered = answered => answered,
        () = told_twice => return Err(Failure::Interrupted),
    };
    let answered = answered.map_err(|_| Failure::failed("the waiting for answers broke off"))?;
    Ok(tally.and(answered, stopped))
}

async fn send(
    producer: &highwater_client::Producer,
    args: &ProduceArgs,
    entry: Entry,
    sender: &Sender<Sent>,
    tally: &mut Tally,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let number = entry.number;
    let (key, value) = match entry.record {
        Ok(record) => record,
        Err(why) => {
            tally.reject(number, &why, bar);
            return Ok(());
        }
    };
    let bytes = (key.as_ref().map_or(0, |key| key.len()) + value.len()) as u64;
    let mut record = Record::to(args.topic.as_str()).value(value);
    (record.key, record.partition) = (key, args.partition);
    match producer.send(record).await {
        Ok(delivery) => {
            let closed = sender
                .send(Sent {
                    number,
                    bytes,
                    delivery,
                })
                .await;
            closed.map_err(|_| Failure::failed("no more answers are awaited"))
        }
        // Of this record alone.
        Err(ClientError::Invalid(why)) => {
            tally.reject(number, &why, bar);
            Ok(())
        }
        Err(error) => Err(named(&args.topic, error)),
    }
}

/// Counts what is answered, in the order of the lines. Ends with the sender, or at the first
/// answer that no later record can improve on.
async fn await_answers(mut sent: Receiver<Sent>, bar: ProgressBar) -> Tally {
    let mut tally = Tally::default();
    while let Some(Sent {
        number,
        bytes,
        delivery,
    }) = sent.recv().await
    {
        match delivery.await {
            Ok(_) => {
                tally.records += 1;
                tally.bytes += bytes;
            }
            Err(error) => {
                let is_final = error.is_retriable() || matches!(error, ClientError::Closed);
                tally.reject(number, &error.to_string(), &bar);
                if is_final {
                    // It was tried for delivery.timeout.ms: the broker is gone.
                    tally.stopped = Some(error.into());
                    return tally;
                }
            }
        }
    }
    tally
}

/// What has become of the lines.
#[derive(Debug, Default)]
struct Tally {
    records: u64,
    bytes: u64,
    rejected: u64,
    stopped: Option<Failure>,
}

impl Tally {
    fn reject(&mut self, number: u64, why: &str, bar: &ProgressBar) {
        self.rejected += 1;
        if self.rejected <= REJECTED_SHOWN_MAX {
            bar.suspend(|| eprintln!("line {number} was rejected: {why}"));
        }
    }

    fn and(self, other: Self, stopped: Option<Failure>) -> Self {
        Self {
            records: self.records + other.records,
            bytes: self.bytes + other.bytes,
            rejected: self.rejected + other.rejected,
            stopped: other.stopped.or(stopped),
        }
    }

    fn summary(&self, elapsed: Duration) -> String {
        let rejected = match self.rejected {
            0 => String::new(),
            more if more > REJECTED_SHOWN_MAX => {
                format!(
                    ", {} rejected (the first {REJECTED_SHOWN_MAX} shown)",
                    count(more)
                )
            }
            few => format!(", {few} rejected"),
        };
        format!(
            "{} records, {} in {} ({:.1} MB/s){rejected}\n",
            count(self.records),
            bytes(self.bytes),
            duration(elapsed),
            rate(self.bytes, elapsed) / 1e6,
        )
    }
}

/// Records on their way; the producer's buffer.memory is the other limit.
const UNANSWERED_MAX: usize = 64 * 1024;
/// Rejected lines that are told one by one, of each kind.
const REJECTED_SHOWN_MAX: u64 = 20;
