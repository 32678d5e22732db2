//! The way in of a connection: bytes become frames, however slowly they come.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - The buffer grows with what came, in this frame or the one before it, never with what was
//!   announced.
//! - Who is waited for, between frames or in the first bytes of one, holds no buffer.
//! - Beyond 64 KiB of a frame nothing is read before its size is reserved from the budget of all
//!   connections, which is given in the order of asking.
//! - While a place or the budget is waited for, the socket is not read and no clock runs.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use highwater_proto::clock::Mono;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Connections;
use super::activity::Activity;
use super::broken::Broken;
use super::pace::Pace;
use super::timer::Timer;
use crate::config::BrokerConfig;

/// Where the bytes of a connection come from.
pub(crate) trait Source: Sync {
    /// Waits until there may be something to read.
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// Reads what is there, 0 bytes at the end.
    fn try_read_buf(&self, buffer: &mut impl BufMut) -> io::Result<usize>;
}

impl Source for TcpStream {
    async fn readable(&self) -> io::Result<()> {
        Self::readable(self).await
    }

    fn try_read_buf(&self, buffer: &mut impl BufMut) -> io::Result<usize> {
        Self::try_read_buf(self, buffer)
    }
}

/// Places among the requests under way, and memory.
#[derive(Debug)]
pub(crate) struct Held {
    _count: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
    _memory: Option<OwnedSemaphorePermit>,
}

/// What came of a connection and is no frame yet.
pub(crate) struct Intake<'a, S> {
    config: &'a BrokerConfig,
    connections: &'a Connections,
    source: &'a S,
    activity: &'a Activity,
    pub(crate) buffer: BytesMut,
    /// The size of the last frame: the next one is likely to be alike.
    last_bytes: usize,
    /// Bytes of requests that were read since others had their turn.
    unanswered_bytes: usize,
    timer: Timer,
    pace: Pace,
    /// Requests that may be under way.
    places: Arc<Semaphore>,
    /// Bytes of requests that may be under way.
    bytes: Arc<Semaphore>,
}

impl<'a, S: Source> Intake<'a, S> {
    pub(crate) fn new(
        config: &'a BrokerConfig,
        connections: &'a Connections,
        source: &'a S,
        activity: &'a Activity,
    ) -> Self {
        let window = Duration::from_millis(config.socket_receive_window_ms);
        let bytes_max = config.connection_requests_max_bytes.min(u32::MAX as usize);
        Self {
            config,
            connections,
            source,
            activity,
            buffer: BytesMut::new(),
            last_bytes: 0,
            unanswered_bytes: 0,
            timer: Timer::new(connections.clock()),
            pace: Pace::new(config.socket_receive_min_bytes_per_second, window),
            places: Arc::new(Semaphore::new(config.connection_requests_max)),
            bytes: Arc::new(Semaphore::new(bytes_max)),
        }
    }

    /// Waits for the size of the next frame; it stays where it is.
    pub(crate) async fn prefix(&mut self) -> Result<[u8; SIZE_BYTES], Broken> {
        self.pace.restart();
        self.fill(SIZE_BYTES).await?;
        Ok(*self.buffer.first_chunk().unwrap_or(&[0; SIZE_BYTES]))
    }

    /// Takes the next frame, without its size, and what it holds until it is answered.
    pub(crate) async fn frame(&mut self, size: usize) -> Result<(Bytes, Held), Broken> {
        let held = self.hold(size).await?;
        self.fill(SIZE_BYTES + size).await?;
        self.last_bytes = SIZE_BYTES + size;
        self.buffer.advance(SIZE_BYTES);
        Ok((self.buffer.split_to(size).freeze(), held))
    }

