//! The machine against a database, a broker and other relays that do anything: what must hold
//! whatever comes.
//!
//! Floor 6 of client, tests only.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::tests::{item, lane, rules};
use super::*;

/// What the world does next.
#[derive(Clone, Debug)]
enum Event {
    /// A row of a key is committed; 0 has no key.
    Commit(u8),
    /// What is under way with the database is answered.
    Database(Answer),
    /// What is being published is answered: these rows are refused.
    Broker(Refusal, u16),
    /// A command on the first key that is parked: is its first row dropped?
    Release { skips: bool },
    /// Time passes until the machine wakes.
    Wait,
    /// The relay crashes, and another one begins.
    Crash,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Yes,
    Away,
    /// Another relay takes the lead first, and is silent thereafter.
    Overtaken,
    /// It is done, but the answer is lost.
    Lost,
}

#[derive(Clone, Copy, Debug)]
enum Refusal {
    None,
    Rows,
    Never,
    Broker,
}

/// A row as the world knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    seq: i64,
    key: u8,
}

#[derive(Debug)]
struct World {
    machine: Machine,
    now: Mono,
    rows: Vec<Known>,
    /// Up to where rows are stored as done.
    position: i64,
    given: i64,
    owner: u32,
    me: u32,
    beat: i64,
    /// Parked rows, and whether a command has released them; or dropped.
    parked: BTreeMap<i64, (u8, bool)>,
    dropped: BTreeSet<i64>,
    skipped: BTreeSet<i64>,
    /// What the broker has, in its order.
    log: Vec<i64>,
    asked: Option<Effect>,
    publishing: Option<Vec<usize>>,
    /// Commits that named our token since the current rows were read.
    commits_of_ours: u64,
    commits_at_read: BTreeMap<i64, u64>,
    /// Rows that were on the disk before they were read.
    durable: BTreeSet<i64>,
    /// When the last of these commits was.
    shown_at: Mono,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            machine: Machine::new(rules(), Mono(0)),
            now: Mono(0),
            rows: Vec::new(),
            position: 0,
            given: 0,
            owner: 0,
            me: 1,
            beat: 0,
            parked: BTreeMap::new(),
            dropped: BTreeSet::new(),
            skipped: BTreeSet::new(),
            log: Vec::new(),
            asked: None,
            publishing: None,
            commits_of_ours: 0,
            commits_at_read: BTreeMap::new(),
            durable: BTreeSet::new(),
            shown_at: Mono(0),
        };
        world.step(Input::Tick);
        world
    }

    /// The number of the newest row.
    fn last(&self) -> i64 {
        self.rows.last().map_or(0, |row| row.seq)
    }

    fn step(&mut self, input: Input) {
        for effect in self.machine.step(self.now, input) {
            match effect {
                Effect::Publish(indices) => {
                    assert!(self.publishing.is_none());
                    self.check_publish(&indices);
                    self.publishing = Some(indices);
                }
                Effect::Abandon => self.publishing = None,
                Effect::Disconnect => self.asked = None,
                effect => {
                    assert!(self.asked.is_none(), "{effect:?}");
                    self.asked = Some(effect);
                }
            }
        }
    }

    /// Between reading a row and sending it lies a commit of ours, unless the row was on the disk;
    /// and nobody else may have taken the lead without our having lost it.
    fn check_publish(&self, indices: &[usize]) {
        let work = self.machine.current().unwrap();
        for index in indices {
            let seq = work.items[*index].row.seq;
            let is_committed = self.commits_of_ours > self.commits_at_read[&seq];
            assert!(is_committed || self.durable.contains(&seq), "{seq}");
        }
        assert!(self.now.since(self.shown_at) < rules().lease);
    }

    fn run(&mut self, event: Event) {
        match event {
            Event::Commit(key) => {
                let seq = self.last() + 1;
                self.rows.push(Known { seq, key });
                self.step(Input::Woken);
            }
            Event::Database(answer) => self.answer(answer),
            Event::Broker(refusal, bits) => self.publish(refusal, bits),
            Event::Release { skips } => self.release(skips),
            Event::Wait => {
                let at = self.machine.wakes_at();
                if at < Mono::NEVER {
                    self.now = self.now.max(at);
                    self.step(Input::Tick);
                }
            }
            Event::Crash => {
                self.me += 1;
                self.asked = None;
                self.publishing = None;
                self.machine = Machine::new(rules(), self.now);
                self.step(Input::Tick);
            }
        }
    }

    fn answer(&mut self, answer: Answer) {
        let Some(asked) = self.asked.take() else {
            return;
        };
        if let Answer::Overtaken = answer {
            self.owner = 0;
            self.beat += 1;
            self.owner = u32::MAX;
        }
        if let Answer::Away = answer {
            let failed = self.machine.failed(Trouble::Away);
            return self.step(failed);
        }
        let leads = self.owner == self.me;
        let input = match asked {
            Effect::Lead { silent } => self.lead(silent),
            Effect::Version => Input::Version(Ok(None)),
            Effect::Read => self.read(answer),
            Effect::Prove | Effect::Store if !leads => self.machine.failed(Trouble::Overtaken),
            Effect::Prove => {
                self.commit();
                Input::Proven(Ok(()))
            }
            Effect::Store => self.store(),
            other => unreachable!("{other:?}"),
        };
        match (answer, &input) {
            // A read that was lost has given nothing: it is no matter of the database.
            (Answer::Lost, Input::Proven(_) | Input::Stored(_) | Input::Led(_)) => {
                let failed = self.machine.failed(Trouble::Away);
                self.step(failed);
            }
            _ => self.step(input),
        }
    }

    fn commit(&mut self) {
        self.beat += 1;
        self.commits_of_ours += 1;
        self.shown_at = self.now;
    }

    fn lead(&mut self, silent: Option<i64>) -> Input {
        let is_free = self.owner == 0 || self.owner == self.me || silent == Some(self.beat);
        if !is_free {
            return Input::Led(Ok(Led::Follows(self.beat)));
        }
        self.owner = self.me;
        self.commit();
        self.given = self.position;
        Input::Led(Ok(Led::Leads(self.lanes())))
    }

    fn lanes(&self) -> Vec<Lane> {
        let keys: BTreeSet<u8> = self.parked.values().map(|(key, _)| *key).collect();
        keys.into_iter().map(|key| lane(&name(key))).collect()
    }

    fn read(&mut self, answer: Answer) -> Input {
        let released: Vec<(i64, u8)> = self
            .parked
            .iter()
            .filter(|(_, (key, is_released))| {
                let of_key = self.parked.values().any(|(it, free)| it == key && *free);
                *is_released || (*key != 0 && of_key)
            })
            .map(|(seq, (key, _))| (*seq, *key))
            .take(3)
            .collect();
        let mut work = Work::default();
        if released.is_empty() {
            let fresh = self.rows.iter().filter(|row| row.seq > self.given);
            let fresh: Vec<Known> = fresh.take(4).copied().collect();
            work.items = fresh
                .iter()
                .map(|row| item(row.seq, &name(row.key)))
                .collect();
            self.given = fresh.last().map_or(self.given, |row| row.seq);
            work.position = self.given.to_string();
        } else {
            work.origin = Origin::Parked;
            work.has_more = true;
            let items = released.iter().map(|(seq, key)| {
                let item = item(*seq, &name(*key));
                if self.skipped.contains(seq) {
                    item.dropped()
                } else {
                    item
                }
            });
            work.items = items.collect();
        }
        for item in &work.items {
            self.commits_at_read
                .insert(item.row.seq, self.commits_of_ours);
        }
        // One of two databases shows the lead where it reads, unless it reads ahead; and one of
        // two of these may know that everything is on the disk.
        let is_first = self.machine.current().is_none() && work.origin == Origin::Table;
        if is_first && !work.items.is_empty() && self.rows.len().is_multiple_of(2) {
            if self.owner != self.me {
                return self.machine.failed(Trouble::Overtaken);
            }
            let is_durable = self.rows.len().is_multiple_of(4);
            work.proof = match answer {
                Answer::Lost => {
                    self.commit();
                    Proof::None
                }
                _ if is_durable => {
                    let seqs = work.items.iter().map(|item| item.row.seq);
                    self.durable.extend(seqs);
                    Proof::Seen
                }
                _ => {
                    self.commit();
                    Proof::Committed
                }
            };
        }
        Input::Read(Ok((None, work)))
    }

    fn key_of(&self, item: &Item) -> u8 {
        let row = self.rows.iter().find(|row| row.seq == item.row.seq);
        row.expect("it was committed").key
    }

    fn store(&mut self) -> Input {
        let work = self.machine.current().unwrap().clone();
        self.commit();
        let mut failed = BTreeSet::new();
        for item in &work.items {
            let seq = item.row.seq;
            let key = self.key_of(item);
            match item.parked() {
                Some(_) => {
                    self.parked.insert(seq, (key, false));
                    failed.insert(key);
                }
                None => {
                    self.parked.remove(&seq);
                    if self.skipped.contains(&seq) {
                        self.dropped.insert(seq);
                    } else {
                        assert!(self.log.contains(&seq), "{seq} is not published");
                    }
                }
            }
        }
        if work.origin == Origin::Table {
            self.position = work.position.parse().unwrap();
        } else {
            let touched: BTreeSet<u8> = work.items.iter().map(|it| self.key_of(it)).collect();
            for (key, is_released) in self.parked.values_mut() {
                if *key != 0 && touched.contains(key) {
                    *is_released = !failed.contains(key);
                }
            }
        }
        Input::Stored(Ok(Some(self.lanes())))
    }

    fn publish(&mut self, refusal: Refusal, bits: u16) {
        let Some(indices) = self.publishing.take() else {
            return;
        };
        let items = self.machine.current().unwrap().items.clone();
        let mut results = Vec::new();
        for index in indices {
            let seq = items[index].row.seq;
            let is_hit = bits & (1 << (seq % 16)) != 0;
            let fault = match refusal {
                Refusal::Rows if is_hit => Some(Fault::Row("no".to_owned())),
                Refusal::Never if is_hit => Some(Fault::Final("never".to_owned())),
                Refusal::Broker if is_hit => Some(Fault::Broker),
                _ => None,
            };
            if fault.is_none() {
                self.log.push(seq);
            }
            results.push((index, fault.map_or(Ok(()), Err)));
        }
        self.step(Input::Published(results));
    }

    fn release(&mut self, skips: bool) {
        let first = self
            .parked
            .iter()
            .map(|(seq, (key, _))| (*seq, *key))
            .next();
        let Some((first, key)) = first else {
            return;
        };
        for (seq, (it, is_released)) in &mut self.parked {
            *is_released |= *it == key && (key != 0 || *seq == first);
        }
        if skips {
            self.skipped.insert(first);
        }
        self.step(Input::Woken);
    }

    /// Of each key, whatever is stored as done is in the log, dropped or parked; and behind a
    /// parked row nothing of its key is done.
    fn check(&self) {
        for row in self.rows.iter().filter(|row| row.seq <= self.position) {
            let is_done = self.log.contains(&row.seq) || self.dropped.contains(&row.seq);
            assert!(
                is_done || self.parked.contains_key(&row.seq),
                "{row:?} is lost"
            );
        }
        for (seq, (key, _)) in self.parked.iter().filter(|(_, (key, _))| *key != 0) {
            let later = self
                .rows
                .iter()
                .filter(|row| row.key == *key && row.seq > *seq);
            for row in later.filter(|row| row.seq <= self.position) {
                assert!(self.parked.contains_key(&row.seq), "{row:?} passed {seq}");
            }
        }
    }

    /// Everything answers well from now on: everything comes to its end.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if self.publishing.is_some() {
                self.publish(Refusal::None, 0);
            } else if self.asked.is_some() {
                self.answer(Answer::Yes);
            } else if !self.parked.is_empty() && self.parked.values().all(|(_, free)| !free) {
                self.release(false);
            } else if self.position < self.last() || !self.parked.is_empty() {
                self.run(Event::Wait);
            } else {
                return;
            }
            self.check();
        }
        panic!("it comes to no end: {self:?}");
    }

    /// The last time that each row of a key was stored is behind that of the row before it: whoever
    /// keeps the newest ends with the newest.
    fn check_order(&self) {
        for key in 1..=KEYS {
            let rows = self.rows.iter().filter(|row| row.key == key);
            let lasts = rows.filter(|row| !self.dropped.contains(&row.seq));
            let lasts: Vec<usize> = lasts
                .map(|row| self.log.iter().rposition(|seq| *seq == row.seq).unwrap())
                .collect();
            assert!(lasts.is_sorted(), "{key}: {:?}", self.log);
        }
    }
}

