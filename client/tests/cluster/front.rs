//! A session with one broker of the cluster: requests in order, each answered by the broker's
//! place in the cluster at that moment.

use std::sync::Arc;

use highwater_proto::exchange::{BoxFuture, Exchange, ExchangeError};
use highwater_proto::kafka::{ApiKey, Request, Response};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::fake::{Fake, Health};
use crate::place::answer;

/// An open session.
#[derive(Debug)]
pub(crate) struct Session {
    inner: Arc<dyn Exchange>,
    requests: mpsc::Sender<Job>,
    health: watch::Receiver<Health>,
    life: u64,
    _open: Arc<()>,
}

#[derive(Debug)]
struct Job {
    version: i16,
    request: Request,
    answer: oneshot::Sender<Result<Option<Response>, ExchangeError>>,
}

/// More than a client has under way with one broker.
const REQUESTS_MAX: usize = 256;

impl Session {
    pub(crate) fn open(fake: &Arc<Fake>, id: i32) -> Self {
        let health = fake.health(id);
        let life = health.borrow().life;
        let (requests, queued) = mpsc::channel(REQUESTS_MAX);
        let broker = Front {
            fake: Arc::clone(fake),
            id,
            life,
            inner: fake.broker.exchange(),
        };
        let inner = Arc::clone(&broker.inner);
        tokio::spawn(broker.serve(queued, health.clone()));
        Self {
            inner,
            requests,
            health,
            life,
            _open: fake.session(),
        }
    }
}

impl Exchange for Session {
    fn versions(&self, key: ApiKey) -> Option<(i16, i16)> {
        self.inner.versions(key)
    }

    fn send(
        &self,
        version: i16,
        request: Request,
    ) -> BoxFuture<'static, Result<Option<Response>, ExchangeError>> {
        let why = || "the broker has closed the connection".to_owned();
        if self.health.borrow().life != self.life {
            return Box::pin(async move { Err(ExchangeError::NotSent { why: why() }) });
        }
        let is_answered = request.expects_response();
        let (answer, answered) = oneshot::channel();
        // If the broker is gone, or has too much to do, so is the answer.
        let _ = self.requests.try_send(Job {
            version,
            request,
            answer,
        });
        Box::pin(async move {
            if !is_answered {
                return Ok(None);
            }
            let lost = |_| ExchangeError::Unknown { why: why() };
            answered.await.map_err(lost)?
        })
    }
}

/// The broker's end of a session.
struct Front {
    fake: Arc<Fake>,
    id: i32,
    life: u64,
    inner: Arc<dyn Exchange>,
}

impl Front {
    /// Works until the broker dies. A client that hangs up does not stop what it has sent before.
    async fn serve(self, mut queued: mpsc::Receiver<Job>, mut health: watch::Receiver<Health>) {
        let mut dead = health.clone();
        let mut answers = JoinSet::new();
        let work = async {
            while let Some(job) = queued.recv().await {
                let lag_ms = health.borrow().lag_ms;
                self.fake.sleep(lag_ms).await;
                let is_awake = health.wait_for(|health| !health.is_frozen).await.is_ok();
                assert!(is_awake, "the cluster outlives its sessions");
                let answered = answer(&self.fake, self.id, &self.inner, job.version, job.request);
                let mut health = health.clone();
                answers.spawn(async move {
                    let result = answered.await;
                    // What is on its way to the client is not held up by a later stop.
                    let _ = health.wait_for(|health| !health.is_frozen).await;
                    // The client may have given up.
                    let _ = job.answer.send(result);
                });
                while answers.try_join_next().is_some() {}
            }
            while answers.join_next().await.is_some() {}
        };
        tokio::select! {
            biased;
            _ = dead.wait_for(|health| health.life != self.life) => {}
            () = work => {}
        }
    }
}
