//! The way in: bytes become frames, frames become jobs.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - A frame's size is judged before anything is allocated for it; the buffer grows with what
//!   came, in this frame or the one before it, never with what was announced.
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
use highwater_proto::kafka::messages::sasl_authenticate::SaslAuthenticateRequest;
use highwater_proto::kafka::{
    ApiKey, FrameError, Hidden, Request, RequestError, SIZE_BYTES, open_request, request_size,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::pace::Pace;
use super::wire::Wire;
use super::{Activity, Held, Ticket};
use crate::kafka::api::api_versions;
use crate::kafka::end::End;
use crate::kafka::lane::{Job, Work};
use crate::kafka::sasl::Form;
use crate::kafka::server::Server;
use crate::kafka::session::Session;
use crate::kafka::timer::Timer;

/// The reading half of a connection.
pub(super) struct Reader<'a> {
    server: &'a Server,
    stream: &'a Wire,
    session: &'a Session,
    activity: &'a Activity,
    buffer: BytesMut,
    /// The size of the last frame: the next one is likely to be alike.
    last_bytes: usize,
    /// Bytes of requests that were read since the lane had its turn.
    unanswered_bytes: usize,
    timer: Timer,
    pace: Pace,
    /// Requests that may be under way.
    places: Arc<Semaphore>,
    /// Bytes of requests that may be under way.
    bytes: Arc<Semaphore>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        server: &'a Server,
        stream: &'a Wire,
        session: &'a Session,
        activity: &'a Activity,
    ) -> Self {
        let config = server.service.config();
        let window = Duration::from_millis(config.socket_receive_window_ms);
        let bytes_max = config.connection_requests_max_bytes.min(u32::MAX as usize);
        Self {
            server,
            stream,
            session,
            activity,
            buffer: BytesMut::new(),
            last_bytes: 0,
            unanswered_bytes: 0,
            timer: Timer::new(server.service.clock()),
            pace: Pace::new(config.socket_receive_min_bytes_per_second, window),
            places: Arc::new(Semaphore::new(config.connection_requests_max)),
            bytes: Arc::new(Semaphore::new(bytes_max)),
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
            self.give_way().await;
        }
    }

    /// Lets the lane execute and answer what was read, once that is worth a write of its own: a
    /// client that has only some requests under way goes on with the next ones meanwhile. Else both
    /// sides would wait for each other in turns.
    async fn give_way(&mut self) {
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

    /// The next frame, and what is in it. As long as the client has not proved who it is, one is
    /// answered before the next one is looked at: what that is depends on the answer.
    async fn next(&mut self) -> Result<(Form, Bytes, Held), End> {
        let config = self.server.service.config();
        let proof = self.session.proof();
        if proof.is_due() {
            drop(acquire(&self.places, config.connection_requests_max).await);
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
        self.pace.restart();
        self.fill(SIZE_BYTES).await?;
        let prefix = *self.buffer.first_chunk().unwrap_or(&[0; SIZE_BYTES]);
        let size = match form {
            Form::Requests => request_size(prefix, bytes_max)?,
            Form::Bare => token_size(prefix, bytes_max)?,
        };
        let held = self.hold(size).await?;
        self.fill(SIZE_BYTES + size).await?;
        self.last_bytes = SIZE_BYTES + size;
        let received = &self.server.service.metrics().received_bytes;
        received.add(self.last_bytes as u64);
        self.buffer.advance(SIZE_BYTES);
        Ok((self.buffer.split_to(size).freeze(), held))
    }

    /// Takes the places of a request, when they are free.
    async fn hold(&mut self, size: usize) -> Result<Held, End> {
        let all = self.server.service.config().connection_requests_max_bytes;
        // A request that is larger than the limit is under way alone.
        let bytes = acquire(&self.bytes, size.min(all)).await;
        let count = acquire(&self.places, 1).await;
        let memory = if SIZE_BYTES + size > UNRESERVED_BYTES_MAX {
            self.fill(UNRESERVED_BYTES_MAX).await?;
            Some(acquire(&self.server.frame_budget, size).await)
        } else {
            None
        };
        Ok(Held {
            _count: count,
            _bytes: bytes,
            _memory: memory,
        })
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

    /// Reads until so many bytes are there.
    async fn fill(&mut self, target: usize) -> Result<(), End> {
        while self.buffer.len() < target {
            if self.buffer.is_empty() {
                // An idle connection holds no memory.
                self.buffer = BytesMut::new();
                self.readable().await?;
            }
            let spare = self.room_for(target);
            match self
                .stream
                .try_read_buf(&mut (&mut self.buffer).limit(spare))
            {
                Ok(0) if self.buffer.is_empty() => return Err(End::Closed),
                Ok(0) => return Err(End::ClosedInFrame),
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
    async fn readable(&mut self) -> Result<(), End> {
        if !self.buffer.is_empty() {
            return self.rest_readable().await;
        }
        let config = self.server.service.config();
        let idle_max = Duration::from_millis(config.connections_max_idle_ms);
        loop {
            let deadline = self.activity.last().plus(idle_max);
            tokio::select! {
                biased;
                ready = self.stream.readable() => {
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
                return Err(End::Idle(idle_max));
            }
        }
    }

    async fn rest_readable(&mut self) -> Result<(), End> {
        let since: Mono = self.timer.now();
        let window_end = self.pace.window_end(since);
        let ready = tokio::select! {
            biased;
            ready = self.stream.readable() => ready.map_err(End::from),
            () = self.timer.until(window_end) => Ok(()),
        };
        self.pace.waited(self.timer.now().since(since));
        let rate = self
            .server
            .service
            .config()
            .socket_receive_min_bytes_per_second;
        if self.pace.is_kept() {
            ready
        } else {
            Err(End::SlowSender(rate))
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
const READ_BYTES_MIN: usize = 4 * 1024;
/// Less than this is copied, so that the buffer around it can go.
const KEPT_BYTES_MAX: usize = READ_BYTES_MIN / 4;
/// Smaller requests that were sent ahead are answered together, larger ones one by one: over
/// loopback, five of 16 KiB under way go through 1.6 times as fast, and of 32 KiB 1.35 times. A
/// client that sends on without waiting for answers pays for their writes instead, a quarter.
const ANSWERED_TOGETHER_BYTES: usize = 8 * 1024;
/// The version in which a client is answered that asks for an unknown version of ApiVersions.
const OLDEST: i16 = 0;

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use highwater_proto::kafka::messages::api_versions::ApiVersionsRequest;
    use highwater_proto::security::SecurityProtocol;

    use super::super::tests::Rig;
    use super::*;
    use crate::kafka::session::{Peer, Security};
    use crate::sockets::Address;

    /// Reads on until it waits, with so many bytes in its hands.
    async fn waits_with(reader: &mut Reader<'_>, bytes: usize) {
        loop {
            tokio::select! {
                biased;
                _ = reader.fill(10_000) => panic!("so much was never sent"),
                () = tokio::task::yield_now() => {}
            }
            if reader.buffer.len() == bytes {
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
                assert_eq!(reader.buffer.capacity(), 0);
            }
            for sent in 1..10 {
                client.write_all(&[0]).unwrap();
                waits_with(&mut reader, sent).await;
                assert!(reader.buffer.capacity() < 64, "{sent} bytes");
            }
            // What is worth it is waited with as it is.
            client.write_all(&[0; KEPT_BYTES_MAX]).unwrap();
            waits_with(&mut reader, 9 + KEPT_BYTES_MAX).await;
            assert!(reader.buffer.capacity() >= READ_BYTES_MIN);
        });
    }
}
