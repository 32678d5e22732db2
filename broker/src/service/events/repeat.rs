//! Tells a repeat of an append from a conflict.
//!
//! Floor 4 of broker.
//!
//! A client that has lost an answer sends its events again, and what it expects is not so any more:
//! its own events are there. They are recognised by their ids at the place that they claim, which
//! has no limit in time: the log is asked.
//!
//! Invariants
//! - Only durable events are compared, so that the answer stays true.
//! - Events without ids are never taken for stored ones.

use std::collections::HashMap;

use bytes::Bytes;
use highwater_log::error::LogError;
use highwater_log::keys::KeyHash;
use highwater_log::reader::{LogReader, Minimum, StreamAsk, UpTo};
use highwater_log::types::Offset;
use highwater_proto::batch::BatchHeader;
use highwater_proto::record::{Headers, Record, RecordIter};

/// One event of an append, as far as a repeat shows.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) key: Bytes,
    /// The value of its header `ce_id`.
    pub(crate) id: Option<Bytes>,
}

/// The place that one of the events claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Which event of the append it is.
    pub(crate) index: usize,
    /// Its revision.
    pub(crate) revision: u64,
}

/// What stands at the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Another event, or none.
    No,
    /// All of these events, one behind another.
    Yes(StoredEvents),
    /// Some of them. They differ at this revision of the claimed stream, or at events of other
    /// streams before it.
    InPart {
        /// The revision.
        revision: u64,
    },
}

/// Events that are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredEvents {
    /// The offset of the first.
    pub(crate) base_offset: Offset,
    /// The revision of each.
    pub(crate) revisions: Vec<u64>,
}

/// Compares the events of an append with what stands where one of them claims to be.
pub(crate) fn find_repeat(
    reader: &LogReader,
    events: &[Claimed],
    claim: Claim,
    decompressed_bytes_max: usize,
) -> Result<Repeat, LogError> {
    let Some(first) = events.get(claim.index).filter(|event| event.id.is_some()) else {
        return Ok(Repeat::No);
    };
    let ask = StreamAsk {
        from_revision: claim.revision,
        revision_max: claim.revision,
        ..StreamAsk::default()
    };
    let stored = reader.stream(&first.key, &ask)?.records.into_iter().next();
    let Some(stored) = stored.filter(|stored| is_same(first, &stored.record)) else {
        return Ok(Repeat::No);
    };
    let base_offset = stored.record.offset - i64::try_from(claim.index).unwrap_or(i64::MAX);
    let stored = records_from(reader, base_offset, events.len(), decompressed_bytes_max)?;
    let mut revisions = Vec::with_capacity(events.len());
    // Of each stream the next revision: its events in the batch follow one another.
    let mut next: HashMap<&Bytes, u64> = HashMap::new();
    for (index, (event, there)) in events.iter().zip(&stored).enumerate() {
        let Some(record) = there.as_ref().filter(|record| is_same(event, record)) else {
            let claimed = &events[claim.index.min(index)..index];
            let alike = claimed.iter().filter(|other| other.key == first.key);
            let revision = claim.revision + alike.count() as u64;
            return Ok(Repeat::InPart { revision });
        };
        let revision = match next.get(&event.key) {
            Some(revision) => *revision,
            None => revision_of(reader, event, Offset(record.offset))?,
        };
        next.insert(&event.key, revision + 1);
        revisions.push(revision);
    }
    Ok(Repeat::Yes(StoredEvents {
        base_offset: Offset(base_offset),
        revisions,
    }))
}

/// The value of the header that names an event.
pub(crate) fn id_of(headers: &Headers) -> Option<Bytes> {
    let mut headers = headers.iter();
    headers
        .find(|header| &header.name_bytes[..] == ID_HEADER.as_bytes())?
        .value
}

fn is_same(event: &Claimed, record: &Record) -> bool {
    let is_same_key = record.key.as_ref() == Some(&event.key);
    is_same_key && event.id.is_some() && id_of(&record.headers) == event.id
}

/// The durable records at `count` offsets from `base` on; `None` where there is none.
fn records_from(
    reader: &LogReader,
    base: i64,
    count: usize,
    decompressed_bytes_max: usize,
) -> Result<Vec<Option<Record>>, LogError> {
    let end = base.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
    let mut next = Offset(base).max(reader.start());
    let mut found = vec![None; count];
    while next.0 < end {
        let slice = reader.read(next, READ_BYTES, UpTo::Durable, Minimum::OneBatch)?;
        if slice.parts.is_empty() {
            break;
        }
        next = slice.next_offset;
        for mut part in slice.parts {
            while !part.is_empty() {
                let bytes = BatchHeader::parse(&part)?.total_bytes().min(part.len());
                for record in RecordIter::new(part.split_to(bytes), decompressed_bytes_max)? {
                    let record = record?;
                    let place = usize::try_from(record.offset - base).unwrap_or(usize::MAX);
                    if let Some(place) = found.get_mut(place) {
                        *place = Some(record);
                    }
                }
            }
        }
    }
    Ok(found)
}

fn revision_of(reader: &LogReader, event: &Claimed, offset: Offset) -> Result<u64, LogError> {
    let hash = reader
        .key_seed()
        .map_or(KeyHash(0), |seed| seed.hash(&event.key));
    let revision = reader.revision_at(hash, offset)?;
    revision.ok_or_else(|| LogError::Keys {
        why: format!("the key index does not know the record at {offset}"),
    })
}

/// The header that names an event: the id of CloudEvents.
pub(crate) const ID_HEADER: &str = "ce_id";
const READ_BYTES: usize = 64 << 10;
