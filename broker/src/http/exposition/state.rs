//! How the broker is: its version, its disk, its memory.
//!
//! Floor 5 of broker, behind the feature `http`.

use std::fmt;

use prometheus_client::metrics::MetricType;

use super::{Facts, Text, count_of};

impl Facts {
    pub(super) fn state(&self, text: &mut Text<'_>) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let help = "The version of the broker";
        text.family("highwater_build", help, MetricType::Info, |family| {
            family.encode_info(&version)
        })?;
        let is_poisoned = u64::from(self.service.poisoned().is_some());
        let help = "1 once a write or sync has failed: nothing is written any more";
        text.gauge("highwater_poisoned", help, is_poisoned)?;
        let help = "Damaged ranges of logs that nobody has given up: reads of them fail";
        text.gauge("highwater_quarantined_ranges", help, self.damaged_ranges)?;
        self.room(text)?;
        self.budgets(text)?;
        self.certificate(text)?;
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

    /// How long the certificate is still valid, if there is one.
    fn certificate(&self, text: &mut Text<'_>) -> fmt::Result {
        let Some(end_ms) = self.service.metrics().certificate_end_ms.get() else {
            return Ok(());
        };
        let left_ms = end_ms.saturating_sub(self.service.clock().now().wall.0);
        let help = "How long the certificate of the TLS listeners is valid; below 0 it has expired";
        let name = "highwater_tls_certificate_left_seconds";
        text.gauge(name, help, left_ms.div_euclid(1_000))
    }

    fn room(&self, text: &mut Text<'_>) -> fmt::Result {
        let help = "1 while producers are refused for lack of room";
        text.gauge("highwater_full", help, u64::from(self.room.is_short))?;
        if let Some(bytes) = self.room.dir_bytes {
            let help = "What the files of the data directory hold, where it has a limit";
            text.gauge("highwater_log_dirs_bytes", help, bytes)?;
        }
        if let Some(bytes) = self.disk.free_bytes {
            let help = "What is free on the disk of the data directory";
            text.gauge("highwater_disk_free_bytes", help, bytes)?;
        }
        if let Some(bytes) = self.disk.total_bytes {
            let help = "The size of the disk of the data directory";
            text.gauge("highwater_disk_total_bytes", help, bytes)?;
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

    /// Memory that settings bound: what is taken of it, and what there is.
    fn budgets(&self, text: &mut Text<'_>) -> fmt::Result {
        let batches = self.service.queued_batches();
        let help = "Bytes of batches that wait to be written or synced";
        text.gauge("highwater_queued_batches_bytes", help, batches.used)?;
        let help = "The most of them that may wait: queued.max.bytes";
        text.gauge("highwater_queued_batches_max_bytes", help, batches.max)?;
        let requests = self.service.queued_requests();
        let help = "Bytes that are reserved for large requests that are being received";
        text.gauge("highwater_queued_requests_bytes", help, requests.used)?;
        let help = "The most of them that may be reserved: queued.max.request.bytes";
        text.gauge("highwater_queued_requests_max_bytes", help, requests.max)
    }
}
