//! Fetch sessions: the view that they give, held against full fetches, and each refusal by name.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::error::FetchError;
use crate::service::fetch::Fetched;

type Key = (TopicRef, i32);

fn config(slots: usize, partitions: usize, of_one: usize) -> BrokerConfig {
    BrokerConfig {
        fetch_session_slots_max: slots,
        fetch_session_partitions_max: partitions,
        request_partitions_max: of_one,
        ..BrokerConfig::default()
    }
}

fn at(seconds: u64) -> Mono {
    Mono::default().plus(Duration::from_secs(seconds))
}

fn ask(topic: &str, partition: i32, fetch_offset: i64) -> FetchPartition {
    FetchPartition {
        topic: TopicRef::from(topic),
        partition,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
        fetch_offset: Offset(fetch_offset),
        max_bytes: 1,
    }
}

fn step(session_id: i32, epoch: i32) -> SessionStep {
    SessionStep {
        session_id,
        epoch,
        naming: Naming::Names,
        forgotten: Vec::new(),
    }
}

/// What partitions hold: start and end, or an error.
#[derive(Clone, Debug, Default)]
struct World(BTreeMap<i32, (i64, i64, bool)>);

impl World {
    fn read(&self, asked: &FetchPartition) -> FetchedPartition {
        let (start, end, is_broken) = self.0.get(&asked.partition).copied().unwrap_or_default();
        let records = if asked.fetch_offset.0 < end {
            vec![Bytes::from(end.to_string())]
        } else {
            Vec::new()
        };
        let found = Fetched {
            high_watermark: Offset(end),
            last_stable_offset: Offset(end),
            log_start_offset: Offset(start),
            diverging: None,
            next_offset: Offset::ZERO,
            records,
        };
        let error = FetchError::UnknownTopicOrPartition;
        FetchedPartition {
            topic: asked.topic.clone(),
            partition: asked.partition,
            result: if is_broken { Err(error) } else { Ok(found) },
        }
    }
}

/// One step from its beginning to its end.
fn turn(
    sessions: &mut Sessions,
    world: &World,
    now: Mono,
    step: SessionStep,
    asked: Vec<FetchPartition>,
    fresh_id: i32,
) -> Result<SessionFetched, FetchSessionError> {
    let (turn, asked) = sessions.begin(now, step, asked)?;
    let fetched = asked.iter().map(|asked| world.read(asked)).collect();
    sessions.finish(now, turn, fresh_id, asked, fetched)
}

fn told(fetched: &SessionFetched) -> Vec<i32> {
    fetched.partitions.iter().map(|one| one.partition).collect()
}

/// What a reader keeps of its session, by the rules of KIP-227.
#[derive(Debug, Default)]
struct Reader {
    session_id: i32,
    epoch: i32,
    asked: BTreeMap<i32, i64>,
    view: BTreeMap<i32, Result<(Offset, Offset), FetchError>>,
}

#[derive(Clone, Debug)]
enum Event {
    Append(i32),
    Trim(i32),
    Break(i32, bool),
    /// Move on in these partitions, add them if they are new, and leave those.
    Fetch(Vec<i32>, Vec<i32>),
    Restart,
    Later,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let partition = 0..6_i32;
    let some = || prop::collection::vec(0..6_i32, 0..4);
    let event = prop_oneof![
        3 => partition.clone().prop_map(Event::Append),
        1 => partition.clone().prop_map(Event::Trim),
        1 => (partition, any::<bool>()).prop_map(|(p, is_broken)| Event::Break(p, is_broken)),
        6 => (some(), some()).prop_map(|(add, leave)| Event::Fetch(add, leave)),
        1 => Just(Event::Restart),
        1 => Just(Event::Later),
    ];
    prop::collection::vec(event, 1..60)
}

impl Reader {
    /// Fetches within the session where there is one, and else begins one.
    fn fetch(
        &mut self,
        sessions: &mut Sessions,
        world: &World,
        now: Mono,
        (add, leave): (&[i32], &[i32]),
    ) {
        for partition in leave {
            self.asked.remove(partition);
            self.view.remove(partition);
        }
        let mut changed = BTreeMap::new();
        for partition in add.iter().filter(|partition| !leave.contains(partition)) {
            let end = world.0.get(partition).copied().unwrap_or_default().1;
            changed.insert(*partition, end);
            self.asked.insert(*partition, end);
        }
        let fresh_id = self.session_id.max(0) + 1;
        if self.epoch > 0 {
            let mut next = step(self.session_id, self.epoch);
            next.forgotten = leave.iter().map(|p| (TopicRef::from("t"), *p)).collect();
            let asked = changed.iter().map(|(p, at)| ask("t", *p, *at)).collect();
            match turn(sessions, world, now, next, asked, fresh_id) {
                Ok(fetched) => return self.learn(fetched),
                Err(error) => assert_eq!(error, FetchSessionError::Unknown),
            }
        }
        self.view.clear();
        let asked = self.asked.iter().map(|(p, at)| ask("t", *p, *at)).collect();
        let full = step(self.session_id, INITIAL);
        let fetched = turn(sessions, world, now, full, asked, fresh_id).unwrap();
        self.epoch = INITIAL;
        self.learn(fetched);
    }

