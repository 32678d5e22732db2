//! The order of one session: requests go in, answers come out in the same order.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - Requests take effect in the order in which they came. Produce requests that follow each other
//!   are enqueued at once and share a commit; any other request is executed when all before it are
//!   answered, and nothing after it begins before it is answered.
//! - Answers that are ready together leave together.
//! - An answer waits for nobody once all before it are out.
//! - What waits for records or for other members (Fetch, JoinGroup, SyncGroup) delays its own
//!   session only, and waits no longer than somebody wants its answer.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::task::Poll;

use highwater_proto::clock::Mono;
use highwater_proto::exchange::BoxFuture;
use highwater_proto::kafka::{ApiKey, Request, Response};
use tokio::sync::{Notify, mpsc};

use super::api::{Call, produce};
use super::dispatch::{self, Refusal};
use super::end::End;
use super::fan_out;
use super::faults::{self, Faults, Met};
use super::sasl::Standing;
use super::server::Server;
use super::session::Session;
use crate::service::Service;

/// One request on its way through a lane.
#[derive(Debug)]
pub(super) struct Job<T> {
    /// What the outlet needs to hand the answer over.
    pub(super) tag: T,
    /// The version of the request.
    pub(super) version: i16,
    /// When it came.
    pub(super) at: Mono,
    pub(super) work: Work,
}

/// What is to be done for a request.
#[derive(Debug)]
pub(super) enum Work {
    /// Execute it.
    Execute(Request),
    /// Nothing: its answer is known already.
    Answered(Response),
}

/// Where the answers of a lane go.
pub(super) trait Outlet: Send {
    /// What belongs to a request and is needed for its answer.
    type Tag: Send;

    /// Takes an answer that is there now; an error ends the lane.
    fn put(
        &mut self,
        now: Mono,
        tag: Self::Tag,
        answer: Result<Option<Response>, Refusal>,
    ) -> Result<(), End>;

    /// Takes an answer that loses its end on the way.
    fn put_damaged(&mut self, now: Mono, tag: Self::Tag, response: &Response) -> Result<(), End>;

    /// Waits until nobody wants this answer any more, if that can be known.
    fn abandoned(tag: &mut Self::Tag) -> impl Future<Output = ()> + Send;

    /// Hands over everything that was put.
    fn flush(&mut self) -> impl Future<Output = Result<(), End>> + Send;
}

/// The requests of one session that are under way.
pub(super) struct Lane<'a, O: Outlet> {
    service: &'a Service,
    faults: &'a Faults,
    session: &'a Session,
    /// Told when nobody waits for answers any more: no request waits for others then.
    gone: &'a Notify,
    outlet: O,
    /// Produce requests that are enqueued and not yet answered.
    under_way: VecDeque<Begun<'a, O::Tag>>,
    /// When the last answer was there: what came before that has waited for it.
    latest: Mono,
}

/// A request that has taken effect and is not yet answered.
struct Begun<'a, T> {
    tag: T,
    asked: Asked,
    answer: BoxFuture<'a, Result<Option<Response>, Refusal>>,
}

/// What was asked, and when.
#[derive(Clone, Copy, Debug)]
struct Asked {
    api: ApiKey,
    at: Mono,
    begun: Mono,
}

impl<'a, O: Outlet> Lane<'a, O> {
    pub(super) fn new(
        server: &'a Server,
        session: &'a Session,
        gone: &'a Notify,
        outlet: O,
    ) -> Self {
        Self {
            service: &server.service,
            faults: &server.faults,
            session,
            gone,
            outlet,
            under_way: VecDeque::new(),
            latest: Mono(0),
        }
    }

    /// Executes jobs until there are none to come, or the outlet ends it.
    pub(super) async fn run(
        mut self,
        mut jobs: mpsc::Receiver<Box<Job<O::Tag>>>,
    ) -> Result<(), End> {
        loop {
            while let Ok(job) = jobs.try_recv() {
                self.take(*job).await?;
            }
            self.put_ready().await?;
            let has_head = !self.under_way.is_empty();
            tokio::select! {
                biased;
                job = jobs.recv() => match job {
                    Some(job) => self.take(*job).await?,
                    None => return self.drain().await,
                },
                answer = head(&mut self.under_way), if has_head => self.put_head(answer).await?,
            }
        }
    }

    async fn take(
        &mut self,
        Job {
            mut tag,
            version,
            at,
            work,
        }: Job<O::Tag>,
    ) -> Result<(), End> {
        let (service, session) = (self.service, self.session);
        let mut asked = Asked {
            api: work.api(),
            at,
            begun: at.max(self.latest),
        };
        let call = Call {
            service,
            session,
            version,
        };
        let answer = match work {
            Work::Answered(response) => {
                self.drain().await?;
                Ok(Some(response))
            }
            Work::Execute(request) => match checked(&request, at, service, session) {
                Ok(()) => match request {
                    request if let Some(met) = self.faults.meet(&request, service) => {
                        // It is seldom, and no lane holds memory for it.
                        return Box::pin(self.put_suffered(tag, asked, call, request, met)).await;
                    }
                    Request::Produce(request) => {
                        let begun = Box::pin(produce::begin(call, request)).await;
                        let answer = Box::pin(begun.answer());
                        self.under_way.push_back(Begun { tag, asked, answer });
                        return Ok(());
                    }
                    request => {
                        self.drain().await?;
                        asked.begun = at.max(self.latest);
                        let abandoned = O::abandoned(&mut tag);
                        execute(call, request, self.gone, abandoned).await
                    }
                },
                Err(refusal) => {
                    self.drain().await?;
                    Err(refusal)
                }
            },
        };
        self.put(tag, asked, answer).await?;
        self.outlet.flush().await?;
        match session.proof().failure() {
            Some(why) => Err(End::Unauthenticated(why)),
            None => Ok(()),
        }
    }

