//! What partitions hold: their first offset, and the one behind their last.
//!
//! Floor 1 of cli.
//!
//! Invariants
//! - An end is never before its start.
//! - Asking creates nothing.

use std::collections::BTreeMap;
use std::fmt;

use highwater_client::{Admin, ClientError, OffsetSpec};
use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::moment::From;

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) topic: String,
    pub(crate) partition: i32,
}

impl Place {
    /// Every partition of a topic that has so many.
    pub(crate) fn all(topic: &str, count: i32) -> impl Iterator<Item = Self> {
        (0..count).map(move |partition| Self {
            topic: topic.to_owned(),
            partition,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// The offsets of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Span {
    /// The oldest record.
    pub(crate) start: i64,
    /// Behind the newest one.
    pub(crate) end: i64,
}

impl Span {
    /// How many offsets lie in it.
    pub(crate) const fn records(&self) -> i64 {
        self.end - self.start
    }
}

/// The spans of these partitions, which must exist.
pub(crate) async fn spans(
    admin: &Admin,
    places: &[Place],
) -> Result<BTreeMap<Place, Span>, ClientError> {
    let starts = offsets(admin, places, OffsetSpec::Earliest).await?;
    let ends = offsets(admin, places, OffsetSpec::Latest).await?;
    let span = |(place, (start, end)): (&Place, (Option<i64>, Option<i64>))| {
        let start = start.unwrap_or_default();
        let end = end.unwrap_or_default().max(start);
        (place.clone(), Span { start, end })
    };
    Ok(places
        .iter()
        .zip(starts.into_iter().zip(ends))
        .map(span)
        .collect())
}

/// The offset that a place in time or in the log means in each of these partitions, within what
/// they hold.
pub(crate) async fn resolve(
    admin: &Admin,
    spans: &BTreeMap<Place, Span>,
    to: From,
) -> Result<BTreeMap<Place, i64>, Failure> {
    let places: Vec<Place> = spans.keys().cloned().collect();
    let at_time = match to {
        From::Timestamp(ms) => offsets(admin, &places, OffsetSpec::Timestamp(ms)).await?,
        _ => vec![None; places.len()],
    };
    let mut resolved = BTreeMap::new();
    for ((place, span), at_time) in spans.iter().zip(at_time) {
        let offset = match to {
            From::Earliest => span.start,
            From::Latest => span.end,
            From::Offset(offset) => offset,
            From::Last(count) => span.end.saturating_sub(count),
            From::Timestamp(_) => at_time.unwrap_or(span.end),
        };
        resolved.insert(place.clone(), offset.clamp(span.start, span.end));
    }
    Ok(resolved)
}

async fn offsets(
    admin: &Admin,
    places: &[Place],
    spec: OffsetSpec,
) -> Result<Vec<Option<i64>>, ClientError> {
    let asked: Vec<_> = places
        .iter()
        .map(|place| (place.topic.as_str(), place.partition, spec))
        .collect();
    let found = admin.offsets(&asked).await?;
    Ok(found.into_iter().map(|it| it.offset).collect())
}
