//! What listeners of every protocol share: who may connect, how fast, how long, and the end.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - The limits hold for all listeners of a broker together.
//! - The end is in steps: no new connections; then every session answers what is under way; what
//!   has not come to its end after the grace is cut off.

mod acceptor;
mod activity;
mod broken;
mod complaints;
#[cfg(feature = "tls")]
mod encrypted;
mod gate;
mod hand_over;
mod intake;
mod outflow;
mod pace;
mod timer;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use highwater_proto::clock::Clock;
use tokio::sync::{Semaphore, watch};

use crate::config::BrokerConfig;
use complaints::{Complaints, Line};

pub(crate) use acceptor::{Accepted, accept};
pub(crate) use activity::Activity;
pub(crate) use broken::{Broken, Tone};
pub(crate) use gate::{Admission, Gate};
pub(crate) use hand_over::hand_over;
#[cfg(test)]
pub(crate) use intake::{ANSWERED_TOGETHER_BYTES, KEPT_BYTES_MAX, READ_BYTES_MIN};
pub(crate) use intake::{Held, Intake, Source};
pub(crate) use outflow::{Outflow, Sink};
pub(crate) use wire::Wire;

/// The connections of one broker, and its sessions without one.
#[derive(Debug)]
pub(crate) struct Connections {
    clock: Arc<dyn Clock>,
    pub(crate) gate: Arc<Gate>,
    /// Bytes of requests that may be received and under way at once.
    pub(crate) frame_budget: Arc<Semaphore>,
    complaints: Complaints,
    phase: watch::Sender<Phase>,
    /// Listeners that accept.
    pub(crate) accepting: Count,
    /// Sessions that have not come to their end.
    pub(crate) sessions: Count,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Not begun.
    Open,
    /// No new connections.
    Deaf,
    /// Nobody waits any more.
    Over,
}

impl Connections {
    pub(crate) fn new(config: &BrokerConfig, clock: &Arc<dyn Clock>) -> Self {
        let budget = config.queued_max_request_bytes.min(Semaphore::MAX_PERMITS);
        Self {
            clock: Arc::clone(clock),
            gate: Arc::new(Gate::new(config)),
            frame_budget: Arc::new(Semaphore::new(budget)),
            complaints: Complaints::default(),
            phase: watch::Sender::new(Phase::Open),
            accepting: Count::default(),
            sessions: Count::default(),
        }
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Whether the end has not begun.
    pub(crate) fn are_open(&self) -> bool {
        *self.phase.borrow() == Phase::Open
    }

    /// Closes the listeners: nobody can connect when this returns.
    pub(crate) async fn stop_accepting(&self) {
        self.reach(Phase::Deaf);
        self.accepting.zero().await;
    }

    /// Waits for the sessions, which end by themselves once the service is closing; cuts off what
    /// is left after the grace.
    pub(crate) async fn finish(&self, grace: Duration) {
        let end = self.clock.sleep_until(self.clock.now().mono.plus(grace));
        tokio::select! {
            () = self.sessions.zero() => return,
            () = end => {}
        }
        tracing::warn!("sessions are cut off: they did not end within shutdown.grace.ms");
        self.reach(Phase::Over);
        self.sessions.zero().await;
    }

    /// Cuts everything off and waits until it is.
    pub(crate) async fn cut_off(&self) {
        self.reach(Phase::Over);
        self.accepting.zero().await;
        self.sessions.zero().await;
    }

    /// Cuts everything off, without waiting for it.
    pub(crate) fn abandon(&self) {
        self.reach(Phase::Over);
    }

    fn reach(&self, phase: Phase) {
        self.phase
            .send_modify(|current| *current = phase.max(*current));
    }

    /// Waits until the end has come so far.
    pub(crate) async fn reached(&self, phase: Phase) {
        // The sender lives in `self`, so that this cannot fail.
        drop(
            self.phase
                .subscribe()
                .wait_for(|current| *current >= phase)
                .await,
        );
    }

    /// One line about a client, unless there were too many.
    pub(crate) fn say(&self, tone: Tone, client: &impl fmt::Display, why: &impl fmt::Display) {
        match self.complaints.line(tone, self.clock.now().mono) {
            Line::LeaveOut => tracing::debug!(%client, %why, "connection closed"),
            Line::Say { left_out: 0 } => tracing::warn!(%client, %why, "connection closed"),
            Line::Say { left_out } => {
                tracing::warn!(%client, %why, left_out, "connection closed");
            }
        }
    }
}

/// How many of something there are, to be waited for.
#[derive(Debug, Default)]
pub(crate) struct Count(watch::Sender<usize>);

impl Count {
    /// One more, until what is returned is dropped.
    pub(crate) fn one(&self) -> Counted {
        self.0.send_modify(|count| *count += 1);
        Counted(self.0.clone())
    }

    /// Waits until there is none.
    pub(crate) async fn zero(&self) {
        drop(self.0.subscribe().wait_for(|count| *count == 0).await);
    }
}

/// One that is counted.
#[derive(Debug)]
pub(crate) struct Counted(watch::Sender<usize>);

impl Drop for Counted {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a handler panicked: its session is closed, all others go on");
        }
        self.0.send_modify(|count| *count -= 1);
    }
}
