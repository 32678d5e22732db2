//! One TCP connection that speaks the native protocol: pipelined requests, answers in any order.
//!
//! Floor 2 of client.
//!
//! Invariants
//! - A request takes its place in the queue of the connection before `call` returns; the queue has
//!   a limit, and a full one refuses.
//! - When the connection ends, every request without an answer is told, and whether a byte of it
//!   may have been written.
//! - The connection lives as long as the link or somebody who waits for an answer.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes, BytesMut};
use highwater_proto::exchange::{BoxFuture, ExchangeError};
use highwater_proto::native::frame::{self, NativeFrameError, SIZE_BYTES};
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;
use highwater_proto::native::{NativeExchange, v1};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

use super::connection::{fill, invalid, write_parts};
use crate::config::ClientConfig;
use crate::error::ClientError;

/// An open connection.
#[derive(Debug)]
pub(crate) struct NativeLink {
    welcome: v1::Welcome,
    waiting: Arc<Mutex<Waiting>>,
    queue: mpsc::Sender<Outgoing>,
}

/// A request on its way.
#[derive(Debug)]
struct Outgoing {
    correlation: u64,
    parts: [Bytes; 2],
}

/// Requests without an answer.
#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// Why nothing more is sent.
    ended: Option<String>,
    by_correlation: HashMap<u64, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    is_written: bool,
    answer: oneshot::Sender<Result<(Answer, Bytes), ExchangeError>>,
}

impl NativeLink {
    /// Connects, and says hello.
    pub(crate) async fn connect(
        address: &str,
        client_id: &str,
        security: &Security,
    ) -> Result<Self, ClientError> {
        let stream = super::open(address).await?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &security.tls {
            let (read, write) = tokio::io::split(tls.connect(address, stream).await?);
            return Self::welcomed(address, client_id, read, write).await;
        }
        let Security { .. } = security;
        let (read, write) = stream.into_split();
        Self::welcomed(address, client_id, read, write).await
    }

    async fn welcomed(
        address: &str,
        client_id: &str,
        mut read: impl AsyncRead + Send + Unpin + 'static,
        mut write: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Self, ClientError> {
        let mut arrived = BytesMut::new();
        let hello = hello((&mut read, &mut write), &mut arrived, client_id).await;
        let welcome = match hello {
            Ok((Answer::Welcome(welcome), _)) => welcome,
            Ok((Answer::Failure(failure), _)) => {
                let why = format!("{address} refuses this client: {}", failure.message);
                return Err(ClientError::Unsupported(why));
            }
            Ok(_) => return Err(foreign(address, "its first answer is no welcome")),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(foreign(address, &error.to_string()));
            }
            Err(error) => {
                return Err(ClientError::NotSent(format!(
                    "{address} accepted the connection, but did not welcome this client \
                     ({error}): it is starting or stopping, or no listener of the native protocol"
                )));
            }
        };
        let (queue, queued) = mpsc::channel(REQUESTS_MAX);
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let (finish, finished) = oneshot::channel();
        tokio::spawn(write_all(write, queued, Arc::clone(&waiting), finish));
        tokio::spawn(read_all(read, arrived, Arc::clone(&waiting), finished));
        Ok(Self {
            welcome,
            waiting,
            queue,
        })
    }

    /// What the broker has said of itself.
    pub(crate) const fn welcome(&self) -> &v1::Welcome {
        &self.welcome
    }

