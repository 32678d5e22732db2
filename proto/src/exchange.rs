//! `Exchange`: the seam between a client and a broker.
//!
//! Floor 5 of proto.
//!
//! Invariants
//! - A request is typed on both sides of the seam. Whether it travels as bytes (a connection) or as
//!   it is (an embedded broker) is the business of whoever implements the trait.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use thiserror::Error;

use crate::kafka::{ApiKey, ApiRequest, Request, Response};

/// A future on the heap that any executor can run.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One session with one broker: takes typed requests, gives typed responses.
///
/// Each value is a session of its own, with its own client id, principal and order of requests.
pub trait Exchange: Debug + Send + Sync {
    /// The lowest and the highest version of an API that both sides have; `None` if there is none,
    /// or if the broker does not offer the API.
    fn versions(&self, key: ApiKey) -> Option<(i16, i16)>;

    /// Sends a request in a version out of [`Exchange::versions`].
    ///
    /// The request takes its place in the order of the session before this method returns: two
    /// requests sent one after the other take effect in that order, whichever future is polled
    /// first. Dropping the future gives up the response; it does not undo the request.
    ///
    /// The response is `None` for a request that is not answered, see
    /// [`Request::expects_response`]: then the request has been handed over, no more.
    fn send(
        &self,
        version: i16,
        request: Request,
    ) -> BoxFuture<'static, Result<Option<Response>, ExchangeError>>;
}

/// Why a request has no response.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The broker has surely not seen the request: it may be sent again.
    #[error("the request was not sent: {why}")]
    NotSent {
        /// What went wrong.
        why: String,
    },
    /// The broker may have executed the request: send it again only if that does no harm.
    #[error("the request may have been executed, its response is lost: {why}")]
    Unknown {
        /// What went wrong.
        why: String,
    },
    /// The session has been closed on this side, and the request not sent.
    #[error("the session is closed: open another one")]
    Closed,
}

impl ExchangeError {
    /// Whether the broker has surely not executed the request.
    #[must_use]
    pub const fn is_not_sent(&self) -> bool {
        matches!(self, Self::NotSent { .. } | Self::Closed)
    }
}

/// Sends a typed request and waits for the response that belongs to it.
///
/// As with [`Exchange::send`], the request takes its place before this function returns. For a
/// request that is not answered, use `send`: here a missing response is [`ExchangeError::Unknown`].
///
/// ```
/// use highwater_proto::exchange::{Exchange, ExchangeError, call};
/// use highwater_proto::kafka::messages::describe_cluster::DescribeClusterRequest;
///
/// async fn cluster_id(broker: &dyn Exchange) -> Result<String, ExchangeError> {
///     let response = call(broker, 0, DescribeClusterRequest::default()).await?;
///     Ok(response.cluster_id.into())
/// }
/// ```
pub fn call<R: ApiRequest>(
    exchange: &dyn Exchange,
    version: i16,
    request: R,
) -> impl Future<Output = Result<R::Response, ExchangeError>> + Send + use<R> {
    let response = exchange.send(version, request.into_request());
    async move {
        let response = response.await?;
        response
            .and_then(R::response)
            .ok_or_else(|| ExchangeError::Unknown {
                why: "the answer is of another API".to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use std::future;
    use std::sync::Mutex;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::kafka::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
    use crate::kafka::messages::metadata::MetadataRequest;

    /// Keeps the keys that were sent; answers everything with an ApiVersions response.
    #[derive(Debug, Default)]
    struct Recorder {
        sent: Mutex<Vec<ApiKey>>,
    }

    impl Exchange for Recorder {
        fn versions(&self, _: ApiKey) -> Option<(i16, i16)> {
            Some((0, 0))
        }

        fn send(
            &self,
            _: i16,
            request: Request,
        ) -> BoxFuture<'static, Result<Option<Response>, ExchangeError>> {
            self.sent.lock().unwrap().push(request.key());
            let response = ApiVersionsResponse {
                error_code: 7,
                ..Default::default()
            };
            Box::pin(future::ready(Ok(Some(response.into()))))
        }
    }

    fn now<T>(future: impl Future<Output = T>) -> T {
        let mut future = Box::pin(future);
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("a ready future is pending"),
        }
    }

    #[test]
    fn a_call_is_sent_before_its_future_is_polled() {
        let recorder = Recorder::default();
        let first = call(&recorder, 0, ApiVersionsRequest::default());
        let second = call(&recorder, 0, MetadataRequest::default());
        assert_eq!(
            *recorder.sent.lock().unwrap(),
            [ApiKey::ApiVersions, ApiKey::Metadata]
        );
        drop(second);
        assert_eq!(now(first).unwrap().error_code, 7);
    }

    #[test]
    fn a_response_of_another_api_is_an_unknown_outcome() {
        let error = now(call(&Recorder::default(), 0, MetadataRequest::default())).unwrap_err();
        assert!(matches!(error, ExchangeError::Unknown { .. }));
        assert!(!error.is_not_sent());
    }
}
