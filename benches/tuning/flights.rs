//! The records: the committed sample of real flights, keyed by aircraft, over and over.

use std::error::Error;
use std::io::{BufRead, BufReader};

use bytes::Bytes;
use flate2::read::GzDecoder;
use highwater::Record;
use serde_json::Value;

/// Flights in the order of their departure.
pub(crate) struct Flights {
    flights: Vec<Flight>,
}

struct Flight {
    tail: Option<Bytes>,
    line: Bytes,
}

impl Flights {
    /// Reads the sample.
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let mut flights = Vec::new();
        for line in BufReader::new(GzDecoder::new(SAMPLE)).lines() {
            let line = line?;
            let flight: Value = serde_json::from_str(&line)?;
            let tail = flight.get("tailnum").and_then(Value::as_str);
            flights.push(Flight {
                tail: tail.map(|tail| Bytes::copy_from_slice(tail.as_bytes())),
                line: line.into(),
            });
        }
        Ok(Self { flights })
    }

    /// The flight of this number as a record.
    pub(crate) fn record(&self, topic: &str, number: usize) -> Record {
        let flight = self.at(number);
        Record {
            topic: topic.to_owned(),
            key: flight.tail.clone(),
            value: Some(flight.line.clone()),
            ..Record::default()
        }
    }

    /// Key and value of the flight of this number.
    pub(crate) fn pair(&self, number: usize) -> (Option<&[u8]>, &[u8]) {
        let flight = self.at(number);
        (flight.tail.as_deref(), &flight.line)
    }

    fn at(&self, number: usize) -> &Flight {
        &self.flights[number % self.flights.len()]
    }
}

const SAMPLE: &[u8] = include_bytes!("../../src/cli/flights-sample.jsonl.gz");
