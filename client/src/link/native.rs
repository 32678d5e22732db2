//! One TCP connection that speaks the native protocol: pipelined requests, answers in any order.
//!
//! Floor 2 of client.
//!
//! Invariants
//! - A request takes its place in the queue of the connection before `call` returns; the queue has
//!   a limit, and a full one refuses.
//! - When the connection ends, every request without an answer is told, and whether a byte of it
//!   may have been written.
//! - Who gives a request up gives its place back; what is answered to it later is dropped.
//! - The connection lives as long as the link, or somebody who waits for an answer, or a
//!   subscription.

mod waiting;

use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use highwater_proto::exchange::{BoxFuture, ExchangeError};
use highwater_proto::native::frame::{self, NativeFrameError, SIZE_BYTES};
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;
use highwater_proto::native::{NativeExchange, Subscribed, v1};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use self::waiting::{QUEUED_MAX, Reply, Waiting, locked};
use super::connection::{fill, invalid, write_parts};
use crate::config::ClientConfig;
use crate::error::ClientError;

/// An open connection.
#[derive(Debug)]
pub(crate) struct NativeLink {
    welcome: v1::Welcome,
    sending: Sending,
}

/// The way out, and who waits for what comes in.
#[derive(Clone, Debug)]
struct Sending {
    waiting: Arc<Mutex<Waiting>>,
    /// Who holds it keeps the connection.
    queue: mpsc::Sender<Outgoing>,
    frame_bytes_max: usize,
}

/// A request on its way.
#[derive(Debug)]
struct Outgoing {
    correlation: u64,
    parts: [Bytes; 2],
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
        let (queue, queued) = mpsc::channel(QUEUED_MAX);
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let (finish, finished) = oneshot::channel();
        tokio::spawn(write_all(write, queued, Arc::clone(&waiting), finish));
        tokio::spawn(read_all(read, arrived, Arc::clone(&waiting), finished));
        let frame_bytes_max = usize::try_from(welcome.frame_bytes_max).unwrap_or(usize::MAX);
        Ok(Self {
            welcome,
            sending: Sending {
                waiting,
                queue,
                frame_bytes_max,
            },
        })
    }

    /// What the broker has said of itself.
    pub(crate) const fn welcome(&self) -> &v1::Welcome {
        &self.welcome
    }
}

impl NativeExchange for NativeLink {
    fn call(
        &self,
        call: Call,
        body: Bytes,
    ) -> BoxFuture<'static, Result<(Answer, Bytes), ExchangeError>> {
        let answered = self.sending.call(call, body);
        Box::pin(async move {
            let mut answered = answered?;
            let lost = |_| ExchangeError::Unknown {
                why: "the connection was closed".to_owned(),
            };
            (&mut answered.receiver).await.map_err(lost)?
        })
    }

    fn subscribe(
        &self,
        call: v1::Subscribe,
    ) -> BoxFuture<'static, Result<Box<dyn Subscribed>, ExchangeError>> {
        let subscribed = self.sending.subscribe(call);
        Box::pin(async move { Ok(Box::new(subscribed?) as Box<dyn Subscribed>) })
    }

    fn is_open(&self) -> bool {
        locked(&self.sending.waiting).is_open()
    }
}

impl Sending {
    fn call(&self, call: Call, body: Bytes) -> Result<Answered, ExchangeError> {
        let mut waiting = locked(&self.waiting);
        waiting.check_place()?;
        let correlation = self.put(&mut waiting, call, body)?;
        let (answer, receiver) = oneshot::channel();
        waiting.add_call(correlation, answer);
        Ok(Answered {
            receiver,
            correlation,
            sending: self.clone(),
        })
    }

    fn subscribe(&self, call: v1::Subscribe) -> Result<Subscription, ExchangeError> {
        let mut waiting = locked(&self.waiting);
        waiting.check_place()?;
        let credit_bytes = call.credit_bytes;
        let correlation = self.put(&mut waiting, Call::Subscribe(call), Bytes::new())?;
        waiting.add_subscription(correlation, credit_bytes);
        Ok(Subscription {
            correlation,
            sending: self.clone(),
        })
    }

    /// Queues a request and gives its correlation. The caller holds the table until it is noted
    /// there, so that it is noted before it is written.
    fn put(&self, waiting: &mut Waiting, call: Call, body: Bytes) -> Result<u64, ExchangeError> {
        let not_sent = |why: String| ExchangeError::NotSent { why };
        let correlation = waiting.next_name();
        let request = v1::Request {
            correlation,
            call: Some(call),
        };
        let first = frame::encode(&request, body.len());
        let first = first.map_err(|error| not_sent(error.to_string()))?;
        let (size, bytes_max) = (
            (first.len() + body.len()).saturating_sub(SIZE_BYTES),
            self.frame_bytes_max,
        );
        if size > bytes_max {
            let size = u64::try_from(size).unwrap_or(u64::MAX);
            let error = NativeFrameError::TooLarge { size, bytes_max };
            return Err(not_sent(error.to_string()));
        }
        let parts = [first, body];
        match self.queue.try_send(Outgoing { correlation, parts }) {
            Ok(()) => {
                waiting.add_queued();
                Ok(correlation)
            }
            Err(TrySendError::Closed(_)) => Err(not_sent("the connection is closed".to_owned())),
            // Requests are refused before that; it is subscriptions that have so much to say.
            Err(TrySendError::Full(_)) => {
                let why = format!("the broker has not taken {QUEUED_MAX} requests");
                waiting.end(&why);
                Err(not_sent(why))
            }
        }
    }
}

/// An answer that is due. Who waits keeps the connection.
struct Answered {
    receiver: oneshot::Receiver<Reply>,
    correlation: u64,
    sending: Sending,
}

impl Drop for Answered {
    fn drop(&mut self) {
        locked(&self.sending.waiting).give_up(self.correlation);
    }
}

/// A subscription; it keeps the connection.
#[derive(Debug)]
struct Subscription {
    correlation: u64,
    sending: Sending,
}

impl Subscribed for Subscription {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Reply> {
        locked(&self.sending.waiting).poll_push(self.correlation, context)
    }

    fn give(&mut self, bytes: u32) {
        let mut waiting = locked(&self.sending.waiting);
        if waiting.give(self.correlation, bytes) {
            let subscription = self.correlation;
            let credit = Call::Credit(v1::Credit {
                subscription,
                bytes,
            });
            // Of a connection that has ended the subscription hears by itself.
            drop(self.sending.put(&mut waiting, credit, Bytes::new()));
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut waiting = locked(&self.sending.waiting);
        if waiting.unsubscribe(self.correlation) {
            let subscription = self.correlation;
            let end = Call::Unsubscribe(v1::Unsubscribe { subscription });
            drop(self.sending.put(&mut waiting, end, Bytes::new()));
        }
    }
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
                if waiting.is_to_write(correlation) {
                    parts.extend(own.into_iter().filter(|part| !part.is_empty()));
                }
            }
        }
        if let Err(error) = write_parts(&mut socket, parts).await {
            tracing::debug!(%error, "a connection ended while writing");
            locked(&waiting).stop(format!("the connection failed: {error}"));
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
                if let Err(why) = locked(&waiting).arrived(correlation, answer, body) {
                    break invalid(why);
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

/// Requests that are written together at most.
const TOGETHER_MAX: usize = 32;
/// The largest answer: as over Kafka's protocol.
const RESPONSE_BYTES_MAX: usize = 100 * 1024 * 1024;
