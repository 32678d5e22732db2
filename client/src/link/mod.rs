//! One TCP connection that speaks Kafka: pipelined requests, answers by correlation id.
//!
//! Floor 2 of client.
//!
//! Invariants
//! - A request takes its place in the queue of the connection before `send` returns; the queue has
//!   a limit, and a full one refuses.
//! - Answers come in the order of the requests; one that does not ends the connection.
//! - When the connection ends, every request without an answer is told.

#[cfg(feature = "sasl")]
mod again;
mod connection;
mod native;
#[cfg(feature = "sasl")]
mod sasl;
#[cfg(feature = "tls")]
mod tls;

use std::collections::HashMap;
use std::fmt::Debug;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[cfg(feature = "sasl")]
use highwater_proto::clock::Clock;
use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::exchange::{BoxFuture, Exchange, ExchangeError};
use highwater_proto::kafka::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use highwater_proto::kafka::{APIS, ApiKey, Request, Response};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::oneshot;

#[cfg(feature = "sasl")]
use crate::clock::SystemClock;
use crate::config::ClientConfig;
use crate::dial::Dial;
use crate::error::ClientError;
use connection::{Failure, Outgoing, Queue};

pub(crate) use native::{NativeLink, Security};

/// Opens TCP connections, encrypted or not.
#[derive(Clone)]
pub struct Tcp {
    client_id: Str,
    response_bytes_max: usize,
    #[cfg(feature = "sasl")]
    login: Option<Arc<sasl::Login>>,
    #[cfg(feature = "sasl")]
    clock: Arc<dyn Clock>,
    #[cfg(feature = "tls")]
    tls: Option<tls::Tls>,
}

impl Tcp {
    /// Connections that carry this client id.
    #[must_use]
    pub fn new(client_id: &str) -> Self {
        Self {
            client_id: Str::from(client_id.to_owned()),
            response_bytes_max: RESPONSE_BYTES_MAX,
            #[cfg(feature = "sasl")]
            login: None,
            #[cfg(feature = "sasl")]
            clock: Arc::new(SystemClock::new()),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Connections as the settings want them: their client id, and what protects them. Files of
    /// certificates are read here, once.
    ///
    /// ```
    /// use highwater_client::{ClientConfig, Tcp};
    ///
    /// let config = ClientConfig::from_properties([("client.id", "billing")])?;
    /// let tcp = Tcp::of(&config)?;
    /// # Ok::<(), highwater_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if a file cannot be used, or if this build lacks what the settings ask for.
    pub fn of(config: &ClientConfig) -> Result<Self, ClientError> {
        #[cfg(not(all(feature = "sasl", feature = "tls")))]
        let lacking = |what: &str, feature: &str| {
            ClientError::Invalid(format!(
                "security.protocol={}: this build of the client has no {what}: switch on the \
                 feature `{feature}` of highwater-client",
                config.security_protocol
            ))
        };
        #[cfg(not(feature = "sasl"))]
        if config.security_protocol.has_sasl() {
            return Err(lacking("SASL", "sasl"));
        }
        #[cfg(not(feature = "tls"))]
        if config.security_protocol.is_encrypted() {
            return Err(lacking("TLS", "tls"));
        }
        #[cfg(feature = "tls")]
        let tls = match config.security_protocol.is_encrypted() {
            true => Some(tls::Tls::load(config)?),
            false => None,
        };
        Ok(Self {
            #[cfg(feature = "sasl")]
            login: sasl::Login::of(config).map(Arc::new),
            #[cfg(feature = "tls")]
            tls,
            ..Self::new(&config.client_id)
        })
    }

    /// The same with a clock of your own: by it a connection proves again in time who its user is,
    /// where the broker asks for that (`connections.max.reauth.ms`).
    #[cfg(feature = "sasl")]
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Starts the tasks of a connection.
    async fn start(&self, address: &str, stream: TcpStream) -> Result<Queue, ClientError> {
        let bytes_max = self.response_bytes_max;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let (read, write) = tokio::io::split(tls.connect(address, stream).await?);
            return Ok(connection::start(
                read,
                write,
                QUEUE_REQUESTS_MAX,
                bytes_max,
            ));
        }
        tracing::trace!(address, "connected");
        let (read, write) = stream.into_split();
        Ok(connection::start(
            read,
            write,
            QUEUE_REQUESTS_MAX,
            bytes_max,
        ))
    }
}

impl Debug for Tcp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Tcp");
        shown.field("client_id", &self.client_id);
        shown.finish_non_exhaustive()
    }
}

