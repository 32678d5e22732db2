//! From where a partition is read.
//!
//! Floor 6 of client. Pure.
//!
//! Invariants
//! - What it gives lies within the log.
//! - A position that is there is followed, or it is an error, or a policy was asked for by name.

use super::settings::PositionLost;
use crate::config::OffsetReset;
use crate::error::ClientError;

/// A partition of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) group: &'a str,
    pub(super) topic: &'a str,
    pub(super) partition: i32,
}

/// What the database has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// Empty if it was not known.
    pub(super) topic_id: String,
    pub(super) next: i64,
}

/// What the broker has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Log {
    /// Empty if it does not tell.
    pub(super) topic_id: String,
    /// The offset of the oldest record.
    pub(super) start: i64,
    /// The offset behind the newest record.
    pub(super) end: i64,
    /// What the group has committed.
    pub(super) committed: Option<i64>,
}

/// The offset to read from: the database's, else the group's, else what `auto.offset.reset` says.
pub(super) fn start(
    asked: Asked<'_>,
    stored: Option<&Stored>,
    log: &Log,
    reset: OffsetReset,
    lost: PositionLost,
) -> Result<i64, ClientError> {
    let (who, position) = match (stored, log.committed) {
        (Some(stored), _) => ("the database", stored.next),
        (None, Some(committed)) => ("the group", committed),
        (None, None) => return first(asked, log, reset),
    };
    let is_other =
        |id: &&String| !id.is_empty() && !log.topic_id.is_empty() && **id != log.topic_id;
    let other = stored.map(|it| &it.topic_id).filter(is_other);
    if other.is_none() && (log.start..=log.end).contains(&position) {
        return Ok(position);
    }
    match lost {
        PositionLost::Earliest => Ok(log.start),
        PositionLost::Latest => Ok(log.end),
        PositionLost::Refuse => {
            let Asked {
                group,
                topic,
                partition,
            } = asked;
            let (start, end) = (log.start, log.end);
            let what = match other {
                Some(other) => format!(
                    "of the topic with the id {other}, and the one of that name now has the id \
                     {} and the offsets {start} to {end}: it was made anew",
                    log.topic_id
                ),
                None if position < start => format!(
                    "and its log has the offsets {start} to {end}: the records between were \
                     deleted before they were handled"
                ),
                None => format!(
                    "and its log has the offsets {start} to {end}: it has lost records that were \
                     handled"
                ),
            };
            Err(ClientError::Invalid(format!(
                "{who} has {position} as the position of the group {group} in \
                 {topic}-{partition}, {what}; say where to go on with Inbox::position_lost"
            )))
        }
    }
}

fn first(asked: Asked<'_>, log: &Log, reset: OffsetReset) -> Result<i64, ClientError> {
    match reset {
        OffsetReset::Earliest => Ok(log.start),
        OffsetReset::Latest => Ok(log.end),
        OffsetReset::None => Err(ClientError::NoOffset {
            topic: asked.topic.to_owned(),
            partition: asked.partition,
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ASKED: Asked<'_> = Asked {
        group: "g",
        topic: "t",
        partition: 0,
    };

    fn log(start: i64, end: i64, committed: Option<i64>) -> Log {
        Log {
            topic_id: "new".to_owned(),
            start,
            end,
            committed,
        }
    }

    fn stored(topic_id: &str, next: i64) -> Stored {
        Stored {
            topic_id: topic_id.to_owned(),
            next,
        }
    }

    fn refused(stored: Option<&Stored>, log: &Log) -> String {
        let (reset, lost) = (OffsetReset::Earliest, PositionLost::Refuse);
        let refused = start(ASKED, stored, log, reset, lost);
        refused.unwrap_err().to_string()
    }

    #[test]
    fn a_position_that_is_lost_is_named_with_both_figures() {
        let all = "the position of the group g in t-0, ";
        let text = refused(Some(&stored("new", 3)), &log(5, 9, None));
        assert!(
            text.contains(&format!("the database has 3 as {all}")),
            "{text}"
        );
        assert!(
            text.contains("the offsets 5 to 9: the records between"),
            "{text}"
        );
        let text = refused(Some(&stored("new", 10)), &log(5, 9, Some(7)));
        assert!(text.contains("5 to 9: it has lost records"), "{text}");
        let text = refused(None, &log(5, 9, Some(3)));
        assert!(
            text.contains(&format!("the group has 3 as {all}")),
            "{text}"
        );
        let text = refused(Some(&stored("old", 7)), &log(5, 9, None));
        assert!(
            text.contains("the id old, and the one of that name now has the id new"),
            "{text}"
        );
        // What is not known is no contradiction.
        let known = start(
            ASKED,
            Some(&stored("", 7)),
            &log(5, 9, None),
            OffsetReset::None,
            PositionLost::Refuse,
        );
        assert_eq!(known, Ok(7));
    }

    proptest! {
        #[test]
        fn a_start_lies_within_the_log_and_a_known_position_is_followed_or_refused(
            from in 0..20_i64,
            length in 0..20_i64,
            position in proptest::option::of((any::<bool>(), 0..60_i64)),
            committed in proptest::option::of(0..60_i64),
            reset in prop_oneof![
                Just(OffsetReset::Earliest),
                Just(OffsetReset::Latest),
                Just(OffsetReset::None),
            ],
            lost in prop_oneof![
                Just(PositionLost::Earliest),
                Just(PositionLost::Latest),
                Just(PositionLost::Refuse),
            ],
        ) {
            let log = log(from, from + length, committed);
            let id = |is_old: bool| if is_old { "old" } else { "new" };
            let kept = position.map(|(is_old, next)| stored(id(is_old), next));
            let found = start(ASKED, kept.as_ref(), &log, reset, lost);
            if let Ok(offset) = found {
                prop_assert!((log.start..=log.end).contains(&offset));
            }
            let is_old = position.is_some_and(|(is_old, _)| is_old);
            let known = position.map(|(_, next)| next).or(committed);
            match known.filter(|it| !is_old && (log.start..=log.end).contains(it)) {
                Some(known) => prop_assert_eq!(found, Ok(known)),
                None if known.is_some() => {
                    prop_assert_eq!(found.is_err(), lost == PositionLost::Refuse);
                }
                None => prop_assert_eq!(found.is_err(), reset == OffsetReset::None),
            }
        }
    }
}
