//! Appends that expect something of a key, case by case.

use super::keyed::{Pair, batch_of, config, name};
use super::*;
use crate::keys::{Expect, Keyed, RecordKey};
use crate::log::Sent;
use crate::reader::StreamAsk;

/// One event of `key` with an expectation, from a producer if `sequence` is given.
fn sent(log: &Log, key: u8, expect: Expect, sequence: Option<i32>) -> Sent {
    let mut builder = BatchBuilder::new(Codec::None);
    let text = name(key);
    builder
        .append(1, Some(text.as_bytes()), Some(b"v"), &[])
        .unwrap();
    builder.set_producer(sequence.map(|base_sequence| Producer {
        id: 7,
        epoch: 0,
        base_sequence,
    }));
    let batch = validate_produced(&builder.build().unwrap(), &ProduceLimits::default()).unwrap();
    let record = RecordKey {
        key: log.reader().key_seed().unwrap().hash(text.as_bytes()),
        is_tombstone: false,
        expect,
    };
    let keyed = Some(Keyed {
        checks: Vec::new(),
        records: vec![record],
    });
    Sent { batch, keyed }
}

fn is_conflict(answer: &Result<Appended, LogError>) -> bool {
    matches!(answer, Err(LogError::Conflict(_)))
}

const NEW: Expect = Expect::NoStream {
    allow_recreate: false,
};

#[test]
fn a_repeat_of_the_network_is_answered_before_what_it_expected() {
    let mut pair = Pair::new();
    let log = &mut pair.rig.log;
    let first = sent(log, 1, NEW, Some(0));
    let again = [first.clone(), first];
    let answers = log.append_all(&again, pair.rig.now);
    let plain: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.map(|a| (a.base_offset.0, a.duplicate)).unwrap())
        .collect();
    assert_eq!(plain, [(0, false), (0, true)]);
    let other = sent(log, 1, NEW, Some(1));
    assert!(is_conflict(&log.append_all(&[other], pair.rig.now)[0]));
}

#[test]
fn keys_must_be_those_of_the_records_and_the_log_must_know_any() {
    let mut pair = Pair::new();
    let now = pair.rig.now;
    let log = &mut pair.rig.log;
    let mut wrong = sent(log, 1, Expect::Any, None);
    wrong.keyed.as_mut().unwrap().records.clear();
    let answer = log.append_all(&[wrong], now).remove(0);
    assert!(matches!(answer, Err(LogError::Keys { .. })), "{answer:?}");
    let good = sent(log, 1, Expect::Any, None);
    let mut plain = Rig::new(small());
    let answer = plain
        .log
        .append_all(std::slice::from_ref(&good), now)
        .remove(0);
    assert!(matches!(answer, Err(LogError::Keys { .. })), "{answer:?}");
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(1, None, Some(b"v"), &[]).unwrap();
    let bytes = builder.build().unwrap();
    let keyless = validate_produced(&bytes, &ProduceLimits::default()).unwrap();
    let answer = log.append(&[keyless], now).remove(0);
    assert!(matches!(answer, Err(LogError::Keys { .. })), "{answer:?}");
    assert_eq!(log.marks().end(), Offset(0));
    assert!(log.append_all(&[good], now).remove(0).is_ok());
}

