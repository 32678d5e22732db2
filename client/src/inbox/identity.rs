//! Which event a record is of.
//!
//! Floor 6 of client. Pure.
//!
//! Invariants
//! - The same record has the same identity in each delivery.
//! - What is kept of it fits into an index of either database.

use super::settings::{Inbox, MissingIds};
use crate::envelope::EventId;
use crate::failure::{FailureClass, HandlerError};
use crate::record::ConsumerRecord;

/// An event, by what CloudEvents tells it apart.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) source: String,
    pub(super) id: EventId,
    /// Nobody has given it: it was made from where the record stands.
    pub(super) is_derived: bool,
}

impl Inbox {
    /// The event of a record; `topic_id` is empty if it is not known.
    pub(super) fn identity(
        &self,
        record: &ConsumerRecord,
        topic_id: &str,
    ) -> Result<Identity, HandlerError> {
        let (source, found) = self.envelope.identity(record)?;
        let is_derived = found.is_none() && matches!(self.missing_ids, MissingIds::Derive);
        let id = match (found, self.missing_ids) {
            (Some(id), _) => Some(id),
            (None, MissingIds::Derive) => Some(derived(record, topic_id)),
            (None, MissingIds::Require) => None,
            (None, MissingIds::By(make)) => make(record),
        };
        let id = id.ok_or_else(|| invalid("it has no id, and this inbox wants one"))?;
        let source = source.unwrap_or_else(|| record.topic.to_string());
        let size = id.as_str().len().max(source.len());
        if size > TEXT_BYTES_MAX {
            return Err(invalid(format!(
                "its id or its source has {size} bytes, and at most {TEXT_BYTES_MAX} are kept"
            )));
        }
        if id.as_str().contains('\0') {
            return Err(invalid("its id has a zero byte, which no database keeps"));
        }
        Ok(Identity {
            source,
            id,
            is_derived,
        })
    }

    /// The version of what the record's key stands for, if there is one.
    pub(super) fn version<'a>(
        &self,
        record: &'a ConsumerRecord,
    ) -> Result<Option<(&'a [u8], i64)>, HandlerError> {
        let Some((header, _)) = &self.versions else {
            return Ok(None);
        };
        let mut headers = record.headers.iter().rev();
        let value = headers.find(|it| it.key == *header);
        let (Some(key), Some(value)) = (&record.key, value.and_then(|it| it.value.as_ref())) else {
            return Ok(None);
        };
        if key.len() > TEXT_BYTES_MAX {
            return Err(invalid(format!(
                "its key has {} bytes, and versions are kept of keys of up to {TEXT_BYTES_MAX}",
                key.len()
            )));
        }
        let text = std::str::from_utf8(value).ok();
        let version = text.and_then(|text| text.parse().ok());
        match version.filter(|version| *version >= 0) {
            Some(version) => Ok(Some((key, version))),
            None => Err(invalid(format!(
                "its header {header} is no version: {:?}",
                String::from_utf8_lossy(value)
            ))),
        }
    }
}

/// With the topic's id, since a topic that is made anew begins with the same offsets.
fn derived(record: &ConsumerRecord, topic_id: &str) -> EventId {
    let topic = if topic_id.is_empty() {
        &record.topic
    } else {
        topic_id
    };
    EventId::from(format!("{topic}/{}/{}", record.partition, record.offset))
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> HandlerError {
    HandlerError::new(FailureClass::Invalid, why.into())
}

/// PostgreSQL takes about 2,700 bytes into an entry of an index: a group, a source and an id.
const TEXT_BYTES_MAX: usize = 1_024;
