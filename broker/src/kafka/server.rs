//! What all Kafka listeners and sessions of a broker share.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - A listener that cannot be prepared is not opened.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use highwater_proto::exchange::Exchange;
use highwater_proto::sasl::Mechanism;

use super::address::KafkaListener;
use super::end::End;
use super::faults::Faults;
use super::listener;
use super::local::Local;
#[cfg(feature = "sasl")]
use super::sasl::Failures;
use crate::connections::Connections;
#[cfg(feature = "tls")]
use crate::connections::Gate;
use crate::connections::Tone;
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
    pub(super) connections: Arc<Connections>,
    #[cfg(feature = "tls")]
    pub(super) tls: Arc<Tls>,
    /// TLS handshakes under way.
    #[cfg(feature = "tls")]
    pub(super) handshakes: Arc<Gate>,
    /// Wrong proofs of clients that had to prove who they are.
    #[cfg(feature = "sasl")]
    pub(super) failures: Arc<Failures>,
    /// The listeners that are open, and where clients reach them.
    listeners: Mutex<Vec<(KafkaListener, Address)>>,
}

impl Server {
    pub(crate) fn new(service: Service, workers: Workers, faults: Faults) -> Arc<Self> {
        let connections = Connections::new(service.config(), service.clock());
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
        service.watch_request_budget(&connections.frame_budget);
        Arc::new(Self {
            service,
            workers,
            faults,
            connections: Arc::new(connections),
            #[cfg(feature = "tls")]
            tls,
            #[cfg(feature = "tls")]
            handshakes,
            #[cfg(feature = "sasl")]
            failures,
            listeners: Mutex::default(),
        })
    }

    /// Opens a listener; gives the address at which clients reach it.
    pub(crate) fn listen(
        self: &Arc<Self>,
        listener: &KafkaListener,
    ) -> Result<Address, BrokerError> {
        if !self.connections.are_open() {
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
        self.listeners().push((listener.clone(), address.clone()));
        Ok(address)
    }

    /// The TLS that all listeners share.
    #[cfg(feature = "tls")]
    pub(crate) fn tls(&self) -> Arc<Tls> {
        Arc::clone(&self.tls)
    }

    /// The count of handshakes that all listeners share.
    #[cfg(feature = "tls")]
    pub(crate) fn handshakes(&self) -> Arc<Gate> {
        Arc::clone(&self.handshakes)
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
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let listeners = self.listeners();
        listeners.iter().map(|(_, at)| at.clone()).collect()
    }

    /// The same for a client that has reached this machine by an address of it: a listener at all
    /// addresses has that one, too.
    /// Only those that are encrypted, or are not, if that is asked for and there are any.
    pub(crate) fn bootstrap_servers(
        &self,
        reached: Option<IpAddr>,
        is_encrypted: Option<bool>,
    ) -> String {
        let listeners = self.listeners();
        let is_alike = |one: &KafkaListener| {
            is_encrypted.is_none_or(|wanted| one.protocol.is_encrypted() == wanted)
        };
        let are_any = listeners.iter().any(|(one, _)| is_alike(one));
        let texts: Vec<String> = listeners
            .iter()
            .filter(|(one, _)| !are_any || is_alike(one))
            .map(|(listener, at)| match reached {
                Some(ip) if listener.is_everywhere() => {
                    Address::from(SocketAddr::new(ip, at.port)).to_string()
                }
                _ => at.to_string(),
            })
            .collect();
        texts.join(",")
    }

    /// A listener whose clients have to prove who they are.
    pub(crate) fn guarded(&self) -> Option<KafkaListener> {
        let listeners = self.listeners();
        let mut listeners = listeners.iter().map(|(listener, _)| listener);
        listeners.find(|one| one.protocol.has_sasl()).cloned()
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<(KafkaListener, Address)>> {
        // A push is whole or not at all.
        let listeners = self.listeners.lock();
        listeners.unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes wrong on purpose.
    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// A session for a client in this process.
    pub(crate) fn exchange(self: &Arc<Self>) -> Arc<dyn Exchange> {
        Arc::new(Local::open(self))
    }

    /// What all listeners of the broker share.
    pub(crate) fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// Says why a session ended, as loudly as it deserves.
    pub(super) fn report(&self, client: &impl fmt::Display, end: &End) {
        let tone = end.tone();
        if tone != Tone::Quiet {
            self.service.metrics().refused_connections.increment();
        }
        self.connections.say(tone, client, end);
    }
}
