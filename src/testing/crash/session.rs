//! A session with the broker on which a process crashes at its commit points.
//!
//! Invariants
//! - Requests keep their order: whether one is sent is decided before `send` returns.
//! - A process that has crashed stores and commits nothing; its group may hear that it has gone, as
//!   it would after its session's end.

use std::sync::Arc;

use highwater_proto::exchange::{BoxFuture, Exchange, ExchangeError};
use highwater_proto::kafka::{ApiKey, Request, Response};

use super::points::Points;

#[derive(Debug)]
pub(super) struct Watched {
    inner: Arc<dyn Exchange>,
    points: Points,
}

impl Watched {
    pub(super) const fn new(inner: Arc<dyn Exchange>, points: Points) -> Self {
        Self { inner, points }
    }
}

impl Exchange for Watched {
    fn versions(&self, key: ApiKey) -> Option<(i16, i16)> {
        self.inner.versions(key)
    }

    fn send(
        &self,
        version: i16,
        request: Request,
    ) -> BoxFuture<'static, Result<Option<Response>, ExchangeError>> {
        let what = match &request {
            Request::Produce(_) => "records were stored",
            Request::OffsetCommit(_) => "offsets were committed",
            _ => return self.inner.send(version, request),
        };
        if !self.points.pass(|| format!("before {what}")) {
            return Box::pin(std::future::pending());
        }
        let (answer, points) = (self.inner.send(version, request), self.points.clone());
        Box::pin(async move {
            let answer = answer.await;
            points.reach(|| format!("after {what}")).await;
            answer
        })
    }
}