fn name(key: u8) -> String {
    match key {
        0 => String::new(),
        key => format!("k{key}"),
    }
}

const KEYS: u8 = 3;

fn event() -> impl Strategy<Value = Event> {
    let answer = prop_oneof![
        12 => Just(Answer::Yes),
        1 => Just(Answer::Away),
        1 => Just(Answer::Overtaken),
        1 => Just(Answer::Lost),
    ];
    let refusal = prop_oneof![
        5 => Just(Refusal::None),
        3 => Just(Refusal::Rows),
        1 => Just(Refusal::Never),
        1 => Just(Refusal::Broker),
    ];
    prop_oneof![
        4 => (0..=KEYS).prop_map(Event::Commit),
        12 => answer.prop_map(Event::Database),
        6 => (refusal, any::<u16>()).prop_map(|(refusal, bits)| Event::Broker(refusal, bits)),
        1 => any::<bool>().prop_map(|skips| Event::Release { skips }),
        4 => Just(Event::Wait),
        1 => Just(Event::Crash),
    ]
}

proptest! {
    #[test]
    fn nothing_is_lost_and_every_key_keeps_its_order(
        events in prop::collection::vec(event(), 1..150),
    ) {
        let mut world = World::new();
        for event in events {
            world.run(event);
            world.check();
        }
        world.settle();
        world.check_order();
    }
}
