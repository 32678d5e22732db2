//! `Broker`: all the wiring, and the life of a broker from start to shutdown.
//!
//! Floor 6 of broker.
//!
//! Invariants
//! - A broker has a runtime of its own: it works the same from blocking code and from any
//!   executor, and its end needs neither. Only a simulated one runs on its caller's.
//! - The data directory is free again when `shutdown` or `drop` returns.

mod builder;
#[cfg(feature = "http")]
mod http;
mod native;

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use highwater_proto::exchange::Exchange;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Mutex, oneshot};

use crate::error::BrokerError;
use crate::kafka::faults::Faults;
use crate::kafka::{KafkaListener, Server};
use crate::service::Service;
use crate::shard::Shard;
use crate::sockets::Address;
use crate::workers::Workers;

pub use builder::Builder;

/// A broker in this process. Dropping it closes it in good order.
///
/// ```
/// use highwater_broker::Broker;
///
/// let broker = Broker::in_memory()?;
/// let cluster = broker.service().cluster();
/// assert_eq!((cluster.id.len(), cluster.node_id), (22, 1));
/// broker.shutdown_blocking()?;
/// # Ok::<(), highwater_broker::error::BrokerError>(())
/// ```
#[derive(Debug)]
pub struct Broker {
    parts: Arc<Parts>,
    runtime: Option<Runtime>,
}

/// What the end of a broker needs.
#[derive(Debug)]
struct Parts {
    service: Service,
    kafka: Arc<Server>,
    native: Arc<crate::native::Server>,
    #[cfg(feature = "http")]
    http: crate::http::HttpServer,
    shard: Arc<Shard>,
    workers: Workers,
    grace: Duration,
    is_closed: Mutex<bool>,
}

impl Broker {
    /// A broker whose data lives in memory, and is gone with it.
    pub fn in_memory() -> Result<Self, BrokerError> {
        Self::builder().in_memory().start()
    }

    /// A broker over a data directory, which is made if it is missing.
    pub fn open(dir: impl Into<std::path::PathBuf>) -> Result<Self, BrokerError> {
        Self::builder().data_dir(dir).start()
    }

    /// A broker to be configured; in memory unless told otherwise.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Every operation, in domain words.
    #[must_use]
    pub fn service(&self) -> &Service {
        &self.parts.service
    }

