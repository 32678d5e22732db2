//! One connection: frames in, frames out; the only place that touches its socket.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - The first frame is Hello; before it nothing is executed, and no large frame is taken.
//! - One task: it reads, executes and writes; an idle connection holds no buffer.
//! - Requests under way are bounded by count and by bytes; beyond that the socket is not read.
//! - At its end, what was received whole takes effect, and is answered if the client is there.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use highwater_proto::clock::Mono;
use highwater_proto::code::ErrorCode;
use highwater_proto::native::frame::{self, NativeFrameError};
use highwater_proto::native::v1;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use super::calls::Reply;
use super::end::End;
use super::errors::failed;
use super::lane::{Job, Lane, Outlet};
use super::server::Server;
use crate::connections::{Activity, Admission, Broken, Held, Intake, Outflow, Phase, Wire};

/// Serves a connection until its end.
pub(super) async fn serve(
    server: Arc<Server>,
    stream: TcpStream,
    peer: SocketAddr,
    is_encrypted: bool,
    admission: Admission,
) {
    let _counted = server.connections.sessions.one();
    let _ended = Ended(&server);
    let _admission = admission;
    let mut client = Client {
        peer,
        id: None,
        principal: None,
    };
    let local = stream.local_addr().ok().map(|address| address.ip());
    let opened = tokio::select! {
        opened = open(&server, stream, peer, is_encrypted) => opened,
        () = server.connections.reached(Phase::Over) => Err(End::Closing),
    };
    let wire = match opened {
        Ok((wire, principal)) => {
            client.principal = principal;
            wire
        }
        Err(end) => return server.report(&client, &end),
    };
    let door = Door {
        local,
        is_encrypted,
    };
    let end = tokio::select! {
        end = run(&server, &wire, door, &mut client) => end,
        () = server.connections.reached(Phase::Over) => End::Closing,
    };
    wire.close();
    server.report(&client, &end);
}

/// How a client came.
#[derive(Clone, Copy)]
struct Door {
    /// By which address of this machine.
    local: Option<IpAddr>,
    is_encrypted: bool,
}

/// Makes a socket ready for requests: over TLS, by its handshake, which may tell whose it is.
async fn open(
    server: &Server,
    stream: TcpStream,
    peer: SocketAddr,
    is_encrypted: bool,
) -> Result<(Wire, Option<String>), End> {
    stream.set_nodelay(true).map_err(Broken::from)?;
    if !is_encrypted {
        return Ok((Wire::Plain(stream), None));
    }
    // The memory of a handshake goes with its end.
    Box::pin(encrypted(server, stream, peer)).await
}

#[cfg(feature = "tls")]
async fn encrypted(
    server: &Server,
    stream: TcpStream,
    peer: SocketAddr,
) -> Result<(Wire, Option<String>), End> {
    let now = server.service.clock().now().mono;
    // Its place among the handshakes is free again when it is done.
    let admitted = server.secure.handshakes.admit(peer.ip(), now);
    let _admission = admitted.map_err(|_| End::Handshakes)?;
    let mut closing = server.service.closing();
    let secured = tokio::select! {
        secured = server.secure.tls.accept(stream) => secured?,
        () = closing.begun() => return Err(End::Closing),
    };
    let wire = Wire::encrypted(secured.stream).map_err(Broken::from)?;
    Ok((wire, secured.principal))
}

/// A listener that would come here is refused when it is opened.
#[cfg(not(feature = "tls"))]
async fn encrypted(_: &Server, _: TcpStream, _: SocketAddr) -> Result<(Wire, Option<String>), End> {
    let unsupported = std::io::Error::from(std::io::ErrorKind::Unsupported);
    Err(Broken::from(unsupported).into())
}

/// Who it is, as far as that is known.
struct Client {
    peer: SocketAddr,
    id: Option<String>,
    /// The subject of the certificate that it has shown.
    principal: Option<String>,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} native", self.peer)?;
        if let Some(principal) = &self.principal {
            write!(f, " principal={}", principal.escape_debug())?;
        }
        match &self.id {
            Some(id) => write!(f, " client.id={}", id.escape_debug()),
            None => Ok(()),
        }
    }
}

