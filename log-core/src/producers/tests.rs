//! Windows by themselves: the rules one by one, then against a model that keeps everything.
//!
//! Floor 2 of log-core: tests.

use proptest::prelude::*;

use super::*;
use crate::envelope::EnvelopeError;
use crate::types::LogId;

const OWNER: LogId = LogId {
    topic: [3; 16],
    partition: 7,
};

pub(super) fn header(
    id: i64,
    epoch: i16,
    base_sequence: i32,
    records: i32,
    base: i64,
) -> BatchHeader {
    BatchHeader {
        base_offset: base,
        batch_length: 100,
        leader_epoch: 0,
        crc: 0,
        attributes: 0,
        last_offset_delta: records - 1,
        base_timestamp: 0,
        max_timestamp: 0,
        producer_id: id,
        producer_epoch: epoch,
        base_sequence,
        records_count: records,
    }
}

/// Batches of producer 1, applied in order.
fn window(batches: &[(i16, i32, i32)]) -> Producers {
    let mut producers = Producers::default();
    let mut base = 0;
    for (epoch, sequence, records) in batches {
        producers.apply(&header(1, *epoch, *sequence, *records, base), 0);
        base += i64::from(*records);
    }
    producers
}

#[test]
fn an_older_epoch_is_fenced_and_a_newer_one_begins_at_zero() {
    let producers = window(&[(3, 0, 2)]);
    let check = |epoch, sequence| producers.check(&header(1, epoch, sequence, 1, 0));
    assert_eq!(
        check(2, 2),
        Err(ProducerError::Fenced {
            producer_id: 1,
            epoch: 2,
            current: 3
        })
    );
    assert_eq!(check(3, 2), Ok(Verdict::New));
    assert_eq!(check(4, 0), Ok(Verdict::New));
    let expected = ProducerError::OutOfOrder {
        producer_id: 1,
        sequence: 2,
        expected: 0,
    };
    assert_eq!(check(4, 2), Err(expected));
}

#[test]
fn the_sequence_wraps_to_zero() {
    let producers = window(&[(0, i32::MAX - 1, 3)]);
    let check = |sequence, records| producers.check(&header(1, 0, sequence, records, 0));
    assert_eq!(
        check(1, 1),
        Ok(Verdict::New),
        "2147483646, 2147483647 and 0 are taken"
    );
    assert_eq!(
        check(i32::MAX - 1, 3),
        Ok(Verdict::Duplicate {
            base_offset: Offset(0)
        })
    );
    let expected = ProducerError::OutOfOrder {
        producer_id: 1,
        sequence: i32::MAX,
        expected: 1,
    };
    assert_eq!(check(i32::MAX, 1), Err(expected));
}

#[test]
fn a_repeat_counts_only_if_both_ends_agree() {
    let producers = window(&[(0, 0, 2), (0, 2, 3)]);
    let check = |sequence, records| producers.check(&header(1, 0, sequence, records, 0));
    assert_eq!(
        check(2, 3),
        Ok(Verdict::Duplicate {
            base_offset: Offset(2)
        })
    );
    assert!(check(2, 2).is_err());
    assert!(check(1, 4).is_err());
}

#[test]
fn an_unknown_producer_begins_anywhere_and_a_batch_without_one_is_nothing() {
    let mut producers = Producers::default();
    assert_eq!(producers.check(&header(9, 5, 77, 1, 0)), Ok(Verdict::New));
    assert!(producers.apply(&header(-1, -1, -1, 1, 0), 0).is_none());
    assert!(producers.is_empty());
}

#[test]
fn undoing_gives_the_state_before() {
    let mut producers = window(&[(0, 0, 1)]);
    let before = producers.clone();
    let undo: Vec<_> = [
        header(1, 0, 1, 1, 1),
        header(2, 0, 0, 1, 2),
        header(1, 0, 2, 1, 3),
    ]
    .iter()
    .map(|batch| producers.apply(batch, 0).unwrap())
    .collect();
    assert_ne!(producers, before);
    undo.into_iter().rev().for_each(|undo| producers.undo(undo));
    assert_eq!(producers, before);
}