    /// Lets others execute and answer what was read, once that is worth a write of its own: a
    /// client that has only some requests under way goes on with the next ones meanwhile. Else both
    /// sides would wait for each other in turns.
    pub(crate) async fn give_way(&mut self) {
        self.unanswered_bytes += self.last_bytes;
        if self.unanswered_bytes >= ANSWERED_TOGETHER_BYTES {
            self.unanswered_bytes = 0;
            let mut gave_way = false;
            poll_fn(|context| {
                if std::mem::replace(&mut gave_way, true) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }
    }

    /// The size of the last frame, its prefix included.
    pub(crate) const fn last_bytes(&self) -> usize {
        self.last_bytes
    }

    /// Waits until no request is under way.
    pub(crate) fn until_answered(&self) -> impl Future<Output = ()> + Send + use<S> {
        let (places, count) = (
            Arc::clone(&self.places),
            self.config.connection_requests_max,
        );
        async move { drop(acquire(&places, count).await) }
    }

    /// Takes the places of a request, when they are free.
    async fn hold(&mut self, size: usize) -> Result<Held, Broken> {
        let all = self.config.connection_requests_max_bytes;
        // A request that is larger than the limit is under way alone.
        let bytes = acquire(&self.bytes, size.min(all)).await;
        let count = acquire(&self.places, 1).await;
        let memory = if SIZE_BYTES + size > UNRESERVED_BYTES_MAX {
            self.fill(UNRESERVED_BYTES_MAX).await?;
            Some(acquire(&self.connections.frame_budget, size).await)
        } else {
            None
        };
        Ok(Held {
            _count: count,
            _bytes: bytes,
            _memory: memory,
        })
    }

    /// Reads until so many bytes are there.
    pub(crate) async fn fill(&mut self, target: usize) -> Result<(), Broken> {
        while self.buffer.len() < target {
            if self.buffer.is_empty() {
                // An idle connection holds no memory.
                self.buffer = BytesMut::new();
                self.readable().await?;
            }
            let spare = self.room_for(target);
            match self
                .source
                .try_read_buf(&mut (&mut self.buffer).limit(spare))
            {
                Ok(0) if self.buffer.is_empty() => return Err(Broken::Closed),
                Ok(0) => return Err(Broken::ClosedInFrame),
                Ok(count) => self.pace.received(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.let_go();
                    self.readable().await?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Before a wait: a connection that holds little of a frame, or nothing, holds no buffer that
    /// could take more.
    fn let_go(&mut self) {
        if self.buffer.len() < KEPT_BYTES_MAX {
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
    }

    /// Makes room for the next read; gives how many bytes it may take.
    fn room_for(&mut self, target: usize) -> usize {
        let len = self.buffer.len();
        if target > UNRESERVED_BYTES_MAX {
            // A large frame gets a buffer of its own, which at most doubles.
            let missing = target - len;
            if self.buffer.capacity() == len {
                self.buffer
                    .reserve(missing.min(len.max(UNRESERVED_BYTES_MAX)));
            }
            return missing;
        }
        if self.buffer.capacity() == len {
            // Room for two: what a client has sent ahead is read, and answered, together.
            let likely = len.max(2 * self.last_bytes);
            self.buffer
                .reserve(likely.clamp(READ_BYTES_MIN, UNRESERVED_BYTES_MAX));
        }
        UNRESERVED_BYTES_MAX.saturating_sub(len).max(1)
    }

    /// Waits for the socket: for a new request as long as a connection may idle, for the rest of
    /// one as long as it arrives fast enough.
    async fn readable(&mut self) -> Result<(), Broken> {
        if !self.buffer.is_empty() {
            return self.rest_readable().await;
        }
        let config = self.config;
        let idle_max = Duration::from_millis(config.connections_max_idle_ms);
        loop {
            let deadline = self.activity.last().plus(idle_max);
            tokio::select! {
                biased;
                ready = self.source.readable() => {
                    ready?;
                    self.activity.set(self.timer.now());
                    return Ok(());
                }
                () = self.timer.until(deadline) => {}
            }
            let is_under_way = self.places.available_permits() < config.connection_requests_max;
            if is_under_way {
                self.activity.set(self.timer.now());
            } else if self.activity.last().plus(idle_max) <= self.timer.now() {
                return Err(Broken::Idle(idle_max));
            }
        }
    }

    async fn rest_readable(&mut self) -> Result<(), Broken> {
        let since: Mono = self.timer.now();
        let window_end = self.pace.window_end(since);
        let ready = tokio::select! {
            biased;
            ready = self.source.readable() => ready.map_err(Broken::from),
            () = self.timer.until(window_end) => Ok(()),
        };
        self.pace.waited(self.timer.now().since(since));
        let rate = self.config.socket_receive_min_bytes_per_second;
        if self.pace.is_kept() {
            ready
        } else {
            Err(Broken::SlowSender(rate))
        }
    }
}

async fn acquire(semaphore: &Arc<Semaphore>, count: usize) -> OwnedSemaphorePermit {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    Arc::clone(semaphore)
        .acquire_many_owned(count)
        .await
        .expect("nobody closes the semaphores of a connection or of the server")
}

/// What is read of a frame before its size is reserved.
const UNRESERVED_BYTES_MAX: usize = 64 * 1024;
/// The first read of an idle connection.
pub(crate) const READ_BYTES_MIN: usize = 4 * 1024;
/// Less than this is copied, so that the buffer around it can go.
pub(crate) const KEPT_BYTES_MAX: usize = READ_BYTES_MIN / 4;
/// The size in front of a frame.
const SIZE_BYTES: usize = 4;
/// Smaller requests that were sent ahead are answered together, larger ones one by one: over
/// loopback, five of 16 KiB under way go through 1.6 times as fast, and of 32 KiB 1.35 times. A
/// client that sends on without waiting for answers pays for their writes instead, a quarter.
pub(crate) const ANSWERED_TOGETHER_BYTES: usize = 8 * 1024;
