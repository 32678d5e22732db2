//! How far groups are behind, those without members, too.
//!
//! Floor 5 of broker, behind the feature `http`.

use std::fmt;

use prometheus_client::encoding::EncodeGaugeValue;
use prometheus_client::metrics::MetricType;

use super::{Facts, Text};
use crate::service::groups::PartitionLag;

impl Facts {
    pub(super) fn groups(&self, text: &mut Text<'_>) -> fmt::Result {
        let help = "Groups by state";
        text.family("highwater_groups", help, MetricType::Gauge, |family| {
            self.states.iter().try_for_each(|(state, count)| {
                let labels = [("state", *state)];
                family.encode_family(&labels)?.encode_gauge(count)
            })
        })?;
        let help = "Groups whose lag is not told here, because there are too many";
        text.gauge("highwater_groups_left_out", help, self.groups_left_out)?;
        let help = "Partitions of the other groups whose lag is not told here";
        let left_out = self.lags.partitions_left_out;
        text.gauge("highwater_group_partitions_left_out", help, left_out)?;
        let help = "Members of a group; an idle one has none";
        let name = "highwater_group_members";
        text.family(name, help, MetricType::Gauge, |family| {
            self.lags.groups.iter().try_for_each(|lag| {
                let labels = [("group", lag.group.as_str())];
                family
                    .encode_family(&labels)?
                    .encode_gauge(&lag.members_count)
            })
        })?;
        let help = "Records that a group has not read yet, of all its partitions together";
        let name = "kafka_consumer_lag_sum";
        text.family(name, help, MetricType::Gauge, |family| {
            self.lags.groups.iter().try_for_each(|lag| {
                let labels = [("group", lag.group.as_str())];
                family
                    .encode_family(&labels)?
                    .encode_gauge(&lag.lag_records)
            })
        })?;
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
            for of_group in &self.lags.groups {
                for lag in &of_group.partitions {
                    let Some(value) = value(lag) else { continue };
                    let partition = lag.partition.to_string();
                    let labels = [
                        ("group", of_group.group.as_str()),
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
