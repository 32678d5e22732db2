//! What came and went: requests, records, commits, connections.
//!
//! Floor 5 of broker, behind the feature `http`.

use std::fmt;

use highwater_proto::code::ErrorCode;
use highwater_proto::sasl::Mechanism;
use prometheus_client::metrics::MetricType;

use super::{Facts, Text, Told, count_of, histogram_of};
use crate::service::overview::{TopicEvents, TopicTraffic};

impl Facts {
    pub(super) fn requests(&self, text: &mut Text<'_>) -> fmt::Result {
        self.request_times(text)?;
        self.native_requests(text)?;
        self.traffic(text)?;
        self.topics(text)?;
        self.events(text)?;
        self.commits(text)?;
        self.connections(text)
    }

    fn request_times(&self, text: &mut Text<'_>) -> fmt::Result {
        let requests = &self.service.metrics().requests;
        let help = "Requests by API: seconds from their arrival to their answer, waits included";
        let name = "highwater_request_duration_seconds";
        text.family(name, help, MetricType::Histogram, |family| {
            requests.times().try_for_each(|(api, times)| {
                let labels = [("api", api.name())];
                histogram_of(
                    &mut family.encode_family(&labels)?,
                    &times.total.now(),
                    Told::Times,
                )
            })
        })?;
        let help = "The part of it before a request was begun, behind others of its connection";
        let name = "highwater_request_queue_seconds";
        text.family(name, help, MetricType::Histogram, |family| {
            requests.times().try_for_each(|(api, times)| {
                let labels = [("api", api.name())];
                histogram_of(
                    &mut family.encode_family(&labels)?,
                    &times.queued(),
                    Told::CoarseTimes,
                )
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

    fn native_requests(&self, text: &mut Text<'_>) -> fmt::Result {
        let requests = &self.service.metrics().native_requests;
        let help = "Requests of the native protocol: seconds from their arrival to their answer";
        let name = "highwater_native_request_duration_seconds";
        text.family(name, help, MetricType::Histogram, |family| {
            requests.times().try_for_each(|(call, times)| {
                let labels = [("call", call.name())];
                let mut family = family.encode_family(&labels)?;
                histogram_of(&mut family, &times.now(), Told::Times)
            })
        })?;
        let errors = requests.errors();
        let help = "Failures that were answered, by call and Kafka's name of the error";
        let name = "highwater_native_request_errors";
        text.family(name, help, MetricType::Counter, |family| {
            errors.iter().try_for_each(|((call, code), count)| {
                let error = ErrorCode::from_i16(*code).map_or("UNKNOWN", ErrorCode::name);
                let labels = [("call", call.name()), ("error", error)];
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
                "highwater_duplicate_batches",
                "Batches of those that were stored before: their producer had sent them already",
                &metrics.duplicate_batches,
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
                "highwater_inflated_batches",
                "Batches that came to more than 1000 times their size when decompressed",
                &metrics.inflated_batches,
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
        let help = "How long the fetches waited that had to wait for records";
        let name = "highwater_fetch_wait_seconds";
        text.histogram(name, help, &metrics.parked_times, Told::CoarseTimes)?;
        let help = "Fetches that wait for records now";
        text.gauge(
            "highwater_fetches_waiting",
            help,
            self.service.parked_count(),
        )
    }

    fn topics(&self, text: &mut Text<'_>) -> fmt::Result {
        let traffic = self.service.topic_traffic();
        let mut family = |name, help, bytes: fn(&TopicTraffic) -> u64| {
            text.family(name, help, MetricType::Counter, |family| {
                traffic.iter().try_for_each(|one| {
                    let labels = [("topic", one.topic.as_str())];
                    count_of(&mut family.encode_family(&labels)?, bytes(one))
                })
            })
        };
        let help = "Bytes of batches that were accepted, by topic; without one: of all beyond 1000";
        let name = "highwater_topic_produced_bytes";
        family(name, help, |one| one.produced)?;
        let help = "Bytes of records that were handed out, by topic; without one: the same";
        let name = "highwater_topic_fetched_bytes";
        family(name, help, |one| one.fetched)
    }

    fn events(&self, text: &mut Text<'_>) -> fmt::Result {
        let (events, index_bytes) = self.service.topic_events();
        let mut family = |name, help, count: fn(&TopicEvents) -> u64| {
            text.family(name, help, MetricType::Counter, |family| {
                events.iter().try_for_each(|one| {
                    let labels = [("topic", one.topic.as_str())];
                    count_of(&mut family.encode_family(&labels)?, count(one))
                })
            })
        };
        let help =
            "Events that were appended to streams, by topic; without one: of all beyond 1000";
        family("highwater_events_appended", help, |one| one.appended)?;
        let help = "Appends that were refused because a stream was not as expected, by topic";
        family("highwater_events_conflicts", help, |one| one.conflicts)?;
        let help = "The memory that the indexes of keys take";
        text.gauge("highwater_events_key_index_bytes", help, index_bytes)
    }

    fn commits(&self, text: &mut Text<'_>) -> fmt::Result {
        let metrics = self.service.metrics();
        let commits = &metrics.commits;
        let help = "Commits: from the queueing of the first of their batches to their end";
        text.histogram(
            "highwater_commit_seconds",
            help,
            &commits.times,
            Told::Times,
        )?;
        let help = "Batches whose producers waited for the same commit";
        text.histogram(
            "highwater_commit_batches",
            help,
            &commits.batches,
            Told::Counts,
        )?;
        let help = "Logs that were made durable by the same commit";
        text.histogram("highwater_commit_logs", help, &commits.logs, Told::Counts)?;
        let help = "Syncs of files, whoever asked for them";
        text.histogram("highwater_sync_seconds", help, &metrics.syncs, Told::Times)?;
        let help = "Syncs that failed";
        text.counter("highwater_sync_errors", help, &metrics.failed_syncs)
    }

    fn connections(&self, text: &mut Text<'_>) -> fmt::Result {
        let metrics = self.service.metrics();
        let closed = metrics.closed_connections.value();
        let open = metrics.connections.value().saturating_sub(closed);
        let help = "Connections of clients that are open now";
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
        let help = "Proofs of passwords that were refused, by mechanism";
        let name = "highwater_failed_logins";
        text.family(name, help, MetricType::Counter, |family| {
            Mechanism::ALL.into_iter().try_for_each(|mechanism| {
                let labels = [("mechanism", mechanism.name())];
                let failed = metrics.failed_logins.of(mechanism).value();
                count_of(&mut family.encode_family(&labels)?, failed)
            })
        })
    }
}