    fn learn(&mut self, fetched: SessionFetched) {
        self.epoch = if fetched.session_id == NONE {
            INITIAL
        } else {
            next_epoch(self.epoch)
        };
        self.session_id = fetched.session_id;
        for one in fetched.partitions {
            let marks = one
                .result
                .map(|found| (found.high_watermark, found.log_start_offset));
            self.view.insert(one.partition, marks);
        }
    }
}

proptest! {
    /// Whatever happens to the partitions, to the session and to the cache, a reader that applies
    /// incremental answers knows what a full fetch would tell it.
    #[test]
    fn incremental_answers_give_the_view_of_full_fetches(
        events in events(),
        slots in 0..2_usize,
        partitions_max in 0..8_usize,
    ) {
        let mut sessions = Sessions::new(&config(slots, partitions_max, 5));
        let (mut world, mut reader, mut seconds) = (World::default(), Reader::default(), 0);
        for event in events {
            match event {
                Event::Append(p) => world.0.entry(p).or_default().1 += 1,
                Event::Trim(p) => {
                    let log = world.0.entry(p).or_default();
                    log.0 = log.1;
                }
                Event::Break(p, is_broken) => world.0.entry(p).or_default().2 = is_broken,
                Event::Restart => sessions = Sessions::new(&config(slots, partitions_max, 5)),
                Event::Later => seconds += 61,
                Event::Fetch(add, leave) => {
                    reader.fetch(&mut sessions, &world, at(seconds), (&add, &leave));
                    let full: BTreeMap<_, _> = reader.asked.iter().map(|(p, offset)| {
                        let read = world.read(&ask("t", *p, *offset)).result;
                        (*p, read.map(|found| (found.high_watermark, found.log_start_offset)))
                    }).collect();
                    prop_assert_eq!(&reader.view, &full);
                }
            }
            let counted: usize = sessions.sessions.values().map(|one| one.order.len()).sum();
            prop_assert_eq!(sessions.partitions_count, counted);
            prop_assert!(counted <= partitions_max && sessions.sessions.len() <= slots);
        }
    }
}

#[test]
fn an_answer_has_what_is_new_and_what_has_records_moves_to_the_end() {
    let mut sessions = Sessions::new(&config(1, 10, 10));
    let mut world = World::default();
    let asked = [0, 1, 2].map(|partition| ask("t", partition, 0)).to_vec();
    let begun = turn(&mut sessions, &world, at(0), step(0, 0), asked, 7).unwrap();
    assert_eq!((begun.session_id, told(&begun)), (7, vec![0, 1, 2]));
    let mut next = |world: &World, epoch, asked| {
        let fetched = turn(&mut sessions, world, at(0), step(7, epoch), asked, 8).unwrap();
        told(&fetched)
    };
    assert_eq!(next(&world, 1, vec![]), []);
    world.0.insert(0, (0, 5, false));
    assert_eq!(next(&world, 2, vec![]), [0]);
    // The records of 0 are there still; the others were asked before it this time.
    world.0.insert(2, (0, 1, false));
    assert_eq!(next(&world, 3, vec![]), [2, 0]);
    // Nothing but the start of the log has moved.
    let read_on = [0, 2].map(|partition| ask("t", partition, 9)).to_vec();
    world.0.insert(1, (3, 3, false));
    assert_eq!(next(&world, 4, read_on), [1]);
    world.0.insert(1, (3, 3, true));
    assert_eq!(next(&world, 5, vec![]), [1]);
    assert_eq!(next(&world, 6, vec![]), [1], "an error is told every time");
    world.0.insert(1, (3, 3, false));
    let read_on = vec![ask("t", 1, 3)];
    assert_eq!(next(&world, 7, read_on), [1], "and that it is over");
    assert_eq!(next(&world, 8, vec![]), []);
}

#[test]
fn a_step_must_follow_the_last_one() {
    let mut sessions = Sessions::new(&config(2, 10, 10));
    let world = World::default();
    let asked = || vec![ask("t", 0, 0)];
    turn(&mut sessions, &world, at(0), step(0, 0), asked(), 7).unwrap();
    let mut next = |step: SessionStep| {
        turn(&mut sessions, &world, at(0), step, vec![], 8).map(|fetched| fetched.session_id)
    };
    let wrong = |asked, expected| Err(FetchSessionError::WrongEpoch { asked, expected });
    assert_eq!(next(step(9, 1)), Err(FetchSessionError::Unknown));
    assert_eq!(next(step(0, 1)), Err(FetchSessionError::Unknown));
    assert_eq!(next(step(7, 2)), wrong(2, 1));
    assert_eq!(next(step(7, -2)), wrong(-2, 1));
    let other = SessionStep {
        naming: Naming::Ids,
        ..step(7, 1)
    };
    assert_eq!(next(other), Err(FetchSessionError::OtherNaming));
    assert_eq!(next(step(7, 1)), Ok(7), "errors change nothing");
    assert_eq!(next(step(7, 1)), wrong(1, 2));
    assert_eq!(next(step(7, FINAL)), Ok(NONE));
    assert_eq!(next(step(7, 2)), Err(FetchSessionError::Unknown));
}

