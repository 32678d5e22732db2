//! How the socket of a connection becomes ready for requests.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - `open` ends with the broker, and within `ssl.handshake.timeout.ms`.

#[cfg(not(feature = "tls"))]
use std::io;
use std::net::SocketAddr;

use highwater_proto::security::SecurityProtocol;
use tokio::net::TcpStream;

use crate::connections::Wire;
use crate::kafka::end::End;
use crate::kafka::server::Server;
use crate::kafka::session::Security;

/// Makes a socket ready for requests: over TLS, by its handshake.
pub(super) async fn open(
    server: &Server,
    stream: TcpStream,
    peer: SocketAddr,
    protocol: SecurityProtocol,
) -> Result<(Wire, Security), End> {
    stream.set_nodelay(true)?;
    if protocol.is_encrypted() {
        // The memory of a handshake goes with its end.
        return Box::pin(encrypted(server, stream, peer, protocol)).await;
    }
    let security = Security {
        protocol,
        certificate_principal: None,
    };
    Ok((Wire::Plain(stream), security))
}

#[cfg(feature = "tls")]
async fn encrypted(
    server: &Server,
    stream: TcpStream,
    peer: SocketAddr,
    protocol: SecurityProtocol,
) -> Result<(Wire, Security), End> {
    let now = server.service.clock().now().mono;
    // Its place among the handshakes is free again when it is done.
    let admitted = server.handshakes.admit(peer.ip(), now);
    let _admission = admitted.map_err(|_| End::Handshakes)?;
    let mut closing = server.service.closing();
    let secured = tokio::select! {
        secured = server.tls.accept(stream) => secured?,
        () = closing.begun() => return Err(End::Closing),
    };
    let security = Security {
        protocol,
        certificate_principal: secured.principal,
    };
    Ok((Wire::encrypted(secured.stream)?, security))
}

/// A listener that would come here is refused when it is opened.
#[cfg(not(feature = "tls"))]
async fn encrypted(
    _: &Server,
    _: TcpStream,
    _: SocketAddr,
    _: SecurityProtocol,
) -> Result<(Wire, Security), End> {
    Err(io::Error::from(io::ErrorKind::Unsupported).into())
}
