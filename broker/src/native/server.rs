//! What all native listeners and sessions of a broker share.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - The limits and the end of connections are those that the Kafka listeners have, too.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use highwater_proto::native::NativeExchange;

use super::address::NativeListener;
#[cfg(not(feature = "tls"))]
use super::address::SETTING;
use super::conn;
use super::end::End;
use super::local::Local;
#[cfg(feature = "tls")]
use crate::connections::Gate;
use crate::connections::{Accepted, Connections, Tone, accept};
use crate::error::BrokerError;
#[cfg(not(feature = "tls"))]
use crate::error::InvalidConfig;
use crate::service::Service;
use crate::sockets::{self, Address};
#[cfg(feature = "tls")]
use crate::tls::Tls;
use crate::workers::Workers;

/// The native side of one broker.
pub(crate) struct Server {
    pub(super) service: Service,
    pub(super) workers: Workers,
    pub(super) connections: Arc<Connections>,
    #[cfg(feature = "tls")]
    pub(super) secure: Secure,
    /// Where Kafka's clients reach the broker, for a client that came by this address of it, and
    /// whether encrypted.
    pub(super) bootstrap: Box<dyn Fn(Option<IpAddr>, bool) -> String + Send + Sync>,
    /// Where clients reach the listeners that are open.
    listeners: Mutex<Vec<(Address, NativeListener)>>,
}

/// What encrypted connections need; the Kafka listeners have the same.
#[cfg(feature = "tls")]
pub(crate) struct Secure {
    pub(crate) tls: Arc<Tls>,
    /// TLS handshakes under way.
    pub(crate) handshakes: Arc<Gate>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

impl Server {
    pub(crate) fn new(
        service: Service,
        workers: Workers,
        connections: Arc<Connections>,
        #[cfg(feature = "tls")] secure: Secure,
        bootstrap: impl Fn(Option<IpAddr>, bool) -> String + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            service,
            workers,
            connections,
            #[cfg(feature = "tls")]
            secure,
            bootstrap: Box::new(bootstrap),
            listeners: Mutex::default(),
        })
    }

    /// Opens a listener; gives the address at which clients reach it.
    pub(crate) fn listen(
        self: &Arc<Self>,
        listener: &NativeListener,
    ) -> Result<Address, BrokerError> {
        if !self.connections.are_open() {
            return Err(BrokerError::Closed);
        }
        if listener.is_encrypted {
            self.prepare_tls()?;
        }
        // Sockets belong to the broker's runtime, whatever the caller runs on.
        let _entered = self.workers.runtime().enter();
        let (sockets, local) = sockets::listen(&listener.bind)?;
        for socket in sockets {
            let server = Arc::clone(self);
            let is_encrypted = listener.is_encrypted;
            let each = move |accepted| server.accepted(is_encrypted, accepted);
            self.workers.spawn(accept(&self.connections, socket, each));
        }
        let address = Address::from(sockets::reachable(local));
        tracing::info!(%listener, %address, "clients of the native protocol are listened to");
        self.listeners().push((address.clone(), listener.clone()));
        Ok(address)
    }

    /// Where clients reach the listeners, in the order in which they were opened.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let listeners = self.listeners();
        listeners
            .iter()
            .map(|(address, _)| address.clone())
            .collect()
    }

    /// A listener that is not known to be for everybody, though everybody may use it.
    pub(crate) fn unwitting(&self) -> Option<NativeListener> {
        let listeners = self.listeners();
        let mut listeners = listeners.iter().map(|(_, listener)| listener);
        let client_auth = self.service.config().ssl_client_auth;
        listeners.find(|one| one.is_unwitting(client_auth)).cloned()
    }

    /// A session for a client in this process.
    pub(crate) fn exchange(self: &Arc<Self>) -> Arc<dyn NativeExchange> {
        Arc::new(Local::open(self))
    }

    /// Says why a session ended, as loudly as it deserves.
    pub(super) fn report(&self, client: &impl fmt::Display, end: &End) {
        let tone = end.tone();
        if tone != Tone::Quiet {
            self.service.metrics().refused_connections.increment();
        }
        self.connections.say(tone, client, end);
    }

    #[cfg(feature = "tls")]
    fn prepare_tls(&self) -> Result<(), BrokerError> {
        self.secure.tls.prepare()
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_self, reason = "with TLS it is used")]
    fn prepare_tls(&self) -> Result<(), BrokerError> {
        let why = "this build has no TLS".to_owned();
        Err(InvalidConfig::new(SETTING, why).into())
    }

    fn accepted(self: &Arc<Self>, is_encrypted: bool, accepted: Accepted) {
        let metrics = self.service.metrics();
        match accepted {
            Accepted::Admitted(stream, peer, admission) => {
                metrics.connections.increment();
                let server = Arc::clone(self);
                self.workers
                    .spawn(conn::serve(server, stream, peer, is_encrypted, admission));
            }
            Accepted::Refused => metrics.refused_connections.increment(),
        }
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<(Address, NativeListener)>> {
        // A push is whole or not at all.
        let listeners = self.listeners.lock();
        listeners.unwrap_or_else(PoisonError::into_inner)
    }
}
