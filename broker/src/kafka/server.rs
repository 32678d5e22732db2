//! What all listeners and sessions of a broker share, and their end.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - The end is in steps: no new connections; then every session answers what is under way; what
//!   has not come to its end after the grace is cut off.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use highwater_proto::exchange::Exchange;
use highwater_proto::sasl::Mechanism;
use tokio::sync::{Semaphore, watch};

use super::address::KafkaListener;
use super::complaints::{Complaints, Line};
use super::end::{End, Tone};
use super::faults::Faults;
use super::gate::Gate;
use super::listener;
use super::local::Local;
#[cfg(feature = "sasl")]
use super::sasl::Failures;
use crate::error::{BrokerError, InvalidConfig};
use crate::service::Service;
use crate::service::cluster::Listening;
use crate::sockets::Address;
#[cfg(feature = "tls")]
use crate::tls::Tls;
use crate::workers::Workers;

/// The Kafka side of one broker.
#[derive(Debug)]
pub(crate) struct Server {
    pub(super) service: Service,
    pub(super) workers: Workers,
    pub(super) faults: Faults,
    pub(super) gate: Arc<Gate>,
    #[cfg(feature = "tls")]
    pub(super) tls: Arc<Tls>,
    /// TLS handshakes under way.
    #[cfg(feature = "tls")]
    pub(super) handshakes: Arc<Gate>,
    /// Wrong proofs of clients that had to prove who they are.
    #[cfg(feature = "sasl")]
    pub(super) failures: Arc<Failures>,
    /// Bytes of requests that may be received and under way at once.
    pub(super) frame_budget: Arc<Semaphore>,
    complaints: Complaints,
    /// Where clients reach the listeners that are open.
    addresses: Mutex<Vec<Address>>,
    phase: watch::Sender<Phase>,
    /// Listeners that accept.
    pub(super) accepting: Count,
    /// Sessions that have not come to their end.
    pub(super) sessions: Count,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Not begun.
    Open,
    /// No new connections.
    Deaf,
    /// Nobody waits any more.
    Over,
}

impl Server {
    pub(crate) fn new(service: Service, workers: Workers, faults: Faults) -> Arc<Self> {
        let gate = Arc::new(Gate::new(service.config()));
        #[cfg(feature = "tls")]
        let handshakes = Arc::new(Gate::of_handshakes(service.config()));
        #[cfg(feature = "tls")]
        let clock = Arc::clone(service.clock());
        #[cfg(feature = "tls")]
        let end_ms = service.metrics().certificate_end_ms.clone();
        #[cfg(feature = "tls")]
        let tls = Arc::new(Tls::new(service.config(), clock, workers.clone(), end_ms));
        #[cfg(feature = "sasl")]
        let failures = {
            let per_second = service.config().authentication_failures_max_per_second;
            Arc::new(Failures::new(per_second))
        };
        let budget = service
            .config()
            .queued_max_request_bytes
            .min(Semaphore::MAX_PERMITS);
        let frame_budget = Arc::new(Semaphore::new(budget));
        service.watch_request_budget(&frame_budget);
        Arc::new(Self {
            service,
            workers,
            faults,
            gate,
            #[cfg(feature = "tls")]
            tls,
            #[cfg(feature = "tls")]
            handshakes,
            #[cfg(feature = "sasl")]
            failures,
            frame_budget,
            complaints: Complaints::default(),
            addresses: Mutex::default(),
            phase: watch::Sender::new(Phase::Open),
            accepting: Count::default(),
            sessions: Count::default(),
        })
    }

    /// Opens a listener; gives the address at which clients reach it.
    pub(crate) fn listen(
        self: &Arc<Self>,
        listener: &KafkaListener,
    ) -> Result<Address, BrokerError> {
        if *self.phase.borrow() != Phase::Open {
            return Err(BrokerError::Closed);
        }
        self.prepare(listener)?;
        let address = listener::open(self, listener)?;
        tracing::info!(%listener, %address, "Kafka clients are listened to");
        let name = listener.name.as_deref();
        let name = name.unwrap_or_else(|| listener.protocol.name());
        self.service.announce(Listening {
            bind: format!("{name}://{}", listener.bind),
            advertised: format!("{name}://{address}"),
        });
        self.addresses().push(address.clone());
        Ok(address)
    }

