//! What a user wants to hear of rebalances.
//!
//! Floor 5 of client.

use std::fmt;
use std::sync::Arc;

use highwater_proto::exchange::BoxFuture;

use crate::admin::CommittedOffset;

/// Hears which partitions a consumer gets and gives back; set by
/// [`Consumer::on_rebalance`](crate::Consumer::on_rebalance).
///
/// Its methods are called out of `poll`, `close` and `unsubscribe`.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::{Arc, Mutex};
/// use highwater_client::{BoxFuture, CommittedOffset, RebalanceListener};
///
/// /// Work that is done by others, and how far they got in each partition.
/// struct Work(Arc<Mutex<HashMap<(Arc<str>, i32), i64>>>);
///
/// impl RebalanceListener for Work {
///     fn revoked(
///         &mut self,
///         partitions: &[(Arc<str>, i32)],
///     ) -> BoxFuture<'static, Vec<CommittedOffset>> {
///         let mut done = self.0.lock().expect("nobody panics");
///         let offsets = partitions.iter().filter_map(|place| {
///             let offset = done.remove(place)?;
///             Some(CommittedOffset {
///                 topic: place.0.to_string(),
///                 partition: place.1,
///                 offset,
///                 ..CommittedOffset::default()
///             })
///         });
///         Box::pin(std::future::ready(offsets.collect()))
///     }
/// }
/// ```
pub trait RebalanceListener: Send + Sync + 'static {
    /// These partitions are read from now on, beside those that are read already.
    fn assigned(&mut self, partitions: &[(Arc<str>, i32)]) {
        let _ = partitions;
    }

    /// These partitions go to somebody else. They are read no more, but the group waits, up to
    /// `max.poll.interval.ms`, until the future has ended and the offsets that it gives are
    /// committed: how far the work on them is done. With `enable.auto.commit`, what `poll` handed
    /// out is committed by itself, but for partitions that are named here.
    ///
    /// The future runs on a task of its own: it goes on when the `poll` is dropped.
    fn revoked(
        &mut self,
        partitions: &[(Arc<str>, i32)],
    ) -> BoxFuture<'static, Vec<CommittedOffset>> {
        let _ = partitions;
        Box::pin(std::future::ready(Vec::new()))
    }

    /// These partitions belong to somebody else already, because the group went on without this
    /// member: nothing can be committed for them.
    fn lost(&mut self, partitions: &[(Arc<str>, i32)]) {
        let _ = partitions;
    }
}

/// A listener that can be shown.
pub(super) struct Listener(pub(super) Box<dyn RebalanceListener>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}
