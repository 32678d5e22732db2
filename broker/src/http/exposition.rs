//! The metrics as text: what the broker counted, and what is looked up at each scrape.
//!
//! Floor 5 of broker, behind the feature `http`.
//!
//! Invariants
//! - The text is bounded: at most [`PARTITIONS_MAX`] partitions of topics, [`GROUPS_MAX`] groups
//!   and [`LAGS_MAX`] partitions of groups; how many were left out is a metric, too.
//! - What names come from clients (topics, groups) stand in values of labels, escaped.

use std::collections::BTreeMap;
use std::fmt;

use highwater_log::shard::Room;
use highwater_proto::code::ErrorCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::metrics::{BOUNDS, Counter, DurationsNow};
use crate::service::Service;
use crate::service::groups::PartitionLag;
use crate::service::overview::PartitionOverview;

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
    /// How many groups are in each state.
    states: BTreeMap<&'static str, u64>,
    lags: Vec<(String, Vec<PartitionLag>)>,
    groups_left_out: usize,
    room: Room,
    free_bytes: Option<u64>,
}

impl Facts {
    async fn gather(service: &Service) -> Self {
        let (partitions, partitions_count) = service.partitions_overview(PARTITIONS_MAX);
        let mut groups = service.list_groups();
        groups.sort_by(|one, other| one.group.cmp(&other.group));
        let mut states = BTreeMap::new();
        for listing in &groups {
            *states.entry(listing.state.name()).or_default() += 1;
        }
        let (mut lags, mut lags_count) = (Vec::new(), 0);
        for listing in groups.iter().take(GROUPS_MAX) {
            let mut lag = service.group_lag(&listing.group).await;
            lag.truncate(LAGS_MAX - lags_count);
            lags_count += lag.len();
            lags.push((listing.group.clone(), lag));
            if lags_count == LAGS_MAX {
                break;
            }
        }
        Self {
            service: service.clone(),
            partitions,
            partitions_count,
            states,
            groups_left_out: groups.len() - lags.len(),
            lags,
            room: service.room(),
            free_bytes: service.free_bytes().await,
        }
    }
}

impl Collector for Facts {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut text = Text(encoder);
        self.build(&mut text)?;
        self.requests(&mut text)?;
        self.traffic(&mut text)?;
        self.connections(&mut text)?;
        self.partitions(&mut text)?;
        self.groups(&mut text)?;
        replication(&mut text)
    }
}

impl Facts {
    fn build(&self, text: &mut Text<'_>) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let help = "The version of the broker";
        text.family("highwater_build", help, MetricType::Info, |family| {
            family.encode_info(&version)
        })?;
        let is_poisoned = u64::from(self.service.poisoned().is_some());
        let help = "1 once a write or sync has failed: nothing is written any more";
        text.gauge("highwater_poisoned", help, is_poisoned)?;
        self.room(text)?;
        let help = "Checks of retention";
        let checks = &self.service.metrics().retention_checks;
        text.counter("highwater_retention_checks", help, checks)?;
        let help = "Bytes of segments that were checked for damage without being asked for";
        let bytes = &self.service.metrics().scrub_bytes;
        text.counter("highwater_scrub_bytes", help, bytes)?;
        let help = "Damaged ranges and failing reads that such checks found";
        let errors = &self.service.metrics().scrub_errors;
        text.counter("highwater_scrub_errors", help, errors)
    }

    fn room(&self, text: &mut Text<'_>) -> fmt::Result {
        let help = "1 while producers are refused for lack of room";
        text.gauge("highwater_full", help, u64::from(self.room.is_short))?;
        if let Some(bytes) = self.room.dir_bytes {
            let help = "What the files of the data directory hold, where it has a limit";
            text.gauge("highwater_log_dirs_bytes", help, bytes)?;
        }
        if let Some(bytes) = self.free_bytes {
            let help = "What is free on the disk of the data directory";
            text.gauge("highwater_disk_free_bytes", help, bytes)?;
        }
        for (name, help, count) in [
            (
                "highwater_dropped_segments",
                "Segments that were removed because the data directory was full",
                self.room.dropped_segments,
            ),
            (
                "highwater_dropped_bytes",
                "Bytes of the segments that were removed because the data directory was full",
                self.room.dropped_bytes,
            ),
        ] {
            text.family(name, help, MetricType::Counter, |family| {
                count_of(family, count)
            })?;
        }
        Ok(())
    }

