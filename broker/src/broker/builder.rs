//! The builder of a broker: where its data is, its settings, its clock.
//!
//! Floor 6 of broker.
//!
//! Invariants
//! - A start that fails leaves no thread and no lock behind, and a mark of a clean stop only where
//!   everything was recovered.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use highwater_log::fs::Fs;
use highwater_log::fs::mem::MemFs;
use highwater_log::fs::os::OsFs;
use highwater_log::keys::KeySeed;
use highwater_proto::clock::Clock;
use tokio::runtime::{Handle, Runtime};

use crate::broker::{Broker, Parts, block_on};
use crate::clock::SystemClock;
use crate::config::BrokerConfig;
use crate::error::BrokerError;
use crate::ids::Ids;
use crate::kafka::faults::Faults;
use crate::kafka::{KafkaListener, Server};
use crate::metrics::Metrics;
use crate::native::{self, NativeListener};
use crate::service::{Service, ServiceOptions};
use crate::shard::{Shard, ShardOptions};
use crate::workers::{Slow, Workers};

/// A broker to be.
///
/// ```
/// use std::sync::Arc;
/// use highwater_broker::Broker;
/// use highwater_broker::clock::VirtualClock;
/// use highwater_broker::config::BrokerConfig;
/// use highwater_proto::clock::Wall;
///
/// let broker = Broker::builder()
///     .config(BrokerConfig { num_partitions: 4, ..BrokerConfig::edge() })
///     .clock(Arc::new(VirtualClock::new(Wall(1_700_000_000_000))))
///     .start()?;
/// assert_eq!(broker.service().config().num_partitions, 4);
/// # Ok::<(), highwater_broker::error::BrokerError>(())
/// ```
#[derive(Debug)]
pub struct Builder {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    has_journal: bool,
    config: BrokerConfig,
    clock: Arc<dyn Clock>,
    listeners: Vec<KafkaListener>,
    faults: Faults,
    pub(super) native: Vec<NativeListener>,
    #[cfg(feature = "http")]
    pub(super) http: Vec<crate::http::HttpListener>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            fs: Arc::new(MemFs::new()),
            dir: PathBuf::from(MEMORY_DIR),
            has_journal: false,
            config: BrokerConfig::default(),
            clock: Arc::new(SystemClock::new()),
            listeners: Vec::new(),
            native: Vec::new(),
            faults: Faults::default(),
            #[cfg(feature = "http")]
            http: Vec::new(),
        }
    }

    /// The data lives in memory.
    #[must_use]
    pub fn in_memory(self) -> Self {
        let has_journal = false;
        Self {
            fs: Arc::new(MemFs::new()),
            dir: PathBuf::from(MEMORY_DIR),
            has_journal,
            ..self
        }
    }

    /// The data lives in this directory, which is made if it is missing.
    #[must_use]
    pub fn data_dir(self, dir: impl Into<PathBuf>) -> Self {
        self.fs(Arc::new(OsFs::new()), dir)
    }

    /// The data lives in a directory of this disk.
    #[must_use]
    pub fn fs(self, fs: Arc<dyn Fs>, dir: impl Into<PathBuf>) -> Self {
        Self {
            fs,
            dir: dir.into(),
            has_journal: true,
            ..self
        }
    }

    /// The settings.
    #[must_use]
    pub fn config(self, config: BrokerConfig) -> Self {
        Self { config, ..self }
    }

    /// Where time comes from.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Listens for Kafka clients once it is started; may be called for several listeners.
    ///
    /// ```
    /// use highwater_broker::Broker;
    ///
    /// let broker = Broker::builder()
    ///     .listen_kafka("127.0.0.1:0".parse()?)
    ///     .listen_kafka("OUTSIDE=127.0.0.1:0,advertise=broker.example:19092".parse()?)
    ///     .start()?;
    /// assert!(broker.bootstrap_servers().ends_with(",broker.example:19092"));
    /// # Ok::<(), highwater_broker::error::BrokerError>(())
    /// ```
    #[must_use]
    pub fn listen_kafka(mut self, listener: KafkaListener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Faults by script that requests meet: those of an earlier broker, say, which this one
    /// follows. More can be added to them while it runs.
    #[must_use]
    pub fn faults(self, faults: Faults) -> Self {
        Self { faults, ..self }
    }

    /// Recovers what is there and starts the broker. Blocks until it is ready.
    pub fn start(self) -> Result<Broker, BrokerError> {
        let builder = self.validated()?;
        let runtime = runtime(&builder.config)?;
        let handle = runtime.handle().clone();
        let workers = Workers::new(handle.clone(), Slow::Threads);
        let started = block_on(&handle, builder.run(workers, Ids::System));
        match started.and_then(|parts| parts) {
            Ok(parts) => Ok(Broker {
                parts: Arc::new(parts),
                runtime: Some(runtime),
            }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Starts the broker for a simulation: on the runtime of the caller, without a thread of its
    /// own, with ids that follow from `seed`. On a runtime of one thread, with a clock and a disk
    /// that do the same each time, the same calls take the same course. What blocks is done in the
    /// runtime's tasks, so that this is for tests.
    ///
    /// # Errors
    /// Those of [`Self::start`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use highwater_broker::Broker;
    /// use highwater_broker::clock::VirtualClock;
    /// use highwater_broker::service::topics::{CreateTopicsCall, NewTopic};
    /// use highwater_proto::clock::Wall;
    ///
    /// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// let id_of = |seed| {
    ///     let clock = Arc::new(VirtualClock::new(Wall(1_700_000_000_000)));
    ///     runtime.block_on(async {
    ///         let broker = Broker::builder().clock(clock).simulate(seed).await?;
    ///         let topics = vec![NewTopic { name: "orders".to_owned(), ..NewTopic::default() }];
    ///         let call = CreateTopicsCall { topics, validate_only: false };
    ///         broker.service().create_topics(call).await;
    ///         Ok::<_, highwater_broker::error::BrokerError>(broker.service().topic_id("orders"))
    ///     })
    /// };
    /// assert_eq!(id_of(1)?, id_of(1)?);
    /// assert_ne!(id_of(1)?, id_of(2)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn simulate(self, seed: u64) -> Result<Broker, BrokerError> {
        let workers = Workers::new(Handle::current(), Slow::Tasks);
        let ids = Ids::Seeded(AtomicU64::new(seed));
        let parts = self.validated()?.run(workers, ids).await?;
        Ok(Broker {
            parts: Arc::new(parts),
            runtime: None,
        })
    }

    fn validated(mut self) -> Result<Self, BrokerError> {
        self.config.validate()?;
        let client_auth = self.config.ssl_client_auth;
        let unwitting = self
            .native
            .iter()
            .find(|native| native.is_unwitting(client_auth));
        for kafka in &self.listeners {
            super::native::check(Some(kafka), unwitting)?;
        }
        if !self.has_journal {
            // A journal saves syncs, which cost nothing in memory.
            self.config.log_journal_bytes = 0;
        }
        Ok(self)
    }

    async fn run(self, workers: Workers, ids: Ids) -> Result<Parts, BrokerError> {
        let config = Arc::new(self.config);
        let data_dir = self.dir.display().to_string();
        let metrics = Arc::new(Metrics::new(config.metrics_recording_level.is_on()));
        let key_seed = key_seed(&ids)?;
        let opened = {
            let (config, of_shard) = (Arc::clone(&config), workers.clone());
            let (fs, dir, clock) = (self.fs, self.dir, Arc::clone(&self.clock));
            let open = move || {
                Shard::open(ShardOptions {
                    fs,
                    dir,
                    config: &config,
                    clock,
                    workers: of_shard,
                    metrics,
                    key_seed,
                })
            };
            let opened = workers.spawn_blocking(open).await;
            opened.map_err(|_| BrokerError::Closed)??
        };
        let shard = Arc::clone(&opened.shard);
        let grace = std::time::Duration::from_millis(config.shutdown_grace_ms);
        let options = ServiceOptions {
            config,
            clock: self.clock,
            workers: workers.clone(),
            ids,
            opened,
            data_dir,
        };
        let service = match Service::start(options).await {
            Ok(service) => service,
            Err(error) => {
                // Without a mark of a clean stop: what was to be done at this start was not.
                shard.abandon();
                return Err(error);
            }
        };
        let kafka = Server::new(service.clone(), workers.clone(), self.faults);
        #[cfg(feature = "http")]
        let http = http_server(&service, &workers, &kafka);
        let native = native_server(&service, &workers, &kafka);
        let parts = Parts {
            service,
            kafka,
            native,
            #[cfg(feature = "http")]
            http,
            shard,
            workers,
            grace,
            is_closed: false.into(),
        };
        let listening = listen(&parts.kafka, &self.listeners)
            .and_then(|()| listen_native(&parts.native, &self.native));
        #[cfg(feature = "http")]
        let listening = listening.and_then(|()| parts.http.listen_all(&self.http));
        if let Err(error) = listening {
            parts.give_up().await?;
            return Err(error);
        }
        parts.workers.spawn(Arc::clone(&parts.shard).upkeep());
        parts.workers.spawn(parts.service.clone().housekeeping());
        log_settings(parts.service.config());
        parts.service.log_dynamic_configs();
        Ok(parts)
    }
}

impl Parts {
    /// The end of a start that has recovered everything: a port that is taken makes no stop
    /// unclean.
    async fn give_up(&self) -> Result<(), BrokerError> {
        self.kafka.connections().abandon();
        #[cfg(feature = "http")]
        self.http.abandon();
        self.service.begin_closing();
        let shard = Arc::clone(&self.shard);
        let closed = self.workers.spawn_blocking(move || shard.close()).await;
        Ok(closed.map_err(|_| BrokerError::Closed)??)
    }
}

fn key_seed(ids: &Ids) -> Result<KeySeed, BrokerError> {
    ids.key_seed().map_err(|error| BrokerError::System {
        op: "draw a secret for the keys of event streams",
        source: std::io::Error::other(error),
    })
}

#[cfg(feature = "http")]
fn http_server(
    service: &Service,
    workers: &Workers,
    #[cfg_attr(
        not(feature = "tls"),
        expect(unused_variables, reason = "it has the TLS")
    )]
    kafka: &Server,
) -> crate::http::HttpServer {
    crate::http::HttpServer::new(
        service.clone(),
        workers.runtime().clone(),
        #[cfg(feature = "tls")]
        kafka.tls(),
    )
}

