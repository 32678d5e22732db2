//! Listening: sockets are bound, connections accepted, counted, and handed to a task each.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - `localhost` is both 127.0.0.1 and ::1, on one port.
//! - A failure to accept is waited out, not spun on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::address::{Address, KafkaListener};
use super::conn;
use super::end::Tone;
use super::server::{Counted, Phase, Server};
use super::timer::Timer;
use crate::error::BrokerError;

/// Binds a listener and accepts from now on; gives the address at which clients reach it.
pub(super) fn open(server: &Arc<Server>, listener: &KafkaListener) -> Result<Address, BrokerError> {
    let failed = |source| BrokerError::Listen {
        address: listener.bind.to_string(),
        source,
    };
    // Sockets belong to the broker's runtime, whatever the caller runs on.
    let _entered = server.runtime.enter();
    let sockets = bind(&listener.bind).map_err(failed)?;
    let local = sockets.iter().map(TcpListener::local_addr).next();
    let local = local.unwrap_or_else(|| Err(no_address())).map_err(failed)?;
    for socket in sockets {
        let port = socket.local_addr().map_err(failed)?.port();
        let acceptor = Acceptor {
            server: Arc::clone(server),
            advertise: listener
                .advertise
                .clone()
                .map(|address| with_port(address, port)),
            _counted: server.accepting.one(),
        };
        server.runtime.spawn(acceptor.run(socket));
    }
    Ok(match listener.advertise.clone() {
        Some(address) => with_port(address, local.port()),
        None => Address::from(reachable(local)),
    })
}

fn bind(address: &Address) -> io::Result<Vec<TcpListener>> {
    if address.host != "localhost" {
        let mut found = (address.host.as_str(), address.port).to_socket_addrs()?;
        return Ok(vec![bind_one(found.next().ok_or_else(no_address)?)?]);
    }
    for _ in 0..SAME_PORT_TRIES_MAX {
        let ipv4 = bind_one((Ipv4Addr::LOCALHOST, address.port).into())?;
        let port = ipv4.local_addr()?.port();
        match bind_one((Ipv6Addr::LOCALHOST, port).into()) {
            Ok(ipv6) => return Ok(vec![ipv4, ipv6]),
            // The system chose a port that is free in IPv4 only.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && address.port == 0 => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "there is no ::1 here, only 127.0.0.1 is listened on");
                return Ok(vec![ipv4]);
            }
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A port is free again as soon as its broker has ended. Windows would share it.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// An address that can be dialed from this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn with_port(address: Address, port: u16) -> Address {
    if address.port == 0 {
        Address { port, ..address }
    } else {
        address
    }
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the host has no address")
}

/// The task of one listening socket.
struct Acceptor {
    server: Arc<Server>,
    advertise: Option<Address>,
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
                Err(error) if is_of_one_connection(&error) => {}
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
                let runtime = server.runtime.clone();
                let advertise = self.advertise.clone();
                runtime.spawn(conn::serve(server, stream, peer, advertise, admission));
            }
            Err(full) => {
                metrics.refused_connections.increment();
                server.say(Tone::Complaint, &peer, &full);
            }
        }
    }
}

/// Whether only the connection that was to be accepted has failed.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 1024;
const SAME_PORT_TRIES_MAX: usize = 16;
/// Between two tries when the process has no file descriptors left, say.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);
