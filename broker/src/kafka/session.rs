//! One client's session: who it is, and the address that it is told to come back to.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - What is kept of a request has a buffer of its own and pins no frame.
//! - What a client says of itself is escaped wherever it is printed.

use std::fmt;
#[cfg(feature = "sasl")]
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use highwater_proto::cursor::Str;
use highwater_proto::security::SecurityProtocol;

#[cfg(feature = "sasl")]
use super::sasl::Failures;
use super::sasl::Proof;
use crate::sockets::Address;

/// One connection, or one session of an embedded client.
#[derive(Debug)]
pub(super) struct Session {
    peer: Peer,
    security: Security,
    proof: Proof,
    /// Those of everybody, where this client has to prove who it is.
    #[cfg(feature = "sasl")]
    failures: Option<Arc<Failures>>,
    advertised: Address,
    client: Mutex<Client>,
}

/// Where requests come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// Over a connection from this address.
    Tcp(std::net::SocketAddr),
    /// From this process.
    Local,
}

/// What protects a connection, and whom its client has proved to be by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Security {
    pub(super) protocol: SecurityProtocol,
    /// The subject of the certificate that the client has shown.
    pub(super) certificate_principal: Option<String>,
}

/// What a client says of itself. It proves nothing; it is the best help to find an error.
#[derive(Debug, Default)]
struct Client {
    id: Option<Str>,
    software: Option<(Str, Str)>,
}

impl Session {
    pub(super) fn new(peer: Peer, advertised: Address, security: Security) -> Self {
        Self {
            peer,
            security,
            proof: Proof::not_asked(),
            #[cfg(feature = "sasl")]
            failures: None,
            advertised,
            client: Mutex::default(),
        }
    }

    /// The session of a client that has to prove who it is.
    #[cfg(feature = "sasl")]
    pub(super) fn asked(self, failures: &Arc<Failures>) -> Self {
        Self {
            proof: Proof::asked(),
            failures: Some(Arc::clone(failures)),
            ..self
        }
    }

    /// How far the client has come in proving who it is.
    pub(super) fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Where wrong proofs are counted.
    #[cfg(feature = "sasl")]
    pub(super) fn failures(&self) -> Option<&Failures> {
        self.failures.as_deref()
    }

    /// Whether nobody on the way can read what is sent.
    #[cfg(feature = "sasl")]
    pub(super) fn is_encrypted(&self) -> bool {
        self.security.protocol.is_encrypted()
    }

    /// The client's address, if it has one.
    #[cfg(feature = "sasl")]
    pub(super) fn address(&self) -> Option<std::net::IpAddr> {
        match self.peer {
            Peer::Tcp(address) => Some(address.ip()),
            Peer::Local => None,
        }
    }

    /// Where this client reaches the broker.
    pub(super) fn advertised(&self) -> &Address {
        &self.advertised
    }

    /// What the client calls itself; empty if it has said nothing.
    pub(super) fn client_id(&self) -> String {
        let id = self.client().id.clone();
        id.map(String::from).unwrap_or_default()
    }

    /// Where the client is, as tools show it.
    pub(super) fn client_host(&self) -> String {
        match self.peer {
            Peer::Tcp(address) => format!("/{}", address.ip().to_canonical()),
            Peer::Local => "/in-process".to_owned(),
        }
    }

    /// Keeps the client id of a request.
    pub(super) fn set_client_id(&self, id: Option<&Str>) {
        let mut client = self.client();
        if client.id.as_ref() != id {
            client.id = id.map(Str::detached);
        }
    }

    /// Keeps name and version of the client's software.
    pub(super) fn set_software(&self, name: &Str, version: &Str) {
        self.client().software = Some((name.detached(), version.detached()));
    }

    fn client(&self) -> MutexGuard<'_, Client> {
        // Every change is one assignment, so that a panic elsewhere leaves it whole.
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that helps to find the client.
impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peer {
            Peer::Tcp(address) => write!(f, "{address}")?,
            Peer::Local => f.write_str("in process")?,
        }
        if let Some(user) = self.proof.user() {
            write!(f, " principal=User:{}", user.escape_debug())?;
        } else if let Some(subject) = &self.security.certificate_principal {
            write!(f, " principal={}", subject.escape_debug())?;
        }
        let client = self.client();
        if let Some(id) = &client.id {
            write!(f, " client.id={}", id.escape_debug())?;
        }
        if let Some((name, version)) = &client.software {
            write!(
                f,
                " software={} {}",
                name.escape_debug(),
                version.escape_debug()
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_described_without_its_control_characters() {
        let peer = Peer::Tcp(([127, 0, 0, 1], 5).into());
        let advertised = Address {
            host: "localhost".to_owned(),
            port: 9092,
        };
        let session = Session::new(peer, advertised, Security::default());
        assert_eq!(session.to_string(), "127.0.0.1:5");
        session.set_client_id(Some(&Str::from_static("a\nb")));
        session.set_software(&Str::from_static("kcat"), &Str::from_static("1.7"));
        assert_eq!(
            session.to_string(),
            "127.0.0.1:5 client.id=a\\nb software=kcat 1.7"
        );
        assert_eq!(session.client_id(), "a\nb");
        assert_eq!(session.client_host(), "/127.0.0.1");
        session.set_client_id(None);
        assert_eq!(session.client_id(), "");
        assert_eq!(session.to_string(), "127.0.0.1:5 software=kcat 1.7");
    }
}
