//! What is served: `/health/live`, `/health/ready` and `/metrics`.
//!
//! Floor 5 of broker, behind the feature `http`.
//!
//! - Live: the process answers.
//! - Ready: what is produced will be stored; else 503 and why not.
//! - Metrics: the text format of Prometheus; one scrape at a time, the next ones wait.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Mutex;

use super::exposition;
use crate::service::Service;

#[derive(Clone)]
struct Shared {
    service: Service,
    /// Whoever scrapes.
    turn: Arc<Mutex<()>>,
}

pub(super) fn router(service: Service) -> Router {
    let shared = Shared {
        service,
        turn: Arc::default(),
    };
    Router::new()
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(shared)
}

async fn ready(State(shared): State<Shared>) -> Response {
    let service = &shared.service;
    let why_not = match service.poisoned() {
        Some(why) => Some(format!("nothing can be written any more: {why}\n")),
        None if service.closing().has_begun() => Some("the broker is shutting down\n".to_owned()),
        None => None,
    };
    match why_not {
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
        None => "ready\n".into_response(),
    }
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let _turn = shared.turn.lock().await;
    match exposition::text(&shared.service).await {
        Ok(text) => ([(CONTENT_TYPE, exposition::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            let why = format!("the metrics could not be written: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, why).into_response()
        }
    }
}
