//! What caused what, and an order in which no effect stands before its cause.
//!
//! Floor 7 of cli.
//!
//! Invariants
//! - The order is that of time, but for a cause that a clock put behind its effect: it comes just
//!   before the first of its effects.
//! - Events that claim to have caused each other end in no circle.

use std::collections::HashMap;

use highwater_client::EventId;

use crate::cli::told::{Said, Told};

/// An event in its place in the story.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) told: Told,
    pub(super) said: Said,
    /// Where in the story its cause is; `None` if that is not in it, or the event has none.
    pub(super) cause: Option<usize>,
    /// How many causes lead to it from outside.
    pub(super) depth: usize,
}

/// Events that are in the order of time, in that of the story.
pub(super) fn in_order(told: Vec<Told>) -> Vec<Placed> {
    let said: Vec<Said> = told.iter().map(Told::said).collect();
    let mut by_id: HashMap<&EventId, usize> = HashMap::new();
    for (index, said) in said.iter().enumerate() {
        if let Some(id) = &said.id {
            // Of an event that was stored twice the first counts.
            by_id.entry(id).or_insert(index);
        }
    }
    let cause = |said: &Said| {
        let id = said.causation.as_deref().map(EventId::from)?;
        by_id.get(&id).copied()
    };
    let causes: Vec<Option<usize>> = said.iter().map(cause).collect();
    let order = order(&causes);
    let mut place_of = vec![None; order.len()];
    let mut rows: Vec<Option<(Told, Said)>> = told.into_iter().zip(said).map(Some).collect();
    let mut placed: Vec<Placed> = Vec::with_capacity(order.len());
    for index in order {
        let Some((told, said)) = rows.get_mut(index).and_then(Option::take) else {
            continue;
        };
        let cause = causes[index].and_then(|cause| place_of[cause]);
        let depth = cause.map_or(0, |at: usize| placed[at].depth + 1);
        place_of[index] = Some(placed.len());
        placed.push(Placed {
            told,
            said,
            cause,
            depth,
        });
    }
    placed
}

/// The events so that each comes behind its cause.
fn order(causes: &[Option<usize>]) -> Vec<usize> {
    let mut order = Vec::with_capacity(causes.len());
    let mut is_taken = vec![false; causes.len()];
    for first in 0..causes.len() {
        let mut chain = Vec::new();
        let mut next = Some(first);
        while let Some(index) = next.filter(|index| !is_taken[*index]) {
            is_taken[index] = true;
            chain.push(index);
            next = causes[index];
        }
        order.extend(chain.into_iter().rev());
    }
    order
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use highwater_client::{ConsumerRecord, Header};

    use super::*;

    /// Events by their ids and the ids of their causes.
    fn story(events: &[(&str, &str)]) -> Vec<(String, Option<usize>, usize)> {
        let header = |key: &str, value: &str| Header {
            key: key.to_owned(),
            value: Some(Bytes::copy_from_slice(value.as_bytes())),
        };
        let told = |(id, cause): &(&str, &str)| Told {
            record: ConsumerRecord {
                topic: "t".into(),
                partition: 0,
                offset: 0,
                timestamp: 0,
                key: None,
                value: None,
                headers: vec![header("ce_id", id), header("ce_causationid", cause)],
            },
            revision: None,
        };
        let placed = in_order(events.iter().map(told).collect());
        let row = |it: Placed| (it.said.id().to_owned(), it.cause, it.depth);
        placed.into_iter().map(row).collect()
    }

    fn row(id: &str, cause: Option<usize>, depth: usize) -> (String, Option<usize>, usize) {
        (id.to_owned(), cause, depth)
    }

    #[test]
    fn a_cause_stands_before_its_effects_whatever_the_clocks_said() {
        assert_eq!(
            story(&[
                ("c", "b"),
                ("x", "outside"),
                ("b", "a"),
                ("a", ""),
                ("d", "a")
            ]),
            [
                row("a", None, 0),
                row("b", Some(0), 1),
                row("c", Some(1), 2),
                row("x", None, 0),
                row("d", Some(0), 1),
            ]
        );
    }

    #[test]
    fn circles_and_repetitions_come_to_an_end() {
        assert_eq!(story(&[("a", "a")]), [row("a", None, 0)]);
        assert_eq!(
            story(&[("a", "b"), ("b", "a"), ("a", "b")]),
            [
                row("b", None, 0),
                row("a", Some(0), 1),
                row("a", Some(0), 1)
            ]
        );
    }
}
