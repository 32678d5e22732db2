//! Expectations of keys, and the index that they are looked up in, against a model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::keys::{Check, Conflict, ConflictOf, Expect, Head, KeySeed, Keyed, RecordKey};
use crate::log::Sent;
use crate::reader::StreamAsk;

/// One event: its key, its value or a tombstone, what it expects.
#[derive(Clone, Debug)]
struct NewRecord {
    key: u8,
    is_tombstone: bool,
    expect: Wish,
}

/// An expectation, relative to what is so.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Any,
    NoStream {
        allow_recreate: bool,
    },
    Exists,
    /// The revision, and so much more.
    Revision(i64),
    LastOffset(i64),
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        checks: Vec<(u8, Wish)>,
        records: Vec<NewRecord>,
    },
    /// Without keys: the log finds them.
    Plain {
        key: u8,
    },
    Roll,
    Merge,
    Close,
    /// Without a clean stop.
    Crash,
    /// A file of the index changes, by a cut, a bit or as a whole, between two starts.
    Damage {
        file: usize,
        at: usize,
        kind: u8,
    },
}

/// An offset, and a value or a tombstone.
type Event = (i64, Option<Vec<u8>>);

/// What a log with keys must say.
#[derive(Debug, Default)]
struct Model {
    streams: BTreeMap<u8, Vec<Event>>,
    end: i64,
}

impl Model {
    fn head(&self, key: u8) -> Option<Head> {
        let stream = self.streams.get(&key)?;
        let (offset, value) = stream.last()?;
        Some(Head {
            revision: stream.len() as u64 - 1,
            offset: Offset(*offset),
            is_tombstone: value.is_none(),
        })
    }

    fn push(&mut self, key: u8, value: Option<Vec<u8>>) {
        self.streams.entry(key).or_default().push((self.end, value));
        self.end += 1;
    }

    fn expect(&self, key: u8, wish: Wish) -> Expect {
        let head = self.head(key);
        let shifted = |from: i64, by: i64| u64::try_from(from + by).unwrap_or(99);
        match wish {
            Wish::Any => Expect::Any,
            Wish::NoStream { allow_recreate } => Expect::NoStream { allow_recreate },
            Wish::Exists => Expect::Exists,
            Wish::Revision(by) => {
                let now = head.map_or(0, |head| i64::try_from(head.revision).unwrap());
                Expect::Revision(shifted(now, by))
            }
            Wish::LastOffset(by) => {
                Expect::LastOffset(Offset(head.map_or(0, |head| head.offset.0) + by))
            }
        }
    }

    /// The table of conditions, written down once more.
    fn is_met(&self, key: u8, expect: Expect) -> bool {
        match (self.head(key), expect) {
            (_, Expect::Any) | (None, Expect::NoStream { .. }) => true,
            (None, _) => false,
            (Some(head), Expect::NoStream { allow_recreate }) => {
                head.is_tombstone && allow_recreate
            }
            (Some(head), _) if head.is_tombstone => false,
            (Some(_), Expect::Exists) => true,
            (Some(head), Expect::Revision(revision)) => head.revision == revision,
            (Some(head), Expect::LastOffset(offset)) => head.offset == offset,
        }
    }
}

pub(super) fn config() -> LogConfig {
    LogConfig {
        // Sixteen records become a run.
        segment_bytes: 64 << 10,
        key_index: true,
        ..LogConfig::default()
    }
}

pub(super) fn name(key: u8) -> String {
    format!("key-{key}")
}

pub(super) fn batch_of(records: &[(u8, Option<Vec<u8>>)]) -> ProducedBatch {
    let mut builder = BatchBuilder::new(Codec::Lz4);
    for (key, value) in records {
        builder
            .append(1, Some(name(*key).as_bytes()), value.as_deref(), &[])
            .unwrap();
    }
    validate_produced(&builder.build().unwrap(), &ProduceLimits::default()).unwrap()
}

/// A log and its model.
pub(super) struct Pair {
    pub(super) rig: Rig,
    model: Model,
}

