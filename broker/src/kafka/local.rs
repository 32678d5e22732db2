//! A session for a client in this process: typed requests, no socket, no encoding.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - The order is that of a connection: the lane is the same.
//! - A request that was handed over takes effect, also when its future is dropped; but the session
//!   does not wait any longer then for what it waited for.

use std::sync::Arc;

use highwater_proto::clock::{Clock, Mono};
use highwater_proto::exchange::{BoxFuture, Exchange, ExchangeError};
use highwater_proto::kafka::{ApiKey, Request, Response};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::dispatch::Refusal;
use super::end::End;
use super::lane::{Job, Lane, Outlet, Work};
use super::server::Server;
use super::session::{Peer, Security, Session};
use crate::connections::{Counted, Phase, hand_over};
use crate::sockets::Address;

/// The client's end of a session.
#[derive(Debug)]
pub(super) struct Local {
    jobs: mpsc::Sender<Box<Job<Reply>>>,
    clock: Arc<dyn Clock>,
    /// A place for each request that may be under way.
    places: Arc<Semaphore>,
    places_count: usize,
}

/// Who waits for an answer.
#[derive(Debug)]
pub(super) struct Reply {
    answer: oneshot::Sender<Result<Option<Response>, ExchangeError>>,
    _place: OwnedSemaphorePermit,
}

impl Local {
    /// Opens a session; its task ends when this end is dropped, or with the broker.
    pub(super) fn open(server: &Arc<Server>) -> Self {
        let places_count = server.service.config().connection_requests_max;
        let (jobs, received) = mpsc::channel(places_count);
        // One that is opened after the end has ended, too.
        if server.connections.are_open() {
            // Counted here: an end that comes before the task's first turn waits for it, too.
            let counted = server.connections.sessions.one();
            let serving = serve(Arc::clone(server), received, counted);
            server.workers.spawn(serving);
        }
        Self {
            jobs,
            clock: Arc::clone(server.service.clock()),
            places: Arc::new(Semaphore::new(places_count)),
            places_count,
        }
    }

    fn hand_over(
        &self,
        version: i16,
        request: Request,
    ) -> Result<oneshot::Receiver<Result<Option<Response>, ExchangeError>>, ExchangeError> {
        let not_sent = |why: String| ExchangeError::NotSent { why };
        let key = request.key();
        if !key.info().implemented.contains(version) {
            return Err(not_sent(format!("{key} has no version {version} here")));
        }
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let count = self.places_count;
            not_sent(format!(
                "{count} requests are under way, connection.requests.max: wait"
            ))
        })?;
        let (answer, answered) = oneshot::channel();
        let job = Job {
            tag: Reply {
                answer,
                _place: place,
            },
            version,
            at: self.clock.now().mono,
            work: Work::Execute(request),
        };
        // There is room for every place; so it fails only when the other end is gone.
        self.jobs
            .try_send(Box::new(job))
            .map_err(|_| not_sent(CLOSED.to_owned()))?;
        Ok(answered)
    }
}

impl Exchange for Local {
    fn versions(&self, key: ApiKey) -> Option<(i16, i16)> {
        let versions = key.info().implemented;
        Some((versions.min, versions.max))
    }

    fn send(
        &self,
        version: i16,
        request: Request,
    ) -> BoxFuture<'static, Result<Option<Response>, ExchangeError>> {
        let answered = self.hand_over(version, request);
        Box::pin(async move {
            let answer = answered?.await;
            answer.unwrap_or_else(|_| {
                Err(ExchangeError::Unknown {
                    why: CLOSED.to_owned(),
                })
            })
        })
    }
}

/// The broker's end of a session.
async fn serve(server: Arc<Server>, jobs: mpsc::Receiver<Box<Job<Reply>>>, _counted: Counted) {
    let address = server.addresses().first().cloned();
    let session = Session::new(
        Peer::Local,
        address.unwrap_or_else(nowhere),
        Security::default(),
    );
    let gone = Notify::new();
    let (forward, forwarded) = mpsc::channel(server.service.config().connection_requests_max);
    let lane = Lane::new(&server, &session, &gone, Replies);
    let mut closing = server.service.closing();
    let until_closing = hand_over(closing.begun(), jobs, forward);
    let mut lane = std::pin::pin!(lane.run(forwarded));
    let run = async {
        tokio::select! {
            end = &mut lane => end,
            () = until_closing => lane.await,
        }
    };
    tokio::select! {
        end = run => if let Err(end) = end {
            server.report(&session, &end);
        },
        () = server.connections.reached(Phase::Over) => {}
    }
}

/// The answers go to those who wait.
struct Replies;

impl Outlet for Replies {
    type Tag = Reply;

    fn put(
        &mut self,
        _: Mono,
        reply: Reply,
        answer: Result<Option<Response>, Refusal>,
    ) -> Result<(), End> {
        let answer = answer.map_err(|refusal| match refusal {
            Refusal::Unanswered { why } => ExchangeError::Unknown { why },
            refusal
            @ (Refusal::FanOut { .. } | Refusal::Unproven { .. } | Refusal::Over { .. }) => {
                ExchangeError::NotSent {
                    why: refusal.to_string(),
                }
            }
        });
        // Whoever has dropped the future does not want to know.
        drop(reply.answer.send(answer));
        Ok(())
    }

    fn put_damaged(&mut self, _: Mono, reply: Reply, _: &Response) -> Result<(), End> {
        let why = "the answer cannot be read: its end is missing".to_owned();
        drop(reply.answer.send(Err(ExchangeError::Unknown { why })));
        Ok(())
    }

    async fn abandoned(reply: &mut Reply) {
        reply.answer.closed().await;
    }

    async fn flush(&mut self) -> Result<(), End> {
        Ok(())
    }
}

/// What a client in this process is told where no listener is open.
fn nowhere() -> Address {
    Address {
        host: "localhost".to_owned(),
        port: 0,
    }
}

const CLOSED: &str = "the broker has ended the session, or is shut down";
