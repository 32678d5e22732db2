//! One life of the broker, as its clients see it: requests, their answers, and the end of waiting
//! when the broker is gone.
//!
//! Invariants
//! - A request is answered, or its client learns that there will be no answer.
//! - The model is never locked while anything is waited for.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use highwater_broker::service::Service;
use highwater_broker::service::fetch::Isolation;
use highwater_broker::service::offsets::{ListOffsetsPartition, ListedOffset, OffsetAt};
use highwater_kit::sim_fs::SimFs;
use tokio::sync::watch;

use crate::broker_life::book::Oracle;
use crate::broker_life::clock::LifeClock;
use crate::broker_life::model::Model;

/// A life of the broker.
pub(super) struct Life {
    pub(super) service: Service,
    pub(super) clock: LifeClock,
    pub(super) disk: SimFs,
    model: Arc<Mutex<Model>>,
    over: watch::Sender<bool>,
    waiting: Mutex<BTreeMap<u64, Request>>,
    requests: AtomicU64,
    events: AtomicU64,
}

/// A request that waits for its answer.
#[derive(Clone, Debug)]
pub(super) enum Request {
    /// It has nothing to wait for but the disk.
    Short(&'static str),
    /// It may wait for other clients, or for time to pass.
    Long(#[expect(dead_code, reason = "it is printed with what is stuck")] &'static str),
    /// It waits for records at an offset.
    Fetch {
        topic: String,
        partition: i32,
        offset: i64,
    },
}

impl Life {
    pub(super) fn new(
        service: Service,
        clock: LifeClock,
        disk: SimFs,
        model: Arc<Mutex<Model>>,
    ) -> Self {
        Self {
            service,
            clock,
            disk,
            model,
            over: watch::Sender::new(false),
            waiting: Mutex::default(),
            requests: AtomicU64::new(0),
            events: AtomicU64::new(0),
        }
    }

    pub(super) fn model(&self) -> MutexGuard<'_, Model> {
        lock(&self.model)
    }

    /// Writes an event down.
    pub(super) fn note(&self, event: String) {
        self.model().book.note(event);
    }

    pub(super) fn broken(&self, oracle: Oracle, text: impl Into<String>) {
        self.model().broken(oracle, text);
    }

    /// Asks and waits for the answer; `None` if there will be none.
    pub(super) async fn ask<T>(
        &self,
        request: Request,
        answer: impl Future<Output = T>,
    ) -> Option<T> {
        let mut over = self.over.subscribe();
        let number = self.begin(request);
        let answered = tokio::select! {
            biased;
            answer = answer => Some(answer),
            _ = over.wait_for(|over| *over) => None,
        };
        self.end(number);
        answered
    }

    /// Asks, and gives up when the broker has had so many turns.
    pub(super) async fn ask_briefly<T>(
        &self,
        turns: usize,
        answer: impl Future<Output = T>,
    ) -> Option<T> {
        let number = self.begin(Request::Long("a request that is given up"));
        let patience = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        };
        let answered = tokio::select! {
            biased;
            answer = answer => Some(answer),
            () = patience => None,
        };
        self.end(number);
        answered
    }

    fn begin(&self, request: Request) -> u64 {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        self.events.fetch_add(1, Ordering::Relaxed);
        lock(&self.waiting).insert(number, request);
        number
    }

    fn end(&self, number: u64) {
        self.events.fetch_add(1, Ordering::Relaxed);
        lock(&self.waiting).remove(&number);
    }

    /// Nobody waits any longer.
    pub(super) fn is_over(&self) {
        self.over.send_replace(true);
    }

    pub(super) fn has_ended(&self) -> bool {
        *self.over.borrow() || self.disk.is_dead()
    }

    /// Lets everyone go on until nobody can: all wait for time to pass, or for each other.
    pub(super) async fn settle(&self) {
        let mut still = 0;
        let mut seen = self.progress();
        while still < STILL_TURNS {
            tokio::task::yield_now().await;
            let now = self.progress();
            still = if now == seen { still + 1 } else { 0 };
            seen = now;
        }
    }

    fn progress(&self) -> (u64, usize) {
        (self.events.load(Ordering::Relaxed), self.disk.operations())
    }

    /// What waits now, though everything has come to rest.
    pub(super) fn waiting(&self) -> Vec<Request> {
        lock(&self.waiting).values().cloned().collect()
    }

    /// An offset of a partition; `None` if it is not there or cannot be read.
    pub(super) async fn offset_at(
        &self,
        topic: &str,
        partition: i32,
        at: OffsetAt,
    ) -> Option<ListedOffset> {
        let asked = ListOffsetsPartition {
            topic: topic.to_owned(),
            partition,
            current_leader_epoch: -1,
            at,
        };
        let listed = self
            .service
            .list_offsets(Isolation::ReadUncommitted, vec![asked])
            .await;
        listed.into_iter().next()?.result.ok()
    }
}

pub(super) fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Turns without an event after which nobody is going on: the longest way of a request through the
/// broker's tasks between two events is far shorter.
const STILL_TURNS: usize = 40;