impl Pair {
    pub(super) fn new() -> Self {
        Self {
            rig: Rig::new(config()),
            model: Model::default(),
        }
    }

    fn seed(&self) -> KeySeed {
        self.rig.log.reader().key_seed().unwrap()
    }

    fn hash(&self, key: u8) -> crate::keys::KeyHash {
        self.seed().hash(name(key).as_bytes())
    }

    fn append(&mut self, checks: &[(u8, Wish)], records: &[NewRecord]) {
        let value = |offset: i64| format!("at {offset}").into_bytes();
        let mut after = Model {
            streams: self.model.streams.clone(),
            end: self.model.end,
        };
        let mut keyed = Keyed::default();
        let mut wanted: Option<Conflict> = None;
        for (place, (key, wish)) in checks.iter().enumerate() {
            let expect = self.model.expect(*key, *wish);
            keyed.checks.push(Check {
                key: self.hash(*key),
                expect,
            });
            if wanted.is_none() && !self.model.is_met(*key, expect) {
                let (of, actual) = (ConflictOf::Check(place), self.model.head(*key));
                wanted = Some(Conflict {
                    of,
                    expected: expect,
                    actual,
                });
            }
        }
        let mut sent = Vec::new();
        for (place, record) in records.iter().enumerate() {
            let expect = after.expect(record.key, record.expect);
            if wanted.is_none() && !after.is_met(record.key, expect) {
                let (of, actual) = (ConflictOf::Record(place), self.model.head(record.key));
                wanted = Some(Conflict {
                    of,
                    expected: expect,
                    actual,
                });
            }
            keyed.records.push(RecordKey {
                key: self.hash(record.key),
                is_tombstone: record.is_tombstone,
                expect,
            });
            let value = (!record.is_tombstone).then(|| value(after.end));
            sent.push((record.key, value.clone()));
            after.push(record.key, value);
        }
        let batch = batch_of(&sent);
        let sent = Sent {
            batch,
            keyed: Some(keyed),
        };
        let answer = self.rig.log.append_all(&[sent], self.rig.now).remove(0);
        match (answer, wanted) {
            (Ok(appended), None) => {
                assert_eq!(appended.base_offset.0, self.model.end);
                let revisions: Vec<u64> = records
                    .iter()
                    .zip(self.model.end..)
                    .map(|(record, offset)| {
                        let stream = &after.streams[&record.key];
                        stream.iter().position(|(at, _)| *at == offset).unwrap() as u64
                    })
                    .collect();
                assert_eq!(appended.revisions, revisions);
                self.model = after;
            }
            (Err(LogError::Conflict(conflict)), Some(wanted)) => assert_eq!(conflict, wanted),
            (answer, wanted) => panic!("{answer:?}, and {wanted:?} was expected"),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append { checks, records } => self.append(checks, records),
            Step::Plain { key } => {
                let value = Some(b"plain".to_vec());
                let batch = batch_of(&[(*key, value.clone())]);
                let answer = self.rig.log.append(&[batch], self.rig.now).remove(0);
                answer.unwrap();
                self.model.push(*key, value);
            }
            Step::Roll => self.rig.log.roll(self.rig.now).unwrap(),
            Step::Merge => {
                let reader = self.rig.log.reader();
                let index = reader.key_index().unwrap();
                while index.merge(reader.start(), reader.synced()).unwrap() {}
            }
            Step::Close => drop(self.rig.close_and_reopen()),
            Step::Crash => {
                let point = self.rig.sync();
                self.rig.reopen(Some(point), false);
            }
            Step::Damage { file, at, kind } => {
                let point = self.rig.sync();
                self.damage(*file, *at, *kind);
                self.rig.reopen(Some(point), false);
            }
        }
    }