impl Dial for Tcp {
    fn dial(&self, address: &str) -> BoxFuture<'static, Result<Arc<dyn Exchange>, ClientError>> {
        let (tcp, address) = (self.clone(), address.to_owned());
        Box::pin(async move {
            let link = Link::connect(&address, tcp).await?;
            Ok(Arc::new(link) as Arc<dyn Exchange>)
        })
    }
}

/// An open connection.
pub struct Link {
    address: String,
    client_id: Str,
    versions: Arc<HashMap<ApiKey, (i16, i16)>>,
    /// The next correlation id stands with the queue, so that both have one order.
    queue: Mutex<(i32, Queue)>,
}

impl Link {
    async fn connect(address: &str, tcp: Tcp) -> Result<Self, ClientError> {
        let stream = open(address).await?;
        let queue = tcp.start(address, stream).await?;
        let mut link = Self {
            address: address.to_owned(),
            client_id: tcp.client_id,
            versions: Arc::default(),
            queue: Mutex::new((0, queue)),
        };
        link.versions = Arc::new(link.negotiate().await?);
        if link.versions(ApiKey::Metadata).is_none() {
            return Err(ClientError::Unsupported(format!(
                "{address} is a broker, but no version of Metadata is known to both sides: it is \
                 too old or too new for this client"
            )));
        }
        #[cfg(feature = "sasl")]
        if let Some(login) = &tcp.login
            && let Some(lifetime) = link.log_in(login).await?
        {
            let again = again::Again::new(&link, login, &tcp.clock, lifetime);
            link.prove_again(again);
        }
        Ok(link)
    }

    /// What both sides have. A broker that does not know our version of the question answers in
    /// version 0, which is then asked again.
    async fn negotiate(&self) -> Result<HashMap<ApiKey, (i16, i16)>, ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: Str::from_static("highwater"),
            client_software_version: Str::from_static(env!("CARGO_PKG_VERSION")),
        };
        let mut response = self.ask_versions(3, request).await?;
        if response.error_code == ErrorCode::UnsupportedVersion.code() {
            let request = ApiVersionsRequest::default();
            response = self.ask_versions(0, request).await?;
        }
        ClientError::check(response.error_code, None)?;
        let theirs: HashMap<i16, (i16, i16)> = response
            .api_keys
            .iter()
            .map(|range| (range.api_key, (range.min_version, range.max_version)))
            .collect();
        Ok(APIS
            .iter()
            .filter_map(|api| {
                let (min, max) = theirs.get(&api.key.number())?;
                let both = (api.implemented.min.max(*min), api.implemented.max.min(*max));
                (both.0 <= both.1).then_some((api.key, both))
            })
            .collect())
    }

    async fn ask_versions(
        &self,
        version: i16,
        request: ApiVersionsRequest,
    ) -> Result<ApiVersionsResponse, ClientError> {
        let address = &self.address;
        let answer = match self.enqueue(version, &request.into()) {
            Ok(answered) => answered.wait().await,
            Err(why) => Err(Failure::NotWritten(why.to_string())),
        };
        match answer {
            Ok(Some(Response::ApiVersions(response))) => Ok(response),
            Err(_) if let Some(why) = self.refused() => Err(ClientError::Unsupported(format!(
                "{address} refuses this client: {why}"
            ))),
            Ok(_) => Err(ClientError::Unsupported(format!(
                "{address} is no Kafka broker: its answer is not one to ApiVersions"
            ))),
            Err(Failure::Unreadable(why)) => Err(ClientError::Unsupported(format!(
                "{address} is no Kafka broker ({why}): is it the right port, and a plaintext \
                 listener?"
            ))),
            Err(Failure::NotWritten(why) | Failure::Lost(why)) => {
                Err(ClientError::NotSent(format!(
                    "{address} accepted the connection, but told no versions ({why}): it is \
                     starting or stopping, or no Kafka broker, or this listener expects TLS or SASL"
                )))
            }
        }
    }

    #[cfg(feature = "sasl")]
    fn prove_again(&self, again: again::Again) {
        if let Ok(queue) = self.queue.lock() {
            queue.1.prove_again(again);
        }
    }

    /// Why TLS has ended the connection, if it has.
    fn refused(&self) -> Option<String> {
        let queue = self.queue.lock().ok()?;
        queue.1.refused().map(str::to_owned)
    }

    fn enqueue(&self, version: i16, request: &Request) -> Result<Answered, ExchangeError> {
        let not_sent = |why: String| ExchangeError::NotSent { why };
        let mut guard = self.queue.lock().map_err(|_| ExchangeError::Closed)?;
        let (next_id, queue) = &mut *guard;
        let correlation_id = *next_id;
        let frame = request
            .encode_frame(version, correlation_id, Some(self.client_id.clone()))
            .map_err(|error| not_sent(error.to_string()))?;
        let (answer, answered) = oneshot::channel();
        queue
            .push(Outgoing {
                frame,
                key: request.key(),
                version,
                correlation_id,
                expects_response: request.expects_response(),
                answer,
            })
            .map_err(not_sent)?;
        *next_id = next_id.wrapping_add(1);
        Ok(Answered {
            receiver: answered,
            _connection: queue.clone(),
        })
    }
}