/// Counts the end of a connection, however it comes.
struct Ended<'a>(&'a Server);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.service.metrics().closed_connections.increment();
    }
}

async fn run(server: &Server, stream: &Wire, door: Door, client: &mut Client) -> End {
    let service = &server.service;
    let activity = Activity::at(service.clock().now().mono);
    let mut writer = Writer {
        server,
        outflow: Outflow::new(service.config(), &server.connections, stream, &activity),
        tickets: Vec::new(),
        put_bytes: 0,
    };
    let intake = Intake::new(service.config(), &server.connections, stream, &activity);
    let mut reader = Reader { server, intake };
    let mut closing = service.closing();
    let hello = tokio::select! {
        hello = reader.hello() => hello,
        () = closing.begun() => return End::Closing,
    };
    let (correlation, hello) = match hello {
        Ok(hello) => hello,
        Err(end) => return end,
    };
    let (answer, end) = welcome(server, door, &hello);
    client.id = Some(hello.client_id).filter(|id| !id.is_empty());
    let now = service.clock().now().mono;
    writer.push(now, correlation, answer.into());
    if let Err(end) = writer.flush().await {
        return end;
    }
    if let Some(end) = end {
        return end;
    }
    converse(server, reader, writer).await
}

async fn converse(server: &Server, reader: Reader<'_>, writer: Writer<'_>) -> End {
    let service = &server.service;
    let gone = Notify::new();
    // There is always room: each request has its place among those under way.
    let (jobs, received) = mpsc::channel(service.config().connection_requests_max);
    let mut answering = Box::pin(Lane::new(service, &gone, writer).run(received));
    let mut closing = service.closing();
    let end = tokio::select! {
        // What was read is executed in the same turn.
        biased;
        end = reader.run(jobs) => end,
        end = &mut answering => return end.err().unwrap_or_else(|| Broken::Closed.into()),
        () = closing.begun() => End::Closing,
    };
    // The reader is gone, and with it the way in: the lane ends when it has answered.
    if !matches!(end, End::Closing) {
        gone.notify_one();
    }
    match answering.await {
        Ok(()) => end,
        // A client that is gone does not take its answers, which is no news.
        Err(End::Broken(Broken::Failed(_))) => end,
        Err(other) => other,
    }
}

/// What a client is told first, and why it is the last thing if it is.
fn welcome(server: &Server, door: Door, hello: &v1::Hello) -> (Answer, Option<End>) {
    if hello.version_max < u32::from(frame::VERSION) {
        let end = End::Version(hello.version_max);
        let failure = failed(ErrorCode::UnsupportedVersion, end.to_string());
        return (Answer::Failure(failure), Some(end));
    }
    let bytes_max = server.service.config().socket_request_max_bytes;
    let welcome = v1::Welcome {
        version: frame::VERSION.into(),
        cluster_id: server.service.cluster().id,
        bootstrap_servers: (server.bootstrap)(door.local, door.is_encrypted),
        frame_bytes_max: u32::try_from(bytes_max).unwrap_or(u32::MAX),
    };
    (Answer::Welcome(welcome), None)
}

/// The way in.
struct Reader<'a> {
    server: &'a Server,
    intake: Intake<'a, Wire>,
}

