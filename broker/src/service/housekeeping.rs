//! What happens without being asked: retention, and the end of deletions that were interrupted.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - A topic is forgotten only after its files are gone.

use std::sync::Arc;
use std::time::Duration;

use highwater_log::error::LogError;

use crate::ids::TopicId;
use crate::meta::{MetaMachine, Topic};
use crate::service::{MetaKey, Service};

impl Service {
    /// Checks retention and finishes deletions, until the broker shuts down.
    pub(crate) async fn housekeeping(self) {
        let interval = Duration::from_millis(self.config().log_retention_check_interval_ms);
        let mut closing = self.closing();
        loop {
            let next = self.clock().now().mono.plus(interval);
            tokio::select! {
                () = self.clock().sleep_until(next) => {}
                () = closing.begun() => return,
            }
            if let Err(error) = self.apply_retention().await {
                tracing::warn!(%error, "retention was not checked; it is tried again");
            }
            let deleting = self.deleting();
            if let Err(error) = self.finish_deleting(deleting).await {
                tracing::warn!(%error, "files of deleted topics remain; it is tried again");
            }
        }
    }

    /// Checks retention of every log now, as the broker does by itself every
    /// `log.retention.check.interval.ms`.
    pub async fn apply_retention(&self) -> Result<(), LogError> {
        self.inner.metrics.retention_checks.increment();
        self.inner.shard.apply_retention().await
    }

    /// The topics that are gone for everyone, but for their files.
    pub(super) fn deleting(&self) -> Vec<Arc<Topic>> {
        self.inner
            .meta
            .read(|meta| meta.state().deleting().cloned().collect())
    }

    /// Removes the files of deleted topics, then forgets the topics.
    pub(super) async fn finish_deleting(&self, topics: Vec<Arc<Topic>>) -> Result<(), LogError> {
        if topics.is_empty() {
            return Ok(());
        }
        let logs = topics.iter().flat_map(|topic| topic.logs()).collect();
        self.inner.shard.remove_logs(logs).await?;
        let ids: Vec<TopicId> = topics.iter().map(|topic| topic.id).collect();
        self.inner
            .meta
            .write(MetaKey::Topics, move |meta: &MetaMachine| meta.forget(&ids))
            .await
    }
}