fn native_server(service: &Service, workers: &Workers, kafka: &Arc<Server>) -> Arc<native::Server> {
    let connections = Arc::clone(kafka.connections());
    #[cfg(feature = "tls")]
    let secure = native::Secure {
        tls: kafka.tls(),
        handshakes: kafka.handshakes(),
    };
    let kafka = Arc::clone(kafka);
    native::Server::new(
        service.clone(),
        workers.clone(),
        connections,
        #[cfg(feature = "tls")]
        secure,
        move |reached, is_encrypted| kafka.bootstrap_servers(reached, Some(is_encrypted)),
    )
}

fn listen_native(
    native: &Arc<native::Server>,
    listeners: &[NativeListener],
) -> Result<(), BrokerError> {
    listeners
        .iter()
        .try_for_each(|listener| native.listen(listener).map(drop))
}

fn listen(kafka: &Arc<Server>, listeners: &[KafkaListener]) -> Result<(), BrokerError> {
    listeners
        .iter()
        .try_for_each(|listener| kafka.listen(listener).map(drop))
}

fn runtime(config: &BrokerConfig) -> Result<Runtime, BrokerError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.num_network_threads)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("highwater")
        .enable_all()
        .build()
        .map_err(|source| BrokerError::System {
            op: "start the runtime",
            source,
        })
}

/// One line for each setting that is not built in, and for those that surprise people.
fn log_settings(config: &BrokerConfig) {
    for entry in config.entries() {
        let is_set = entry.source != crate::config::value::ConfigSource::Default;
        if is_set || SURPRISING.contains(&entry.name) {
            tracing::info!(value = entry.value, "{}", entry.name);
        }
    }
}

/// Slow disk work of all kinds; the commit has a thread of its own.
const BLOCKING_THREADS_MAX: usize = 4;
/// A name on the disk in memory.
const MEMORY_DIR: &str = "/highwater";
/// Defaults that people meet.
const SURPRISING: &[&str] = &[
    "auto.create.topics.enable",
    "group.initial.rebalance.delay.ms",
    "num.partitions",
    "replication.factor.clamp",
    "log.durability",
];
