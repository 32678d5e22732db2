//! A session for a client in this process: typed requests, no socket, no encoding.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - The order is that of a connection: the lane is the same.
//! - A request that was handed over takes effect, also when its future is dropped; but the session
//!   does not wait any longer then for what it waited for.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use highwater_proto::clock::{Clock, Mono};
use highwater_proto::exchange::{BoxFuture, ExchangeError};
use highwater_proto::native::NativeExchange;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::calls::Reply;
use super::end::End;
use super::lane::{Job, Lane, Outlet};
use super::server::Server;
use crate::connections::{Counted, Phase, hand_over};

/// The client's end of a session.
#[derive(Debug)]
pub(super) struct Local {
    jobs: mpsc::Sender<Box<Job<Waiter>>>,
    clock: Arc<dyn Clock>,
    /// A place for each request that may be under way.
    places: Arc<Semaphore>,
    places_count: usize,
}

/// Who waits for an answer.
#[derive(Debug)]
pub(super) struct Waiter {
    answer: oneshot::Sender<(Answer, Bytes)>,
    _place: OwnedSemaphorePermit,
}

impl Local {
    /// Opens a session; its task ends when this end is dropped, or with the broker.
    pub(super) fn open(server: &Arc<Server>) -> Self {
        let places_count = server.service.config().connection_requests_max;
        let (jobs, received) = mpsc::channel(places_count);
        let clock = Arc::clone(server.service.clock());
        // One that is opened after the end has ended, too.
        if server.connections.are_open() {
            // Counted here: an end that comes before the task's first turn waits for it, too.
            let counted = server.connections.sessions.one();
            let (server, workers) = (Arc::clone(server), server.workers.clone());
            workers.spawn(serve(server, received, counted));
        }
        Self {
            jobs,
            clock,
            places: Arc::new(Semaphore::new(places_count)),
            places_count,
        }
    }

    fn hand_over(
        &self,
        call: Call,
        body: Bytes,
    ) -> Result<oneshot::Receiver<(Answer, Bytes)>, ExchangeError> {
        let not_sent = |why: String| ExchangeError::NotSent { why };
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let count = self.places_count;
            not_sent(format!(
                "{count} requests are under way, connection.requests.max: wait"
            ))
        })?;
        let (answer, answered) = oneshot::channel();
        let job = Job {
            tag: Waiter {
                answer,
                _place: place,
            },
            call: Some(call),
            body,
            at: self.clock.now().mono,
        };
        // There is room for every place; so it fails only when the other end is gone.
        self.jobs
            .try_send(Box::new(job))
            .map_err(|_| not_sent(CLOSED.to_owned()))?;
        Ok(answered)
    }
}

impl NativeExchange for Local {
    fn call(
        &self,
        call: Call,
        body: Bytes,
    ) -> BoxFuture<'static, Result<(Answer, Bytes), ExchangeError>> {
        let answered = self.hand_over(call, body);
        Box::pin(async move {
            let answer = answered?.await;
            answer.map_err(|_| ExchangeError::Unknown {
                why: CLOSED.to_owned(),
            })
        })
    }

    fn is_open(&self) -> bool {
        !self.jobs.is_closed()
    }
}

/// The broker's end of a session.
async fn serve(server: Arc<Server>, jobs: mpsc::Receiver<Box<Job<Waiter>>>, _counted: Counted) {
    let gone = Notify::new();
    let (forward, forwarded) = mpsc::channel(server.service.config().connection_requests_max);
    let lane = Lane::new(&server.service, &gone, Waiters).run(forwarded);
    let mut closing = server.service.closing();
    let forwarding = hand_over(closing.begun(), jobs, forward);
    tokio::select! {
        // Answers of a lane in this process cannot fail to be taken.
        (_, _) = async { tokio::join!(lane, forwarding) } => {}
        () = server.connections.reached(Phase::Over) => {}
    }
}

/// The answers go to those who wait.
struct Waiters;

impl Outlet for Waiters {
    type Tag = Waiter;

    fn name(_: &Waiter) -> Option<u64> {
        None
    }

    fn poll_abandoned(waiter: &mut Waiter, context: &mut Context<'_>) -> Poll<()> {
        waiter.answer.poll_closed(context)
    }

    fn put(&mut self, _: Mono, waiter: Waiter, reply: Reply) {
        let body = one_piece(reply.body);
        let Waiter {
            answer,
            _place: place,
        } = waiter;
        // Who is answered may ask again at once.
        drop(place);
        // Whoever has dropped the future does not want to know.
        drop(answer.send((reply.answer, body)));
    }

    /// There are no subscriptions in this process.
    fn push(&mut self, _: Mono, _: u64, _: Reply) {}

    fn is_full(&self) -> bool {
        false
    }

    async fn flush(&mut self) -> Result<(), End> {
        Ok(())
    }
}

/// Batches in one piece; copies only if there are several.
fn one_piece(mut parts: Vec<Bytes>) -> Bytes {
    if parts.len() <= 1 {
        return parts.pop().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    parts.iter().for_each(|part| whole.extend_from_slice(part));
    whole.freeze()
}

const CLOSED: &str = "the broker has ended the session, or is shut down";
