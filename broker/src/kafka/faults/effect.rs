//! What a fault does to a request that has met it.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - A request has its effect once or not at all, and the fault says which.
//! - The end of the broker waits for no delay.

use std::future::Future;
use std::time::Duration;

use highwater_proto::kafka::messages::metadata::MetadataRequest;
use highwater_proto::kafka::{Request, Response};

use super::reply;
use super::{Action, ErrorCode, Met};
use crate::kafka::api::{Call, metadata};
use crate::kafka::dispatch::Refusal;

/// What becomes of a request that has met a fault.
#[derive(Debug)]
pub(in crate::kafka) enum Outcome {
    /// It is answered.
    Answered(Result<Option<Response>, Refusal>),
    /// It is answered, but the answer loses its end on the way.
    Damaged(Response),
    /// Its session ends without an answer.
    Cut,
}

/// Lets the fault have its way. `execute` executes a request and waits for its answer.
pub(in crate::kafka) async fn suffer<F>(
    call: Call<'_>,
    request: Request,
    met: Met,
    execute: impl FnOnce(Request) -> F,
) -> Outcome
where
    F: Future<Output = Result<Option<Response>, Refusal>>,
{
    match (met.fault().action, met.fault().is_after_effect) {
        (Action::Fail(code), is_after) => {
            let failed = failed(call, &request, code).await;
            if is_after {
                // Only its answer is lost.
                drop(execute(request).await);
            }
            Outcome::Answered(failed)
        }
        (Action::Delay(duration), false) => {
            delay(call, duration).await;
            Outcome::Answered(execute(request).await)
        }
        (Action::Delay(duration), true) => {
            let answer = execute(request).await;
            delay(call, duration).await;
            Outcome::Answered(answer)
        }
        (Action::Drop, false) => Outcome::Cut,
        (Action::Drop, true) => {
            drop(execute(request).await);
            Outcome::Cut
        }
        (Action::Corrupt, _) => corrupted(&met, execute(request).await),
    }
}

fn corrupted(met: &Met, answer: Result<Option<Response>, Refusal>) -> Outcome {
    match answer {
        Ok(Some(Response::Fetch(mut response))) => {
            if reply::has_records(&response) && met.corrupts() {
                reply::corrupt_records(&mut response);
            }
            Outcome::Answered(Ok(Some(response.into())))
        }
        Ok(Some(response)) if met.corrupts() => Outcome::Damaged(response),
        answer => Outcome::Answered(answer),
    }
}

async fn delay(call: Call<'_>, duration: Duration) {
    let clock = call.service.clock();
    let mut closing = call.service.closing();
    tokio::select! {
        biased;
        () = closing.begun() => {}
        () = clock.sleep_until(clock.now().mono.plus(duration)) => {}
    }
}

async fn failed(
    call: Call<'_>,
    request: &Request,
    code: ErrorCode,
) -> Result<Option<Response>, Refusal> {
    if !request.expects_response() {
        let why = format!("{code}, by a scripted fault");
        return Err(Refusal::Unanswered { why });
    }
    if let Request::Metadata(asked) = request {
        // The true answer, without the effect that it may have.
        let asked = MetadataRequest {
            allow_auto_topic_creation: false,
            ..asked.clone()
        };
        let mut response = metadata::handle(call, asked).await;
        reply::metadata(&mut response, code);
        return Ok(Some(response.into()));
    }
    Ok(Some(reply::failed(&call, request, code)))
}