    /// A request that has met a fault: whatever it does delays no answer to those before it.
    async fn put_suffered(
        &mut self,
        mut tag: O::Tag,
        asked: Asked,
        call: Call<'_>,
        request: Request,
        met: Met,
    ) -> Result<(), End> {
        self.drain().await?;
        let gone = self.gone;
        let abandoned = O::abandoned(&mut tag);
        let execute = |request| execute(call, request, gone, abandoned);
        match Box::pin(faults::suffer(call, request, met, execute)).await {
            faults::Outcome::Answered(answer) => self.put(tag, asked, answer).await?,
            faults::Outcome::Damaged(response) => {
                let now = self.service.clock().now().mono;
                self.outlet.put_damaged(now, tag, &response)?;
            }
            faults::Outcome::Cut => return Err(End::Scripted),
        }
        self.outlet.flush().await
    }

    /// Answers everything that is under way.
    async fn drain(&mut self) -> Result<(), End> {
        loop {
            self.put_ready().await?;
            if self.under_way.is_empty() {
                return Ok(());
            }
            let answer = head(&mut self.under_way).await;
            self.put_head(answer).await?;
        }
    }

    /// Puts what is answered already, and hands it over.
    async fn put_ready(&mut self) -> Result<(), End> {
        while !self.under_way.is_empty() {
            let ready = poll_fn(|context| {
                let mut head = std::pin::pin!(head(&mut self.under_way));
                Poll::Ready(match head.as_mut().poll(context) {
                    Poll::Ready(answer) => Some(answer),
                    Poll::Pending => None,
                })
            });
            match ready.await {
                Some(answer) => self.put_head(answer).await?,
                None => break,
            }
        }
        self.outlet.flush().await
    }

    async fn put_head(&mut self, answer: Result<Option<Response>, Refusal>) -> Result<(), End> {
        match self.under_way.pop_front() {
            Some(begun) => self.put(begun.tag, begun.asked, answer).await,
            None => Ok(()),
        }
    }

    async fn put(
        &mut self,
        tag: O::Tag,
        asked: Asked,
        answer: Result<Option<Response>, Refusal>,
    ) -> Result<(), End> {
        let now = self.service.clock().now().mono;
        self.latest = now;
        self.count(now, asked, &answer);
        let put = self.outlet.put(now, tag, answer);
        if put.is_err() {
            // The end is no reason to keep back what came before it.
            self.outlet.flush().await?;
        }
        put
    }

    fn count(&self, now: Mono, asked: Asked, answer: &Result<Option<Response>, Refusal>) {
        let requests = &self.service.metrics().requests;
        let queued = asked.begun.since(asked.at);
        requests.observe(asked.api, now.since(asked.at), queued);
        if let Ok(Some(response)) = answer {
            response.error_codes(|code| requests.failed(asked.api, code));
        }
    }
}

impl Work {
    fn api(&self) -> ApiKey {
        match self {
            Self::Execute(request) => request.key(),
            Self::Answered(response) => response.key(),
        }
    }
}

/// Refuses what the client may not ask now, or not at once.
fn checked(
    request: &Request,
    at: Mono,
    service: &Service,
    session: &Session,
) -> Result<(), Refusal> {
    let api = request.key();
    let is_before_the_proof = matches!(
        api,
        ApiKey::ApiVersions | ApiKey::SaslHandshake | ApiKey::SaslAuthenticate
    );
    match session.proof().standing(at) {
        Standing::Due if !is_before_the_proof => return Err(Refusal::Unproven { api }),
        Standing::Over if !is_before_the_proof => return Err(Refusal::Over { api }),
        Standing::Free | Standing::Due | Standing::Over => {}
    }
    fan_out::check(request, service.config())
}

async fn execute(
    call: Call<'_>,
    request: Request,
    gone: &Notify,
    abandoned: impl Future<Output = ()>,
) -> Result<Option<Response>, Refusal> {
    let is_wait = matches!(
        request,
        Request::Fetch(_) | Request::JoinGroup(_) | Request::SyncGroup(_)
    );
    let answer = dispatch::answer(call, request);
    if !is_wait {
        return answer.await;
    }
    tokio::select! {
        // First, so that a request takes effect also when nobody waits for its answer.
        biased;
        answer = answer => answer,
        () = abandoned => Ok(None),
        () = gone.notified() => {
            // For the next wait of this session, too.
            gone.notify_one();
            Ok(None)
        }
    }
}

/// The answer of the first request that is under way; it stays in its place.
async fn head<T>(under_way: &mut VecDeque<Begun<'_, T>>) -> Result<Option<Response>, Refusal> {
    match under_way.front_mut() {
        Some(begun) => begun.answer.as_mut().await,
        None => std::future::pending().await,
    }
}
