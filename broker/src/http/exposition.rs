//! The metrics as text: what the broker counted, and what is looked up at each scrape.
//!
//! Floor 5 of broker, behind the feature `http`.
//!
//! Invariants
//! - The text is bounded: at most [`PARTITIONS_MAX`] partitions of topics and of groups, and of
//!   each label at most [`LABELS_MAX`](crate::metrics::LABELS_MAX) values; how much was left out is
//!   a metric, too.
//! - What names come from clients (topics, groups) stand in values of labels, escaped.
//! - Every name stands in `docs/monitoring.md`, which a test holds to this text.

mod groups;
mod kafka;
mod logs;
mod process;
mod requests;
mod state;

use std::collections::BTreeMap;
use std::fmt;

use highwater_log::shard::Room;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::metrics::{Counter, Histogram, HistogramNow};
use crate::service::Service;
use crate::service::groups::Lags;
use crate::service::overview::{LetterTopic, PartitionOverview};
use crate::shard::DiskSpace;
use process::Process;

/// The text format that every scraper reads.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that there is to know now, as text.
pub(crate) async fn text(service: &Service) -> Result<String, fmt::Error> {
    let facts = Facts::gather(service).await;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(facts));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

/// What one scrape tells.
#[derive(Debug)]
struct Facts {
    service: Service,
    partitions: Vec<PartitionOverview>,
    partitions_count: usize,
    letters: Vec<LetterTopic>,
    /// How many groups are in each state.
    states: BTreeMap<&'static str, u64>,
    lags: Lags,
    groups_left_out: usize,
    room: Room,
    disk: DiskSpace,
    damaged_ranges: usize,
    process: Process,
}

impl Facts {
    async fn gather(service: &Service) -> Self {
        let (partitions, partitions_count) = service.partitions_overview(PARTITIONS_MAX);
        let groups = service.list_groups();
        let mut states = BTreeMap::new();
        for listing in &groups {
            *states.entry(listing.state.name()).or_default() += 1;
        }
        let told = service.told_topics();
        let letters = service.letter_topics(&told).await;
        let lags = service.lags(told, PARTITIONS_MAX).await;
        Self {
            service: service.clone(),
            partitions,
            partitions_count,
            letters,
            states,
            groups_left_out: groups.len().saturating_sub(lags.groups.len()),
            lags,
            room: service.room(),
            disk: service.disk_space().await,
            damaged_ranges: service.damaged_ranges().await,
            process: Process::look(),
        }
    }
}

impl Collector for Facts {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut text = Text(encoder);
        self.state(&mut text)?;
        self.requests(&mut text)?;
        self.logs(&mut text)?;
        self.groups(&mut text)?;
        self.process.tell(&mut text)?;
        kafka::constants(&mut text)
    }
}

/// Where the metrics are written.
struct Text<'a>(DescriptorEncoder<'a>);

impl Text<'_> {
    fn counter(&mut self, name: &str, help: &str, counter: &Counter) -> fmt::Result {
        let value = counter.value();
        self.family(name, help, MetricType::Counter, |family| {
            count_of(family, value)
        })
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, |family| {
            family.encode_gauge(&value)
        })
    }

    /// A histogram without labels.
    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        histogram: &Histogram,
        to: Told,
    ) -> fmt::Result {
        let now = histogram.now();
        self.family(name, help, MetricType::Histogram, |family| {
            histogram_of(family, &now, to)
        })
    }

    fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        put: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        put(&mut self.0.encode_descriptor(name, help, None, kind)?)
    }
}

fn count_of(metric: &mut MetricEncoder<'_>, count: u64) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, _, u64>(&count, None)
}

/// In what a histogram is told, and how finely.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// Nanoseconds as seconds, with every bound.
    Times,
    /// The same, with one bound for each doubling.
    CoarseTimes,
    /// Counts as they are.
    Counts,
}

fn histogram_of(metric: &mut MetricEncoder<'_>, now: &HistogramNow, to: Told) -> fmt::Result {
    let (unit, stride) = match to {
        Told::Times => (1e9, 1),
        Told::CoarseTimes => (1e9, 4),
        Told::Counts => (1.0, 1),
    };
    let bounds = now.scale.bounds().map(|bound| bound as f64 / unit);
    let mut buckets = Vec::new();
    let mut since_bound = 0;
    for (place, (bound, count)) in bounds.chain([f64::INFINITY]).zip(&now.counts).enumerate() {
        since_bound += count;
        if place % stride == 0 || bound.is_infinite() {
            buckets.push((bound, std::mem::take(&mut since_bound)));
        }
    }
    let count = now.counts.iter().sum();
    metric.encode_histogram::<NoLabelSet>(now.sum as f64 / unit, count, &buckets, None)
}

/// Partitions whose logs are told, and partitions of groups whose lag is told.
const PARTITIONS_MAX: usize = 10_000;
