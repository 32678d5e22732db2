//! The two tasks of a connection: one writes what is queued, one reads what is answered.
//!
//! Floor 2 of client.
//!
//! Invariants
//! - A request is noted as waiting for its answer before its first byte is written.
//! - The tasks end with the queue, or with the first error; both ways nobody is left waiting,
//!   because each waiter's channel is dropped or answered.
//! - The queue lives as long as the link or somebody who waits for an answer. When all are gone, so
//!   is the connection, even if the broker is silent: one that is given up costs nothing more.

use std::io::{self, IoSlice};
use std::sync::{Arc, OnceLock};

use bytes::{Buf, Bytes, BytesMut};
use highwater_proto::cursor::Encoded;
use highwater_proto::exchange::ExchangeError;
use highwater_proto::kafka::{self, ApiKey, Response, SIZE_BYTES};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

#[cfg(feature = "sasl")]
use super::again::Again;
#[cfg(feature = "tls")]
use super::tls::refusal;

/// A request on its way.
pub(super) struct Outgoing {
    pub(super) frame: Encoded,
    pub(super) key: ApiKey,
    pub(super) version: i16,
    pub(super) correlation_id: i32,
    pub(super) expects_response: bool,
    pub(super) answer: oneshot::Sender<Result<Option<Response>, Failure>>,
}

/// Why a request has no answer.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// It was not written.
    NotWritten(String),
    /// The connection ended before the answer came.
    Lost(String),
    /// What came is not the answer of a Kafka broker.
    Unreadable(String),
}

impl From<Failure> for ExchangeError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotWritten(why) => Self::NotSent { why },
            Failure::Lost(why) | Failure::Unreadable(why) => Self::Unknown { why },
        }
    }
}

/// Tells who waits for an answer that the request was not written.
fn refuse(answer: oneshot::Sender<Result<Option<Response>, Failure>>, why: &str) {
    // The asker may have lost interest, which is no error.
    let _ = answer.send(Err(Failure::NotWritten(why.to_owned())));
}

const CLOSED: &str = "the broker has closed the connection";

/// Requests that wait to be written.
#[derive(Clone)]
pub(super) struct Queue {
    requests: mpsc::Sender<Outgoing>,
    refused: Arc<OnceLock<String>>,
    #[cfg(feature = "sasl")]
    again: Arc<OnceLock<Again>>,
}

impl Queue {
    /// A queue, and what is taken out of it.
    pub(super) fn new(requests_max: usize) -> (Self, mpsc::Receiver<Outgoing>) {
        let (requests, queued) = mpsc::channel(requests_max);
        let queue = Self {
            requests,
            refused: Arc::default(),
            #[cfg(feature = "sasl")]
            again: Arc::default(),
        };
        (queue, queued)
    }

    /// From now on the user is proved again in time.
    #[cfg(feature = "sasl")]
    pub(super) fn prove_again(&self, again: Again) {
        // It is set once, when the connection is new.
        let _ = self.again.set(again);
    }

    /// Queues a request, or says why not.
    pub(super) fn push(&self, request: Outgoing) -> Result<(), String> {
        self.requests
            .try_send(request)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => "too many requests wait already".to_owned(),
                mpsc::error::TrySendError::Closed(_) => "the connection is closed".to_owned(),
            })
    }

    /// Why TLS has ended the connection, if it has. It may do so before the first request, which
    /// then nobody answers.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.get().map(String::as_str)
    }
}

/// A request that was written and waits for its answer.
pub(super) struct Waiting {
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    answer: oneshot::Sender<Result<Option<Response>, Failure>>,
}

/// Starts the tasks of a connection.
pub(super) fn start(
    read_half: impl AsyncRead + Unpin + Send + 'static,
    write_half: impl AsyncWrite + Unpin + Send + 'static,
    requests_max: usize,
    response_bytes_max: usize,
) -> Queue {
    let (queue, queued) = Queue::new(requests_max);
    let (written, waiting) = mpsc::channel(requests_max);
    let (finish, finished) = oneshot::channel();
    let told = Arc::clone(&queue.refused);
    #[cfg(feature = "sasl")]
    let again = Arc::clone(&queue.again);
    tokio::spawn(async move {
        let mut queued = queued;
        let writer = Writer {
            socket: write_half,
            written,
            #[cfg(feature = "sasl")]
            again,
        };
        match writer.run(&mut queued).await {
            // The reader may have ended before.
            Ok(()) => drop(finish.send(())),
            Err(error) => tracing::debug!(%error, "a connection ended while writing"),
        }
        // Nothing more is accepted, and what was not written is told so.
        queued.close();
        while let Some(request) = queued.recv().await {
            refuse(request.answer, CLOSED);
        }
    });
    tokio::spawn(async move {
        let mut waiting = waiting;
        let ended = tokio::select! {
            biased;
            ended = read_all(read_half, &mut waiting, response_bytes_max, &told) => ended,
            () = nobody_is_left(finished) => Ok(()),
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended while reading");
        }
    });
    queue
}

