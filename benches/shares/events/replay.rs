//! A year of flights as events of their aircraft: all of them replayed into the state of each
//! aircraft, and the flights of one aircraft among them.
//!
//! Invariants
//! - The flights are those of the committed sample, over and over, as many as a year has.
//! - What is replayed is read by the client, in process, and each event is parsed.

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use bytes::Bytes;
use flate2::read::GzDecoder;
use highwater::{Broker, Client, ConsumerConfig, StartAt};
use highwater_proto::batch_builder::BatchBuilder;
use highwater_proto::compress::Codec;
use serde::Deserialize;
use tokio::runtime::Runtime;

use super::{produce, read, told, topic};
use crate::kit::run::{Run, Unit, median};

/// What is asked of a flight.
#[derive(Deserialize)]
struct Flight<'a> {
    tailnum: Option<&'a str>,
    dest: &'a str,
    air_time: Option<f64>,
    distance: Option<f64>,
}

/// What its flights make of an aircraft.
#[derive(Default)]
struct Aircraft {
    flights: u64,
    minutes: f64,
    miles: f64,
    at: String,
}

impl Aircraft {
    fn apply(&mut self, flight: &Flight<'_>) {
        self.flights += 1;
        self.minutes += flight.air_time.unwrap_or(0.0);
        self.miles += flight.distance.unwrap_or(0.0);
        flight.dest.clone_into(&mut self.at);
    }
}

pub(super) fn measure(run: &mut Run) -> Result<(), Box<dyn Error>> {
    let folder = run.folder("events-flights")?;
    let runtime = Runtime::new()?;
    let broker = Broker::open(folder.path())?;
    let service = broker.service().clone();
    let lines: Vec<String> = BufReader::new(GzDecoder::new(SAMPLE))
        .lines()
        .collect::<Result<_, _>>()?;
    let lines: Vec<Line> = lines
        .iter()
        .filter_map(|line| {
            let flight: Flight<'_> = serde_json::from_str(line).ok()?;
            Some((flight.tailnum?.to_owned(), line.clone().into()))
        })
        .collect();
    let count = run.scale(FLIGHTS, 2_000);
    let filled = runtime.block_on(async {
        topic(&service, TOPIC, "page-cache", true).await?;
        for first in (0..count).step_by(BATCH) {
            let mut builder = BatchBuilder::new(Codec::Lz4);
            for number in first..count.min(first + BATCH) {
                let (tail, line) = &lines[number % lines.len()];
                builder.append(1_700_000_000_000, Some(tail.as_bytes()), Some(line), &[])?;
            }
            produce(&service, TOPIC, builder.build()?).await?;
        }
        Ok(())
    });
    filled.map_err(told)?;

    let client = Client::in_process(broker.sessions());
    let mut times = Vec::new();
    for _ in 0..run.scale(5, 1) {
        let (seconds, fleet) = run.seconds(|| runtime.block_on(replay(&client, count)));
        let flights: u64 = fleet?.values().map(|aircraft| aircraft.flights).sum();
        assert_eq!(flights, count as u64);
        times.push(seconds);
    }
    let what = format!("{count} flights replayed into all aircraft");
    run.at_most(&what, median(times), Unit::Time, REPLAY_MAX);

    let mut times = Vec::new();
    for (tail, _) in lines.iter().step_by(lines.len().div_ceil(200)) {
        let read = read(TOPIC, tail.clone().into());
        let (seconds, read) = run.seconds(|| runtime.block_on(service.read_stream(read)));
        assert!(!read?.events.is_empty(), "{tail}");
        times.push(seconds);
    }
    run.at_most("- the flights of one", median(times), Unit::Time, STORY_MAX);
    Ok(())
}

async fn replay(client: &Client, count: usize) -> Result<HashMap<Bytes, Aircraft>, Box<dyn Error>> {
    let mut fleet: HashMap<Bytes, Aircraft> = HashMap::new();
    let mut consumer = client.consumer(ConsumerConfig {
        max_poll_records: 10_000,
        ..ConsumerConfig::default()
    });
    consumer.assign_topic(TOPIC, StartAt::Earliest).await?;
    let mut left = count;
    while left > 0 {
        let records = consumer.poll(POLL_MAX).await?;
        if records.is_empty() {
            return Err(format!("{left} flights are missing").into());
        }
        for record in &records {
            let (Some(key), Some(value)) = (&record.key, &record.value) else {
                return Err("a flight without an aircraft".into());
            };
            let flight = serde_json::from_slice(value)?;
            fleet.entry(key.clone()).or_default().apply(&flight);
        }
        left = left.saturating_sub(records.len());
    }
    Ok(fleet)
}

/// An aircraft, and the line that says what it flew.
type Line = (String, Bytes);

const SAMPLE: &[u8] = include_bytes!("../../../src/cli/flights-sample.jsonl.gz");
const TOPIC: &str = "flights";
/// Of 2013.
const FLIGHTS: usize = 336_776;
/// Events of a batch.
const BATCH: usize = 64;
const POLL_MAX: Duration = Duration::from_secs(10);
/// The specification's: a second.
const REPLAY_MAX: f64 = 1.0;
/// The specification's for a story: 100 milliseconds.
const STORY_MAX: f64 = 0.1;
