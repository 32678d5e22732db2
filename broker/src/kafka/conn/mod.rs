//! One connection: frames in, answers out, in order; the only place that touches its socket.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - One task: it reads, executes and writes; an idle connection holds no buffer.
//! - Requests under way are bounded by count and by bytes; beyond that the socket is not read.
//! - At its end, what was received whole takes effect, and is answered if the client is there.

mod reader;
#[cfg(test)]
mod tests;
mod wire;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use highwater_proto::security::SecurityProtocol;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use super::end::End;
use super::lane::Lane;
use super::sasl::Form;
use super::server::Server;
use super::session::{Peer, Session};
use crate::connections::{Activity, Admission, Broken, Held, Phase, Wire};
use crate::sockets::Address;
use reader::Reader;
use writer::Writer;

/// Serves a connection until its end.
pub(super) async fn serve(
    server: Arc<Server>,
    stream: TcpStream,
    peer: SocketAddr,
    door: Door,
    admission: Admission,
) {
    let _counted = server.connections.sessions.one();
    let _ended = Ended(&server);
    let _admission = admission;
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let opened = tokio::select! {
        opened = wire::open(&server, stream, peer, door.protocol) => opened,
        () = server.connections.reached(Phase::Over) => Err(End::Closing),
    };
    let (wire, security) = match opened {
        Ok(opened) => opened,
        Err(end) => return server.report(&peer, &end),
    };
    let advertised = door.advertise.unwrap_or_else(|| Address::from(local));
    let session = Session::new(Peer::Tcp(peer), advertised, security);
    #[cfg(feature = "sasl")]
    let session = match door.protocol.has_sasl() {
        true => session.asked(&server.failures),
        false => session,
    };
    let end = tokio::select! {
        end = run(&server, &wire, &session) => end,
        () = server.connections.reached(Phase::Over) => End::Closing,
    };
    wire.close();
    server.report(&session, &end);
}

/// What a listener says of its connections.
#[derive(Clone, Debug)]
pub(super) struct Door {
    /// What clients are told, where that is another address than the one that they came by.
    pub(super) advertise: Option<Address>,
    pub(super) protocol: SecurityProtocol,
}

async fn run(server: &Server, stream: &Wire, session: &Session) -> End {
    let gone = Notify::new();
    let activity = Activity::at(server.service.clock().now().mono);
    // There is always room: each request has its place among those under way.
    let (jobs, received) = mpsc::channel(server.service.config().connection_requests_max);
    let writer = Writer::new(server, stream, &activity);
    let mut answering = Box::pin(Lane::new(server, session, &gone, writer).run(received));
    let reading = Reader::new(server, stream, session, &activity).run(jobs);
    let mut closing = server.service.closing();
    let unproven = unproven(server, session);
    let end = tokio::select! {
        // What was read is executed in the same turn.
        biased;
        end = reading => end,
        end = &mut answering => return end.err().unwrap_or_else(|| Broken::Closed.into()),
        () = closing.begun() => End::Closing,
        end = unproven => return end,
    };
    // The reader is gone, and with it the way in: the lane ends when it has answered.
    if matches!(&end, End::Broken(broken) if broken.is_gone()) {
        gone.notify_one();
    }
    match answering.await {
        Ok(()) => end,
        // A client that is gone does not take its answers, which is no news.
        Err(End::Broken(Broken::Failed(_))) => end,
        Err(other) => other,
    }
}

/// Completes when a client has not proved in time who it is. One that has may take its time to
/// prove it again: it can do nothing else meanwhile.
async fn unproven(server: &Server, session: &Session) -> End {
    if session.proof().is_due() {
        let limit_ms = server.service.config().authentication_timeout_ms;
        let (limit, clock) = (Duration::from_millis(limit_ms), server.service.clock());
        clock.sleep_until(clock.now().mono.plus(limit)).await;
        if session.proof().user().is_none() {
            return End::Unproven(limit);
        }
    }
    std::future::pending().await
}

/// Counts the end of a connection, however it comes.
struct Ended<'a>(&'a Server);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.service.metrics().closed_connections.increment();
    }
}

/// What a request holds from the moment when it is read to that when its answer is written.
#[derive(Debug)]
pub(super) struct Ticket {
    correlation_id: i32,
    /// The version in which the answer is written.
    version: i16,
    /// How the answer is written.
    form: Form,
    _held: Held,
}
