//! An expectation over HTTP: the record that a test waits for.
//!
//! Floor 5 of cli.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Control;
use super::answer::{Answer, Asked, Refusal};
use crate::cli::printed::{Given, Printed};

/// What the record has to be like; what is not named, or null, may be anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    topic: String,
    key: Option<Given>,
    value: Option<Given>,
    #[serde(default)]
    headers: BTreeMap<String, Given>,
    /// What stands in its value, which is JSON: pointers (RFC 6901) and what they point to.
    #[serde(default)]
    json: BTreeMap<String, Value>,
    /// How long to wait for it, by the machine's clock.
    #[serde(default = "within_ms")]
    within_ms: u64,
}

const fn within_ms() -> u64 {
    5_000
}

/// The record, or 404 with the story of what there is instead.
pub(super) async fn expect(
    State(control): State<Arc<Control>>,
    Asked(wanted): Asked<Wanted>,
) -> Result<Answer, Refusal> {
    if wanted.within_ms > WITHIN_MS_MAX {
        return Err(Refusal::of_request(format!(
            "an expectation waits for {WITHIN_MS_MAX} ms (an hour) at most, not {} ms",
            wanted.within_ms
        )));
    }
    let bytes = |given: &Given| given.bytes().map_err(Refusal::of_request);
    let mut expected = control.broker.expect_event(&wanted.topic);
    if let Some(key) = &wanted.key {
        expected = expected.key(bytes(key)?);
    }
    if let Some(value) = &wanted.value {
        expected = expected.value(bytes(value)?);
    }
    for (name, value) in &wanted.headers {
        expected = expected.header(name, bytes(value)?);
    }
    for (pointer, value) in wanted.json {
        expected = expected.json_pointer(pointer, value);
    }
    let wait = Duration::from_millis(wanted.within_ms);
    match expected.try_within(wait).await {
        Ok(record) => Ok(Answer(json!(Printed::of(&record)))),
        Err(not_seen) => Err(Refusal::unmet(
            format!("no such record came to {:?}", wanted.topic),
            not_seen,
        )),
    }
}

/// Nobody waits longer in a test.
const WITHIN_MS_MAX: u64 = 3_600_000;
