//! Open sessions with brokers: one of each, opened when it is needed, closed when it is not.
//!
//! Floor 3 of client.
//!
//! Invariants
//! - One session per address; those who need it while it is being opened wait for the same one.
//! - A broker that could not be reached is tried again after growing pauses, whoever asks.
//! - A session that nobody asked for within `connections.max.idle.ms` is let go; who uses it still
//!   keeps it.
//! - What a runtime that ended left undone is begun anew by the next caller.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use highwater_proto::clock::{Clock, Mono};
use highwater_proto::exchange::Exchange;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::limits::Limits;
use super::within;
use crate::backoff::Backoff;
use crate::dial::Dial;
use crate::error::ClientError;

/// The sessions that one kind of use shares.
#[derive(Debug)]
pub(super) struct Sessions {
    dial: Arc<dyn Dial>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    peers: HashMap<Arc<str>, Peer>,
    sweeper: Option<AbortHandle>,
}

/// A try to open a session: gives it, or why there is none, once that is known.
#[derive(Clone, Debug)]
struct Dialled(watch::Receiver<Option<Result<Arc<dyn Exchange>, ClientError>>>);

/// What is known of one address.
#[derive(Debug, Default)]
struct Peer {
    open: Option<Arc<dyn Exchange>>,
    dialled: Option<Dialled>,
    /// After a try to open it that failed.
    backoff: Option<(Backoff, Mono)>,
    /// Since the last failure, of a try or of a session, no session was opened.
    has_failed: bool,
    /// Sweeps since the session was last asked for.
    idle_sweeps: u32,
}

impl Sessions {
    pub(super) fn new(dial: Arc<dyn Dial>, clock: Arc<dyn Clock>, limits: Limits) -> Self {
        Self {
            dial,
            clock,
            limits,
            state: Mutex::default(),
        }
    }

    /// As many of them again, none of them open.
    pub(super) fn others(&self) -> Self {
        Self::new(Arc::clone(&self.dial), Arc::clone(&self.clock), self.limits)
    }

    /// The session with the broker at an address, if it is open.
    pub(super) fn open(&self, address: &str) -> Option<Arc<dyn Exchange>> {
        let mut state = self.lock();
        let peer = state.peers.get_mut(address)?;
        peer.idle_sweeps = 0;
        peer.open.clone()
    }

    /// The session with the broker at an address; opened if it is not.
    pub(super) async fn get(
        self: &Arc<Self>,
        address: &Arc<str>,
    ) -> Result<Arc<dyn Exchange>, ClientError> {
        for _ in 0..DIALS_MAX {
            if let Some(open) = self.open(address) {
                return Ok(open);
            }
            let Dialled(mut result) = self.dialled(address);
            if let Ok(result) = result.wait_for(Option::is_some).await
                && let Some(result) = &*result
            {
                return result.clone();
            }
            // The runtime of the one who dialled has ended.
        }
        Err(ClientError::Closed)
    }

    /// These addresses, the promising ones first: those that did not fail lately, of these the
    /// ones with an open session unless `is_any_as_good`, else as they come.
    pub(super) fn by_promise(&self, addresses: &mut [Arc<str>], is_any_as_good: bool) {
        let state = self.lock();
        addresses.sort_by_key(|address| {
            let peer = state.peers.get(address);
            let is_closed = peer.is_none_or(|peer| peer.open.is_none());
            let has_failed = peer.is_some_and(|peer| peer.has_failed);
            (has_failed, is_closed && !is_any_as_good)
        });
    }

    /// A session has failed: the next caller opens another one.
    pub(super) fn forget(&self, address: &str, session: &Arc<dyn Exchange>) {
        let mut state = self.lock();
        if let Some(peer) = state.peers.get_mut(address)
            && peer
                .open
                .as_ref()
                .is_some_and(|open| Arc::ptr_eq(open, session))
        {
            peer.open = None;
            peer.has_failed = true;
        }
    }

