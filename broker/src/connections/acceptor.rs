//! Accepting: connections are counted, and handed to whoever speaks their protocol.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - A failure to accept is waited out, not spun on.
//! - Nobody is accepted faster than `max.connection.creation.rate` allows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::broken::Tone;
use super::gate::Admission;
use super::timer::Timer;
use super::{Connections, Phase};
use crate::sockets;

/// A connection that came.
pub(crate) enum Accepted {
    /// There is room for it.
    Admitted(TcpStream, SocketAddr, Admission),
    /// There is none: it is closed.
    Refused,
}

/// Accepts until the end begins; counted from the call on.
pub(crate) fn accept<F: Fn(Accepted) + Send>(
    connections: &Arc<Connections>,
    socket: TcpListener,
    each: F,
) -> impl Future<Output = ()> + Send + use<F> {
    let counted = connections.accepting.one();
    let connections = Arc::clone(connections);
    async move {
        tokio::select! {
            () = accept_all(&connections, &socket, each) => {}
            () = connections.reached(Phase::Deaf) => {}
        }
        // The socket is closed before `counted` says so.
        drop(socket);
        drop(counted);
    }
}

async fn accept_all(connections: &Connections, socket: &TcpListener, each: impl Fn(Accepted)) {
    let mut timer = Timer::new(connections.clock());
    let mut pause = PAUSE_MIN;
    loop {
        timer.until(connections.gate.next_at()).await;
        match socket.accept().await {
            Ok((stream, peer)) => {
                pause = PAUSE_MIN;
                each(admitted(connections, stream, peer));
            }
            Err(error) if sockets::is_of_one_connection(&error) => {}
            Err(error) => {
                if pause == PAUSE_MIN {
                    tracing::warn!(%error, "connections cannot be accepted; trying again");
                }
                timer.until(timer.now().plus(pause)).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

fn admitted(connections: &Connections, stream: TcpStream, peer: SocketAddr) -> Accepted {
    let now = connections.clock().now().mono;
    match connections.gate.admit(peer.ip(), now) {
        Ok(admission) => Accepted::Admitted(stream, peer, admission),
        Err(full) => {
            connections.say(Tone::Complaint, &peer, &full);
            Accepted::Refused
        }
    }
}

/// Between two tries when the process has no file descriptors left, say.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);
