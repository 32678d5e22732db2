//! A TCP proxy that cuts, delays, splits or swallows a conversation at a byte of your choice.
//!
//! It counts the bytes of each connection in each way, so that a first conversation without a
//! mishap tells where others can strike: every byte of it.
//!
//! Invariants
//! - What comes before the byte of a mishap is passed on unchanged, and in order.
//! - A proxy that is dropped, or begins a new conversation, cuts what is open.

mod pump;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use highwater_proto::clock::Clock;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};

/// Which way bytes flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// From the client to the broker.
    ToBroker,
    /// From the broker to the client.
    ToClient,
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trick {
    /// Both ends are closed.
    Cut,
    /// What follows comes so much later.
    Delay(Duration),
    /// From here on every byte travels alone.
    Split,
    /// From here on nothing is passed on, either way, and nobody is told.
    Swallow,
}

/// A trick, and where it is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mishap {
    /// The connection, by the order in which they were opened.
    pub connection: usize,
    /// Which way the byte travels.
    pub way: Way,
    /// The first byte that is affected, from 0.
    pub byte: u64,
    /// What happens to it.
    pub trick: Trick,
}

/// A proxy in front of a broker, on 127.0.0.1.
///
/// ```no_run
/// use std::sync::Arc;
/// use highwater_kit::chaos::{Mishap, Proxy, Trick, Way};
/// use highwater_proto::clock::Clock;
///
/// # async fn run(clock: Arc<dyn Clock>) -> std::io::Result<()> {
/// let proxy = Proxy::bind(clock).await?;
/// // The broker advertises the address of the proxy, and is then known to it.
/// let broker = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let cut = Mishap { connection: 0, way: Way::ToClient, byte: 17, trick: Trick::Cut };
/// proxy.begin(broker.local_addr()?, vec![cut]);
/// assert!(proxy.address().ip().is_loopback());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    /// What a delay is measured by.
    clock: Arc<dyn Clock>,
    talk: Mutex<Talk>,
}

/// One conversation.
#[derive(Debug, Default)]
struct Talk {
    broker: Option<SocketAddr>,
    mishaps: Vec<Mishap>,
    struck: usize,
    /// Bytes that arrived here, of each connection: to the broker, to the client.
    lengths: Vec<[u64; 2]>,
    open: JoinSet<()>,
    /// Counts the conversations: connections of an earlier one are of no account.
    number: u64,
}

impl Proxy {
    /// A proxy that takes connections at a free port, and closes them until it knows a broker.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn bind(clock: Arc<dyn Clock>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            clock,
            talk: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins a new conversation with a broker; connections are counted from 0 again.
    pub fn begin(&self, broker: SocketAddr, mishaps: Vec<Mishap>) {
        let mut talk = self.shared.talk();
        let number = talk.number + 1;
        *talk = Talk {
            broker: Some(broker),
            mishaps,
            number,
            ..Talk::default()
        };
    }

    /// How many mishaps have happened.
    #[must_use]
    pub fn struck(&self) -> usize {
        self.shared.talk().struck
    }

    /// How many bytes have arrived on each connection: to the broker, to the client.
    #[must_use]
    pub fn lengths(&self) -> Vec<[u64; 2]> {
        self.shared.talk().lengths.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        *self.shared.talk() = Talk::default();
    }
}

impl Shared {
    fn talk(&self) -> MutexGuard<'_, Talk> {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let mut talk = shared.talk();
        let Some(broker) = talk.broker else {
            continue;
        };
        let wire = pump::Wire {
            shared: Arc::clone(&shared),
            talk: talk.number,
            connection: talk.lengths.len(),
        };
        talk.lengths.push([0, 0]);
        talk.open.spawn(async move {
            // A broker that cannot be reached, and a connection that breaks, end the connection.
            if let Ok(broker) = TcpStream::connect(broker).await {
                drop(wire.carry(client, broker).await);
            }
        });
        while talk.open.try_join_next().is_some() {}
    }
}
