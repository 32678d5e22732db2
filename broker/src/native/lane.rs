//! The order of one session: requests go in, answers come out as they are ready.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - Requests take effect in the order in which they came: each is begun before the next one is
//!   looked at. Whoever waits for records holds back nobody.
//! - Answers that are ready together leave together, but no more of them than a few batches: what
//!   a slow client does not take is not read for it.
//! - What only waits or reads is given up when nobody wants its answer; what writes never is.

use std::future::{Future, poll_fn};
use std::task::{Context, Poll};

use bytes::Bytes;
use highwater_proto::clock::Mono;
use highwater_proto::code::ErrorCode;
use highwater_proto::native::v1;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;
use tokio::sync::{Notify, mpsc};

use super::calls::{self, Asked, Begun, Reply, code_of};
use super::end::End;
use super::errors::{failed, invalid};
use super::subscription::{Pushed, Subscription, ended};
use crate::metrics::NativeCall;
use crate::service::Service;

/// One request on its way through a lane.
#[derive(Debug)]
pub(super) struct Job<T> {
    /// What the outlet needs to hand the answer over.
    pub(super) tag: T,
    /// What is asked; nothing if it is not known here.
    pub(super) call: Option<Call>,
    /// The batches behind the head.
    pub(super) body: Bytes,
    /// When it came.
    pub(super) at: Mono,
}

/// Where the answers of a lane go.
pub(super) trait Outlet: Send {
    /// What belongs to a request and is needed for its answer.
    type Tag: Send;

    /// By which name batches of a subscription can be sent, if they can.
    fn name(tag: &Self::Tag) -> Option<u64>;

    /// Whether nobody wants this answer any more.
    fn poll_abandoned(tag: &mut Self::Tag, context: &mut Context<'_>) -> Poll<()>;

    /// Takes an answer that is there now.
    fn put(&mut self, now: Mono, tag: Self::Tag, reply: Reply);

    /// Takes what came of a subscription.
    fn push(&mut self, now: Mono, name: u64, reply: Reply);

    /// Whether so much was put that it should be handed over before more is read.
    fn is_full(&self) -> bool;

    /// Hands over everything that was put.
    fn flush(&mut self) -> impl Future<Output = Result<(), End>> + Send;
}

/// The requests of one session that are under way.
pub(super) struct Lane<'a, O: Outlet> {
    service: &'a Service,
    /// Told when nobody waits for answers any more.
    gone: &'a Notify,
    outlet: O,
    under_way: Vec<(O::Tag, Asked, Begun<'a>)>,
    subscriptions: Vec<Subscription<'a>>,
}

/// What is ready.
enum Ready<T> {
    Answer(T, Asked, Reply),
    Pushed(u64, Reply),
}

impl<'a, O: Outlet> Lane<'a, O> {
    pub(super) fn new(service: &'a Service, gone: &'a Notify, outlet: O) -> Self {
        Self {
            service,
            gone,
            outlet,
            under_way: Vec::new(),
            subscriptions: Vec::new(),
        }
    }

    /// Executes jobs until there are none to come, or the outlet ends it.
    pub(super) async fn run(
        mut self,
        mut jobs: mpsc::Receiver<Box<Job<O::Tag>>>,
    ) -> Result<(), End> {
        let mut are_more = true;
        loop {
            while let Ok(job) = jobs.try_recv() {
                self.take(*job).await?;
            }
            self.put_ready().await?;
            if !are_more && self.under_way.is_empty() {
                return Ok(());
            }
            let gone = self.gone;
            tokio::select! {
                biased;
                job = jobs.recv(), if are_more => match job {
                    Some(job) => self.take(*job).await?,
                    None => {
                        are_more = false;
                        self.end_subscriptions();
                    }
                },
                () = gone.notified() => self.nobody_waits(),
                ready = poll_fn(|context| self.poll_ready(context)) => self.put(ready).await?,
            }
        }
    }

