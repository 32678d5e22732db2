//! The session of the native protocol: where it is dialled, and that it is opened again.
//!
//! Floor 3 of client.
//!
//! Invariants
//! - A call on an open session takes its place before `call` returns; one that has to open a
//!   session first takes it then.
//! - Those who need a session while it is being opened wait for the same one.
//! - What a lost session was asked is not asked again here: who asked knows whether that does harm.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use highwater_proto::clock::Clock;
use highwater_proto::code::ErrorCode;
use highwater_proto::exchange::{BoxFuture, ExchangeError};
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;
use highwater_proto::native::{NativeExchange, Subscribed, v1};

use crate::config::ClientConfig;
use crate::dial::DialNative;
use crate::error::ClientError;
use crate::link::{NativeLink, Security};

/// The session that all clones of a client share.
#[derive(Debug)]
pub(crate) struct NativeSession(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    dial: Arc<dyn DialNative>,
    current: Mutex<Option<Arc<dyn NativeExchange>>>,
    /// Held by the one who opens a session.
    opening: tokio::sync::Mutex<()>,
}

impl NativeSession {
    /// Opened by the first call.
    pub(crate) fn new(dial: Arc<dyn DialNative>) -> Self {
        Self(Arc::new(Shared {
            dial,
            current: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
        }))
    }
}

impl Shared {
    /// The session, if it is open.
    fn open(&self) -> Option<Arc<dyn NativeExchange>> {
        self.current().clone().filter(|session| session.is_open())
    }

    /// Opens one, unless somebody else does.
    fn session(
        self: &Arc<Self>,
    ) -> BoxFuture<'static, Result<Arc<dyn NativeExchange>, ExchangeError>> {
        let shared = Arc::clone(self);
        let not_sent = |error: ClientError| ExchangeError::NotSent {
            why: error.to_string(),
        };
        Box::pin(async move { shared.opened().await.map_err(not_sent) })
    }

    async fn opened(&self) -> Result<Arc<dyn NativeExchange>, ClientError> {
        let _opening = self.opening.lock().await;
        if let Some(session) = self.open() {
            return Ok(session);
        }
        let session = self.dial.dial().await?;
        *self.current() = Some(Arc::clone(&session));
        Ok(session)
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<dyn NativeExchange>>> {
        // Every change is one assignment, so that a panic elsewhere leaves it whole.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NativeExchange for NativeSession {
    fn call(
        &self,
        call: Call,
        body: Bytes,
    ) -> BoxFuture<'static, Result<(Answer, Bytes), ExchangeError>> {
        if let Some(session) = self.0.open() {
            return session.call(call, body);
        }
        let opened = self.0.session();
        Box::pin(async move { opened.await?.call(call, body).await })
    }

    fn subscribe(
        &self,
        call: v1::Subscribe,
    ) -> BoxFuture<'static, Result<Box<dyn Subscribed>, ExchangeError>> {
        if let Some(session) = self.0.open() {
            return session.subscribe(call);
        }
        let opened = self.0.session();
        Box::pin(async move { opened.await?.subscribe(call).await })
    }
}

/// The settings with the addresses of Kafka's protocol, and the session of the native one, if the
/// settings name a listener of it.
pub(crate) async fn connect(
    config: ClientConfig,
    clock: &Arc<dyn Clock>,
) -> Result<(ClientConfig, Option<Arc<NativeSession>>), ClientError> {
    let Some(addresses) = config.bootstrap_servers.trim().strip_prefix(SCHEME) else {
        return Ok((config, None));
    };
    let named = addresses.trim_end_matches('/').to_owned();
    let at = config.clone().bootstrap_servers(named);
    at.check_addresses()?;
    let dial = DialTcp {
        addresses: at.addresses()?,
        client_id: config.client_id.clone(),
        security: Security::of(&config)?,
        clock: Arc::clone(clock),
        limit: Duration::from_millis(config.socket_connection_setup_timeout_ms),
    };
    let link = dial.connect().await?;
    let servers = link.welcome().bootstrap_servers.clone();
    if servers.is_empty() {
        return Err(ClientError::Unsupported(format!(
            "the broker at {addresses} listens to no client of Kafka's protocol, which all but \
             events under conditions needs: give it a Kafka listener, too"
        )));
    }
    let session = NativeSession::new(Arc::new(Arc::new(dial)));
    *session.0.current() = Some(Arc::new(link));
    Ok((config.bootstrap_servers(servers), Some(Arc::new(session))))
}

/// Dials over TCP: the first address that answers.
struct DialTcp {
    addresses: Vec<Arc<str>>,
    client_id: String,
    security: Security,
    clock: Arc<dyn Clock>,
    /// How long one address may take.
    limit: Duration,
}

impl DialTcp {
    async fn connect(&self) -> Result<NativeLink, ClientError> {
        let mut last = ClientError::Invalid("no address was given".to_owned());
        for address in &self.addresses {
            let late = self
                .clock
                .sleep_until(self.clock.now().mono.plus(self.limit));
            let connect = NativeLink::connect(address, &self.client_id, &self.security);
            let connected = tokio::select! {
                biased;
                connected = connect => connected,
                () = late => Err(ClientError::NotSent(format!(
                    "{address} did not welcome this client within {} ms",
                    self.limit.as_millis()
                ))),
            };
            match connected {
                Ok(link) => return Ok(link),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl DialNative for Arc<DialTcp> {
    fn dial(&self) -> BoxFuture<'static, Result<Arc<dyn NativeExchange>, ClientError>> {
        let dial = Self::clone(self);
        Box::pin(async move { Ok(Arc::new(dial.connect().await?) as Arc<dyn NativeExchange>) })
    }
}

impl fmt::Debug for DialTcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DialTcp")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Opens sessions with a broker in this process.
pub(crate) struct OpenInProcess(Box<dyn Fn() -> Arc<dyn NativeExchange> + Send + Sync>);

impl OpenInProcess {
    pub(crate) fn new(open: impl Fn() -> Arc<dyn NativeExchange> + Send + Sync + 'static) -> Self {
        Self(Box::new(open))
    }
}

impl DialNative for OpenInProcess {
    fn dial(&self) -> BoxFuture<'static, Result<Arc<dyn NativeExchange>, ClientError>> {
        let session = (self.0)();
        Box::pin(async move { Ok(session) })
    }
}

impl fmt::Debug for OpenInProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenInProcess")
    }
}

/// What the broker said, as an error.
pub(crate) fn refused(failure: v1::Failure) -> ClientError {
    let code = i16::try_from(failure.code).ok();
    let code = code.and_then(ErrorCode::from_i16);
    let code = code.unwrap_or(ErrorCode::UnknownServerError);
    let message = match failure.message.is_empty() {
        true => code.message().to_owned(),
        false => failure.message,
    };
    match code {
        ErrorCode::UnsupportedVersion => ClientError::Unsupported(message),
        code => ClientError::Broker { code, message },
    }
}

/// What the address of a native listener begins with.
const SCHEME: &str = "highwater://";
