//! The way out: answers become frames, frames become vectored writes.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - Frames leave whole and in the order in which they were put; records are not copied.
//! - A request gives its place back when its answer is written.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Buf, Bytes};
use highwater_proto::clock::Mono;
use highwater_proto::kafka::{Response, SIZE_BYTES};

use super::wire::Wire;
use super::{Activity, Ticket};
use crate::kafka::dispatch::Refusal;
use crate::kafka::end::End;
use crate::kafka::lane::Outlet;
use crate::kafka::sasl::Form;
use crate::kafka::server::Server;
use crate::kafka::timer::Timer;

/// The writing half of a connection.
pub(super) struct Writer<'a> {
    server: &'a Server,
    stream: &'a Wire,
    activity: &'a Activity,
    timer: Timer,
    stall_max: Duration,
    /// When the last answer was put.
    put_at: Mono,
    parts: VecDeque<Bytes>,
    /// Requests whose answers stand in `parts`.
    tickets: Vec<Ticket>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(server: &'a Server, stream: &'a Wire, activity: &'a Activity) -> Self {
        let stall_max = server.service.config().socket_send_stall_max_ms;
        Self {
            server,
            stream,
            activity,
            timer: Timer::new(server.service.clock()),
            put_at: activity.last(),
            stall_max: Duration::from_millis(stall_max),
            parts: VecDeque::new(),
            tickets: Vec::new(),
        }
    }

    fn write_some(&mut self) -> io::Result<()> {
        if self.parts.is_empty() {
            return self.stream.try_flush();
        }
        let mut slices = [IoSlice::new(&[]); PARTS_MAX];
        let count = self.parts.len().min(PARTS_MAX);
        for (slice, part) in slices.iter_mut().zip(&self.parts) {
            *slice = IoSlice::new(part);
        }
        let mut written = self.stream.try_write_vectored(&slices[..count])?;
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

    /// The answer to a bare token is one; there is none that could say that it was wrong.
    fn put_token(&mut self, answer: Option<Response>) {
        let Some(Response::SaslAuthenticate(answer)) = answer else {
            return;
        };
        let token = answer.auth_bytes.0;
        if let (0, Ok(size)) = (answer.error_code, i32::try_from(token.len())) {
            let size = Bytes::copy_from_slice(&size.to_be_bytes());
            let parts = [size, token].into_iter();
            self.parts.extend(parts.filter(|part| !part.is_empty()));
        }
    }

    async fn write_all(&mut self) -> Result<(), End> {
        let mut moved_at = self.put_at;
        while !self.parts.is_empty() || self.stream.holds_back() {
            match self.write_some() {
                Ok(()) => moved_at = self.timer.now(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let deadline = moved_at.plus(self.stall_max);
                    tokio::select! {
                        biased;
                        ready = self.stream.writable() => ready?,
                        () = self.timer.until(deadline) => {
                            return Err(End::StalledReader(self.stall_max));
                        }
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.activity.set(moved_at);
        Ok(())
    }
}

impl Outlet for Writer<'_> {
    type Tag = Ticket;

    /// It is the reader that learns of it, for all of them at once.
    async fn abandoned(_: &mut Ticket) {
        std::future::pending().await
    }

    fn put(
        &mut self,
        now: Mono,
        ticket: Ticket,
        answer: Result<Option<Response>, Refusal>,
    ) -> Result<(), End> {
        self.put_at = now;
        let answer = answer?;
        if ticket.form == Form::Bare {
            self.put_token(answer);
            self.tickets.push(ticket);
        } else if let Some(response) = answer {
            let frame = response.encode_frame(ticket.version, ticket.correlation_id)?;
            self.server
                .service
                .metrics()
                .sent_bytes
                .add(frame.len() as u64);
            self.parts.extend(frame.into_parts());
            self.tickets.push(ticket);
        }
        Ok(())
    }

    fn put_damaged(&mut self, now: Mono, ticket: Ticket, response: &Response) -> Result<(), End> {
        self.put_at = now;
        let frame = response.encode_frame(ticket.version, ticket.correlation_id)?;
        let mut bytes = frame.into_bytes().to_vec();
        bytes.pop();
        // The size of the frame is true: what is missing is missing within.
        let size = i32::try_from(bytes.len() - SIZE_BYTES).unwrap_or(i32::MAX);
        bytes[..SIZE_BYTES].copy_from_slice(&size.to_be_bytes());
        self.parts.push_back(bytes.into());
        self.tickets.push(ticket);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), End> {
        if self.parts.is_empty() {
            return Ok(());
        }
        self.write_all().await?;
        self.tickets.clear();
        if self.parts.capacity() > PARTS_MAX {
            self.parts = VecDeque::new();
        }
        Ok(())
    }
}

/// Slices of one write.
const PARTS_MAX: usize = 64;
