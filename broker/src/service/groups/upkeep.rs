//! What happens to groups without being asked: old offsets go, and those of deleted topics.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - A topic's offsets are gone from every group, durably, before the topic is forgotten: a topic
//!   of the same name begins without them.

use std::time::Duration;

use crate::error::GroupError;
use crate::group::{Ask, Reply};
use crate::service::Service;

impl Service {
    /// Looks for offsets that are no longer kept every `offsets.retention.check.interval.ms`,
    /// until the broker shuts down.
    pub(in crate::service) async fn group_upkeep(&self) {
        let interval = Duration::from_millis(self.config().offsets_retention_check_interval_ms);
        let mut closing = self.closing();
        loop {
            let next = self.clock().now().mono.plus(interval);
            tokio::select! {
                biased;
                () = self.clock().sleep_until(next) => {}
                () = closing.begun() => return,
            }
            if let Err(error) = self.expire_offsets().await {
                tracing::warn!(%error, "old offsets were not removed; it is tried again");
            }
        }
    }

    /// Removes the offsets that are no longer kept, and the groups that are left with none, as the
    /// broker does by itself every `offsets.retention.check.interval.ms`.
    pub async fn expire_offsets(&self) -> Result<(), GroupError> {
        self.in_all_groups(|| Ask::Expire).await
    }

    /// Removes the offsets of topics that are being deleted from all groups.
    pub(in crate::service) async fn forget_offsets(
        &self,
        topics: Vec<String>,
    ) -> Result<(), GroupError> {
        self.in_all_groups(|| Ask::ForgetTopics(topics.clone()))
            .await
    }

    async fn in_all_groups(&self, question: impl Fn() -> Ask) -> Result<(), GroupError> {
        let groups = self.inner.groups.names();
        let replies = self.ask_each(groups, |_| question()).await;
        replies.into_iter().try_for_each(|(_, reply)| match reply? {
            Reply::Done(Err(GroupError::UnknownGroup)) => Ok(()),
            Reply::Done(result) => result,
            other => Err(super::mismatch(&other)),
        })
    }
}
