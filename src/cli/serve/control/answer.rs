//! What is asked and what is answered over HTTP: JSON both.
//!
//! Floor 5 of cli.
//!
//! Invariants
//! - A request that makes no sense is answered with the place where it stops to.

use std::fmt::Display;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::testing::TestError;

/// The JSON body of a request, whatever it says its type is.
#[derive(Debug)]
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let path = request.uri().path().to_owned();
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|rejection| Refusal::of_body(&rejection))?;
        serde_json::from_slice(&body).map(Self).map_err(|error| {
            Refusal::of_request(format!("this is not the JSON that {path} takes: {error}"))
        })
    }
}

/// It was done.
#[derive(Debug)]
pub(super) struct Answer(pub(super) Value);

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        respond(StatusCode::OK, &self.0)
    }
}

/// It was not done.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    body: Value,
}

impl Refusal {
    fn new(status: StatusCode, why: impl Display) -> Self {
        let body = json!({ "error": why.to_string() });
        Self { status, body }
    }

    /// What was asked for makes no sense.
    pub(super) fn of_request(why: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why)
    }

    /// What was asked for is not there.
    pub(super) fn unknown(why: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, why)
    }

    /// What was expected did not come: why, and all that there is instead.
    pub(super) fn unmet(why: impl Display, story: impl Display) -> Self {
        let body = json!({ "error": why.to_string(), "story": story.to_string() });
        Self {
            status: StatusCode::NOT_FOUND,
            body,
        }
    }

    /// The broker cannot do it.
    pub(super) fn broken(why: impl Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, why)
    }

    fn of_body(rejection: &BytesRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<TestError> for Refusal {
    fn from(error: TestError) -> Self {
        match error {
            TestError::SystemClock => Self::new(
                StatusCode::CONFLICT,
                "this broker lives by the machine's clock, which cannot be moved: start it with \
                 --clock virtual",
            ),
            TestError::Down => Self::new(StatusCode::SERVICE_UNAVAILABLE, error),
            _ => Self::broken(error),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        respond(self.status, &self.body)
    }
}

fn respond(status: StatusCode, body: &Value) -> Response {
    let head = [(CONTENT_TYPE, "application/json")];
    (status, head, format!("{body}\n")).into_response()
}