impl Exchange for Link {
    fn versions(&self, key: ApiKey) -> Option<(i16, i16)> {
        self.versions.get(&key).copied()
    }

    fn send(
        &self,
        version: i16,
        request: Request,
    ) -> BoxFuture<'static, Result<Option<Response>, ExchangeError>> {
        let answered = self.enqueue(version, &request);
        Box::pin(async move { Ok(answered?.wait().await?) })
    }
}

/// An answer that is due.
struct Answered {
    receiver: oneshot::Receiver<Result<Option<Response>, Failure>>,
    /// Who waits keeps the connection.
    _connection: Queue,
}

impl Answered {
    async fn wait(self) -> Result<Option<Response>, Failure> {
        let lost = |_| Failure::Lost("the connection was closed".to_owned());
        self.receiver.await.map_err(lost)?
    }
}

/// Connects to whatever addresses a name has, one after the other.
async fn open(address: &str) -> Result<TcpStream, ClientError> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let unknown = |why: String| {
        ClientError::NotSent(format!(
            "the host {host} is not known ({why}): check bootstrap.servers, or what the broker \
             advertises (advertised.listeners)"
        ))
    };
    let found = lookup_host(address).await;
    let found = found.map_err(|why| unknown(why.to_string()))?;
    let mut last = unknown("its name has no address".to_owned());
    for place in found {
        match TcpStream::connect(place).await.and_then(tuned) {
            Ok(stream) => return Ok(stream),
            Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => {
                last = ClientError::NotSent(format!(
                    "nothing listens at {address}: is the broker up, and is it the right port?"
                ));
            }
            Err(why) => {
                last = ClientError::NotSent(format!("cannot connect to {address}: {why}"));
            }
        }
    }
    Err(last)
}

/// A connection that writes at once, and notices a peer that is gone without a word.
fn tuned(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    let keepalive = TcpKeepalive::new().with_time(SILENCE_MAX);
    socket.set_tcp_keepalive(&keepalive.with_interval(KEEPALIVE_INTERVAL))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(SILENCE_MAX))?;
    Ok(stream)
}

impl Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// A peer that acknowledges nothing for so long is gone: as long as a request may take. So is one
/// that does not answer another proof. An idle one is asked for a sign of life after it.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Between two questions for a sign of life.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Requests that may wait on one connection.
const QUEUE_REQUESTS_MAX: usize = 256;

/// The largest answer: twice the 50 MiB that a consumer asks for by default.
const RESPONSE_BYTES_MAX: usize = 100 * 1024 * 1024;
