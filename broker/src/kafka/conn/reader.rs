//! The way in: bytes become frames, frames become jobs.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - A frame's size is judged before anything is allocated for it.
//! - As long as a client has not proved who it is, one request of it is answered before the next
//!   one is looked at.

use bytes::Bytes;
use highwater_proto::kafka::messages::sasl_authenticate::SaslAuthenticateRequest;
use highwater_proto::kafka::{
    ApiKey, FrameError, Hidden, Request, RequestError, SIZE_BYTES, open_request, request_size,
};
use tokio::sync::mpsc;

use super::Ticket;
use crate::connections::{Activity, Held, Intake, Wire};
use crate::kafka::api::api_versions;
use crate::kafka::end::End;
use crate::kafka::lane::{Job, Work};
use crate::kafka::sasl::Form;
use crate::kafka::server::Server;
use crate::kafka::session::Session;

/// The reading half of a connection.
pub(super) struct Reader<'a> {
    server: &'a Server,
    session: &'a Session,
    activity: &'a Activity,
    intake: Intake<'a, Wire>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        server: &'a Server,
        stream: &'a Wire,
        session: &'a Session,
        activity: &'a Activity,
    ) -> Self {
        let config = server.service.config();
        Self {
            server,
            session,
            activity,
            intake: Intake::new(config, &server.connections, stream, activity),
        }
    }

    /// Reads requests until there are no more; says why.
    pub(super) async fn run(mut self, jobs: mpsc::Sender<Box<Job<Ticket>>>) -> End {
        loop {
            let job = match self.next().await {
                Ok((Form::Requests, frame, held)) => self.job(frame, held),
                Ok((Form::Bare, token, held)) => Ok(self.token(token, held)),
                Err(end) => Err(end),
            };
            match job {
                // It fails only when the lane is gone, and with it this reader.
                Ok(job) => drop(jobs.send(Box::new(job)).await),
                Err(end) => return end,
            }
            self.intake.give_way().await;
        }
    }

    /// The next frame, and what is in it. As long as the client has not proved who it is, one is
    /// answered before the next one is looked at: what that is depends on the answer.
    async fn next(&mut self) -> Result<(Form, Bytes, Held), End> {
        let config = self.server.service.config();
        let proof = self.session.proof();
        if proof.is_due() {
            self.intake.until_answered().await;
        }
        let (form, bytes_max) = match proof.is_due() {
            true => (
                proof.form().unwrap_or(Form::Requests),
                config.sasl_server_max_receive_size,
            ),
            false => (Form::Requests, usize::MAX),
        };
        let bytes_max = bytes_max.min(config.socket_request_max_bytes);
        let (frame, held) = self.frame(form, bytes_max).await?;
        Ok((form, frame, held))
    }

    /// The next frame, without its size.
    async fn frame(&mut self, form: Form, bytes_max: usize) -> Result<(Bytes, Held), End> {
        let prefix = self.intake.prefix().await?;
        let size = match form {
            Form::Requests => request_size(prefix, bytes_max)?,
            Form::Bare => token_size(prefix, bytes_max)?,
        };
        let frame = self.intake.frame(size).await?;
        let received = &self.server.service.metrics().received_bytes;
        received.add(self.intake.last_bytes() as u64);
        Ok(frame)
    }

    /// A bare token: the request that it would be in is made up, and the answer is bare, too.
    fn token(&self, token: Bytes, held: Held) -> Job<Ticket> {
        let request = SaslAuthenticateRequest {
            auth_bytes: Hidden(token),
        };
        Job {
            tag: Ticket {
                correlation_id: 0,
                version: OLDEST,
                form: Form::Bare,
                _held: held,
            },
            version: OLDEST,
            at: self.activity.last(),
            work: Work::Execute(request.into()),
        }
    }

    fn job(&self, frame: Bytes, held: Held) -> Result<Job<Ticket>, End> {
        let (header, body) = open_request(frame).map_err(End::Header)?;
        self.session.set_client_id(header.client_id.as_ref());
        let version = header.version;
        // When its first byte came, or, if it was sent ahead, when the one before it was answered.
        let at = self.activity.last();
        let ticket = |version| Ticket {
            correlation_id: header.correlation_id,
            version,
            form: Form::Requests,
            _held: held,
        };
        match Request::decode(header.key, version, body) {
            Ok(request) => Ok(Job {
                tag: ticket(version),
                version,
                at,
                work: Work::Execute(request),
            }),
            Err(RequestError::UnsupportedVersion {
                key: ApiKey::ApiVersions,
                ..
            }) => {
                let work = Work::Answered(api_versions::unsupported().into());
                Ok(Job {
                    tag: ticket(OLDEST),
                    version,
                    at,
                    work,
                })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The size of the bare token that follows these four bytes, if it is acceptable; one of PLAIN may
/// be smaller than any request.
fn token_size(prefix: [u8; SIZE_BYTES], bytes_max: usize) -> Result<usize, FrameError> {
    let size = i32::from_be_bytes(prefix);
    match usize::try_from(size) {
        Err(_) => Err(FrameError::TooSmall { size }),
        Ok(bytes) if bytes > bytes_max => Err(FrameError::TooLarge { size, bytes_max }),
        Ok(bytes) => Ok(bytes),
    }
}

/// The version in which a client is answered that asks for an unknown version of ApiVersions.
const OLDEST: i16 = 0;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::task::Poll;

    use highwater_proto::clock::Mono;
    use highwater_proto::kafka::messages::api_versions::ApiVersionsRequest;
    use highwater_proto::security::SecurityProtocol;

    use super::super::tests::Rig;
    use super::*;
    use crate::connections::{ANSWERED_TOGETHER_BYTES, KEPT_BYTES_MAX, READ_BYTES_MIN};
    use crate::kafka::session::{Peer, Security};
    use crate::sockets::Address;

    /// Reads on until it waits, with so many bytes in its hands.
    async fn waits_with(reader: &mut Reader<'_>, bytes: usize) {
        loop {
            tokio::select! {
                biased;
                _ = reader.intake.fill(10_000) => panic!("so much was never sent"),
                () = tokio::task::yield_now() => {}
            }
            if reader.intake.buffer.len() == bytes {
                return;
            }
        }
    }

    /// Both ends of a connection.
    fn connection() -> (TcpStream, TcpStream, Session) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, peer) = listener.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        let security = Security {
            protocol: SecurityProtocol::Plaintext,
            certificate_principal: None,
        };
        let session = Session::new(Peer::Tcp(peer), Address::from(peer), security);
        (client, accepted, session)
    }

    /// A request that takes a little more than so many bytes.
    fn request(bytes: usize) -> Bytes {
        let request = ApiVersionsRequest {
            client_software_name: "n".repeat(bytes).into(),
            client_software_version: "1".to_owned().into(),
        };
        let frame = Request::from(request).encode_frame(3, 1, None).unwrap();
        frame.into_bytes()
    }

    #[test]
    fn large_requests_that_were_sent_ahead_are_executed_one_by_one() {
        for (bytes, together) in [(10, 4), (ANSWERED_TOGETHER_BYTES, 1)] {
            let rig = Rig::new();
            let (mut client, accepted, session) = connection();
            client.write_all(&request(bytes).repeat(4)).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            rig.broker.handle().block_on(async {
                let wire = Wire::Plain(tokio::net::TcpStream::from_std(accepted).unwrap());
                let activity = Activity::at(Mono(0));
                let (jobs, mut read) = mpsc::channel(4);
                let reading = Reader::new(&rig.server, &wire, &session, &activity).run(jobs);
                let mut reading = std::pin::pin!(reading);
                let mut at_once = Vec::new();
                while poll_fn(|context| Poll::Ready(reading.as_mut().poll(context).is_pending()))
                    .await
                {
                    at_once.extend(Some(read.len()).filter(|count| *count > 0));
                    while read.try_recv().is_ok() {}
                    tokio::task::yield_now().await;
                }
                at_once.extend(Some(read.len()).filter(|count| *count > 0));
                assert_eq!(at_once, vec![together; 4 / together]);
            });
        }
    }

    #[test]
    fn who_is_waited_for_holds_little_more_than_what_came() {
        let rig = Rig::new();
        let (mut client, accepted, session) = connection();
        rig.broker.handle().block_on(async {
            let wire = Wire::Plain(tokio::net::TcpStream::from_std(accepted).unwrap());
            let activity = Activity::at(Mono(0));
            let mut reader = Reader::new(&rig.server, &wire, &session, &activity);
            let frame = request(0);
            for _ in 0..2 {
                client.write_all(&frame).unwrap();
                drop(reader.next().await.ok().unwrap());
                waits_with(&mut reader, 0).await;
                assert_eq!(reader.intake.buffer.capacity(), 0);
            }
            for sent in 1..10 {
                client.write_all(&[0]).unwrap();
                waits_with(&mut reader, sent).await;
                assert!(reader.intake.buffer.capacity() < 64, "{sent} bytes");
            }
            // What is worth it is waited with as it is.
            client.write_all(&[0; KEPT_BYTES_MAX]).unwrap();
            waits_with(&mut reader, 9 + KEPT_BYTES_MAX).await;
            assert!(reader.intake.buffer.capacity() >= READ_BYTES_MIN);
        });
    }
}
