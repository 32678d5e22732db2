//! The knobs of a consumer that keeps up: how long a record takes to it, and what that costs.

use std::time::Duration;

use bytes::Bytes;
use highwater::{ConsumerConfig, ProducerConfig, StartAt};
use highwater_proto::clock::{Clock, Mono};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinSet;

use super::kit::run::Run;
use super::rig::{Failure, Rig, TOPIC, Topic};
use super::table::{Column, Table, Turn};

pub(crate) fn measure(run: &Run) -> Result<Table, Failure> {
    let rig = Rig::new(run, "tuning-tail")?;
    let defaults = ConsumerConfig::default();
    let of = |bytes: i32, wait_ms: i32| {
        let what = format!("fetch.min.bytes={bytes}, fetch.max.wait.ms={wait_ms}");
        let config = defaults.clone().fetch_min_bytes(bytes);
        (what, config.fetch_max_wait_ms(wait_ms))
    };
    let rows = vec![
        ("defaults (1 byte, 500 ms)".to_owned(), defaults.clone()),
        of(1_024, 500),
        of(16_384, 500),
        of(65_536, 500),
        of(65_536, 100),
        of(1_048_576, 500),
    ];
    let charts = &[Column::P99, Column::Requests];
    Table::measure(run, "tail", charts, rows, |config| pass(run, &rig, config))
}

fn pass(run: &Run, rig: &Rig, config: &ConsumerConfig) -> Result<Turn, Failure> {
    let paced = Paced {
        per_second: TAIL_RATE,
        count: run.scale(2 * TAIL_RATE, 100),
    };
    // Nothing lingers, so that what is seen is the consumer's.
    let producer = ProducerConfig::default().linger_ms(0);
    rig.with_topic(Topic::default(), async || {
        let before = rig.counts()?;
        let latencies = paced.consumed(rig, &producer, config.clone()).await?;
        let spent = rig.since(before)?;
        let count = latencies.len() as f64;
        let (p50, p99) = percentiles(latencies);
        Ok(Turn {
            p50: Some(p50),
            p99: Some(p99),
            cpu: Some(spent.cpu_seconds / count),
            requests: Some(spent.fetch_requests as f64 * 1000.0 / count),
            ..Turn::default()
        })
    })
}

/// Records that are meant to be sent at moments that do not depend on what became of the ones
/// before, so that a pause of the system is seen by all that it keeps waiting.
#[derive(Clone, Copy)]
pub(crate) struct Paced {
    pub(crate) per_second: usize,
    pub(crate) count: usize,
}

impl Paced {
    /// How long each record took to its answer, in seconds.
    pub(crate) async fn answered(
        self,
        rig: &Rig,
        config: &ProducerConfig,
        topic: &str,
    ) -> Result<Vec<f64>, Failure> {
        let producer = rig.client.producer(config.clone())?;
        let mut answers = JoinSet::new();
        let mut moments = self.moments(rig)?;
        while let Some((number, meant)) = moments.recv().await {
            let sent = producer.send(rig.flights.record(topic, number)).await?;
            let clock = rig.clock;
            answers.spawn(async move {
                sent.await?;
                Ok::<_, highwater::ClientError>(seconds(clock.now().mono.since(meant)))
            });
        }
        producer.flush().await;
        let answers: Result<Vec<f64>, _> = answers.join_all().await.into_iter().collect();
        Ok(answers?)
    }

    /// How long each record took to the consumer, in seconds.
    pub(crate) async fn consumed(
        self,
        rig: &Rig,
        producer: &ProducerConfig,
        consumer: ConsumerConfig,
    ) -> Result<Vec<f64>, Failure> {
        let mut consumer = rig.client.consumer(consumer);
        consumer.assign_topic(TOPIC, StartAt::Latest).await?;
        let producer = rig.client.producer(producer.clone())?;
        let mut moments = self.moments(rig)?;
        let send = async {
            while let Some((number, meant)) = moments.recv().await {
                // The moment goes along in front of the flight.
                let mut record = rig.flights.record(TOPIC, number);
                let value = record.value.take().unwrap_or_default();
                record.value = Some(Bytes::from([&meant.0.to_be_bytes()[..], &value].concat()));
                drop(producer.send(record).await?);
            }
            producer.flush().await;
            Ok::<_, Failure>(())
        };
        let read = async {
            let mut latencies = Vec::with_capacity(self.count);
            while latencies.len() < self.count {
                let records = consumer.poll(POLL_MAX).await?;
                let now = rig.clock.now().mono;
                if records.is_empty() {
                    return Err("records are missing".into());
                }
                for record in records {
                    let value = record.value.unwrap_or_default();
                    let (meant, _) = value.split_first_chunk().ok_or("a record is too short")?;
                    latencies.push(seconds(now.since(Mono(u64::from_be_bytes(*meant)))));
                }
            }
            Ok::<_, Failure>(latencies)
        };
        let ((), latencies) = tokio::try_join!(send, read)?;
        Ok(latencies)
    }

    /// Gives each number at its moment, from a thread whose sleep is finer than a runtime's timer.
    fn moments(self, rig: &Rig) -> Result<Receiver<(usize, Mono)>, Failure> {
        let (sender, receiver) = channel(self.count);
        let clock = rig.clock;
        let thread = std::thread::Builder::new().name("pace".to_owned());
        thread.spawn(move || {
            let start = clock.now().mono.plus(Duration::from_millis(10));
            for number in 0..self.count {
                let after = Duration::from_secs(1) * u32::try_from(number).unwrap_or(u32::MAX);
                let meant = start.plus(after / u32::try_from(self.per_second).unwrap_or(1));
                loop {
                    let left = meant.since(clock.now().mono);
                    if left.is_zero() {
                        break;
                    }
                    std::thread::park_timeout(left);
                }
                if sender.blocking_send((number, meant)).is_err() {
                    return;
                }
            }
        })?;
        Ok(receiver)
    }
}

/// The middle, and what all but one of a hundred stay below.
pub(crate) fn percentiles(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |percent: usize| {
        let place = (values.len() * percent).div_ceil(100);
        let value = values.get(place.saturating_sub(1));
        value.copied().unwrap_or(f64::INFINITY)
    };
    (at(50), at(99))
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// Flights a second to a consumer that keeps up.
const TAIL_RATE: usize = 2_000;
/// No record for so long: something is wrong.
const POLL_MAX: Duration = Duration::from_secs(10);