    fn requests(&self, text: &mut Text<'_>) -> fmt::Result {
        let requests = &self.service.metrics().requests;
        let durations = requests.durations();
        let help = "Requests by API: seconds from their arrival to their answer, waits included";
        let name = "highwater_request_duration_seconds";
        text.family(name, help, MetricType::Histogram, |family| {
            durations.iter().try_for_each(|(api, now)| {
                let labels = [("api", api.name())];
                histogram(&mut family.encode_family(&labels)?, now)
            })
        })?;
        let errors = requests.errors();
        let help = "Error codes that were answered, by API and Kafka's name of the error";
        let name = "highwater_request_errors";
        text.family(name, help, MetricType::Counter, |family| {
            errors.iter().try_for_each(|((api, code), count)| {
                let error = ErrorCode::from_i16(*code).map_or("UNKNOWN", ErrorCode::name);
                let labels = [("api", api.name()), ("error", error)];
                count_of(&mut family.encode_family(&labels)?, *count)
            })
        })
    }

    fn traffic(&self, text: &mut Text<'_>) -> fmt::Result {
        let metrics = self.service.metrics();
        for (name, help, counter) in [
            (
                "highwater_produced_batches",
                "Batches that were appended, or recognised as duplicates",
                &metrics.produced_batches,
            ),
            (
                "highwater_produced_records",
                "Records that were accepted for appending",
                &metrics.produced_records,
            ),
            (
                "highwater_produced_bytes",
                "Bytes of batches that were accepted for appending",
                &metrics.produced_bytes,
            ),
            (
                "highwater_refused_batches",
                "Batches that were refused",
                &metrics.refused_batches,
            ),
            (
                "highwater_fetches",
                "Fetches that were answered",
                &metrics.fetches,
            ),
            (
                "highwater_fetches_parked",
                "Fetches that had to wait for records",
                &metrics.parked_fetches,
            ),
            (
                "highwater_fetched_records",
                "Records that were handed out",
                &metrics.fetched_records,
            ),
            (
                "highwater_fetched_bytes",
                "Bytes of records that were handed out",
                &metrics.fetched_bytes,
            ),
        ] {
            text.counter(name, help, counter)?;
        }
        let help = "Fetches that wait for records now";
        text.gauge(
            "highwater_fetches_waiting",
            help,
            self.service.parked_count(),
        )
    }

    fn connections(&self, text: &mut Text<'_>) -> fmt::Result {
        let metrics = self.service.metrics();
        let closed = metrics.closed_connections.value();
        let open = metrics.connections.value().saturating_sub(closed);
        let help = "Connections of Kafka clients that are open now";
        text.gauge("highwater_connections", help, open)?;
        for (name, help, counter) in [
            (
                "highwater_connections_accepted",
                "Connections that were accepted",
                &metrics.connections,
            ),
            (
                "highwater_connections_refused",
                "Connections that were refused, or closed because of what came over them",
                &metrics.refused_connections,
            ),
            (
                "highwater_received_bytes",
                "Bytes of requests that came over connections",
                &metrics.received_bytes,
            ),
            (
                "highwater_sent_bytes",
                "Bytes of answers that went over connections",
                &metrics.sent_bytes,
            ),
        ] {
            text.counter(name, help, counter)?;
        }
        Ok(())
    }