/// Waits until the writer has nothing to do any more. If it failed instead, what the broker has
/// answered before is still read.
async fn nobody_is_left(finished: oneshot::Receiver<()>) {
    if finished.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The writing half of a connection.
struct Writer<W> {
    socket: W,
    written: mpsc::Sender<Waiting>,
    #[cfg(feature = "sasl")]
    again: Arc<OnceLock<Again>>,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Writes what is queued, until the queue or the connection ends.
    async fn run(mut self, queued: &mut mpsc::Receiver<Outgoing>) -> io::Result<()> {
        let mut together = Vec::new();
        while queued.recv_many(&mut together, TOGETHER_MAX).await > 0 {
            #[cfg(feature = "sasl")]
            self.prove_again(&mut together).await?;
            if !write_together(&mut self.socket, &self.written, &mut together).await? {
                break;
            }
        }
        Ok(())
    }

    /// Proves again who the user is, if that is due, before these requests are written.
    #[cfg(feature = "sasl")]
    async fn prove_again(&mut self, requests: &mut Vec<Outgoing>) -> io::Result<()> {
        let Some(again) = self.again.get().filter(|again| again.is_due()) else {
            return Ok(());
        };
        // On the heap: no connection carries room for what is seldom.
        let proved = Box::pin(again.prove(&mut self.socket, &self.written)).await;
        proved.map_err(|error| {
            let why = error.to_string();
            let answers = requests.drain(..).map(|request| request.answer);
            answers.for_each(|answer| refuse(answer, &why));
            io::Error::other(why)
        })
    }
}

/// Notes requests as waiting, then writes them, all in one go. Whether the connection goes on: a
/// reader that is gone refuses them.
pub(super) async fn write_together(
    socket: &mut (impl AsyncWrite + Unpin),
    written: &mpsc::Sender<Waiting>,
    requests: &mut Vec<Outgoing>,
) -> io::Result<bool> {
    let (mut parts, mut unanswered) = (Vec::new(), Vec::new());
    let mut requests = requests.drain(..);
    while let Some(request) = requests.next() {
        let Outgoing {
            frame,
            key,
            version,
            correlation_id,
            expects_response,
            answer,
        } = request;
        parts.extend(frame.into_parts());
        if !expects_response {
            unanswered.push(answer);
            continue;
        }
        let waiting = Waiting {
            key,
            version,
            correlation_id,
            answer,
        };
        // The reader is gone when the broker hung up, and these requests are not written.
        if let Err(mpsc::error::SendError(waiting)) = written.send(waiting).await {
            let rest = requests.map(|request| request.answer);
            let refused = unanswered.into_iter().chain([waiting.answer]).chain(rest);
            refused.for_each(|answer| refuse(answer, CLOSED));
            return Ok(false);
        }
    }
    write_parts(socket, parts).await?;
    for answer in unanswered {
        // The asker may have lost interest, which is no error.
        let _ = answer.send(Ok(None));
    }
    Ok(true)
}

/// One vectored write for all parts, repeated for what the socket did not take.
pub(super) async fn write_parts(
    socket: &mut (impl AsyncWrite + Unpin),
    parts: Vec<Bytes>,
) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut left = slices.as_mut_slice();
    while !left.is_empty() {
        let count = socket.write_vectored(left).await?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut left, count);
    }
    // What is encrypted may wait within.
    socket.flush().await
}

async fn read_all(
    mut socket: impl AsyncRead + Unpin,
    waiting: &mut mpsc::Receiver<Waiting>,
    response_bytes_max: usize,
    refused: &OnceLock<String>,
) -> io::Result<()> {
    // Before anybody learns that there is no answer.
    let noted = |error| {
        if let Some(why) = refusal(&error) {
            // Nobody else sets it.
            let _ = refused.set(why);
        }
        error
    };
    let mut arrived = BytesMut::new();
    while let Some(next) = next_waiting(&mut socket, &mut arrived, waiting)
        .await
        .map_err(noted)?
    {
        let Waiting {
            key,
            version,
            correlation_id,
            answer,
        } = next;
        let read = read_frame(&mut socket, &mut arrived, response_bytes_max).await;
        let response = read.and_then(|frame| decode(key, version, correlation_id, frame));
        match response.map_err(noted) {
            Ok(response) => {
                let _ = answer.send(Ok(Some(response)));
            }
            Err(error) => {
                let failure = match error.kind() {
                    io::ErrorKind::InvalidData => Failure::Unreadable(error.to_string()),
                    io::ErrorKind::UnexpectedEof => {
                        Failure::Lost("the broker has closed the connection".to_owned())
                    }
                    _ => Failure::Lost(error.to_string()),
                };
                let _ = answer.send(Err(failure));
                return Err(error);
            }
        }
    }
    Ok(())
}

