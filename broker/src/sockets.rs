//! Addresses, and the sockets that listen at them.
//!
//! Floor 1 of broker.
//!
//! Invariants
//! - `localhost` is both 127.0.0.1 and ::1, on one port.
//! - An address that is printed is read back as the same one.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use tokio::net::{TcpListener, TcpSocket};

use crate::error::{BrokerError, InvalidConfig};

/// A host, or an IP address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Without the brackets of an IPv6 address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl FromStr for Address {
    type Err = InvalidConfig;

    fn from_str(text: &str) -> Result<Self, InvalidConfig> {
        Self::parse(text).map_err(|why| InvalidConfig::new("listeners", why))
    }
}

impl Address {
    /// `HOST:PORT`, with brackets around an IPv6 address.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not HOST:PORT");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(address) => address,
            None if host.contains(':') => return Err(wrong()),
            None => host,
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
        if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.chars().all(is_plain) {
            return Err(wrong());
        }
        let port = port.parse().map_err(|_| wrong())?;
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// An IPv4 address in IPv6's clothes is IPv4.
impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_canonical().to_string(),
            port: address.port(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Sockets of one port that listen at an address, and the first one's own; within a tokio runtime.
pub(crate) fn listen(address: &Address) -> Result<(Vec<TcpListener>, SocketAddr), BrokerError> {
    let bound = bind(address).and_then(|sockets| {
        let local = sockets.first().ok_or_else(no_address)?.local_addr()?;
        Ok((sockets, local))
    });
    bound.map_err(|source| BrokerError::Listen {
        address: address.to_string(),
        source,
    })
}

/// Sockets that listen at an address; within a tokio runtime.
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
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Whether only the connection that was to be accepted has failed.
pub(crate) fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the host has no address")
}

/// The longest name of a host.
const HOST_BYTES_MAX: usize = 255;
/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 1024;
const SAME_PORT_TRIES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_told_as_ipv4() {
        let mapped: SocketAddr = "[::ffff:127.0.0.1]:9092".parse().unwrap();
        assert_eq!(Address::from(mapped).to_string(), "127.0.0.1:9092");
        let real: SocketAddr = "[::1]:9092".parse().unwrap();
        assert_eq!(Address::from(real).to_string(), "[::1]:9092");
    }
}
