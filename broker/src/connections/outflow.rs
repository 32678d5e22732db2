//! The way out of a connection: parts of frames become vectored writes.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - Parts leave in the order in which they were put, and are not copied.
//! - A client that takes no byte for `socket.send.stall.max.ms` is given up.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Buf, Bytes};
use highwater_proto::clock::Mono;
use tokio::net::TcpStream;

use super::Connections;
use super::activity::Activity;
use super::broken::Broken;
use super::timer::Timer;
use crate::config::BrokerConfig;

/// Where the bytes of a connection go.
pub(crate) trait Sink: Sync {
    /// Waits until something can be written.
    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// Writes what can be taken at once.
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Whether something that was taken has not gone out.
    fn holds_back(&self) -> bool {
        false
    }

    /// Sends what was held back.
    fn try_flush(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for TcpStream {
    async fn writable(&self) -> io::Result<()> {
        Self::writable(self).await
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Self::try_write_vectored(self, slices)
    }
}

/// What waits to be written.
pub(crate) struct Outflow<'a, S> {
    sink: &'a S,
    activity: &'a Activity,
    timer: Timer,
    stall_max: Duration,
    /// When the last part was put.
    put_at: Mono,
    parts: VecDeque<Bytes>,
}

impl<'a, S: Sink> Outflow<'a, S> {
    pub(crate) fn new(
        config: &BrokerConfig,
        connections: &Connections,
        sink: &'a S,
        activity: &'a Activity,
    ) -> Self {
        Self {
            sink,
            activity,
            timer: Timer::new(connections.clock()),
            put_at: activity.last(),
            stall_max: Duration::from_millis(config.socket_send_stall_max_ms),
            parts: VecDeque::new(),
        }
    }

    /// Something is answered now, with these parts or none.
    pub(crate) fn put(&mut self, now: Mono, parts: impl IntoIterator<Item = Bytes>) {
        self.put_at = now;
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        self.parts.extend(parts);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Writes all that was put.
    pub(crate) async fn flush(&mut self) -> Result<(), Broken> {
        let mut moved_at = self.put_at;
        while !self.parts.is_empty() || self.sink.holds_back() {
            match self.write_some() {
                Ok(()) => moved_at = self.timer.now(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let deadline = moved_at.plus(self.stall_max);
                    tokio::select! {
                        biased;
                        ready = self.sink.writable() => ready?,
                        () = self.timer.until(deadline) => {
                            return Err(Broken::StalledReader(self.stall_max));
                        }
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.activity.set(moved_at);
        if self.parts.capacity() > PARTS_MAX {
            self.parts = VecDeque::new();
        }
        Ok(())
    }

    fn write_some(&mut self) -> io::Result<()> {
        if self.parts.is_empty() {
            return self.sink.try_flush();
        }
        let mut slices = [IoSlice::new(&[]); PARTS_MAX];
        let count = self.parts.len().min(PARTS_MAX);
        for (slice, part) in slices.iter_mut().zip(&self.parts) {
            *slice = IoSlice::new(part);
        }
        let mut written = self.sink.try_write_vectored(&slices[..count])?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(part) = self.parts.front_mut() {
            if written < part.len() {
                part.advance(written);
                break;
            }
            written -= part.len();
            self.parts.pop_front();
        }
        Ok(())
    }
}

/// Slices of one write.
const PARTS_MAX: usize = 64;