/// The next request that waits for its answer. Watches the connection meanwhile: that the broker
/// hung up is known before the next request is written to nobody.
async fn next_waiting(
    socket: &mut (impl AsyncRead + Unpin),
    arrived: &mut BytesMut,
    waiting: &mut mpsc::Receiver<Waiting>,
) -> io::Result<Option<Waiting>> {
    match waiting.try_recv() {
        Ok(next) => return Ok(Some(next)),
        Err(mpsc::error::TryRecvError::Disconnected) => return Ok(None),
        Err(mpsc::error::TryRecvError::Empty) if arrived.is_empty() => {}
        // A request is noted before it is written, so its answer cannot come first.
        Err(mpsc::error::TryRecvError::Empty) => return Err(unasked()),
    }
    // An idle connection holds no buffer.
    *arrived = BytesMut::new();
    let mut first = [0];
    tokio::select! {
        biased;
        next = waiting.recv() => Ok(next),
        read = socket.read(&mut first) => match read? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => {
                arrived.extend_from_slice(&first);
                waiting.try_recv().map(Some).map_err(|_| unasked())
            }
        },
    }
}

fn unasked() -> io::Error {
    invalid("an answer came that nobody has asked for")
}

/// The next frame, without its size; what came behind it stays in `arrived`.
async fn read_frame(
    socket: &mut (impl AsyncRead + Unpin),
    arrived: &mut BytesMut,
    bytes_max: usize,
) -> io::Result<Bytes> {
    fill(socket, arrived, SIZE_BYTES).await?;
    let prefix = *arrived.first_chunk().unwrap_or(&[0; SIZE_BYTES]);
    let size = kafka::response_size(prefix, bytes_max);
    let size = size.map_err(|error| match foreign(prefix) {
        Some(what) => invalid(format!("it speaks {what}, not Kafka's protocol")),
        None => invalid(error),
    })?;
    fill(socket, arrived, SIZE_BYTES + size).await?;
    arrived.advance(SIZE_BYTES);
    Ok(arrived.split_to(size).freeze())
}

/// Reads until so many bytes are there, or more: small answers that came together cost one read.
pub(super) async fn fill(
    socket: &mut (impl AsyncRead + Unpin),
    arrived: &mut BytesMut,
    target: usize,
) -> io::Result<()> {
    while arrived.len() < target {
        if arrived.capacity() == arrived.len() {
            // The buffer grows with what arrives, not with what is announced.
            let missing = target - arrived.len();
            arrived.reserve(missing.clamp(READ_BYTES_MIN, arrived.len().max(READ_AHEAD_BYTES)));
        }
        if socket.read_buf(arrived).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Which other protocol an answer begins with. As a size, each of these is above any limit.
fn foreign(prefix: [u8; SIZE_BYTES]) -> Option<&'static str> {
    match &prefix {
        b"HTTP" => Some("HTTP"),
        b"SSH-" => Some("SSH"),
        // An alert or a handshake record of SSL 3 to TLS 1.3.
        [0x15 | 0x16, 3, 0..=4, _] => Some("TLS"),
        _ => None,
    }
}

fn decode(key: ApiKey, version: i16, expected: i32, frame: Bytes) -> io::Result<Response> {
    let got = kafka::correlation_id(&frame).map_err(invalid)?;
    if got != expected {
        return Err(invalid(format!(
            "answer {got} came where {expected} was due"
        )));
    }
    // A broker that does not know our version of ApiVersions answers in version 0.
    let version = match key {
        ApiKey::ApiVersions if answers_unsupported(&frame) => 0,
        _ => version,
    };
    Response::decode_frame(key, version, frame)
        .map(|(_, response)| response)
        .map_err(invalid)
}

/// Whether the error code behind the correlation id is UNSUPPORTED_VERSION.
fn answers_unsupported(frame: &Bytes) -> bool {
    frame.get(4..6) == Some(&35_i16.to_be_bytes())
}

#[cfg(not(feature = "tls"))]
const fn refusal(_: &io::Error) -> Option<String> {
    None
}

pub(super) fn invalid(error: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

/// Requests that are written together at most.
const TOGETHER_MAX: usize = 32;

/// The first read of an answer.
const READ_BYTES_MIN: usize = 4 * 1024;

/// What is allocated at most before as much of an answer came.
const READ_AHEAD_BYTES: usize = 64 * 1024;

#[cfg(test)]
#[cfg(feature = "tls")]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use rustls::{AlertDescription, Error};
    use tokio::io::ReadBuf;

    use super::*;

    /// The end of a connection that TLS has refused.
    struct Refusing;

    impl AsyncRead for Refusing {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let alert = Error::AlertReceived(AlertDescription::CertificateRequired);
            Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, alert)))
        }
    }

    /// With TLS 1.3 the alert may be there before the first request is: who sent that was told that
    /// the connection was closed, and nothing more.
    #[tokio::test]
    async fn the_reason_of_tls_is_known_when_it_came_before_the_first_request() {
        let queue = start(Refusing, tokio::io::sink(), 1, 1024);
        // The reader meets the alert.
        tokio::task::yield_now().await;
        while !queue.requests.is_closed() {
            let (answer, answered) = oneshot::channel();
            let request = Outgoing {
                frame: Encoded::default(),
                key: ApiKey::ApiVersions,
                version: 0,
                correlation_id: 0,
                expects_response: true,
                answer,
            };
            if queue.push(request).is_ok() {
                assert!(!matches!(answered.await, Ok(Ok(_))));
            }
        }
        let why = queue.refused().unwrap_or_default();
        assert!(why.contains("asks for a client certificate"), "{why}");
    }
}
