//! The sockets of HTTP: accepted while there is room, cut off when their time is over.
//!
//! Floor 5 of broker, behind the feature `http`.
//!
//! Invariants
//! - A connection holds a place from before it is accepted until it is closed.
//! - A connection lives for [`LIFE_MAX`] at most, whether it idles, sends slowly or does not read:
//!   a scraper connects again.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
#[cfg(feature = "tls")]
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use highwater_proto::clock::Clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
#[cfg(feature = "tls")]
use tokio::net::TcpStream;
#[cfg(not(feature = "tls"))]
use tokio::net::TcpStream as Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
#[cfg(feature = "tls")]
use tokio_rustls::server::TlsStream;

use super::ended;
#[cfg(feature = "tls")]
use super::stream::Stream;
use crate::sockets::is_of_one_connection;

/// One listening socket.
pub(super) struct Sockets {
    socket: TcpListener,
    clock: Arc<dyn Clock>,
    places: Arc<Semaphore>,
    over: watch::Receiver<bool>,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl Sockets {
    pub(super) fn new(
        socket: TcpListener,
        clock: Arc<dyn Clock>,
        places: Arc<Semaphore>,
        over: watch::Receiver<bool>,
    ) -> Self {
        Self {
            socket,
            clock,
            places,
            over,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// The same, over TLS if there is one.
    #[cfg(feature = "tls")]
    pub(super) fn with_tls(self, tls: Option<Arc<crate::tls::Tls>>) -> Self {
        let next_line_at = Arc::default();
        let tls = tls.map(|tls| Tls { tls, next_line_at });
        Self { tls, ..self }
    }

    #[cfg(feature = "tls")]
    fn stream(&self, stream: TcpStream, peer: SocketAddr) -> Stream {
        match &self.tls {
            None => Stream::Plain(stream),
            Some(tls) => Stream::Handshake(Box::pin(tls.clone().handshake(stream, peer))),
        }
    }

    fn admit(&self, stream: Stream, place: OwnedSemaphorePermit) -> Bounded {
        let over = self.over.clone();
        let life = self.clock.sleep_until(self.clock.now().mono.plus(LIFE_MAX));
        Bounded {
            stream,
            end: Box::pin(async move {
                tokio::select! {
                    () = life => {}
                    () = ended(over) => {}
                }
            }),
            is_over: false,
            _place: place,
        }
    }
}

impl Listener for Sockets {
    type Io = Bounded;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Bounded, SocketAddr) {
        let mut pause = PAUSE_MIN;
        loop {
            let place = Arc::clone(&self.places).acquire_owned().await;
            let place = place.expect("nobody closes the places");
            match self.socket.accept().await {
                Ok((stream, peer)) => {
                    #[cfg(feature = "tls")]
                    let stream = self.stream(stream, peer);
                    return (self.admit(stream, place), peer);
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if pause == PAUSE_MIN {
                        tracing::warn!(%error, "HTTP connections cannot be accepted; trying again");
                    }
                    let again = self.clock.now().mono.plus(pause);
                    self.clock.sleep_until(again).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// TLS, and when the next line about it may be said.
#[cfg(feature = "tls")]
#[derive(Clone)]
struct Tls {
    tls: Arc<crate::tls::Tls>,
    next_line_at: Arc<AtomicU64>,
}

#[cfg(feature = "tls")]
impl Tls {
    async fn handshake(
        self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> io::Result<Box<TlsStream<TcpStream>>> {
        match self.tls.accept(stream).await {
            Ok(secured) => Ok(Box::new(secured.stream)),
            Err(why) => {
                let now = self.tls.clock().now().mono;
                // Of two at once one is silent, or both say it: either does no harm.
                if now.0 >= self.next_line_at.load(Ordering::Relaxed) {
                    self.next_line_at
                        .store(now.plus(LINE_PAUSE).0, Ordering::Relaxed);
                    tracing::warn!(client = %peer, %why, "an HTTP connection was closed");
                }
                Err(io::ErrorKind::ConnectionAborted.into())
            }
        }
    }
}

/// A connection with an end.
pub(super) struct Bounded {
    stream: Stream,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

impl Bounded {
    /// An error once the time is over.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        self.is_over = self.is_over || self.end.as_mut().poll(context).is_ready();
        if self.is_over {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            Ok(())
        }
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A scraper comes every 15 seconds, and may keep its connection meanwhile.
const LIFE_MAX: Duration = Duration::from_secs(60);
/// Between two lines of the log about failed handshakes.
#[cfg(feature = "tls")]
const LINE_PAUSE: Duration = Duration::from_secs(60);
/// Between two tries when the process has no file descriptors left, say.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);