#[test]
fn revisions_go_on_when_retention_has_removed_their_records() {
    let mut pair = Pair::new();
    let old = LogConfig {
        retention_bytes: Some(0),
        ..config()
    };
    for revision in 0..40 {
        let expect = match revision {
            0 => NEW,
            _ => Expect::Revision(revision - 1),
        };
        let log = &mut pair.rig.log;
        let event = sent(log, 1, expect, None);
        log.append_all(&[event], pair.rig.now).remove(0).unwrap();
    }
    pair.rig.sync();
    pair.rig.log.set_config(old.clone()).unwrap();
    pair.rig.log.roll(pair.rig.now).unwrap();
    let retired = pair.rig.log.apply_retention(pair.rig.now).unwrap();
    assert_eq!((retired.segments, retired.start), (1, Offset(40)));
    pair.rig.config = old;
    for clean in [true, false] {
        let reader = pair.rig.log.reader();
        let head = reader.stream_head(name(1).as_bytes()).unwrap().unwrap();
        assert_eq!((head.revision, head.offset), (39, Offset(39)));
        let slice = reader
            .stream(name(1).as_bytes(), &StreamAsk::default())
            .unwrap();
        assert!(slice.records.is_empty() && slice.is_complete);
        match clean {
            true => drop(pair.rig.close_and_reopen()),
            false => {
                let point = pair.rig.sync();
                drop(pair.rig.reopen(Some(point), false));
            }
        }
    }
    let log = &mut pair.rig.log;
    let next = sent(log, 1, Expect::Revision(39), None);
    let appended = log.append_all(&[next], pair.rig.now).remove(0).unwrap();
    assert_eq!(appended.revisions, [40]);
}

#[test]
fn a_log_gets_its_index_with_its_policies() {
    let mut rig = Rig::new(LogConfig {
        key_index: false,
        ..config()
    });
    rig.log
        .append(&[batch_of(&[(3, Some(b"before".to_vec()))])], rig.now)
        .remove(0)
        .unwrap();
    assert!(rig.log.reader().key_seed().is_none());
    assert!(rig.log.reader().stream_head(b"key-3").is_err());
    rig.log.set_config(config()).unwrap();
    let answer = sent(&rig.log, 3, Expect::Revision(0), None);
    let appended = rig.log.append_all(&[answer], rig.now).remove(0).unwrap();
    assert_eq!(appended.revisions, [1]);
}

#[test]
fn records_without_bytes_have_an_end_too() {
    let mut pair = Pair::new();
    let events = vec![(1, None); 200];
    let answer = pair.rig.log.append(&[batch_of(&events)], pair.rig.now);
    assert_eq!(answer[0].as_ref().unwrap().revisions.len(), 200);
    pair.rig.sync();
    let ask = StreamAsk {
        bytes_max: 1000,
        ..StreamAsk::default()
    };
    let reader = pair.rig.log.reader();
    let slice = reader.stream(name(1).as_bytes(), &ask).unwrap();
    assert_eq!((slice.records.len(), slice.is_complete), (15, false));
}

#[test]
fn what_was_accepted_is_opened_whatever_it_unpacks_to() {
    let mut pair = Pair::new();
    pair.rig.config.segment_bytes = 1 << 20;
    pair.rig.log.set_config(pair.rig.config.clone()).unwrap();
    let big = vec![0; 65 << 20];
    let events = [(1, Some(big)), (1, Some(b"v".to_vec()))];
    let answer = pair.rig.log.append(&[batch_of(&events)], pair.rig.now);
    answer.into_iter().next().unwrap().unwrap();
    let point = pair.rig.sync();
    pair.rig.reopen(Some(point), false);
    let reader = pair.rig.log.reader();
    let ask = StreamAsk {
        from_revision: 1,
        ..StreamAsk::default()
    };
    let slice = reader.stream(name(1).as_bytes(), &ask).unwrap();
    assert_eq!(slice.records.len(), 1);
}

#[test]
fn a_start_within_a_batch_hides_no_record_behind_it() {
    let mut pair = Pair::new();
    let events: Vec<_> = (0..6).map(|n| (n % 2, Some(vec![n]))).collect();
    let answer = pair.rig.log.append(&[batch_of(&events)], pair.rig.now);
    answer.into_iter().next().unwrap().unwrap();
    pair.rig.sync();
    pair.rig
        .log
        .delete_records(Offset(3), pair.rig.now)
        .unwrap();
    // Without the files that know what was deleted.
    for file in pair.rig.fs.list(Path::new(DIR)).unwrap() {
        if file.ends_with(".keys") {
            pair.rig.fs.remove(&Path::new(DIR).join(file)).unwrap();
        }
    }
    let point = pair.rig.sync();
    pair.rig.reopen(Some(point), false);
    let reader = pair.rig.log.reader();
    for (key, wanted) in [(0, vec![4]), (1, vec![3, 5])] {
        let slice = reader.stream(name(key).as_bytes(), &StreamAsk::default());
        let slice = slice.unwrap();
        let offsets: Vec<i64> = slice
            .records
            .iter()
            .map(|read| read.record.offset)
            .collect();
        assert_eq!(offsets, wanted, "{key}");
    }
}