    fn enqueue(&self, call: Call, body: Bytes) -> Result<Answered, ExchangeError> {
        let not_sent = |why: String| ExchangeError::NotSent { why };
        let mut waiting = locked(&self.waiting);
        if let Some(why) = &waiting.ended {
            return Err(not_sent(why.clone()));
        }
        if waiting.by_correlation.len() >= REQUESTS_MAX {
            return Err(not_sent(format!(
                "{REQUESTS_MAX} requests are under way: wait"
            )));
        }
        let correlation = waiting.next;
        let request = v1::Request {
            correlation,
            call: Some(call),
        };
        let first = frame::encode(&request, body.len());
        let first = first.map_err(|error| not_sent(error.to_string()))?;
        let (size, bytes_max) = (
            (first.len() + body.len()).saturating_sub(SIZE_BYTES),
            usize::try_from(self.welcome.frame_bytes_max).unwrap_or(usize::MAX),
        );
        if size > bytes_max {
            let size = u64::try_from(size).unwrap_or(u64::MAX);
            let error = NativeFrameError::TooLarge { size, bytes_max };
            return Err(not_sent(error.to_string()));
        }
        let parts = [first, body];
        // The queue has a place for each request that waits for an answer.
        let queued = self.queue.try_send(Outgoing { correlation, parts });
        queued.map_err(|_| not_sent("the connection is closed".to_owned()))?;
        let (answer, answered) = oneshot::channel();
        let waiter = Waiter {
            is_written: false,
            answer,
        };
        waiting.by_correlation.insert(correlation, waiter);
        waiting.next += 1;
        Ok(Answered {
            receiver: answered,
            _connection: self.queue.clone(),
        })
    }
}

impl NativeExchange for NativeLink {
    fn call(
        &self,
        call: Call,
        body: Bytes,
    ) -> BoxFuture<'static, Result<(Answer, Bytes), ExchangeError>> {
        let answered = self.enqueue(call, body);
        Box::pin(async move {
            let Answered {
                receiver,
                _connection,
            } = answered?;
            let lost = |_| ExchangeError::Unknown {
                why: "the connection was closed".to_owned(),
            };
            receiver.await.map_err(lost)?
        })
    }

    fn is_open(&self) -> bool {
        locked(&self.waiting).ended.is_none()
    }
}

/// An answer that is due.
struct Answered {
    receiver: oneshot::Receiver<Result<(Answer, Bytes), ExchangeError>>,
    /// Who waits keeps the connection.
    _connection: mpsc::Sender<Outgoing>,
}

impl Waiting {
    /// Nothing more is sent, and who waits is told.
    fn end(&mut self, why: &str) {
        self.ended.get_or_insert_with(|| why.to_owned());
        for (_, waiter) in self.by_correlation.drain() {
            let why = why.to_owned();
            let error = match waiter.is_written {
                true => ExchangeError::Unknown { why },
                false => ExchangeError::NotSent { why },
            };
            // The asker may have lost interest, which is no error.
            let _ = waiter.answer.send(Err(error));
        }
    }
}