impl Reader<'_> {
    /// The first request.
    async fn hello(&mut self) -> Result<(u64, v1::Hello), End> {
        let prefix = self.intake.prefix().await?;
        let size = match frame::frame_size(prefix, HELLO_BYTES_MAX) {
            // Nobody says so much at first who speaks this protocol.
            Err(NativeFrameError::TooLarge { .. }) => return Err(End::NoHello),
            size => size?,
        };
        let (frame, held) = self.intake.frame(size).await?;
        self.count();
        let decoded = match frame::decode_request(frame.clone()) {
            Err(_) if frame::is_of_kafka(&frame) => return Err(End::Kafka),
            decoded => decoded?,
        };
        drop(held);
        match decoded {
            (
                v1::Request {
                    correlation,
                    call: Some(Call::Hello(hello)),
                },
                body,
            ) if body.is_empty() => Ok((correlation, hello)),
            _ => Err(End::NoHello),
        }
    }

    /// Reads requests until there are no more; says why.
    async fn run(mut self, jobs: mpsc::Sender<Box<Job<Ticket>>>) -> End {
        loop {
            match self.next().await {
                // It fails only when the lane is gone, and with it this reader.
                Ok(job) => drop(jobs.send(Box::new(job)).await),
                Err(end) => return end,
            }
            self.intake.give_way().await;
        }
    }

    async fn next(&mut self) -> Result<Job<Ticket>, End> {
        let bytes_max = self.server.service.config().socket_request_max_bytes;
        let prefix = self.intake.prefix().await?;
        let size = frame::frame_size(prefix, bytes_max)?;
        let (frame, held) = self.intake.frame(size).await?;
        self.count();
        let (request, body) = frame::decode_request(frame)?;
        Ok(Job {
            tag: Ticket {
                correlation: request.correlation,
                _held: held,
            },
            call: request.call,
            body,
            at: self.server.service.clock().now().mono,
        })
    }

    fn count(&self) {
        let received = &self.server.service.metrics().received_bytes;
        received.add(self.intake.last_bytes() as u64);
    }
}

/// What a request holds from the moment when it is read to that when its answer is written.
#[derive(Debug)]
struct Ticket {
    correlation: u64,
    _held: Held,
}

/// The way out.
struct Writer<'a> {
    server: &'a Server,
    outflow: Outflow<'a, Wire>,
    /// Requests whose answers stand in `outflow`.
    tickets: Vec<Ticket>,
    /// Bytes that stand in `outflow`.
    put_bytes: usize,
}

impl Outlet for Writer<'_> {
    type Tag = Ticket;

    fn name(ticket: &Ticket) -> Option<u64> {
        Some(ticket.correlation)
    }

    /// It is the reader that learns of it, for all of them at once.
    fn poll_abandoned(_: &mut Ticket, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn put(&mut self, now: Mono, ticket: Ticket, reply: Reply) {
        self.push(now, ticket.correlation, reply);
        self.tickets.push(ticket);
    }

    fn push(&mut self, now: Mono, name: u64, reply: Reply) {
        let (first, body) = match encoded(name, reply.answer, &reply.body) {
            Ok(first) => (first, reply.body),
            Err(error) => {
                let failure = failed(ErrorCode::MessageTooLarge, error.to_string());
                let first = encoded(name, Answer::Failure(failure), &[]);
                (first.unwrap_or_default(), Vec::new())
            }
        };
        let bytes = first.len() + body.iter().map(Bytes::len).sum::<usize>();
        self.put_bytes += bytes;
        self.server.service.metrics().sent_bytes.add(bytes as u64);
        self.outflow.put(now, std::iter::once(first).chain(body));
    }

    fn is_full(&self) -> bool {
        self.put_bytes >= PUT_BYTES_MAX
    }

    async fn flush(&mut self) -> Result<(), End> {
        if self.outflow.is_empty() {
            return Ok(());
        }
        self.outflow.flush().await?;
        self.tickets.clear();
        self.put_bytes = 0;
        Ok(())
    }
}

/// The first part of a frame.
fn encoded(correlation: u64, answer: Answer, body: &[Bytes]) -> Result<Bytes, NativeFrameError> {
    let response = v1::Response {
        correlation,
        answer: Some(answer),
    };
    frame::encode(&response, body.iter().map(Bytes::len).sum())
}

/// The largest first frame, without its size.
const HELLO_BYTES_MAX: usize = 4096;
/// What is put before it is written.
const PUT_BYTES_MAX: usize = 256 * 1024;
