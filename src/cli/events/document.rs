//! The state that JSON events build up: the members of each laid over those before.
//!
//! Floor 7 of cli.
//!
//! Invariants
//! - A change tells the state before it and behind it: whoever follows all of them has the state.
//! - A null is a value as any other: only a tombstone takes something away.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

/// What the events so far give.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// `None` before the first event and behind a tombstone.
    pub(super) state: Option<Value>,
}

/// What one event did.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// It changed these values, or none.
    Changed(Vec<Change>),
    /// It deleted the stream.
    Deleted,
    /// Its data is no JSON, and the state stays as it is.
    Opaque { bytes: usize },
}

/// One value that is another one now.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Change {
    /// Where it is, as a JSON pointer (RFC 6901).
    pub(super) path: String,
    /// `None` if there was nothing.
    pub(super) before: Option<Value>,
    pub(super) after: Value,
}

impl Document {
    /// Follows an event.
    pub(super) fn follow(&mut self, data: Option<&Bytes>) -> Step {
        let Some(data) = data else {
            self.state = None;
            return Step::Deleted;
        };
        let Ok(data) = serde_json::from_slice::<Value>(data) else {
            return Step::Opaque { bytes: data.len() };
        };
        let mut changes = Vec::new();
        match (&mut self.state, data) {
            (Some(Value::Object(state)), Value::Object(data)) => {
                lay_over(state, data, &mut String::new(), &mut changes);
            }
            (state @ None, Value::Object(data)) => {
                let mut made = Map::new();
                lay_over(&mut made, data, &mut String::new(), &mut changes);
                *state = Some(Value::Object(made));
            }
            (Some(state), data) if *state == data => {}
            (state, data) => changes.push(Change {
                path: String::new(),
                before: state.replace(data.clone()),
                after: data,
            }),
        }
        Step::Changed(changes)
    }
}

/// Lays members over those of an object. JSON that was read is at most 128 levels deep, so that
/// this is, too.
fn lay_over(
    state: &mut Map<String, Value>,
    data: Map<String, Value>,
    path: &mut String,
    changes: &mut Vec<Change>,
) {
    let above = path.len();
    for (name, value) in data {
        path.push('/');
        path.push_str(&name.replace('~', "~0").replace('/', "~1"));
        match (state.get_mut(&name), value) {
            (Some(Value::Object(inner)), Value::Object(value)) => {
                lay_over(inner, value, path, changes);
            }
            (Some(old), value) if *old == value => {}
            (_, value) => changes.push(Change {
                path: path.clone(),
                before: state.insert(name, value.clone()),
                after: value,
            }),
        }
        path.truncate(above);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn follow(document: &mut Document, data: &'static str) -> Step {
        document.follow(Some(&Bytes::from_static(data.as_bytes())))
    }

    fn changed(changes: &[(&str, Option<Value>, Value)]) -> Step {
        let change = |(path, before, after): &(&str, Option<Value>, Value)| Change {
            path: (*path).to_owned(),
            before: before.clone(),
            after: after.clone(),
        };
        Step::Changed(changes.iter().map(change).collect())
    }

    #[test]
    fn members_are_laid_over_those_before() {
        let mut document = Document::default();
        assert_eq!(
            follow(&mut document, r#"{"a":1,"b":{"c":2,"d/~":3}}"#),
            changed(&[("/a", None, json!(1)), ("/b", None, json!({"c":2,"d/~":3}))])
        );
        assert_eq!(
            follow(&mut document, r#"{"a":1,"b":{"d/~":null,"e":[]},"f":"x"}"#),
            changed(&[
                ("/b/d~1~0", Some(json!(3)), Value::Null),
                ("/b/e", None, json!([])),
                ("/f", None, json!("x")),
            ])
        );
        let state = json!({"a":1,"b":{"c":2,"d/~":null,"e":[]},"f":"x"});
        assert_eq!(document.state, Some(state));
        assert_eq!(follow(&mut document, "{}"), changed(&[]));
    }

    #[test]
    fn what_is_no_object_is_the_state_itself() {
        let mut document = Document::default();
        assert_eq!(follow(&mut document, "{"), Step::Opaque { bytes: 1 });
        assert_eq!(document.state, None);
        assert_eq!(follow(&mut document, "7"), changed(&[("", None, json!(7))]));
        assert_eq!(follow(&mut document, "7"), changed(&[]));
        assert_eq!(
            follow(&mut document, "{\"a\":1}"),
            changed(&[("", Some(json!(7)), json!({"a":1}))])
        );
        assert_eq!(document.follow(None), Step::Deleted);
        assert_eq!(document.state, None);
        assert_eq!(follow(&mut document, "{}"), changed(&[]));
        assert_eq!(document.state, Some(json!({})));
    }
}