fn locked(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    // Each change is whole when the lock is let go.
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What protects the connections of a client.
pub(crate) struct Security {
    #[cfg(feature = "tls")]
    tls: Option<super::tls::Tls>,
}

impl Security {
    /// As the settings of a client say.
    pub(crate) fn of(config: &ClientConfig) -> Result<Self, ClientError> {
        #[cfg(not(feature = "tls"))]
        if config.security_protocol.is_encrypted() {
            return Err(ClientError::Invalid(
                "security.protocol asks for TLS, and this client was built without the feature tls"
                    .to_owned(),
            ));
        }
        Ok(Self {
            #[cfg(feature = "tls")]
            tls: match config.security_protocol.is_encrypted() {
                true => Some(super::tls::Tls::load(config)?),
                false => None,
            },
        })
    }
}

async fn hello(
    (read, write): (
        &mut (impl AsyncRead + Unpin),
        &mut (impl AsyncWrite + Unpin),
    ),
    arrived: &mut BytesMut,
    client_id: &str,
) -> io::Result<(Answer, Bytes)> {
    let hello = v1::Request {
        correlation: 0,
        call: Some(Call::Hello(v1::Hello {
            version_max: frame::VERSION.into(),
            client_id: client_id.to_owned(),
        })),
    };
    let first = frame::encode(&hello, 0).map_err(invalid)?;
    write_parts(write, vec![first]).await?;
    let (_, answer, body) = read_frame(read, arrived).await?;
    Ok((answer, body))
}

/// The next answer: its correlation, what it says, and the batches beside it.
async fn read_frame(
    socket: &mut (impl AsyncRead + Unpin),
    arrived: &mut BytesMut,
) -> io::Result<(u64, Answer, Bytes)> {
    fill(socket, arrived, SIZE_BYTES).await?;
    let prefix = *arrived.first_chunk().unwrap_or(&[0; SIZE_BYTES]);
    let size = frame::frame_size(prefix, RESPONSE_BYTES_MAX).map_err(invalid)?;
    fill(socket, arrived, SIZE_BYTES + size).await?;
    arrived.advance(SIZE_BYTES);
    let response = frame::decode_response(arrived.split_to(size).freeze());
    let (response, body) = response.map_err(invalid)?;
    let answer = response.answer;
    let answer = answer.ok_or_else(|| invalid("an answer says nothing that is known here"))?;
    Ok((response.correlation, answer, body))
}

async fn write_all(
    mut socket: impl AsyncWrite + Unpin,
    mut queued: mpsc::Receiver<Outgoing>,
    waiting: Arc<Mutex<Waiting>>,
    finish: oneshot::Sender<()>,
) {
    let mut together = Vec::new();
    while queued.recv_many(&mut together, TOGETHER_MAX).await > 0 {
        let mut parts = Vec::with_capacity(2 * together.len());
        {
            let mut waiting = locked(&waiting);
            for Outgoing {
                correlation,
                parts: own,
            } in together.drain(..)
            {
                if let Some(waiter) = waiting.by_correlation.get_mut(&correlation) {
                    waiter.is_written = true;
                    parts.extend(own.into_iter().filter(|part| !part.is_empty()));
                }
            }
        }
        if let Err(error) = write_parts(&mut socket, parts).await {
            tracing::debug!(%error, "a connection ended while writing");
            locked(&waiting).ended = Some(format!("the connection failed: {error}"));
            // What was answered before is still read, then everybody is told.
            return;
        }
    }
    // Nobody is left; the reader may have ended before.
    let _ = finish.send(());
}

async fn read_all(
    mut socket: impl AsyncRead + Unpin,
    mut arrived: BytesMut,
    waiting: Arc<Mutex<Waiting>>,
    finished: oneshot::Receiver<()>,
) {
    let mut nobody_is_left = std::pin::pin!(async {
        // If the writer failed instead, what was answered before is still read.
        if finished.await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    let error = loop {
        if arrived.is_empty() {
            // An idle connection holds no buffer.
            arrived = BytesMut::new();
        }
        let read = tokio::select! {
            biased;
            read = read_frame(&mut socket, &mut arrived) => read,
            () = &mut nobody_is_left => return,
        };
        match read {
            Ok((correlation, answer, body)) => {
                let waiter = locked(&waiting).by_correlation.remove(&correlation);
                if let Some(waiter) = waiter {
                    // The asker may have lost interest, which is no error.
                    let _ = waiter.answer.send(Ok((answer, body)));
                }
            }
            Err(error) => break error,
        }
    };
    tracing::debug!(%error, "a connection ended while reading");
    let why = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the broker has closed the connection".to_owned(),
        _ => error.to_string(),
    };
    locked(&waiting).end(&why);
}

fn foreign(address: &str, why: &str) -> ClientError {
    ClientError::Unsupported(format!(
        "{address} does not speak Highwater's native protocol ({why}): is it the right port? \
         Kafka's protocol has another one"
    ))
}

/// Requests that may be under way on one connection.
const REQUESTS_MAX: usize = 256;
/// Requests that are written together at most.
const TOGETHER_MAX: usize = 32;
/// The largest answer: as over Kafka's protocol.
const RESPONSE_BYTES_MAX: usize = 100 * 1024 * 1024;
