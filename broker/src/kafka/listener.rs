//! Listening: sockets are bound, connections accepted, counted, and handed to a task each.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - A failure to accept is waited out, not spun on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::address::KafkaListener;
use super::conn::{self, Door};
use super::end::Tone;
use super::server::{Counted, Phase, Server};
use super::timer::Timer;
use crate::error::BrokerError;
use crate::sockets::{self, Address};

/// Binds a listener and accepts from now on; gives the address at which clients reach it.
pub(super) fn open(server: &Arc<Server>, listener: &KafkaListener) -> Result<Address, BrokerError> {
    let failed = |source| BrokerError::Listen {
        address: listener.bind.to_string(),
        source,
    };
    // Sockets belong to the broker's runtime, whatever the caller runs on.
    let _entered = server.workers.runtime().enter();
    let sockets = sockets::bind(&listener.bind).map_err(failed)?;
    let local = sockets.iter().map(TcpListener::local_addr).next();
    let local = local
        .unwrap_or_else(|| Err(sockets::no_address()))
        .map_err(failed)?;
    for socket in sockets {
        let port = socket.local_addr().map_err(failed)?.port();
        let acceptor = Acceptor {
            server: Arc::clone(server),
            door: Door {
                advertise: listener
                    .advertise
                    .clone()
                    .map(|address| with_port(address, port)),
                protocol: listener.protocol,
            },
            _counted: server.accepting.one(),
        };
        server.workers.spawn(acceptor.run(socket));
    }
    Ok(match listener.advertise.clone() {
        Some(address) => with_port(address, local.port()),
        None => Address::from(sockets::reachable(local)),
    })
}

fn with_port(address: Address, port: u16) -> Address {
    if address.port == 0 {
        Address { port, ..address }
    } else {
        address
    }
}

/// The task of one listening socket.
struct Acceptor {
    server: Arc<Server>,
    door: Door,
    _counted: Counted,
}

impl Acceptor {
    async fn run(self, socket: TcpListener) {
        tokio::select! {
            () = self.accept_all(&socket) => {}
            () = self.server.reached(Phase::Deaf) => {}
        }
        // The socket is closed before `_counted` says so.
        drop(socket);
    }

    async fn accept_all(&self, socket: &TcpListener) {
        let mut timer = Timer::new(self.server.service.clock());
        let mut pause = PAUSE_MIN;
        loop {
            timer.until(self.server.gate.next_at()).await;
            match socket.accept().await {
                Ok((stream, peer)) => {
                    pause = PAUSE_MIN;
                    self.accepted(stream, peer);
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

    fn accepted(&self, stream: TcpStream, peer: SocketAddr) {
        let (server, metrics) = (&self.server, self.server.service.metrics());
        let admission = server
            .gate
            .admit(peer.ip(), server.service.clock().now().mono);
        match admission {
            Ok(admission) => {
                metrics.connections.increment();
                let server = Arc::clone(server);
                let workers = server.workers.clone();
                let door = self.door.clone();
                workers.spawn(conn::serve(server, stream, peer, door, admission));
            }
            Err(full) => {
                metrics.refused_connections.increment();
                server.say(Tone::Complaint, &peer, &full);
            }
        }
    }
}

/// Between two tries when the process has no file descriptors left, say.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);