#[test]
fn the_head_that_is_durable_is_found_behind_many_that_are_not() {
    let mut pair = Pair::new();
    let log = &mut pair.rig.log;
    let first = sent(log, 1, NEW, None);
    log.append_all(&[first], pair.rig.now).remove(0).unwrap();
    pair.rig.sync();
    let events = vec![(1, Some(b"v".to_vec())); 100];
    let answer = pair.rig.log.append(&[batch_of(&events)], pair.rig.now);
    answer.into_iter().next().unwrap().unwrap();
    let reader = pair.rig.log.reader();
    let head = || reader.stream_head(name(1).as_bytes()).unwrap().unwrap();
    assert_eq!(head().revision, 0);
    pair.rig.sync();
    assert_eq!(head().revision, 100);
}

#[test]
fn a_journal_is_replayed_over_an_index_that_is_damaged() {
    let mut pair = Pair::new();
    for offset in 0..16 * 8 {
        let event = sent(&pair.rig.log, 1, Expect::Any, None);
        let appended = pair.rig.log.append_all(&[event], pair.rig.now).remove(0);
        assert_eq!(appended.unwrap().revisions, [offset]);
    }
    pair.rig.sync();
    let reader = pair.rig.log.reader();
    let index = reader.key_index().unwrap();
    assert!(index.merge(Offset(0), reader.synced()).unwrap());
    let name = format!("{:020}-{:020}.keys", 0, 128);
    let path = Path::new(DIR).join(name);
    let file = pair.rig.fs.open(&path, OpenMode::Append).unwrap();
    // The last entry stands in the second block.
    file.write_at(4096, &[IoSlice::new(b"rot")]).unwrap();
    let point = pair.rig.sync();
    // Nothing is remembered of what was looked up.
    pair.rig.reopen(Some(point), false);
    let mut batch = batch_of(&[(1, Some(b"v".to_vec()))]).bytes().to_vec();
    batch[..8].copy_from_slice(&128_i64.to_be_bytes());
    batch[12..16].fill(0);
    let log = &mut pair.rig.log;
    log.append_recovered(batch.into(), pair.rig.now).unwrap();
    pair.rig.sync();
    let head = pair.rig.log.reader().stream_head(b"key-1").unwrap();
    assert_eq!(head.unwrap().revision, 128);
}

/// Found by seed 1630 of the torture's `key-seeds`.
#[test]
fn an_append_mends_every_file_that_it_comes_upon() {
    let mut pair = Pair::new();
    // A file of the index for each key.
    for key in 1..=3 {
        for _ in 0..16 {
            let event = sent(&pair.rig.log, key, Expect::Any, None);
            let answer = pair.rig.log.append_all(&[event], pair.rig.now).remove(0);
            answer.unwrap();
        }
    }
    let dir = Path::new(DIR);
    let mut files = pair.rig.fs.list(dir).unwrap();
    files.retain(|name| name.ends_with(".keys"));
    assert_eq!(files.len(), 3);
    for file in &files {
        let handle = pair.rig.fs.open(&dir.join(file), OpenMode::Append).unwrap();
        handle.write_at(3, &[IoSlice::new(b"rot")]).unwrap();
    }
    let batch = batch_of(&[(1, None), (2, None), (3, None)]);
    let answer = pair.rig.log.append(&[batch], pair.rig.now).remove(0);
    answer.unwrap();
    pair.rig.sync();
    let reader = pair.rig.log.reader();
    for key in 1..=3 {
        let head = reader.stream_head(name(key).as_bytes()).unwrap().unwrap();
        assert_eq!(head.revision, 16, "key {key}");
    }
}