    async fn take(&mut self, job: Job<O::Tag>) -> Result<(), End> {
        let Job {
            tag,
            call,
            body,
            at,
        } = job;
        let asked = Asked::new(call.as_ref(), at);
        let begun = match (call, O::name(&tag)) {
            (None, _) => {
                let why = "the request asks for nothing that is known here".to_owned();
                Err(failed(ErrorCode::UnsupportedVersion, why).into())
            }
            (Some(Call::Subscribe(call)), Some(name)) => match self.subscribe(name, call) {
                // It has a place of its own; that of the request is free again.
                Ok(()) => return self.put_ready().await,
                Err(refused) => Err(refused),
            },
            (Some(Call::Credit(credit)), Some(_)) => {
                if let Some(found) = self.subscription(credit.subscription) {
                    self.subscriptions[found].give(credit.bytes);
                }
                return Ok(());
            }
            (Some(Call::Unsubscribe(end)), Some(_)) => {
                if let Some(found) = self.subscription(end.subscription) {
                    self.subscriptions.remove(found);
                    return self.put(Ready::Pushed(end.subscription, ended(None))).await;
                }
                return Ok(());
            }
            (Some(call), _) => Box::pin(calls::begin(self.service, call, body)).await,
        };
        match begun {
            Ok(mut begun) => {
                let reply = &mut begun.reply;
                let first = poll_fn(|context| Poll::Ready(reply.as_mut().poll(context))).await;
                match first {
                    Poll::Ready(reply) => self.put(Ready::Answer(tag, asked, reply)).await,
                    Poll::Pending => {
                        self.under_way.push((tag, asked, begun));
                        Ok(())
                    }
                }
            }
            Err(refused) => self.put(Ready::Answer(tag, asked, refused)).await,
        }
    }

    fn subscribe(&mut self, name: u64, call: v1::Subscribe) -> Result<(), Reply> {
        let count_max = self.service.config().connection_requests_max;
        if self.subscription(name).is_some() {
            return Err(invalid("this connection has a subscription of that correlation").into());
        }
        if self.subscriptions.len() >= count_max {
            let why = format!(
                "a connection has {count_max} subscriptions at most (connection.requests.max)"
            );
            return Err(failed(ErrorCode::PolicyViolation, why).into());
        }
        let subscription = Subscription::new(self.service, name, call);
        self.subscriptions.push(subscription);
        Ok(())
    }

    fn subscription(&self, name: u64) -> Option<usize> {
        let mut subscriptions = self.subscriptions.iter();
        subscriptions.position(|subscription| subscription.name == name)
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Ready<O::Tag>> {
        let mut index = 0;
        while let Some((tag, _, begun)) = self.under_way.get_mut(index) {
            if let Poll::Ready(reply) = begun.reply.as_mut().poll(context) {
                let (tag, asked, _) = self.under_way.remove(index);
                return Poll::Ready(Ready::Answer(tag, asked, reply));
            }
            if begun.is_read && O::poll_abandoned(tag, context).is_ready() {
                self.under_way.remove(index);
            } else {
                index += 1;
            }
        }
        for index in 0..self.subscriptions.len() {
            let name = self.subscriptions[index].name;
            match self.subscriptions[index].poll(context) {
                Poll::Ready(Pushed::Delivered(reply)) => {
                    // The others have their turn first.
                    self.subscriptions[index..].rotate_left(1);
                    return Poll::Ready(Ready::Pushed(name, reply));
                }
                Poll::Ready(Pushed::Ended(reply)) => {
                    self.subscriptions.remove(index);
                    return Poll::Ready(Ready::Pushed(name, reply));
                }
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }

    /// Puts what is ready, and hands it over.
    async fn put_ready(&mut self) -> Result<(), End> {
        for _ in 0..TOGETHER_MAX {
            let ready = poll_fn(|context| Poll::Ready(self.poll_ready(context))).await;
            match ready {
                Poll::Ready(ready) => self.put(ready).await?,
                Poll::Pending => break,
            }
        }
        self.outlet.flush().await
    }

    async fn put(&mut self, ready: Ready<O::Tag>) -> Result<(), End> {
        let now = self.service.clock().now().mono;
        match ready {
            Ready::Answer(tag, asked, reply) => {
                asked.count(self.service, now, &reply.answer);
                self.outlet.put(now, tag, reply);
            }
            Ready::Pushed(name, reply) => {
                self.count_end(&reply.answer);
                self.outlet.push(now, name, reply);
            }
        }
        if self.outlet.is_full() {
            self.outlet.flush().await?;
        }
        Ok(())
    }

    fn count_end(&self, answer: &Answer) {
        if let Answer::Ended(v1::Ended {
            failure: Some(failure),
        }) = answer
        {
            let requests = &self.service.metrics().native_requests;
            requests.failed(NativeCall::Subscribe, code_of(failure));
        }
    }

    fn nobody_waits(&mut self) {
        self.under_way.retain(|(_, _, begun)| !begun.is_read);
        self.subscriptions.clear();
    }

    /// The broker comes to its end: clients are told, and ask another one, or this one later.
    fn end_subscriptions(&mut self) {
        let now = self.service.clock().now().mono;
        for subscription in std::mem::take(&mut self.subscriptions) {
            let why = "the broker is being shut down".to_owned();
            let reply = ended(Some(failed(ErrorCode::NotLeaderOrFollower, why)));
            self.outlet.push(now, subscription.name, reply);
        }
    }
}

/// Answers that are put before requests have their turn again.
const TOGETHER_MAX: usize = 64;