    fn partitions(&self, text: &mut Text<'_>) -> fmt::Result {
        let help = "Partitions of all topics";
        text.gauge("highwater_partitions", help, self.partitions_count)?;
        let left_out = self.partitions_count - self.partitions.len();
        let help = "Partitions whose logs are not told here, because there are too many";
        text.gauge("highwater_partitions_left_out", help, left_out)?;
        let mut family = |name, help, value: fn(&PartitionOverview) -> i64| {
            text.family(name, help, MetricType::Gauge, |family| {
                self.partitions.iter().try_for_each(|one| {
                    let partition = one.partition.to_string();
                    let labels = [("topic", one.topic.as_str()), ("partition", &partition)];
                    family.encode_family(&labels)?.encode_gauge(&value(one))
                })
            })
        };
        let help = "The first offset of a partition";
        family("highwater_log_start_offset", help, |one| one.start)?;
        let help = "The next offset of a partition";
        family("highwater_log_end_offset", help, |one| one.end)?;
        let help = "The size of a partition in bytes";
        family("highwater_log_size_bytes", help, |one| {
            i64::try_from(one.bytes).unwrap_or(i64::MAX)
        })
    }

    fn groups(&self, text: &mut Text<'_>) -> fmt::Result {
        let help = "Groups by state";
        text.family("highwater_groups", help, MetricType::Gauge, |family| {
            self.states.iter().try_for_each(|(state, count)| {
                let labels = [("state", *state)];
                family.encode_family(&labels)?.encode_gauge(count)
            })
        })?;
        let help = "Groups whose lag is not told here, because there are too many";
        text.gauge("highwater_groups_left_out", help, self.groups_left_out)?;
        let help = "The next offset that a group reads, as it was committed";
        self.lag(text, "highwater_group_committed_offset", help, |lag| {
            Some(lag.committed)
        })?;
        let help = "Records that a group has not read yet";
        self.lag(text, "highwater_group_lag_records", help, |lag| {
            Some(lag.lag_records)
        })?;
        let help = "The age of the first record that a group has not read yet; 0 if there is none";
        self.lag(text, "highwater_group_lag_seconds", help, |lag| {
            lag.lag_ms.map(|age_ms| age_ms as f64 / 1000.0)
        })
    }

    /// One family with a value for each partition of each group that has one.
    fn lag<V: EncodeGaugeValue>(
        &self,
        text: &mut Text<'_>,
        name: &str,
        help: &str,
        value: fn(&PartitionLag) -> Option<V>,
    ) -> fmt::Result {
        text.family(name, help, MetricType::Gauge, |family| {
            for (group, partitions) in &self.lags {
                for lag in partitions {
                    let Some(value) = value(lag) else { continue };
                    let partition = lag.partition.to_string();
                    let labels = [
                        ("group", group.as_str()),
                        ("topic", &lag.topic),
                        ("partition", &partition),
                    ];
                    family.encode_family(&labels)?.encode_gauge(&value)?;
                }
            }
            Ok(())
        })
    }
}

/// What nothing can go wrong with where nothing is replicated, under the names that dashboards
/// and alerts for Kafka look for.
fn replication(text: &mut Text<'_>) -> fmt::Result {
    for (name, help, value) in [
        (
            "kafka_server_replicamanager_underreplicatedpartitions",
            "Always 0: nothing is replicated",
            0_u64,
        ),
        (
            "kafka_controller_kafkacontroller_offlinepartitionscount",
            "Always 0: every partition is on this broker",
            0,
        ),
        (
            "kafka_controller_kafkacontroller_activecontrollercount",
            "Always 1: this broker",
            1,
        ),
    ] {
        text.gauge(name, help, value)?;
    }
    for name in [
        "kafka_server_replicamanager_isrshrinks",
        "kafka_server_replicamanager_isrexpands",
    ] {
        text.counter(name, "Always 0: nothing is replicated", &Counter::default())?;
    }
    Ok(())
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

fn histogram(metric: &mut MetricEncoder<'_>, now: &DurationsNow) -> fmt::Result {
    let bounds = BOUNDS.iter().map(|bound| bound.as_secs_f64());
    let bounds = bounds.chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(now.counts).collect();
    let count = now.counts.iter().sum();
    metric.encode_histogram::<NoLabelSet>(now.sum.as_secs_f64(), count, &buckets, None)
}

/// Partitions whose logs are told.
const PARTITIONS_MAX: usize = 10_000;
/// Groups whose lag is told.
const GROUPS_MAX: usize = 1000;
/// Partitions of groups whose lag is told; for each of them up to one batch is read.
const LAGS_MAX: usize = 10_000;
