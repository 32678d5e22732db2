//! Requests to the broker: with a limit of time, and again while that does no harm.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - What may have been done is asked for again only if the caller says that a repeat is known as
//!   one.

use std::sync::Arc;

use bytes::Bytes;
use highwater_proto::native::NativeExchange;
use highwater_proto::native::v1;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;

use crate::backoff::Backoff;
use crate::cluster::Cluster;
use crate::cluster::no_answer;
use crate::error::{ClientError, Outcome};
use crate::native::refused;

/// The way to the broker.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    /// None for a client that knows Kafka's protocol only.
    pub(super) native: Option<Arc<dyn NativeExchange>>,
    pub(super) cluster: Arc<Cluster>,
}

/// Whether a request that may have been executed can be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It does nothing, or the broker knows it again.
    Harmless,
    /// It may have its effect twice.
    Harmful,
}

impl Asking {
    pub(super) const fn new(
        native: Option<Arc<dyn NativeExchange>>,
        cluster: Arc<Cluster>,
    ) -> Self {
        Self { native, cluster }
    }

    /// Sends a request until it is answered with more than "later", or `default.api.timeout.ms` are
    /// over. A refusal is an error.
    pub(super) async fn ask(&self, call: &Call, repeat: Repeat) -> Result<Answer, ClientError> {
        let (clock, limits) = (self.cluster.clock(), self.cluster.limits());
        let end = clock.now().mono.plus(limits.api);
        let mut backoff = Backoff::new(limits.retry, limits.retry_max);
        loop {
            let error = match self.once(call.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let is_known = error.outcome() == Outcome::NotWritten || repeat == Repeat::Harmless;
            if !error.is_passing() || !is_known {
                return Err(error);
            }
            let next = backoff.next_try(clock.now().mono);
            if next >= end {
                return Err(error);
            }
            clock.sleep_until(next).await;
        }
    }

    /// Sends a request, whatever comes of it. A refusal is an error.
    pub(super) async fn once(&self, call: Call) -> Result<Answer, ClientError> {
        let native = self.native.as_ref();
        let native = native.ok_or_else(|| ClientError::Unsupported(NO_NATIVE.to_owned()))?;
        let timeout = self.cluster.limits().request;
        let answer = native.call(call, Bytes::new());
        let answer = self.cluster.within(timeout, answer).await;
        let answer = answer.ok_or_else(|| no_answer("the broker", timeout))?;
        match answer? {
            (Answer::Failure(failure), _) => Err(refused(failure)),
            (answer, _) => Ok(answer),
        }
    }
}

/// The first and the following pages of a stream, or its head alone.
pub(super) fn read_stream(topic: &str, key: &Bytes, from_revision: u64) -> v1::ReadStream {
    v1::ReadStream {
        topic: topic.to_owned(),
        partition: None,
        key: key.clone(),
        from_revision,
        bytes_max: 0,
        as_of: None,
    }
}

/// An answer to another question.
pub(super) fn unexpected(what: &str) -> ClientError {
    ClientError::Unknown(format!("the broker answered {what} with something else"))
}

const NO_NATIVE: &str = "this client was connected to Kafka's protocol, which has no event streams: \
    connect to highwater://HOST:PORT, or embed the broker";
