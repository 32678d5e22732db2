//! The control of a broker in test mode: what a test does to it, over HTTP with JSON.
//!
//! Floor 5 of cli.
//!
//! Invariants
//! - Every answer is a JSON object; one that is not 200 has a sentence in its field `error`.
//! - What has begun is finished, though whoever asked for it has gone: no broker stays half
//!   started.
//! - A body has at most [`BODY_BYTES_MAX`] bytes.

mod answer;
mod expect;
mod faults;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use highwater_broker::clock::SystemClock;
use highwater_proto::clock::Clock;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

use crate::cli::args::ClockChoice;
use crate::testing::{TestBroker, TestError};
use answer::{Answer, Asked, Refusal};
use faults::Board;

/// What the requests share.
#[derive(Debug)]
pub(super) struct Control {
    broker: Arc<TestBroker>,
    clock: ClockChoice,
    faults: Board,
}

impl Control {
    pub(super) fn new(broker: Arc<TestBroker>, clock: ClockChoice) -> Self {
        Self {
            broker,
            clock,
            faults: Board::default(),
        }
    }

    fn state(&self) -> Answer {
        Answer(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "bootstrap": self.broker.bootstrap(),
            "clock": match self.clock {
                ClockChoice::System => "system",
                ClockChoice::Virtual => "virtual",
            },
            "now_ms": self.broker.now_ms(),
            "faults": self.faults.count(),
        }))
    }

    async fn reset(&self) -> Result<(), TestError> {
        self.faults.clear();
        self.broker.reset().await?;
        if self.clock == ClockChoice::Virtual {
            // The next test begins when it begins, wherever this one has been.
            self.broker.set_now_ms(SystemClock::new().now().wall.0)?;
        }
        Ok(())
    }
}

/// Serves the control until it is dropped.
pub(super) async fn serve(socket: TcpListener, control: Control) {
    let served = axum::serve(socket, router(Arc::new(control))).await;
    if let Err(error) = served {
        tracing::warn!(%error, "HTTP is no longer served");
    }
}

fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route("/test/v1/state", get(state))
        .route("/test/v1/clock/advance", post(advance))
        .route(
            "/test/v1/faults",
            post(faults::add).get(faults::list).delete(faults::clear),
        )
        .route("/test/v1/faults/{id}", delete(faults::remove))
        .route("/test/v1/power-cut", post(power_cut))
        .route("/test/v1/restart", post(restart))
        .route("/test/v1/reset", post(reset))
        .route("/test/v1/expect", post(expect::expect))
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(control)
}

async fn state(State(control): State<Arc<Control>>) -> Answer {
    control.state()
}

/// How far the clock is moved.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    ms: u64,
}

async fn advance(
    State(control): State<Arc<Control>>,
    Asked(asked): Asked<Advance>,
) -> Result<Answer, Refusal> {
    if asked.ms > ADVANCE_MS_MAX {
        return Err(Refusal::of_request(format!(
            "the clock moves from timer to timer, {ADVANCE_MS_MAX} ms (a year) at a time at most, \
             not {} ms: ask several times",
            asked.ms
        )));
    }
    let duration = Duration::from_millis(asked.ms);
    to_its_end(control, async move |control| {
        control.broker.try_advance(duration).await
    })
    .await
}

async fn power_cut(State(control): State<Arc<Control>>) -> Result<Answer, Refusal> {
    to_its_end(control, async |control| control.broker.power_cut().await).await
}

async fn restart(State(control): State<Arc<Control>>) -> Result<Answer, Refusal> {
    to_its_end(control, async |control| control.broker.restart().await).await
}

async fn reset(State(control): State<Arc<Control>>) -> Result<Answer, Refusal> {
    to_its_end(control, async |control| control.reset().await).await
}

/// Does something to the broker, to its end, and tells how it is then.
async fn to_its_end<F>(
    control: Arc<Control>,
    work: impl FnOnce(Arc<Control>) -> F,
) -> Result<Answer, Refusal>
where
    F: Future<Output = Result<(), TestError>> + Send + 'static,
{
    let working = tokio::spawn(work(Arc::clone(&control)));
    working.await.map_err(Refusal::broken)??;
    Ok(control.state())
}

async fn ready(State(control): State<Arc<Control>>) -> Result<&'static str, Refusal> {
    let broker = control.broker.broker()?;
    match broker.service().poisoned() {
        Some(why) => Err(Refusal::broken(why)),
        None => Ok("ready\n"),
    }
}

async fn metrics(State(control): State<Arc<Control>>) -> Result<Response, Refusal> {
    let broker = control.broker.broker()?;
    let text = broker.metrics_text().await.map_err(Refusal::broken)?;
    Ok(([(CONTENT_TYPE, METRICS_TYPE)], text).into_response())
}

async fn unknown(method: Method, uri: Uri) -> Refusal {
    Refusal::unknown(format!(
        "there is no {method} {}; there are GET /test/v1/state, POST /test/v1/clock/advance, POST, \
         GET and DELETE /test/v1/faults, DELETE /test/v1/faults/ID, POST /test/v1/power-cut, POST \
         /test/v1/restart, POST /test/v1/reset, POST /test/v1/expect, GET /health/live, GET \
         /health/ready and GET /metrics",
        uri.path()
    ))
}

/// A condition or a fault is some hundred bytes long.
const BODY_BYTES_MAX: usize = 1 << 20;
/// A clock that moves a year stops at some hundred thousand timers: seconds.
const ADVANCE_MS_MAX: u64 = 366 * 24 * 3_600_000;
/// The text format that every scraper reads.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
