//! What the group says about partitions, from the consumer to whoever handles their records.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - Notices are taken in the order in which they were given.
//! - Once closed, nobody waits for an answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use highwater_proto::exchange::BoxFuture;
use tokio::sync::{Notify, oneshot};

use super::machine::Place;
use crate::admin::CommittedOffset;
use crate::consumer::RebalanceListener;

#[derive(Debug)]
pub(super) enum Notice {
    Assigned(Vec<Place>),
    /// They go to somebody else; the group waits for the offsets.
    Revoked(Vec<Place>, oneshot::Sender<Vec<CommittedOffset>>),
    Lost(Vec<Place>),
}

/// Notices that were not taken yet. There are a few with each rebalance, and every poll takes all.
#[derive(Debug, Default)]
pub(super) struct Notices {
    state: Mutex<State>,
    added: Notify,
}

#[derive(Debug, Default)]
struct State {
    notices: Vec<Notice>,
    is_closed: bool,
}

impl Notices {
    /// Waits until there may be one.
    pub(super) async fn added(&self) {
        self.added.notified().await;
    }

    pub(super) fn take(&self) -> Vec<Notice> {
        std::mem::take(&mut self.lock().notices)
    }

    /// No notice is taken from now on.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.notices.clear();
    }

    fn add(&self, notice: Notice) {
        let mut state = self.lock();
        if !state.is_closed {
            state.notices.push(notice);
            drop(state);
            self.added.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives notice of what the consumer hears.
pub(super) struct Listener(pub(super) Arc<Notices>);

impl RebalanceListener for Listener {
    fn assigned(&mut self, partitions: &[(Arc<str>, i32)]) {
        self.0.add(Notice::Assigned(places(partitions)));
    }

    fn revoked(
        &mut self,
        partitions: &[(Arc<str>, i32)],
    ) -> BoxFuture<'static, Vec<CommittedOffset>> {
        let (answer, answered) = oneshot::channel();
        self.0.add(Notice::Revoked(places(partitions), answer));
        // Without a sender nothing is left to be committed.
        Box::pin(async move { answered.await.unwrap_or_default() })
    }

    fn lost(&mut self, partitions: &[(Arc<str>, i32)]) {
        self.0.add(Notice::Lost(places(partitions)));
    }
}

fn places(partitions: &[(Arc<str>, i32)]) -> Vec<Place> {
    let place = |(topic, partition): &(Arc<str>, i32)| Place {
        topic: Arc::clone(topic),
        partition: *partition,
    };
    partitions.iter().map(place).collect()
}
