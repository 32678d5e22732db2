//! Event sourcing at full size: each aircraft is what its flights made of it, at any moment.
//!
//! ```sh
//! cargo run --release --example aircraft                   # January's flights, which are built in
//! cargo run --release --example aircraft -- flights.jsonl  # or .gz, or - for the standard input
//! cargo run --release --example aircraft -- flights.jsonl 2013-07-04T16:00:00Z
//! ```
//!
//! The file has the flights out of New York in 2013 (nycflights13), a JSON object a line; its name
//! may stand in FLIGHTS, too.

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::read::GzDecoder;
use highwater::client::SystemClock;
use highwater::events::{self, Aggregate, AsOf, DomainEvent, EventData, EventStore};
use highwater::{
    Broker, Client, Codec, ConsumerConfig, EmbeddedClient, Event, EventTime, ProducerConfig,
    Record, StartAt,
};
use highwater_proto::clock::{Clock, Mono};
use serde::{Deserialize, Serialize};

/// What is written down of a flight.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Flight {
    flight: u32,
    dest: String,
    miles: u32,
    late_minutes: i32,
}

/// What happens to an aircraft.
#[derive(Clone, Debug)]
enum AircraftEvent {
    Departed(Flight),
    Cancelled(Flight),
}

impl DomainEvent for AircraftEvent {
    fn to_data(&self) -> Result<EventData, Box<dyn Error + Send + Sync>> {
        let (event_type, flight) = match self {
            Self::Departed(flight) => (DEPARTED, flight),
            Self::Cancelled(flight) => (CANCELLED, flight),
        };
        let data = EventData::new(event_type, serde_json::to_vec(flight)?);
        Ok(data.content_type("application/json"))
    }

    fn from_data(
        event_type: &str,
        data: &Bytes,
    ) -> Result<Option<Self>, Box<dyn Error + Send + Sync>> {
        Ok(match event_type {
            DEPARTED => Some(Self::Departed(serde_json::from_slice(data)?)),
            CANCELLED => Some(Self::Cancelled(serde_json::from_slice(data)?)),
            _ => None,
        })
    }
}

/// What an aircraft is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Aircraft {
    flights: u32,
    cancelled: u32,
    miles: u64,
    late_minutes: i64,
    /// Where it went last.
    went_to: String,
}

impl Aggregate for Aircraft {
    type Event = AircraftEvent;

    fn apply(&mut self, event: &AircraftEvent) {
        match event {
            AircraftEvent::Departed(flight) => {
                self.flights += 1;
                self.miles += u64::from(flight.miles);
                self.late_minutes += i64::from(flight.late_minutes);
                self.went_to.clone_from(&flight.dest);
            }
            AircraftEvent::Cancelled(_) => self.cancelled += 1,
        }
    }
}

/// One line of the file.
#[derive(Deserialize)]
struct Line {
    time_hour: String,
    minute: i64,
    dep_delay: Option<i32>,
    flight: u32,
    tailnum: Option<String>,
    dest: String,
    distance: u32,
}

/// What happened, to which aircraft, and when.
struct Happened {
    ms: i64,
    tail: String,
    event: AircraftEvent,
}

/// The flights in the order in which they left, or should have.
fn read(name: Option<&str>) -> Result<Vec<Happened>, Box<dyn Error + Send + Sync>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "an input of the example is no broker's data"
    )]
    let open = |name: &str| std::fs::File::open(name);
    let input: Box<dyn Read> = match name {
        None => Box::new(GzDecoder::new(SAMPLE)),
        Some("-") => Box::new(std::io::stdin()),
        Some(name) if name.ends_with(".gz") => Box::new(GzDecoder::new(open(name)?)),
        Some(name) => Box::new(open(name)?),
    };
    let mut flights = Vec::new();
    for line in BufReader::new(input).lines() {
        let line: Line = serde_json::from_str(&line?)?;
        let planned = line.time_hour.parse::<EventTime>()?.ms() + line.minute * 60_000;
        let flight = Flight {
            flight: line.flight,
            dest: line.dest,
            miles: line.distance,
            late_minutes: line.dep_delay.unwrap_or_default(),
        };
        flights.push(Happened {
            ms: planned + i64::from(flight.late_minutes) * 60_000,
            tail: line.tailnum.unwrap_or_else(|| NOBODY.to_owned()),
            event: match line.dep_delay {
                Some(_) => AircraftEvent::Departed(flight),
                None => AircraftEvent::Cancelled(flight),
            },
        });
    }
    flights.sort_by_key(|it| it.ms);
    Ok(flights)
}