    /// The runtime that the broker's own tasks run on.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        self.parts.workers.runtime()
    }

    /// Runs a future on the broker's runtime and blocks until it is done: the blocking twin of
    /// every operation of [`Self::service`].
    ///
    /// # Errors
    /// [`BrokerError::Closed`] if the future panicked, or the runtime is gone.
    ///
    /// ```
    /// use highwater_broker::Broker;
    /// use highwater_broker::service::topics::{CreateTopicsCall, NewTopic};
    ///
    /// let broker = Broker::in_memory()?;
    /// let service = broker.service().clone();
    /// let topics = vec![NewTopic { name: "orders".to_owned(), ..NewTopic::default() }];
    /// let call = CreateTopicsCall { topics, validate_only: false };
    /// let created = broker.block_on(async move { service.create_topics(call).await })?;
    /// assert!(created[0].result.is_ok());
    /// # Ok::<(), highwater_broker::error::BrokerError>(())
    /// ```
    pub fn block_on<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, BrokerError> {
        block_on(self.handle(), future)
    }

    /// Listens for Kafka clients at `[NAME=]HOST:PORT[,advertise=HOST:PORT]`, for example
    /// `127.0.0.1:0` for a free port; gives the address at which they reach the broker.
    ///
    /// It does not wait for anything but the resolution of a host's name, so that async code may
    /// call it with an IP address or `localhost`.
    ///
    /// # Errors
    /// The text is no listener, the address cannot be listened on, or the broker is shut down.
    ///
    /// ```
    /// use highwater_broker::Broker;
    ///
    /// let broker = Broker::in_memory()?;
    /// let address = broker.listen_kafka("127.0.0.1:0")?;
    /// assert_eq!(broker.bootstrap_servers(), address.to_string());
    /// # Ok::<(), highwater_broker::error::BrokerError>(())
    /// ```
    pub fn listen_kafka(&self, listener: &str) -> Result<Address, BrokerError> {
        let listener: KafkaListener = listener.parse()?;
        native::check(Some(&listener), self.parts.native.unwitting().as_ref())?;
        self.parts.kafka.listen(&listener)
    }

    /// The addresses at which Kafka clients reach the listeners that are open, with commas between:
    /// what clients call `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        self.parts.kafka.bootstrap_servers(None, None)
    }

    /// A new session for a client in this process: typed requests of the Kafka wire, without
    /// sockets and encoding. Each session has an order of its own, as a connection has: a client
    /// that waits for records takes another one for all else.
    #[must_use]
    pub fn exchange(&self) -> Arc<dyn Exchange> {
        self.parts.kafka.exchange()
    }

    /// [`Self::exchange`] for a client that opens sessions by itself and cannot borrow the broker.
    /// It keeps nothing open: once the broker is shut down, what its sessions are asked fails.
    pub fn sessions(&self) -> impl Fn() -> Arc<dyn Exchange> + Send + Sync + use<> {
        let kafka = Arc::clone(&self.parts.kafka);
        move || kafka.exchange()
    }

    /// Faults by script: what goes wrong on purpose, for tests of what talks to this broker.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.parts.kafka.faults()
    }

    /// How often the tasks of a simulated broker had a turn; a number that stands as long as
    /// nothing happens. 0 for one with threads of its own.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.parts.workers.turns()
    }

    /// Ends as if the process had died: every connection is cut, nothing more is answered, synced
    /// or marked as clean. What was synced is left; the data directory is free again.
    pub async fn crash(&self) {
        let mut is_closed = self.parts.is_closed.lock().await;
        if std::mem::replace(&mut *is_closed, true) {
            return;
        }
        self.parts.kafka.connections().cut_off().await;
        #[cfg(feature = "http")]
        self.parts.http.abandon();
        self.parts.service.begin_closing();
        let shard = Arc::clone(&self.parts.shard);
        let abandoned = self.parts.workers.spawn_blocking(move || shard.abandon());
        // It fails only when the runtime is being shut down, and everything with it.
        drop(abandoned.await);
    }

    /// Stops accepting, answers who waits, finishes what is under way, syncs everything and marks
    /// the stop as clean. May be called again; works on any executor.
    pub async fn shutdown(&self) -> Result<(), BrokerError> {
        let (done, finished) = oneshot::channel();
        let parts = Arc::clone(&self.parts);
        self.parts
            .workers
            .spawn(async move { drop(done.send(parts.close().await)) });
        finished.await.unwrap_or(Err(BrokerError::Closed))
    }

    /// [`Self::shutdown`] for blocking code.
    pub fn shutdown_blocking(&self) -> Result<(), BrokerError> {
        let parts = Arc::clone(&self.parts);
        self.block_on(async move { parts.close().await })?
    }
}

impl Parts {
    async fn close(&self) -> Result<(), BrokerError> {
        let mut is_closed = self.is_closed.lock().await;
        if std::mem::replace(&mut *is_closed, true) {
            return Ok(());
        }
        self.kafka.connections().stop_accepting().await;
        self.service.begin_closing();
        self.kafka.connections().finish(self.grace).await;
        #[cfg(feature = "http")]
        self.http.close().await;
        self.service.finish().await;
        let shard = Arc::clone(&self.shard);
        let closed = self.workers.spawn_blocking(move || shard.close()).await;
        closed
            .map_err(|_| BrokerError::Closed)?
            .map_err(BrokerError::Log)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.parts.kafka.connections().abandon();
        #[cfg(feature = "http")]
        self.parts.http.abandon();
        self.parts.service.begin_closing();
        if let Err(error) = self.parts.shard.close() {
            tracing::error!(%error, "the broker was not closed cleanly");
        }
        if let Some(runtime) = self.runtime.take() {
            // Works inside of a runtime, too: nothing waits for its tasks.
            runtime.shutdown_background();
        }
    }
}

/// Runs a future on a runtime from any thread, one of another runtime included.
fn block_on<T: Send + 'static>(
    handle: &Handle,
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T, BrokerError> {
    let (done, finished) = sync_channel(1);
    handle.spawn(async move { drop(done.send(future.await)) });
    finished.recv().map_err(|_| BrokerError::Closed)
}