    /// The TLS that all listeners share.
    #[cfg(all(feature = "http", feature = "tls"))]
    pub(crate) fn tls(&self) -> Arc<Tls> {
        Arc::clone(&self.tls)
    }

    fn warn_of_plain(&self, listener: &KafkaListener) {
        let config = self.service.config();
        let is_enabled = config.sasl_enabled_mechanisms.contains(Mechanism::Plain);
        if !is_enabled || listener.protocol.is_encrypted() {
            return;
        }
        if config.allow_plaintext_password {
            tracing::warn!(%listener, "everybody on the way can read the passwords of PLAIN");
        } else {
            tracing::warn!(
                %listener,
                "PLAIN is not offered: its passwords could be read on the way; use SASL_SSL, or \
                 SCRAM, or set allow.plaintext.password=true"
            );
        }
    }

    /// What a listener needs beside its socket.
    fn prepare(&self, listener: &KafkaListener) -> Result<(), BrokerError> {
        let refused = |what: &str| {
            let why = format!("{listener}: this build has no {what}");
            Err(InvalidConfig::new("listeners", why).into())
        };
        if listener.protocol.has_sasl() {
            if cfg!(not(feature = "sasl")) {
                return refused("SASL");
            }
            self.warn_of_plain(listener);
        }
        if !listener.protocol.is_encrypted() {
            return Ok(());
        }
        #[cfg(feature = "tls")]
        return self.tls.prepare();
        #[cfg(not(feature = "tls"))]
        refused("TLS")
    }

    /// Where clients reach the listeners, in the order in which they were opened.
    pub(crate) fn addresses(&self) -> MutexGuard<'_, Vec<Address>> {
        // A push is whole or not at all.
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes wrong on purpose.
    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// A session for a client in this process.
    pub(crate) fn exchange(self: &Arc<Self>) -> Arc<dyn Exchange> {
        Arc::new(Local::open(self))
    }

    /// Closes the listeners: nobody can connect when this returns.
    pub(crate) async fn stop_accepting(&self) {
        self.reach(Phase::Deaf);
        self.accepting.zero().await;
    }

    /// Waits for the sessions, which end by themselves once the service is closing; cuts off what
    /// is left after the grace.
    pub(crate) async fn finish(&self, grace: Duration) {
        let clock = self.service.clock();
        let end = clock.sleep_until(clock.now().mono.plus(grace));
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
    pub(super) async fn reached(&self, phase: Phase) {
        // The sender lives in `self`, so that this cannot fail.
        drop(
            self.phase
                .subscribe()
                .wait_for(|current| *current >= phase)
                .await,
        );
    }

    /// Says why a session ended, as loudly as it deserves.
    pub(super) fn report(&self, client: &impl fmt::Display, end: &End) {
        let tone = end.tone();
        if tone != Tone::Quiet {
            self.service.metrics().refused_connections.increment();
        }
        self.say(tone, client, end);
    }

    /// One line about a client, unless there were too many.
    pub(super) fn say(&self, tone: Tone, client: &impl fmt::Display, why: &impl fmt::Display) {
        match self.complaints.line(tone, self.service.clock().now().mono) {
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
pub(super) struct Count(watch::Sender<usize>);

impl Count {
    /// One more, until what is returned is dropped.
    pub(super) fn one(&self) -> Counted {
        self.0.send_modify(|count| *count += 1);
        Counted(self.0.clone())
    }

    /// Waits until there is none.
    pub(super) async fn zero(&self) {
        drop(self.0.subscribe().wait_for(|count| *count == 0).await);
    }
}

/// One that is counted.
#[derive(Debug)]
pub(super) struct Counted(watch::Sender<usize>);

impl Drop for Counted {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a handler panicked: its session is closed, all others go on");
        }
        self.0.send_modify(|count| *count -= 1);
    }
}
