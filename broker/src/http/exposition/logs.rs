//! The logs of all topics, and among them those of dead letters.
//!
//! Floor 5 of broker, behind the feature `http`.

use std::fmt;

use prometheus_client::metrics::MetricType;

use super::{Facts, Text};
use crate::service::overview::PartitionOverview;

impl Facts {
    pub(super) fn logs(&self, text: &mut Text<'_>) -> fmt::Result {
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
        })?;
        self.letters(text)
    }

    fn letters(&self, text: &mut Text<'_>) -> fmt::Result {
        let help = "Records in topics of dead letters, by the names that such topics have";
        text.family(
            "highwater_dead_letters",
            help,
            MetricType::Gauge,
            |family| {
                self.letters.iter().try_for_each(|letters| {
                    let labels = [("topic", letters.topic.as_str())];
                    family
                        .encode_family(&labels)?
                        .encode_gauge(&letters.records)
                })
            },
        )?;
        let help = "The age of the oldest record in a topic of dead letters";
        let name = "highwater_dead_letter_oldest_seconds";
        text.family(name, help, MetricType::Gauge, |family| {
            for letters in &self.letters {
                let Some(age_ms) = letters.oldest_ms else {
                    continue;
                };
                let labels = [("topic", letters.topic.as_str())];
                let seconds = age_ms as f64 / 1000.0;
                family.encode_family(&labels)?.encode_gauge(&seconds)?;
            }
            Ok(())
        })
    }
}
