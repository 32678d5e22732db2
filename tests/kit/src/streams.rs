//! Whether what clients of an event stream were told can have happened, one thing after another.
//!
//! A stream is a list; an append adds to it if its expectation holds, and says where; a conflict
//! and a read say how long the list is. Such histories are linearizable if each call can be given a
//! moment between its begin and its end so that all answers are right. The final list gives the
//! order of the appends, which leaves one question for each call in turn: is there still a moment
//! for it? The earliest is the best.
//!
//! Invariants
//! - Events have ids of their own, so that the final list says what became of each append.

use std::collections::{BTreeMap, HashMap};

/// What an append expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Any,
    /// No event.
    None,
    /// Some event.
    Some,
    /// That this was the revision of the last event.
    Revision(u64),
}

/// What one call did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Did {
    /// It asked to append events with these ids.
    Append {
        /// The ids, in order; never empty.
        ids: Vec<u64>,
        /// What had to hold.
        expected: Expected,
        /// What it was told.
        told: Told,
    },
    /// It read all events, and got these ids.
    Read(Vec<u64>),
}

/// What an append was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The events are stored, the first of them under this revision.
    Stored(u64),
    /// This is the revision of the last event; `None`: there is none.
    Conflict(Option<u64>),
    /// Nothing: the answer was lost, or there was none.
    Nothing,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When it began. All begins and ends have different times.
    pub begin: u64,
    /// When its answer came; none if it never did.
    pub end: Option<u64>,
    /// What it did.
    pub did: Did,
}

/// What happened while the list had one length: the append that made it so long, then whoever saw
/// it.
#[derive(Debug, Default)]
struct Stage<'a> {
    append: Option<Window>,
    seen: Vec<&'a Call>,
}

/// When an append took effect: not before `begin`, and not after `end`.
#[derive(Clone, Copy, Debug)]
struct Window {
    begin: u64,
    end: u64,
}

/// Checks the calls of one stream against what it holds in the end. The same append may have been
/// sent several times.
///
/// ```
/// use highwater_kit::streams::{Call, Did, Expected, Told, check};
///
/// let append = |begin, end, id, told| {
///     let (ids, expected) = (vec![id], Expected::None);
///     Call { begin, end: Some(end), did: Did::Append { ids, expected, told } }
/// };
/// let won = append(1, 4, 7, Told::Stored(0));
/// let lost = append(2, 3, 8, Told::Conflict(Some(0)));
/// assert_eq!(check(&[won.clone(), lost], &[7]), Ok(()));
/// // Whoever begins when the other one is answered cannot find nothing.
/// let blind = append(5, 6, 9, Told::Conflict(None));
/// assert!(check(&[won, blind], &[7]).is_err());
/// ```
///
/// # Errors
/// A sentence about the first call that cannot have happened.
pub fn check(calls: &[Call], list: &[u64]) -> Result<(), String> {
    let mut revisions: HashMap<u64, u64> = HashMap::new();
    for (id, revision) in list.iter().zip(0..) {
        if revisions.insert(*id, revision).is_some() {
            return Err(format!("event {id} stands twice in {list:?}"));
        }
    }
    let mut stages: BTreeMap<u64, Stage<'_>> = BTreeMap::new();
    for call in calls {
        match &call.did {
            Did::Append {
                ids,
                expected,
                told,
            } => place(call, (ids, *expected, *told), &revisions, &mut stages)?,
            Did::Read(ids) => {
                if !list.starts_with(ids) {
                    return Err(format!("{call:?} read what is no begin of {list:?}"));
                }
                stages.entry(ids.len() as u64).or_default().seen.push(call);
            }
        }
    }
    moments(&stages)
}

/// Finds out what became of an append, and at which stage that makes it stand.
fn place<'a>(
    call: &'a Call,
    (ids, expected, told): (&[u64], Expected, Told),
    revisions: &HashMap<u64, u64>,
    stages: &mut BTreeMap<u64, Stage<'a>>,
) -> Result<(), String> {
    let found: Vec<Option<u64>> = ids.iter().map(|id| revisions.get(id).copied()).collect();
    let first = found[0];
    let wanted = |index: usize| first.map(|first| first + index as u64);
    if !found
        .iter()
        .enumerate()
        .all(|(index, at)| *at == wanted(index))
    {
        return Err(format!(
            "{call:?} is stored in part, or in pieces: {found:?}"
        ));
    }
    let is_met = |head: Option<u64>| match expected {
        Expected::Any => true,
        Expected::None => head.is_none(),
        Expected::Some => head.is_some(),
        Expected::Revision(revision) => head == Some(revision),
    };
    if let Some(first) = first.filter(|first| !is_met(first.checked_sub(1))) {
        return Err(format!(
            "{call:?} is stored at {first}, against what it expected"
        ));
    }
    match (told, first) {
        (Told::Stored(revision), _) if first != Some(revision) => {
            Err(format!("{call:?} was told {revision}, and {first:?} is so"))
        }
        (Told::Conflict(_), Some(first)) => Err(format!(
            "{call:?} was told of a conflict, and is stored at {first}"
        )),
        (Told::Conflict(actual), None) if is_met(actual) => Err(format!(
            "{call:?} was told of a conflict with what it expected"
        )),
        (Told::Conflict(actual), None) => {
            let length = actual.map_or(0, |revision| revision + 1);
            stages.entry(length).or_default().seen.push(call);
            Ok(())
        }
        (Told::Stored(_) | Told::Nothing, Some(first)) => {
            let stage = stages.entry(first + ids.len() as u64).or_default();
            let end = match told {
                Told::Stored(_) => call.end.unwrap_or(u64::MAX),
                // Nobody knows how long it was on its way.
                _ => u64::MAX,
            };
            // Of an append that was sent several times any may have done it, before the first that
            // was told so came back.
            let before = stage.append.unwrap_or(Window {
                begin: u64::MAX,
                end: u64::MAX,
            });
            stage.append = Some(Window {
                begin: before.begin.min(call.begin),
                end: before.end.min(end),
            });
            Ok(())
        }
        (Told::Stored(_) | Told::Nothing, None) => Ok(()),
    }
}

