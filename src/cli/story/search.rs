//! Looks for the events of a story in every partition: by the key index, or record by record.
//!
//! Floor 7 of cli.
//!
//! Invariants
//! - A key is looked for in all partitions: nothing is assumed of how it was sent.
//! - So many partitions are read at a time, each with the buffers of one consumer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use highwater_client::{Client, EventId};
use indicatif::ProgressBar;
use tokio::task::JoinSet;

use super::kept::Kept;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::spans::{Place, Span, spans};
use crate::cli::streams::{Indexed, Scan};
use crate::cli::told::{Told, belongs, is_snapshot};

/// What is looked for.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    Key(Bytes),
    Correlation(EventId),
}

/// What was found, and how much was looked at.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) kept: Kept,
    pub(super) topics: usize,
    /// Partitions that a key index has answered for.
    pub(super) indexed: u64,
    /// Partitions that were read.
    pub(super) scanned: u64,
    /// The records that were read.
    pub(super) read: u64,
}

impl Found {
    fn new(max: usize) -> Self {
        Self {
            kept: Kept::new(max),
            topics: 0,
            indexed: 0,
            scanned: 0,
            read: 0,
        }
    }

    fn merge(&mut self, other: Self) {
        self.kept.merge(other.kept);
        self.indexed += other.indexed;
        self.scanned += other.scanned;
        self.read += other.read;
    }
}

/// Looks through these topics, or through all but the broker's own.
pub(super) async fn search(
    client: &Client,
    wanted: Wanted,
    topics: &[String],
    max: usize,
) -> Result<Found, Failure> {
    let listed = client.admin().list_topics().await?;
    if let Some(none) = topics
        .iter()
        .find(|name| listed.iter().all(|topic| topic.name != **name))
    {
        return Err(Failure::Failed(format!("there is no topic {none}")));
    }
    let is_asked = |name: &String, is_internal: bool| match topics {
        [] => !is_internal,
        topics => topics.contains(name),
    };
    let asked: Vec<_> = listed
        .iter()
        .filter(|topic| is_asked(&topic.name, topic.is_internal))
        .collect();
    let places: Vec<Place> = asked
        .iter()
        .flat_map(|topic| Place::all(&topic.name, topic.partitions))
        .collect();
    let spans = spans(&client.admin(), &places).await?;
    let left: VecDeque<(Place, Span)> = spans
        .into_iter()
        .filter(|(_, span)| span.records() > 0)
        .collect();
    let records = left.iter().map(|(_, span)| span.records().unsigned_abs());
    let bar = output::counted(records.sum(), "looking");
    let mut found = Found::new(max);
    found.topics = asked.len();
    let left = Arc::new(Mutex::new(left));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let worker = Worker {
            client: client.clone(),
            wanted: wanted.clone(),
            left: Arc::clone(&left),
            bar: bar.clone(),
            found: Found::new(max),
        };
        workers.spawn(worker.run());
    }
    while let Some(worked) = workers.join_next().await {
        let worked = worked.map_err(|error| Failure::Failed(error.to_string()))?;
        found.merge(worked?);
    }
    bar.finish_and_clear();
    Ok(found)
}

/// Looks into one partition after the other.
struct Worker {
    client: Client,
    wanted: Wanted,
    left: Arc<Mutex<VecDeque<(Place, Span)>>>,
    bar: ProgressBar,
    found: Found,
}

impl Worker {
    async fn run(mut self) -> Result<Found, Failure> {
        while let Some((place, span)) = self.next() {
            if self.by_index(&place).await? {
                self.found.indexed += 1;
                self.bar.inc(span.records().unsigned_abs());
            } else {
                self.found.scanned += 1;
                self.by_reading(&place, span).await?;
            }
        }
        Ok(self.found)
    }

    fn next(&self) -> Option<(Place, Span)> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.pop_front()
    }

    /// Whether there is an index that could be asked.
    async fn by_index(&mut self, place: &Place) -> Result<bool, Failure> {
        let (Wanted::Key(key), Some(native)) = (&self.wanted, self.client.native()) else {
            return Ok(false);
        };
        let Place { topic, partition } = place;
        let Some(mut events) = Indexed::open(native, topic, Some(*partition), key, None).await?
        else {
            return Ok(false);
        };
        loop {
            let page = events.next().await?;
            if page.is_empty() {
                return Ok(true);
            }
            page.into_iter().for_each(|told| self.keep(told));
        }
    }

    async fn by_reading(&mut self, place: &Place, span: Span) -> Result<(), Failure> {
        let mut scan = Scan::open(&self.client, place, span).await?;
        while let Some(records) = scan.next().await? {
            let count = records.len() as u64;
            self.found.read += count;
            self.bar.inc(count);
            for record in records {
                let is_wanted = match &self.wanted {
                    Wanted::Key(key) => record.key.as_ref() == Some(key),
                    Wanted::Correlation(id) => belongs(&record, id),
                };
                if is_wanted {
                    let revision = None;
                    self.keep(Told { record, revision });
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, told: Told) {
        if !is_snapshot(&told.record) {
            self.found.kept.add(told);
        }
    }
}

/// Partitions that are looked into at a time.
const WORKERS: usize = 4;
