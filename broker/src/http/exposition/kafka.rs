//! Constants under Kafka's names, so that dashboards and alerts made for it go on working.
//!
//! Floor 5 of broker, behind the feature `http`.

use std::fmt;

use super::Text;
use crate::metrics::Counter;

/// What nothing can go wrong with where nothing is replicated, under the names that dashboards
/// and alerts for Kafka look for.
pub(super) fn constants(text: &mut Text<'_>) -> fmt::Result {
    for (name, help, value) in [
        (
            "kafka_server_replicamanager_underreplicatedpartitions",
            "Always 0: nothing is replicated",
            0_u64,
        ),
        (
            "kafka_server_under_replicated_partitions",
            "Always 0: nothing is replicated",
            0,
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
        text.counter(
            name,
            "Always 0: nothing is replicated",
            &Counter::new(false),
        )?;
    }
    Ok(())
}
