//! The way out: answers become frames, frames become vectored writes.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - Frames leave whole and in the order in which they were put; records are not copied.
//! - A request gives its place back when its answer is written.

use bytes::Bytes;
use highwater_proto::clock::Mono;
use highwater_proto::kafka::{Response, SIZE_BYTES};

use super::Ticket;
use crate::connections::{Activity, Outflow, Wire};
use crate::kafka::dispatch::Refusal;
use crate::kafka::end::End;
use crate::kafka::lane::Outlet;
use crate::kafka::sasl::Form;
use crate::kafka::server::Server;

/// The writing half of a connection.
pub(super) struct Writer<'a> {
    server: &'a Server,
    outflow: Outflow<'a, Wire>,
    /// Requests whose answers stand in `outflow`.
    tickets: Vec<Ticket>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(server: &'a Server, stream: &'a Wire, activity: &'a Activity) -> Self {
        let config = server.service.config();
        Self {
            server,
            outflow: Outflow::new(config, &server.connections, stream, activity),
            tickets: Vec::new(),
        }
    }

    /// The answer to a bare token is one; there is none that could say that it was wrong.
    fn put_token(&mut self, now: Mono, answer: Option<Response>) {
        let Some(Response::SaslAuthenticate(answer)) = answer else {
            return;
        };
        let token = answer.auth_bytes.0;
        if let (0, Ok(size)) = (answer.error_code, i32::try_from(token.len())) {
            let size = Bytes::copy_from_slice(&size.to_be_bytes());
            self.outflow.put(now, [size, token]);
        }
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
        self.outflow.put(now, []);
        let answer = answer?;
        if ticket.form == Form::Bare {
            self.put_token(now, answer);
            self.tickets.push(ticket);
        } else if let Some(response) = answer {
            let frame = response.encode_frame(ticket.version, ticket.correlation_id)?;
            self.server
                .service
                .metrics()
                .sent_bytes
                .add(frame.len() as u64);
            self.outflow.put(now, frame.into_parts());
            self.tickets.push(ticket);
        }
        Ok(())
    }

    fn put_damaged(&mut self, now: Mono, ticket: Ticket, response: &Response) -> Result<(), End> {
        let frame = response.encode_frame(ticket.version, ticket.correlation_id)?;
        let mut bytes = frame.into_bytes().to_vec();
        bytes.pop();
        // The size of the frame is true: what is missing is missing within.
        let size = i32::try_from(bytes.len() - SIZE_BYTES).unwrap_or(i32::MAX);
        bytes[..SIZE_BYTES].copy_from_slice(&size.to_be_bytes());
        self.outflow.put(now, [bytes.into()]);
        self.tickets.push(ticket);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), End> {
        if self.outflow.is_empty() {
            return Ok(());
        }
        self.outflow.flush().await?;
        self.tickets.clear();
        Ok(())
    }
}