#[test]
fn two_steps_at_once_are_not_both_answered() {
    let mut sessions = Sessions::new(&config(2, 10, 10));
    let world = World::default();
    turn(
        &mut sessions,
        &world,
        at(0),
        step(0, 0),
        vec![ask("t", 0, 0)],
        7,
    )
    .unwrap();
    let (waiting, asked) = sessions.begin(at(0), step(7, 1), vec![]).unwrap();
    // The reader has lost its connection, and goes on over another one.
    turn(&mut sessions, &world, at(0), step(7, 2), vec![], 8).unwrap();
    let late = sessions.finish(at(0), waiting, 9, asked, vec![]);
    assert_eq!(
        late.unwrap_err(),
        FetchSessionError::WrongEpoch {
            asked: 2,
            expected: 3
        }
    );
}

#[test]
fn the_epoch_after_the_largest_is_1() {
    let mut sessions = Sessions::new(&config(1, 10, 10));
    let world = World::default();
    turn(
        &mut sessions,
        &world,
        at(0),
        step(0, 0),
        vec![ask("t", 0, 0)],
        7,
    )
    .unwrap();
    sessions.sessions.get_mut(&7).unwrap().epoch = i32::MAX;
    for epoch in [i32::MAX, 1, 2] {
        turn(&mut sessions, &world, at(0), step(7, epoch), vec![], 8).unwrap();
    }
}

#[test]
fn idle_sessions_give_way_and_others_do_not() {
    let mut sessions = Sessions::new(&config(1, 4, 4));
    let world = World::default();
    let asked = |count| (0..count).map(|p| ask("t", p, 0)).collect::<Vec<_>>();
    let mut begin = |seconds, count, fresh_id| {
        let begun = turn(
            &mut sessions,
            &world,
            at(seconds),
            step(0, 0),
            asked(count),
            fresh_id,
        );
        begun.unwrap().session_id
    };
    assert_eq!(begin(0, 0, 1), NONE, "of nothing there is no session");
    assert_eq!(begin(0, 5, 1), NONE, "more than one session may have");
    assert_eq!(begin(0, 3, 1), 1);
    assert_eq!(begin(120, 1, 2), NONE, "the only place is taken");
    assert_eq!(
        begin(121, 4, 2),
        2,
        "now it was idle for longer than two minutes"
    );
    let gone = turn(&mut sessions, &world, at(121), step(1, 1), vec![], 3);
    assert_eq!(gone.unwrap_err(), FetchSessionError::Unknown);
}

#[test]
fn a_session_that_grows_too_large_is_closed() {
    let mut sessions = Sessions::new(&config(2, 5, 4));
    let world = World::default();
    let key = |topic: &str, range: std::ops::Range<i32>| {
        range.map(|p| ask(topic, p, 0)).collect::<Vec<_>>()
    };
    turn(&mut sessions, &world, at(0), step(0, 0), key("t", 0..3), 1).unwrap();
    turn(&mut sessions, &world, at(0), step(0, 0), key("u", 0..1), 2).unwrap();
    let grown = turn(&mut sessions, &world, at(0), step(2, 1), key("u", 1..3), 3);
    assert_eq!(grown.unwrap_err(), FetchSessionError::Unknown, "6 of 5");
    let grown = turn(&mut sessions, &world, at(0), step(1, 1), key("t", 3..5), 3);
    assert_eq!(grown.unwrap_err(), FetchSessionError::Unknown, "5 of 4");
    let long = "x".repeat(250);
    let fetched = turn(
        &mut sessions,
        &world,
        at(0),
        step(0, 0),
        key(&long, 0..1),
        4,
    )
    .unwrap();
    assert_eq!(fetched.session_id, NONE, "no topic has such a name");
    turn(&mut sessions, &world, at(0), step(0, 0), key("t", 0..1), 5).unwrap();
    let grown = turn(
        &mut sessions,
        &world,
        at(0),
        step(5, 1),
        key(&long, 0..1),
        6,
    );
    assert_eq!(grown.unwrap_err(), FetchSessionError::Unknown);
    assert_eq!(sessions.partitions_count, 0);
}

#[test]
fn a_session_without_partitions_ends() {
    let mut sessions = Sessions::new(&config(2, 5, 4));
    let world = World::default();
    turn(
        &mut sessions,
        &world,
        at(0),
        step(0, 0),
        vec![ask("t", 0, 0)],
        1,
    )
    .unwrap();
    let forget: Vec<Key> = vec![(TopicRef::from("t"), 0), (TopicRef::from("u"), 3)];
    let last = SessionStep {
        forgotten: forget,
        ..step(1, 1)
    };
    let fetched = turn(&mut sessions, &world, at(0), last, vec![], 2).unwrap();
    assert_eq!((fetched.session_id, fetched.partitions.len()), (NONE, 0));
    let gone = turn(&mut sessions, &world, at(0), step(1, 2), vec![], 2);
    assert_eq!(gone.unwrap_err(), FetchSessionError::Unknown);
}