    /// What comes of the try to open a session that is under way, or begins now.
    fn dialled(self: &Arc<Self>, address: &Arc<str>) -> Dialled {
        let mut state = self.lock();
        let peer = state.peers.entry(Arc::clone(address)).or_default();
        if let Some(dialled) = &peer.dialled
            && dialled.0.has_changed().is_ok()
        {
            return dialled.clone();
        }
        let (tell, result) = watch::channel(None);
        let dialled = Dialled(result);
        peer.dialled = Some(dialled.clone());
        let not_before = peer.backoff.map(|(_, at)| at);
        let (sessions, address) = (Arc::clone(self), Arc::clone(address));
        tokio::spawn(async move {
            let result = sessions.dial(&address, not_before).await;
            tell.send_replace(Some(result));
        });
        dialled
    }

    async fn dial(
        self: &Arc<Self>,
        address: &Arc<str>,
        not_before: Option<Mono>,
    ) -> Result<Arc<dyn Exchange>, ClientError> {
        if let Some(at) = not_before {
            self.clock.sleep_until(at).await;
        }
        let opened = self.dial.dial(address);
        let opened = within(&*self.clock, self.limits.setup, opened).await;
        let result = opened.unwrap_or_else(|| {
            Err(ClientError::NotSent(format!(
                "{address} gave no session within {} ms (socket.connection.setup.timeout.ms): is \
                 it the right address, and does no firewall stand between?",
                self.limits.setup.as_millis()
            )))
        });
        let now = self.clock.now().mono;
        let mut state = self.lock();
        let peer = state.peers.entry(Arc::clone(address)).or_default();
        peer.dialled = None;
        match &result {
            Ok(session) => {
                *peer = Peer::default();
                peer.open = Some(Arc::clone(session));
                self.sweep_from_now_on(&mut state);
            }
            Err(error) => {
                tracing::debug!(%error, %address, "no session could be opened");
                let first = Backoff::new(self.limits.reconnect, self.limits.reconnect_max);
                let (mut backoff, _) = peer.backoff.unwrap_or((first, now));
                let not_before = backoff.next_try(now);
                peer.backoff = Some((backoff, not_before));
                peer.has_failed = true;
            }
        }
        result
    }

    fn sweep_from_now_on(self: &Arc<Self>, state: &mut State) {
        let is_swept = state.sweeper.as_ref();
        if is_swept.is_some_and(|sweeper| !sweeper.is_finished()) {
            return;
        }
        let (sessions, clock) = (Arc::downgrade(self), Arc::clone(&self.clock));
        let pause = self.limits.idle / IDLE_SWEEPS;
        let sweeper = tokio::spawn(async move {
            loop {
                clock.sleep_until(clock.now().mono.plus(pause)).await;
                let is_done = sessions.upgrade().is_none_or(|sessions| sessions.sweep());
                if is_done {
                    return;
                }
            }
        });
        state.sweeper = Some(sweeper.abort_handle());
    }

    /// Lets go what is idle; whether nothing is left to be watched.
    fn sweep(&self) -> bool {
        let mut state = self.lock();
        let now = self.clock.now().mono;
        state.peers.retain(|address, peer| {
            peer.idle_sweeps += 1;
            if peer.idle_sweeps >= IDLE_SWEEPS && peer.open.take().is_some() {
                tracing::debug!(%address, "a session was idle and is closed");
            }
            let waits = peer.backoff.is_some_and(|(_, at)| at > now);
            peer.open.is_some() || peer.dialled.is_some() || waits
        });
        let is_done = state.peers.is_empty();
        if is_done {
            state.sweeper = None;
        }
        is_done
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is a cache: what a panicking thread left behind is at worst outdated.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        if let Some(sweeper) = self.lock().sweeper.take() {
            sweeper.abort();
        }
    }
}

/// How often one caller begins anew after a runtime that ended.
const DIALS_MAX: usize = 3;

/// A session that was not asked for in so many sweeps in a row is let go; they share
/// `connections.max.idle.ms`.
const IDLE_SWEEPS: u32 = 4;
