//! What happens without being asked: retention, looking for damage, the timers of groups, the key
//! indexes, and the end of deletions that were interrupted.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - A topic is forgotten only after its files are gone, and its offsets from all groups.

use std::sync::Arc;
use std::time::Duration;

use highwater_log::error::LogError;

use crate::ids::TopicId;
use crate::meta::{MetaMachine, Topic};
use crate::service::{MetaKey, Service};

impl Service {
    /// All that is done without being asked, until the broker shuts down.
    pub(crate) async fn housekeeping(self) {
        tokio::join!(
            self.retention(),
            self.scrubbing(),
            self.key_upkeep(),
            self.group_timer(),
            self.group_upkeep()
        );
    }

    /// Checks retention and finishes deletions.
    async fn retention(&self) {
        let interval = Duration::from_millis(self.config().log_retention_check_interval_ms);
        let mut closing = self.closing();
        loop {
            let next = self.clock().now().mono.plus(interval);
            tokio::select! {
                biased;
                () = self.clock().sleep_until(next) => {}
                () = closing.begun() => return,
            }
            if let Err(error) = self.apply_retention().await {
                tracing::warn!(%error, "retention was not checked; it is tried again");
            }
            self.finish_deleting(self.deleting()).await;
        }
    }

    /// Keeps the key indexes of event streams small and whole.
    async fn key_upkeep(&self) {
        let mut closing = self.closing();
        loop {
            let next = self.clock().now().mono.plus(KEY_UPKEEP);
            tokio::select! {
                biased;
                () = self.clock().sleep_until(next) => {}
                () = closing.begun() => return,
            }
            for (log, error) in self.inner.shard.merge_keys().await {
                tracing::warn!(%log, %error, "a key index is not merged yet; it is tried again");
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

    /// Removes the offsets and the files of deleted topics, then forgets the topics. One whose
    /// files resist stays known, and the others go.
    pub(super) async fn finish_deleting(&self, topics: Vec<Arc<Topic>>) {
        if topics.is_empty() {
            return;
        }
        let names = topics.iter().map(|topic| topic.name.clone()).collect();
        if let Err(error) = self.forget_offsets(names).await {
            tracing::warn!(%error, "offsets of deleted topics remain; it is tried again");
            return;
        }
        let mut gone: Vec<TopicId> = Vec::with_capacity(topics.len());
        for topic in topics {
            match self.inner.shard.remove_logs(topic.logs().collect()).await {
                Ok(()) => gone.push(topic.id),
                Err(error) => {
                    let topic = topic.name.as_str();
                    tracing::warn!(topic, %error, "files of a deleted topic remain; they go later");
                }
            }
        }
        if gone.is_empty() {
            return;
        }
        let decide = move |meta: &MetaMachine| meta.forget(&gone);
        if let Err(error) = self.inner.meta.write(MetaKey::Topics, decide).await {
            tracing::warn!(%error, "deleted topics are not forgotten yet; it is tried again");
        }
    }
}

/// In so long at most some dozens of small files are added to a key index.
const KEY_UPKEEP: Duration = Duration::from_secs(10);
