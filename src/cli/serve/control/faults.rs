//! Faults by script over HTTP: how they are written, and which there are.
//!
//! Floor 5 of cli.
//!
//! Invariants
//! - A name that nothing has is refused: a fault that no request can meet would hide in a test.
//! - There are [`FAULTS_MAX`] faults at most.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Path, State};
use highwater_proto::kafka::APIS;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Control;
use super::answer::{Answer, Asked, Refusal};
use crate::testing::{ApiKey, ErrorCode, Fault, ScriptedFault};

/// A fault as it is asked for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    /// Only for requests of this API, by Kafka's name.
    api: Option<String>,
    /// Only for requests that name this topic.
    topic: Option<String>,
    /// Only for requests that name this group.
    group: Option<String>,
    /// So many requests meet it; all if absent.
    times: Option<u64>,
    /// So many requests pass before.
    #[serde(default)]
    skip: u64,
    action: Action,
}

/// What happens to a request.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// Kafka's name of the error that it is answered with.
    Fail(String),
    /// It waits on the broker's clock.
    DelayMs(u64),
    /// The connection ends before it has an effect.
    Drop,
    /// The connection ends after it had its effect.
    DropAfter,
    /// Its answer is damaged.
    Corrupt,
}

impl Script {
    fn fault(&self) -> Result<Fault, Refusal> {
        let fault = match &self.action {
            Action::Fail(name) => Fault::fail(code(name)?),
            Action::DelayMs(ms) => Fault::delay(Duration::from_millis(*ms)),
            Action::Drop => Fault::drop_connection(),
            Action::DropAfter => Fault::drop_connection().after_effect(),
            Action::Corrupt => Fault::corrupt_reply(),
        };
        let fault = match &self.api {
            Some(name) => fault.on(api(name)?),
            None => fault,
        };
        let fault = self.topic.iter().fold(fault, Fault::topic);
        let fault = self.group.iter().fold(fault, Fault::group);
        let fault = self.times.into_iter().fold(fault, Fault::times);
        Ok(fault.skip(self.skip))
    }
}

fn api(name: &str) -> Result<ApiKey, Refusal> {
    let mut apis = APIS.iter();
    let found = apis.find(|api| api.name.eq_ignore_ascii_case(name));
    found.map(|api| api.key).ok_or_else(|| {
        let names: Vec<&str> = APIS.iter().map(|api| api.name).collect();
        let names = names.join(", ");
        Refusal::of_request(format!("no API has the name {name:?}; they are {names}"))
    })
}

fn code(name: &str) -> Result<ErrorCode, Refusal> {
    let mut codes = ErrorCode::ALL.iter();
    let found = codes.find(|code| code.name().eq_ignore_ascii_case(name));
    found.copied().ok_or_else(|| {
        Refusal::of_request(format!(
            "no error has the name {name:?}; it is one of Kafka's protocol, such as \
             NOT_LEADER_OR_FOLLOWER"
        ))
    })
}

/// The faults that were asked for.
#[derive(Debug, Default)]
pub(super) struct Board(Mutex<Rows>);

#[derive(Debug, Default)]
struct Rows {
    rows: Vec<Row>,
    /// How many there ever were: the next one's id.
    count: u64,
}

#[derive(Debug)]
struct Row {
    id: u64,
    script: Script,
    fault: ScriptedFault,
}

impl Row {
    fn json(&self) -> Value {
        json!({ "id": self.id, "hits": self.fault.hits(), "fault": self.script })
    }
}

impl Board {
    pub(super) fn count(&self) -> usize {
        self.rows().rows.len()
    }

    pub(super) fn clear(&self) {
        let rows = std::mem::take(&mut self.rows().rows);
        rows.iter().for_each(|row| row.fault.remove());
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        // Every change is whole, so that a panic elsewhere leaves it usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) async fn add(
    State(control): State<Arc<Control>>,
    Asked(script): Asked<Script>,
) -> Result<Answer, Refusal> {
    let fault = script.fault()?;
    let mut rows = control.faults.rows();
    if rows.rows.len() == FAULTS_MAX {
        return Err(Refusal::of_request(format!(
            "there are {FAULTS_MAX} faults already: remove those that are over"
        )));
    }
    let row = Row {
        id: rows.count,
        script,
        fault: control.broker.faults().add(fault),
    };
    let told = row.json();
    rows.count += 1;
    rows.rows.push(row);
    Ok(Answer(told))
}

pub(super) async fn list(State(control): State<Arc<Control>>) -> Answer {
    let rows = control.faults.rows();
    let told: Vec<Value> = rows.rows.iter().map(Row::json).collect();
    Answer(json!({ "faults": told }))
}

pub(super) async fn clear(State(control): State<Arc<Control>>) -> Answer {
    control.faults.clear();
    control.state()
}

pub(super) async fn remove(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
) -> Result<Answer, Refusal> {
    let mut rows = control.faults.rows();
    let at = (rows.rows.iter()).position(|row| row.id.to_string() == id);
    let Some(at) = at else {
        return Err(Refusal::unknown(format!("there is no fault {id}")));
    };
    let row = rows.rows.remove(at);
    row.fault.remove();
    Ok(Answer(row.json()))
}

/// More than a person writes, so that a test that adds faults in a loop is told.
const FAULTS_MAX: usize = 1000;
