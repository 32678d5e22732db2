//! One TCP connection that speaks Kafka: pipelined requests, answers by correlation id.
//!
//! Floor 2 of client.
//!
//! Invariants
//! - A request takes its place in the queue of the connection before `send` returns; the queue has
//!   a limit, and a full one refuses.
//! - Answers come in the order of the requests; one that does not ends the connection.
//! - When the connection ends, every request without an answer is told.

mod connection;

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use highwater_proto::cursor::Str;
use highwater_proto::exchange::{BoxFuture, Exchange, ExchangeError};
use highwater_proto::kafka::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use highwater_proto::kafka::{APIS, ApiKey, Request, Response};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::dial::Dial;
use crate::error::ClientError;
use connection::{Outgoing, Queue};

/// Opens TCP connections.
#[derive(Clone, Debug)]
pub struct Tcp {
    client_id: Str,
    response_bytes_max: usize,
}

impl Tcp {
    /// Connections that carry this client id.
    #[must_use]
    pub fn new(client_id: &str) -> Self {
        Self {
            client_id: Str::from(client_id.to_owned()),
            response_bytes_max: RESPONSE_BYTES_MAX,
        }
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
    versions: HashMap<ApiKey, (i16, i16)>,
    /// The next correlation id stands with the queue, so that both have one order.
    queue: Mutex<(i32, Queue)>,
}

impl Link {
    async fn connect(address: &str, tcp: Tcp) -> Result<Self, ClientError> {
        let cannot = |why: std::io::Error| {
            ClientError::NotSent(format!("cannot connect to {address}: {why}"))
        };
        let stream = TcpStream::connect(address).await.map_err(cannot)?;
        stream.set_nodelay(true).map_err(cannot)?;
        let queue = connection::start(stream, QUEUE_REQUESTS_MAX, tcp.response_bytes_max);
        let mut link = Self {
            address: address.to_owned(),
            client_id: tcp.client_id,
            versions: HashMap::new(),
            queue: Mutex::new((0, queue)),
        };
        link.versions = link.negotiate().await?;
        Ok(link)
    }

    /// What both sides have. A broker that does not know our version of the question answers in
    /// version 0, which is then asked again.
    async fn negotiate(&self) -> Result<HashMap<ApiKey, (i16, i16)>, ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: Str::from_static("highwater"),
            client_software_version: Str::from_static(env!("CARGO_PKG_VERSION")),
        };
        let response = match self.ask_versions(3, request.clone()).await {
            Ok(response) if response.error_code != UNSUPPORTED_VERSION => response,
            _ => self.ask_versions(0, ApiVersionsRequest::default()).await?,
        };
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
        match self.send(version, request.into()).await? {
            Some(Response::ApiVersions(response)) => Ok(response),
            _ => Err(ClientError::Unknown(
                "the answer is not one to ApiVersions".to_owned(),
            )),
        }
    }

    fn enqueue(
        &self,
        version: i16,
        request: &Request,
    ) -> Result<oneshot::Receiver<Result<Option<Response>, ExchangeError>>, ExchangeError> {
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
        Ok(answered)
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
        Box::pin(async move {
            let lost = || ExchangeError::Unknown {
                why: "the connection was closed".to_owned(),
            };
            answered?.await.map_err(|_| lost())?
        })
    }
}

impl Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// The code by which a broker says that it does not know the version of ApiVersions.
const UNSUPPORTED_VERSION: i16 = 35;

/// Requests that may wait on one connection.
const QUEUE_REQUESTS_MAX: usize = 256;

/// The largest answer: twice the 50 MiB that a consumer asks for by default.
const RESPONSE_BYTES_MAX: usize = 100 * 1024 * 1024;
