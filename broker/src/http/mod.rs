//! The HTTP side of a broker: health and metrics.
//!
//! Floor 5 of broker, behind the feature `http`.
//!
//! Invariants
//! - It changes nothing in the broker.
//! - Connections are bounded in number and in time.
//! - It answers until everything else has come to its end, so that readiness can say so.

mod address;
mod exposition;
mod routes;
mod sockets;
#[cfg(feature = "tls")]
mod stream;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::error::BrokerError;
#[cfg(not(feature = "tls"))]
use crate::error::InvalidConfig;
use crate::service::Service;
use crate::sockets::{Address, listen, reachable};
pub use address::HttpListener;
pub(crate) use exposition::text as metrics_text;
use sockets::Sockets;

/// The HTTP side of one broker.
#[derive(Debug)]
pub(crate) struct HttpServer {
    service: Service,
    runtime: Handle,
    #[cfg(feature = "tls")]
    tls: Arc<crate::tls::Tls>,
    /// Connections that may be open.
    places: Arc<Semaphore>,
    addresses: Mutex<Vec<Address>>,
    serving: Mutex<Vec<JoinHandle<()>>>,
    over: watch::Sender<bool>,
}

impl HttpServer {
    pub(crate) fn new(
        service: Service,
        runtime: Handle,
        #[cfg(feature = "tls")] tls: Arc<crate::tls::Tls>,
    ) -> Self {
        Self {
            service,
            runtime,
            #[cfg(feature = "tls")]
            tls,
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            addresses: Mutex::default(),
            serving: Mutex::default(),
            over: watch::Sender::new(false),
        }
    }

    /// Opens a listener; gives the address at which it is reached.
    pub(crate) fn listen(&self, listener: &HttpListener) -> Result<Address, BrokerError> {
        if *self.over.borrow() {
            return Err(BrokerError::Closed);
        }
        if listener.is_encrypted {
            self.prepare_tls()?;
        }
        let address = &listener.bind;
        // Sockets belong to the broker's runtime, whatever the caller runs on.
        let _entered = self.runtime.enter();
        let (sockets, local) = listen(address)?;
        for socket in sockets {
            self.serve(socket, listener.is_encrypted);
        }
        let reached = Address::from(reachable(local));
        let is_encrypted = listener.is_encrypted;
        tracing::info!(address = %reached, is_encrypted, "health and metrics are served over HTTP");
        self.addresses().push(reached.clone());
        Ok(reached)
    }

    /// Opens several listeners.
    pub(crate) fn listen_all(&self, listeners: &[HttpListener]) -> Result<(), BrokerError> {
        listeners
            .iter()
            .try_for_each(|listener| self.listen(listener).map(drop))
    }

    #[cfg(feature = "tls")]
    fn prepare_tls(&self) -> Result<(), BrokerError> {
        self.tls.prepare()
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_self, reason = "it is a method where there is TLS")]
    fn prepare_tls(&self) -> Result<(), BrokerError> {
        let why = "HTTP with protocol=SSL: this build has no TLS";
        Err(InvalidConfig::new("listeners", why).into())
    }

    /// Where the listeners are reached, in the order in which they were opened.
    pub(crate) fn addresses(&self) -> MutexGuard<'_, Vec<Address>> {
        // A push is whole or not at all.
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes listeners and connections; none is left when this returns.
    pub(crate) async fn close(&self) {
        self.abandon();
        let serving = std::mem::take(&mut *self.serving());
        for task in serving {
            // A task that panicked has ended, too.
            drop(task.await);
        }
    }

    /// Closes listeners and connections, without waiting for them.
    pub(crate) fn abandon(&self) {
        self.over.send_replace(true);
    }

    fn serve(&self, socket: TcpListener, is_encrypted: bool) {
        let places = Arc::clone(&self.places);
        let sockets = Sockets::new(
            socket,
            Arc::clone(self.service.clock()),
            places,
            self.ended(),
        );
        #[cfg(feature = "tls")]
        let sockets = sockets.with_tls(is_encrypted.then(|| Arc::clone(&self.tls)));
        #[cfg(not(feature = "tls"))]
        debug_assert!(!is_encrypted);
        let router = routes::router(self.service.clone());
        let end = self.ended();
        let task = self.runtime.spawn(async move {
            let serving = axum::serve(sockets, router).with_graceful_shutdown(ended(end));
            if let Err(error) = serving.await {
                tracing::warn!(%error, "HTTP is no longer served");
            }
        });
        self.serving().push(task);
    }

    fn serving(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> watch::Receiver<bool> {
        self.over.subscribe()
    }
}

/// Waits for the end.
async fn ended(mut over: watch::Receiver<bool>) {
    // An error means that the server is gone, which is no less of an end.
    drop(over.wait_for(|over| *over).await);
}

/// More scrapers and probes than anyone has; the next ones wait until the system accepts them.
const CONNECTIONS_MAX: usize = 32;