/// Gives each call the earliest moment that is left for it.
fn moments(stages: &BTreeMap<u64, Stage<'_>>) -> Result<(), String> {
    let mut now = 0;
    for (length, stage) in stages {
        match stage.append {
            Some(Window { begin, end }) => {
                now = now.max(begin);
                if now > end {
                    return Err(format!(
                        "who made the list {length} long was told so at {end}, when others had \
                         seen it shorter up to {now}"
                    ));
                }
            }
            None if *length > 0 => {
                let seen = stage.seen.first();
                return Err(format!("{seen:?} saw a part of an append: {length} events"));
            }
            None => {}
        }
        let from = now;
        for call in &stage.seen {
            let moment = from.max(call.begin);
            if call.end.is_some_and(|end| moment > end) {
                return Err(format!(
                    "{call:?} saw a list of {length}, which there was from {from} on"
                ));
            }
            now = now.max(moment);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(begin: u64, end: u64, ids: &[u64], expected: Expected, told: Told) -> Call {
        Call {
            begin,
            end: (end > 0).then_some(end),
            did: Did::Append {
                ids: ids.to_vec(),
                expected,
                told,
            },
        }
    }

    fn read(begin: u64, end: u64, ids: &[u64]) -> Call {
        Call {
            begin,
            end: Some(end),
            did: Did::Read(ids.to_vec()),
        }
    }

    /// What is right, and one change each that makes it wrong.
    #[test]
    fn each_lie_is_found() {
        let new = |begin, end, told| append(begin, end, &[1, 2], Expected::None, told);
        let next = |begin, end, told| append(begin, end, &[3], Expected::Revision(1), told);
        let right = [
            new(1, 2, Told::Stored(0)),
            next(3, 6, Told::Stored(2)),
            next(4, 5, Told::Nothing),
            append(7, 8, &[9], Expected::Revision(1), Told::Conflict(Some(2))),
            read(9, 10, &[1, 2, 3]),
            read(4, 20, &[1, 2]),
        ];
        let list = [1, 2, 3];
        assert_eq!(check(&right, &list), Ok(()));
        let wrong = [
            (0, new(1, 2, Told::Stored(1))),
            (0, new(1, 2, Told::Conflict(None))),
            (0, append(1, 2, &[1, 2], Expected::Some, Told::Stored(0))),
            (0, append(1, 2, &[1], Expected::None, Told::Stored(0))),
            (0, append(1, 2, &[1, 8], Expected::None, Told::Stored(0))),
            (1, next(3, 6, Told::Stored(3))),
            (1, next(9, 11, Told::Stored(2))),
            (
                1,
                append(3, 6, &[3], Expected::Revision(0), Told::Stored(2)),
            ),
            (
                1,
                append(3, 6, &[4], Expected::Revision(1), Told::Stored(3)),
            ),
            // The one that it met was appended before it began, and the next one behind its end.
            (
                3,
                append(7, 8, &[9], Expected::Revision(0), Told::Conflict(Some(1))),
            ),
            (
                3,
                append(7, 8, &[9], Expected::Revision(1), Told::Conflict(Some(1))),
            ),
            (
                3,
                append(7, 8, &[9], Expected::Revision(1), Told::Conflict(None)),
            ),
            (4, read(9, 10, &[1, 2])),
            (4, read(9, 10, &[1])),
            (4, read(9, 10, &[2])),
            (5, read(1, 2, &[1, 2, 3])),
        ];
        for (place, call) in wrong {
            let mut calls = right.to_vec();
            // The repeat would excuse it.
            if place == 1 {
                calls.remove(2);
            }
            let place_now = place.min(calls.len() - 1);
            calls[place_now] = call.clone();
            if place == 5 {
                calls.pop();
                calls.push(call.clone());
            }
            assert!(check(&calls, &list).is_err(), "{call:?}");
        }
        assert!(check(&right, &[1, 2, 3, 3]).is_err());
        assert!(check(&right, &[1, 2]).is_err());
    }

    #[test]
    fn what_was_never_answered_may_have_happened_or_not() {
        let lost = append(1, 0, &[1], Expected::None, Told::Nothing);
        assert_eq!(check(std::slice::from_ref(&lost), &[]), Ok(()));
        assert_eq!(check(std::slice::from_ref(&lost), &[1]), Ok(()));
        let again = append(9, 10, &[1], Expected::None, Told::Stored(0));
        let seen = read(5, 6, &[1]);
        assert_eq!(check(&[lost, again.clone(), seen.clone()], &[1]), Ok(()));
        assert!(check(&[again, seen], &[1]).is_err());
    }
}