    fn damage(&self, file: usize, at: usize, kind: u8) {
        let dir = Path::new(DIR);
        let mut files: Vec<String> = self.rig.fs.list(dir).unwrap();
        files.retain(|name| name.ends_with(".keys"));
        files.sort();
        if files.is_empty() {
            return;
        }
        let path = dir.join(&files[file % files.len()]);
        let handle = self.rig.fs.open(&path, OpenMode::Append).unwrap();
        let len = usize::try_from(handle.len().unwrap()).unwrap();
        let at = (at % len) as u64;
        match kind % 3 {
            0 => self.rig.fs.remove(&path).unwrap(),
            1 => handle.set_len(at).unwrap(),
            _ => {
                let byte = handle.read_at(at, 1).unwrap()[0] ^ 4;
                handle.write_at(at, &[IoSlice::new(&[byte])]).unwrap();
            }
        }
    }

    /// Everything that the log says of its streams.
    fn compare(&self) {
        let reader = self.rig.log.reader();
        let durable = self.rig.log.sync_target();
        durable.sync().unwrap();
        self.rig.log.marks().advance_durable(durable.end());
        for key in 0..KEYS {
            let text = name(key);
            if reader
                .stream(text.as_bytes(), &StreamAsk::default())
                .is_err()
            {
                // Whoever reads is told; whoever has the log mends it.
                assert!(self.rig.log.heal_keys().unwrap());
            }
            assert_eq!(
                reader.stream_head(text.as_bytes()).unwrap(),
                self.model.head(key),
                "{text}"
            );
            let empty = Vec::new();
            let wanted = self.model.streams.get(&key).unwrap_or(&empty);
            let slice = reader
                .stream(text.as_bytes(), &StreamAsk::default())
                .unwrap();
            assert!(slice.is_complete);
            let found: Vec<Event> = slice
                .records
                .iter()
                .enumerate()
                .map(|(place, read)| {
                    assert_eq!(read.revision, place as u64);
                    let value = read.record.value.as_ref().map(|value| value.to_vec());
                    (read.record.offset, value)
                })
                .collect();
            assert_eq!(&found, wanted, "{text}");
            for (revision, (offset, _)) in wanted.iter().enumerate() {
                let at = reader.revision_at(self.hash(key), Offset(*offset)).unwrap();
                assert_eq!(at, Some(revision as u64));
            }
        }
    }
}

const KEYS: u8 = 9;

fn wishes() -> impl Strategy<Value = Wish> {
    prop_oneof![
        4 => Just(Wish::Any),
        1 => any::<bool>().prop_map(|allow_recreate| Wish::NoStream { allow_recreate }),
        1 => Just(Wish::Exists),
        4 => prop_oneof![6 => Just(0_i64), 1 => Just(-1), 1 => Just(1)].prop_map(Wish::Revision),
        1 => prop_oneof![4 => Just(0_i64), 1 => Just(-1), 1 => Just(1)].prop_map(Wish::LastOffset),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let record =
        (0..KEYS, prop::bool::weighted(0.1), wishes()).prop_map(|(key, is_tombstone, expect)| {
            NewRecord {
                key,
                is_tombstone,
                expect,
            }
        });
    let checks = prop::collection::vec((0..KEYS, wishes()), 0..2);
    let append = (checks, prop::collection::vec(record, 1..5))
        .prop_map(|(checks, records)| Step::Append { checks, records });
    prop_oneof![
        40 => append,
        5 => (0..KEYS).prop_map(|key| Step::Plain { key }),
        2 => Just(Step::Roll),
        3 => Just(Step::Merge),
        2 => Just(Step::Close),
        2 => Just(Step::Crash),
        2 => (any::<usize>(), any::<usize>(), any::<u8>())
            .prop_map(|(file, at, kind)| Step::Damage { file, at, kind }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_streams_are_what_was_appended(
        steps in prop::collection::vec(steps(), 1..160),
    ) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.step(step);
        }
        pair.compare();
        // And so says an index that is made anew from the log alone.
        pair.rig.fs.list(Path::new(DIR)).unwrap().iter().filter(|name| name.ends_with(".keys"))
            .for_each(|name| pair.rig.fs.remove(&Path::new(DIR).join(name)).unwrap());
        let point = pair.rig.sync();
        pair.rig.reopen(Some(point), false);
        pair.compare();
    }
}
