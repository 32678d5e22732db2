//! A session for a client in this process: typed requests, no socket, no encoding.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - The order is that of a connection: the lane is the same. A stream is read beside it, in the
//!   caller's task: what is read has no place in the order there either, and is there sooner.
//! - A request that was handed over takes effect, also when its future is dropped; but the session
//!   does not wait any longer then for what it waited for.
//! - A subscription has a task of its own, so that nothing that is sent waits behind it; the task
//!   ends with the client's end of it, or with the broker.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use highwater_proto::clock::{Clock, Mono};
use highwater_proto::code::ErrorCode;
use highwater_proto::exchange::{BoxFuture, ExchangeError};
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;
use highwater_proto::native::{NativeExchange, Subscribed, v1};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::calls::{self, Asked, Reply};
use super::end::End;
use super::errors::failed;
use super::lane::{Job, Lane, Outlet};
use super::server::Server;
use super::subscription::{Pushed, Subscription, ended};
use crate::connections::{Counted, Phase, hand_over};

/// The client's end of a session.
#[derive(Debug)]
pub(super) struct Local {
    /// Who keeps a session does not keep the broker.
    server: Weak<Server>,
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
            server: Arc::downgrade(server),
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
        let place = self.place()?;
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

    /// A place for one more request.
    fn place(&self) -> Result<OwnedSemaphorePermit, ExchangeError> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let count = self.places_count;
            not_sent(format!(
                "{count} requests are under way, connection.requests.max: wait"
            ))
        })
    }

    /// Answers a request that only reads, without the session's task: a thread that sleeps takes
    /// longer to be woken than a stream to be read.
    fn read(&self, call: Call) -> BoxFuture<'static, Result<(Answer, Bytes), ExchangeError>> {
        let asked = Asked::new(Some(&call), self.clock.now().mono);
        let place = self.place();
        let server = Weak::clone(&self.server);
        Box::pin(async move {
            let _place = place?;
            let server = open(&server).ok_or_else(|| not_sent(CLOSED.to_owned()))?;
            let answer = calls::read(&server.service, call, asked).await;
            Ok((answer, Bytes::new()))
        })
    }
}

impl NativeExchange for Local {
    fn call(
        &self,
        call: Call,
        body: Bytes,
    ) -> BoxFuture<'static, Result<(Answer, Bytes), ExchangeError>> {
        if matches!(call, Call::ReadStream(_)) && body.is_empty() && self.is_open() {
            return self.read(call);
        }
        let answered = self.hand_over(call, body);
        Box::pin(async move {
            let answer = answered?.await;
            answer.map_err(|_| ExchangeError::Unknown {
                why: CLOSED.to_owned(),
            })
        })
    }

    fn subscribe(
        &self,
        call: v1::Subscribe,
    ) -> BoxFuture<'static, Result<Box<dyn Subscribed>, ExchangeError>> {
        let (credit, given) = watch::channel(0);
        let (push, pushed) = mpsc::channel(PUSHES_MAX);
        let server = open(&self.server).filter(|_| self.is_open());
        let is_open = server.is_some();
        if let Some(server) = server {
            let (workers, counted) = (server.workers.clone(), server.connections.sessions.one());
            workers.spawn(push_all(server, call, given, push, counted));
        }
        Box::pin(async move {
            let why = CLOSED.to_owned();
            match is_open {
                true => Ok(Box::new(Deliveries { credit, pushed }) as Box<dyn Subscribed>),
                false => Err(not_sent(why)),
            }
        })
    }

    fn is_open(&self) -> bool {
        !self.jobs.is_closed()
    }
}

/// The client's end of a subscription.
#[derive(Debug)]
struct Deliveries {
    /// What it gave since its beginning, in bytes.
    credit: watch::Sender<u64>,
    pushed: mpsc::Receiver<(Answer, Bytes)>,
}

impl Subscribed for Deliveries {
    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(Answer, Bytes), ExchangeError>> {
        let lost = || ExchangeError::Unknown {
            why: CLOSED.to_owned(),
        };
        let next = self.pushed.poll_recv(context);
        next.map(|next| next.ok_or_else(lost))
    }

    fn give(&mut self, bytes: u32) {
        self.credit.send_modify(|given| *given += u64::from(bytes));
    }
}

/// The broker's end of a subscription.
async fn push_all(
    server: Arc<Server>,
    call: v1::Subscribe,
    mut given: watch::Receiver<u64>,
    push: mpsc::Sender<(Answer, Bytes)>,
    _counted: Counted,
) {
    let mut closing = server.service.closing();
    let mut closing = std::pin::pin!(closing.begun());
    let mut is_over = std::pin::pin!(server.connections.reached(Phase::Over));
    let mut subscription = Subscription::new(&server.service, 0, call);
    let mut taken = 0;
    loop {
        let pushed = tokio::select! {
            biased;
            () = &mut is_over => return,
            () = &mut closing => {
                let why = "the broker is being shut down".to_owned();
                Pushed::Ended(ended(Some(failed(ErrorCode::NotLeaderOrFollower, why))))
            }
            changed = given.changed() => {
                if changed.is_err() {
                    return;
                }
                let all = *given.borrow_and_update();
                subscription.give(u32::try_from(all - taken).unwrap_or(u32::MAX));
                taken = all;
                continue;
            }
            pushed = poll_fn(|context| subscription.poll(context)) => pushed,
        };
        let (reply, is_last) = match pushed {
            Pushed::Delivered(reply) => (reply, false),
            Pushed::Ended(reply) => (reply, true),
        };
        let push_next = (reply.answer, one_piece(reply.body));
        if is_last {
            // A client that takes nothing hears of the end when it has taken what waits.
            drop(push.try_send(push_next));
            return;
        }
        // Nor does it keep the broker from being shut down, or cut off.
        tokio::select! {
            pushed = push.send(push_next) => if pushed.is_err() { return },
            () = &mut closing => return,
            () = &mut is_over => return,
        }
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

    /// Subscriptions of this process have tasks of their own, and no lane.
    fn push(&mut self, _: Mono, _: u64, _: Reply) {}

    fn is_full(&self) -> bool {
        false
    }

    async fn flush(&mut self) -> Result<(), End> {
        Ok(())
    }
}

/// The broker, as long as it takes requests.
fn open(server: &Weak<Server>) -> Option<Arc<Server>> {
    let server = server.upgrade();
    server.filter(|server| server.connections.are_open())
}

fn not_sent(why: String) -> ExchangeError {
    ExchangeError::NotSent { why }
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
/// Deliveries that wait for a client to take them; its credit is their bound in bytes.
const PUSHES_MAX: usize = 64;