#[test]
fn the_count_of_producers_is_bounded_and_the_longest_idle_go() {
    let mut producers = Producers::default();
    let count = i64::try_from(PRODUCERS_MAX).unwrap();
    for id in 0..=count {
        producers.apply(&header(id, 0, 0, 1, 0), id);
    }
    assert!(producers.len() <= PRODUCERS_MAX);
    assert!(producers.states.contains_key(&count) && producers.states.contains_key(&(count - 1)));
    assert!(!producers.states.contains_key(&0));
    assert!(
        producers.len() > PRODUCERS_MAX / 2,
        "a sixteenth goes at a time"
    );
}

#[test]
fn the_longest_idle_are_bounded_even_if_all_are_equally_idle() {
    let mut producers = Producers::default();
    for id in 0..1600 {
        producers.apply(&header(id, 0, 0, 1, 0), 0);
    }
    producers.forget_longest_idle();
    assert_eq!(producers.len(), 1500);
}

/// All accepted batches of one epoch of one producer.
type Accepted = Vec<(i32, i32, i64)>;

proptest! {
    /// Small sequence spaces near the wrap, so that everything happens.
    #[test]
    fn verdicts_are_those_of_a_list(
        batches in prop::collection::vec((0..2_i64, 0..3_i16, -4..4_i32, 1..3_i32), 1..60),
    ) {
        let mut producers = Producers::default();
        let mut model: HashMap<i64, (i16, Accepted)> = HashMap::new();
        let mut base = 0;
        for (id, epoch, sequence, records) in batches {
            let sequence = sequence & i32::MAX;
            let batch = header(id, epoch, sequence, records, base);
            let (first, last) = (sequence, batch.last_sequence());
            let expected = match model.get(&id) {
                None => Ok(Verdict::New),
                Some((current, _)) if epoch < *current => Err(()),
                Some((current, _)) if epoch > *current && sequence == 0 => Ok(Verdict::New),
                Some((current, _)) if epoch > *current => Err(()),
                Some((_, seen)) => {
                    let recent = seen.iter().rev().take(5).rev();
                    let same = recent.clone().find(|(f, l, _)| (*f, *l) == (first, last));
                    match (same, recent.clone().next_back()) {
                        (Some((_, _, at)), _) => {
                            Ok(Verdict::Duplicate { base_offset: Offset(*at) })
                        }
                        (None, Some((_, l, _))) if sequence_add(*l, 1) == first => {
                            Ok(Verdict::New)
                        }
                        _ => Err(()),
                    }
                }
            };
            let verdict = producers.check(&batch);
            prop_assert_eq!(verdict.map_err(drop), expected);
            if verdict == Ok(Verdict::New) {
                producers.apply(&batch, 0);
                let state = model.entry(id).or_insert((epoch, Vec::new()));
                if state.0 != epoch {
                    *state = (epoch, Vec::new());
                }
                state.1.push((first, last, base));
                base += i64::from(records);
            }
        }
        let bytes = producers.encode(OWNER, Offset(base), 50);
        let other = LogId { partition: 8, ..OWNER };
        let foreign = Producers::decode(bytes.clone(), Some(other), 0);
        prop_assert_eq!(foreign, Err(EnvelopeError::Foreign));
        let (offset, back) = Producers::decode(bytes, Some(OWNER), 1_000_000).unwrap();
        prop_assert_eq!((offset, &back), (Offset(base), &producers));
    }

    #[test]
    fn any_snapshot_gives_an_answer(body in prop::collection::vec(any::<u8>(), 0..300)) {
        for version in [1, 2] {
            let bytes = crate::envelope::wrap(b"HWPRODS\0", version, &body);
            let _answer = Producers::decode(bytes, None, 0);
        }
    }
}
