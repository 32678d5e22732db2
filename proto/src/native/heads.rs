//! What a head would become in memory, counted by a walk over its bytes before it is decoded.
//!
//! Floor 6 of proto.
//!
//! Invariants
//! - The walk allocates nothing and never fails on what prost would take.
//! - What it counts is at least what the lists of the decoded message take at their peak, when the
//!   last one of them grows.

use std::mem::size_of;

use super::frame::NativeFrameError;
use super::v1;
use crate::varint;

/// The fields of a message that are lists, or that have such fields.
pub(super) type Lists = &'static [List];

/// One such field.
#[derive(Debug)]
pub(super) struct List {
    tag: u32,
    /// What one element takes; 0 if the field is no list.
    element_bytes: usize,
    within: Lists,
}

/// The lists of a request.
pub(super) const REQUEST: Lists = &[List::message(8, APPEND)];

/// The lists of a response.
pub(super) const RESPONSE: Lists = &[List::message(8, APPENDED), List::message(11, STREAM_EVENTS)];

const APPEND: Lists = &[
    List::of::<v1::StreamCheck>(3, &[]),
    List::of::<v1::NewEvent>(4, EVENT),
];
const EVENT: Lists = &[List::of::<v1::Header>(3, &[])];
const APPENDED: Lists = &[List::of::<u64>(4, &[])];
const STREAM_EVENTS: Lists = &[List::of::<v1::StreamEvent>(2, STREAM_EVENT)];
const STREAM_EVENT: Lists = &[List::of::<v1::Header>(5, &[])];

impl List {
    const fn of<T>(tag: u32, within: Lists) -> Self {
        Self {
            tag,
            element_bytes: size_of::<T>(),
            within,
        }
    }

    const fn message(tag: u32, within: Lists) -> Self {
        Self {
            tag,
            element_bytes: 0,
            within,
        }
    }
}

/// Refuses a head whose lists would take more than 64 times its bytes, and 4 KiB.
pub(super) fn check(head: &[u8], lists: Lists) -> Result<(), NativeFrameError> {
    let limit = head.len() * AMPLIFICATION_MAX + SLACK_BYTES;
    if cost(head, lists) > limit {
        return Err(NativeFrameError::Amplified { bytes: head.len() });
    }
    Ok(())
}

/// What the lists of a message take; of one that does not parse, those up to there.
fn cost(mut message: &[u8], lists: Lists) -> usize {
    let mut counts = [0_usize; LISTS_MAX];
    let mut within = 0;
    while let Some((tag, field)) = next(&mut message) {
        let mut counted = lists.iter().zip(&mut counts);
        let Some((list, count)) = counted.find(|(list, _)| list.tag == tag) else {
            continue;
        };
        *count += match field {
            Field::Bytes(bytes) if list.is_packed() => packed(bytes),
            Field::Bytes(bytes) => {
                within += cost(bytes, list.within);
                1
            }
            Field::Number => 1,
        };
    }
    let lists = lists.iter().zip(counts);
    within + lists.map(|(list, count)| list.room(count)).sum::<usize>()
}

impl List {
    fn is_packed(&self) -> bool {
        self.element_bytes == size_of::<u64>()
    }

    /// What a vector takes at most that has grown to so many elements: at most twice as many, and
    /// the one that it grew from. A list that comes in pieces takes no more than its pieces.
    fn room(&self, count: usize) -> usize {
        match count {
            0 => 0,
            _ => (3 * count).max(ELEMENTS_MIN) * self.element_bytes,
        }
    }
}

/// How many numbers stand in a packed list: each has one byte that ends it.
fn packed(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte < 0x80).count()
}

/// What stands in a field.
enum Field<'a> {
    Bytes(&'a [u8]),
    Number,
}

/// Takes the next field off a message; none at its end, and where it does not parse.
fn next<'a>(message: &mut &'a [u8]) -> Option<(u32, Field<'a>)> {
    let key = number(message)?;
    let field = match key & 7 {
        0 => {
            number(message)?;
            Field::Number
        }
        1 => {
            *message = message.get(8..)?;
            Field::Number
        }
        2 => {
            let size = usize::try_from(number(message)?).ok()?;
            let (bytes, rest) = message.split_at_checked(size)?;
            *message = rest;
            Field::Bytes(bytes)
        }
        // A group is skipped: its fields are looked at, as if they stood here.
        3 | 4 => Field::Number,
        5 => {
            *message = message.get(4..)?;
            Field::Number
        }
        _ => return None,
    };
    Some((u32::try_from(key >> 3).ok()?, field))
}

fn number(message: &mut &[u8]) -> Option<u64> {
    let (value, used) = varint::read_u64(message).ok()?;
    *message = message.get(used..)?;
    Some(value)
}

/// As for the messages of Kafka's protocol.
const AMPLIFICATION_MAX: usize = 64;
const SLACK_BYTES: usize = 4096;
/// Lists of one message.
const LISTS_MAX: usize = 4;
/// What a vector begins with.
const ELEMENTS_MIN: usize = 4;

const _: () = assert!(APPEND.len() <= LISTS_MAX && RESPONSE.len() <= LISTS_MAX);