/// Stores what happened, each event under the condition that its aircraft has exactly those before.
async fn append(client: &Client, flights: &[Happened]) -> Result<(), Box<dyn Error + Send + Sync>> {
    let producer = client.producer(ProducerConfig {
        compression_type: Codec::Lz4,
        ..ProducerConfig::default()
    })?;
    let mut revisions: HashMap<&str, u64> = HashMap::new();
    let mut sent = Vec::with_capacity(flights.len());
    for it in flights {
        let revision = revisions.entry(&it.tail).or_default();
        sent.push(producer.send(record(it, *revision)?).await?);
        *revision += 1;
    }
    producer.flush().await;
    for delivery in sent {
        delivery.await?;
    }
    Ok(())
}

fn record(it: &Happened, revision: u64) -> Result<Record, Box<dyn Error + Send + Sync>> {
    let data = it.event.to_data()?;
    let event = Event::at(it.ms, "/airports/new-york", data.event_type)
        .key(it.tail.clone())
        .content_type("application/json")
        .data(data.data);
    let record = event.to(TOPIC)?.timestamp(it.ms);
    Ok(record.header("es-revision", revision.to_string()))
}

/// Every aircraft as it was at a moment, by reading the topic once, its partitions side by side.
async fn fleet(
    client: &Client,
    moment_ms: i64,
) -> Result<(HashMap<Bytes, Aircraft>, u64), Box<dyn Error + Send + Sync>> {
    let ends = client.consumer(ConsumerConfig::default());
    let ends = ends.end_offsets(TOPIC).await?;
    let parts: Vec<_> = (0..)
        .zip(ends)
        .map(|(partition, end)| {
            let client = client.clone();
            tokio::spawn(async move { part(&client, partition, end, moment_ms).await })
        })
        .collect();
    let (mut fleet, mut events) = (HashMap::new(), 0);
    for part in parts {
        let (aircraft, count) = part.await??;
        // An aircraft has one partition.
        fleet.extend(aircraft);
        events += count;
    }
    Ok((fleet, events))
}

async fn part(
    client: &Client,
    partition: i32,
    end: i64,
    moment_ms: i64,
) -> Result<(HashMap<Bytes, Aircraft>, u64), Box<dyn Error + Send + Sync>> {
    let mut consumer = client.consumer(ConsumerConfig::default());
    consumer.assign(TOPIC, partition, StartAt::Earliest).await?;
    let (mut fleet, mut count) = (HashMap::new(), 0);
    while consumer
        .position(TOPIC, partition)
        .is_some_and(|at| at < end)
    {
        for record in consumer.poll(Duration::from_secs(1)).await? {
            if record.timestamp > moment_ms {
                return Ok((fleet, count));
            }
            let mut headers = record.headers.iter();
            let event_type = headers.find(|it| it.key == "ce_type");
            let event_type = event_type
                .and_then(|it| it.value.as_ref())
                .ok_or("no event")?;
            let data = record.value.as_ref().ok_or("no data")?;
            let event = AircraftEvent::from_data(std::str::from_utf8(event_type)?, data)?;
            let event = event.ok_or("no event of an aircraft")?;
            let key = record.key.ok_or("no key")?;
            match fleet.get_mut(&key) {
                Some(aircraft) => aircraft.apply(&event),
                None => {
                    // The key alone, without the batch around it.
                    let aircraft = fleet.entry(Bytes::copy_from_slice(&key)).or_default();
                    aircraft.apply(&event);
                }
            }
            count += 1;
        }
    }
    Ok((fleet, count))
}

/// Stores the flights, and asks what they made of the aircraft.
async fn run(name: Option<&str>, moment: Option<&str>) -> Result<(), Box<dyn Error + Send + Sync>> {
    let flights = read(name)?;
    let (first, last) = flights
        .first()
        .zip(flights.last())
        .ok_or("there is no flight")?;
    let moment_ms = match moment {
        Some(moment) => moment.parse::<EventTime>()?.ms(),
        None => first.ms + (last.ms - first.ms) / 2,
    };
    let folder = tempfile::tempdir()?;
    let broker = Broker::open(folder.path())?;
    let client = Client::embedded(&broker);
    // The flights bring their own times, which are in order: a moment of theirs can be asked for.
    let topic = events::new_topic(TOPIC).partitions(PARTITIONS);
    let topic = topic.config("message.timestamp.type", "CreateTime");
    client.admin().create_topic(&topic).await?;

    let timer = Timer::start();
    append(&client, &flights).await?;
    timer.stop(&format!(
        "{} events appended, each with its revision",
        flights.len()
    ));

    let timer = Timer::start();
    let (now, count) = fleet(&client, last.ms).await?;
    timer.stop(&format!(
        "{count} events replayed to {} aircraft",
        aircraft(&now)
    ));
    assert_eq!(count, flights.len() as u64);

    let timer = Timer::start();
    let (then, count) = fleet(&client, moment_ms).await?;
    let moment = EventTime::from_ms(moment_ms);
    timer.stop(&format!(
        "{count} events to {} aircraft as of {moment}",
        aircraft(&then)
    ));

    one_by_one(&client, moment_ms, &then, &now).await?;
    if flights.len() != WHOLE_YEAR {
        println!(
            "\nNOT MEASURED: the whole year. These were {} flights of {WHOLE_YEAR}; give the file \
             of all of them as an argument, or in FLIGHTS.",
            flights.len()
        );
    }
    broker.shutdown().await?;
    Ok(())
}

/// Asks for aircraft one by one as of a moment, and compares them with what the replay gave.
async fn one_by_one(
    client: &Client,
    moment_ms: i64,
    then: &HashMap<Bytes, Aircraft>,
    now: &HashMap<Bytes, Aircraft>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let store: EventStore<Aircraft> = client.event_store(TOPIC).build().await?;
    let (as_of, moment) = (AsOf::time_ms(moment_ms), EventTime::from_ms(moment_ms));
    let some: Vec<&Bytes> = now
        .keys()
        .filter(|tail| *tail != NOBODY)
        .take(ASKED)
        .collect();
    let timer = Timer::start();
    for tail in &some {
        let loaded = store.load_as_of(tail, as_of).await?;
        let expected = then.get(*tail).cloned().unwrap_or_default();
        assert_eq!(loaded.state, expected, "{tail:?}");
    }
    timer.stop_each(
        &format!("one aircraft as of {moment}, {} asked", some.len()),
        some.len(),
    );

    let named = now.iter().filter(|(tail, _)| *tail != NOBODY);
    let (tail, today) = named
        .max_by_key(|(_, it)| it.flights)
        .ok_or("no aircraft")?;
    let timer = Timer::start();
    let loaded = store.load_as_of(tail, as_of).await?;
    let name = tail.escape_ascii();
    timer.stop(&format!(
        "{} events of {name}, the busiest, as of {moment}",
        loaded.read
    ));
    println!("{name} then: {:?}", loaded.state);
    println!("{name} now:  {today:?}");
    Ok(())
}

/// How many aircraft have a name.
fn aircraft(fleet: &HashMap<Bytes, Aircraft>) -> usize {
    fleet.keys().filter(|tail| *tail != NOBODY).count()
}

/// Measures, and prints what it took.
struct Timer {
    clock: Arc<SystemClock>,
    start: Mono,
}

impl Timer {
    fn start() -> Self {
        let clock = Arc::new(SystemClock::new());
        let start = clock.now().mono;
        Self { clock, start }
    }

    fn stop(&self, what: &str) {
        self.stop_each(what, 1);
    }

    fn stop_each(&self, what: &str, count: usize) {
        let elapsed = self.clock.now().mono.since(self.start);
        let ms = elapsed.as_secs_f64() * 1e3 / count.max(1) as f64;
        println!("{ms:>10.2} ms  {what}");
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut args = std::env::args().skip(1);
    let name = args.next().or_else(|| std::env::var("FLIGHTS").ok());
    run(name.as_deref(), args.next().as_deref()).await
}

#[tokio::test]
async fn it_runs() -> Result<(), Box<dyn Error + Send + Sync>> {
    run(None, Some("2013-01-15T12:00:00Z")).await
}

/// The first flights of the public data set nycflights13.
const SAMPLE: &[u8] = include_bytes!("../src/cli/flights-sample.jsonl.gz");

const TOPIC: &str = "aircraft";
const PARTITIONS: i32 = 4;
const DEPARTED: &str = "aircraft.departed.v1";
const CANCELLED: &str = "aircraft.cancelled.v1";
/// Flights that were cancelled before they had an aircraft.
const NOBODY: &str = "none";
/// How many aircraft are asked for one by one.
const ASKED: usize = 200;
const WHOLE_YEAR: usize = 336_776;
