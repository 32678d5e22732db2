//! The machine, step by step.
//!
//! Floor 6 of client, tests only.

use super::*;
use crate::outbox::capture::Row;
use crate::sql::SqlRow;

const LEASE: Duration = Duration::from_secs(9);

pub(super) fn rules() -> Rules {
    Rules {
        attempts_max: 3,
        lease: LEASE,
        poll_first: Duration::from_millis(1),
        poll_max: Duration::from_millis(50),
        drain: Duration::from_secs(5),
    }
}

pub(super) fn lane(key: &str) -> Lane {
    Lane::new("t".to_owned(), key.to_owned())
}

pub(super) fn item(seq: i64, key: &str) -> Item {
    let row = Row {
        seq,
        created_ms: None,
        values: SqlRow::default(),
    };
    Item::new(row, (!key.is_empty()).then(|| lane(key)), 0)
}

fn work(rows: &[(i64, &str)]) -> Work {
    Work {
        items: rows.iter().map(|(seq, key)| item(*seq, key)).collect(),
        position: rows
            .last()
            .map(|(seq, _)| seq.to_string())
            .unwrap_or_default(),
        ..Work::default()
    }
}

fn read(version: i64, rows: &[(i64, &str)]) -> Input {
    Input::Read(Ok((Some(version), work(rows))))
}

fn ms(ms: u64) -> Mono {
    Mono(0).plus(Duration::from_millis(ms))
}

/// A machine that leads, and has asked for its first rows.
fn leading(parked: Vec<Lane>) -> Machine {
    let mut machine = Machine::new(rules(), ms(0));
    let effects = machine.step(ms(0), Input::Tick);
    assert_eq!(effects, [Effect::Lead { silent: None }]);
    let effects = machine.step(ms(0), Input::Led(Ok(Led::Leads(parked))));
    assert_eq!(effects, [Effect::Read]);
    machine
}

/// One that publishes these rows.
fn publishing(rows: &[(i64, &str)]) -> Machine {
    let mut machine = leading(Vec::new());
    assert_eq!(machine.step(ms(0), read(1, rows)), [Effect::Prove]);
    let all = (0..rows.len()).collect();
    assert_eq!(
        machine.step(ms(0), Input::Proven(Ok(()))),
        [Effect::Publish(all)]
    );
    machine
}

fn published(results: Vec<Result<(), Fault>>) -> Input {
    Input::Published(results.into_iter().enumerate().collect())
}

fn no(why: &str) -> Result<(), Fault> {
    Err(Fault::Row(why.to_owned()))
}

fn states(machine: &Machine) -> String {
    let items = machine.current().map(|work| work.items.as_slice());
    items.unwrap_or_default().iter().map(Item::letter).collect()
}

#[test]
fn a_commit_of_its_own_lies_between_reading_and_publishing_and_one_stores_two_batches() {
    let mut machine = publishing(&[(1, "a"), (2, "b")]);
    // What comes next is read before this is stored: so one commit serves both.
    let done = published(vec![Ok(()), Ok(())]);
    assert_eq!(machine.step(ms(1), done), [Effect::Read]);
    assert_eq!(machine.step(ms(1), read(2, &[(3, "a")])), [Effect::Store]);
    let effects = machine.step(ms(2), Input::Stored(Ok(None)));
    assert_eq!(effects, [Effect::Publish(vec![0])]);
    assert_eq!(machine.current().unwrap().items[0].row.seq, 3);
    assert_eq!(machine.step(ms(3), published(vec![Ok(())])), [Effect::Read]);
    assert_eq!(machine.step(ms(3), read(3, &[])), [Effect::Store]);
    assert_eq!(machine.step(ms(3), Input::Stored(Ok(None))), []);
}

#[test]
fn rows_that_were_read_in_a_commit_of_its_own_need_no_other_one() {
    let mut machine = leading(Vec::new());
    let read = |proof| {
        let work = Work {
            proof,
            ..work(&[(1, "a")])
        };
        Input::Read(Ok((Some(1), work)))
    };
    let effects = machine.step(ms(7), read(Proof::Committed));
    assert_eq!(effects, [Effect::Publish(vec![0])]);
    // It was as good as any other one: the lead is shown again a third of a lease later.
    assert_eq!(machine.wakes_at(), Mono(0).plus(LEASE / 3));

    let mut machine = leading(Vec::new());
    let overtaken = machine.failed(Trouble::Overtaken);
    assert_eq!(machine.step(ms(7), overtaken), []);
    assert!(!machine.leads());
}

#[test]
fn rows_that_were_on_the_disk_already_are_published_while_the_lead_lasts_that_was_shown() {
    let seen = |seq| {
        let work = Work {
            proof: Proof::Seen,
            ..work(&[(seq, "a")])
        };
        Input::Read(Ok((Some(seq), work)))
    };
    // The lead is taken, and was never shown.
    let mut machine = leading(Vec::new());
    assert_eq!(machine.step(ms(7), seen(1)), [Effect::Prove]);
    let effects = machine.step(ms(8), Input::Proven(Ok(())));
    assert_eq!(effects, [Effect::Publish(vec![0])]);
    let done = published(vec![Ok(())]);
    assert_eq!(machine.step(ms(8), done.clone()), [Effect::Read]);
    assert_eq!(machine.step(ms(8), read(1, &[])), [Effect::Store]);
    assert_eq!(machine.step(ms(8), Input::Stored(Ok(None))), []);

    // The beat came at 8 ms; what is only seen is none.
    assert_eq!(machine.step(ms(9), Input::Woken), [Effect::Read]);
    assert_eq!(machine.step(ms(9), seen(2)), [Effect::Publish(vec![0])]);
    assert_eq!(machine.wakes_at(), ms(8).plus(LEASE / 3));
    assert_eq!(machine.step(ms(9), done), [Effect::Read]);
    machine.step(ms(9), read(2, &[]));
    machine.step(ms(9), Input::Stored(Ok(None)));
    let late = ms(9).plus(LEASE);
    assert_eq!(machine.step(late, Input::Woken), [Effect::Read]);
    assert_eq!(machine.step(late, seen(3)), [Effect::Prove]);
}

#[test]
fn while_the_broker_works_the_next_rows_are_read_and_no_more() {
    let mut machine = leading(Vec::new());
    let many = |first: i64| {
        let rows = Work {
            has_more: true,
            ..work(&[(first, "a")])
        };
        Input::Read(Ok((Some(1), rows)))
    };
    assert_eq!(machine.step(ms(0), many(1)), [Effect::Prove]);
    let effects = machine.step(ms(0), Input::Proven(Ok(())));
    assert_eq!(effects, [Effect::Publish(vec![0]), Effect::Read]);
    assert_eq!(machine.step(ms(0), many(2)), []);
    assert_eq!(machine.step(ms(1), Input::Woken), []);
    let done = published(vec![Ok(())]);
    assert_eq!(machine.step(ms(2), done), [Effect::Store]);
    // The commit that stores came after the next rows were read: it proves them.
    let effects = machine.step(ms(3), Input::Stored(Ok(None)));
    assert_eq!(effects, [Effect::Publish(vec![0]), Effect::Read]);
    assert_eq!(machine.current().unwrap().items[0].row.seq, 2);

    // What fails meanwhile keeps them waiting.
    assert_eq!(machine.step(ms(3), many(3)), []);
    assert_eq!(machine.step(ms(4), published(vec![no("x")])), []);
    let at = machine.wakes_at();
    assert_eq!(machine.step(at, Input::Tick), [Effect::Publish(vec![0])]);
}

#[test]
fn an_idle_relay_looks_ever_less_often_and_is_woken_at_once() {
    let mut machine = leading(Vec::new());
    assert_eq!(machine.step(ms(0), read(7, &[])), []);
    let mut looks = Vec::new();
    for _ in 0..30 {
        let at = machine.wakes_at();
        assert_eq!(machine.step(at, Input::Tick), [Effect::Version]);
        assert_eq!(machine.step(at, Input::Version(Ok(Some(7)))), []);
        looks.push(at.since(ms(0)).as_millis());
    }
    assert_eq!(looks[..9], [1, 2, 3, 5, 8, 11, 15, 19, 25]);
    assert_eq!(looks[29] - looks[28], 50);
    let now = ms(1_000);
    assert_eq!(machine.step(now, Input::Woken), [Effect::Read]);
    // A commit while it reads: the rows of it may not be among those that come.
    assert_eq!(machine.step(now, Input::Woken), []);
    assert_eq!(machine.step(now, read(8, &[])), [Effect::Read]);
    assert_eq!(machine.step(now, read(9, &[])), []);
    // One of another process is seen by the number of commits.
    let at = machine.wakes_at();
    assert_eq!(machine.step(at, Input::Tick), [Effect::Version]);
    assert_eq!(
        machine.step(at, Input::Version(Ok(Some(10)))),
        [Effect::Read]
    );
    // Where there is no such number, rows are looked for.
    assert_eq!(machine.step(at, read(10, &[])), []);
    let at = machine.wakes_at();
    assert_eq!(machine.step(at, Input::Tick), [Effect::Version]);
    assert_eq!(machine.step(at, Input::Version(Ok(None))), [Effect::Read]);
}

#[test]
fn behind_a_row_that_failed_nothing_of_its_lane_counts_as_published() {
    let mut machine = publishing(&[(1, "a"), (2, "b"), (3, "a"), (4, "")]);
    // The third one was stored although the first one was not: it is sent again behind it.
    let effects = machine.step(ms(1), published(vec![no("x"), Ok(()), Ok(()), Ok(())]));
    assert_eq!(effects, []);
    assert_eq!(states(&machine), "upup");
    let at = machine.wakes_at();
    assert_eq!(at, ms(101));
    assert_eq!(machine.step(at, Input::Tick), [Effect::Publish(vec![0, 2])]);
    let done = Input::Published(vec![(0, Ok(())), (2, Ok(()))]);
    assert_eq!(machine.step(at, done), [Effect::Read]);
    assert_eq!(states(&machine), "pppp");
}

#[test]
fn a_row_whose_attempts_are_used_up_is_parked_with_the_later_rows_of_its_lane() {
    let mut machine = publishing(&[(1, "a"), (2, "b"), (3, "a")]);
    machine.step(ms(1), published(vec![no("x"), Ok(()), Err(Fault::Held)]));
    let again = || Input::Published(vec![(0, no("y")), (2, Err(Fault::Held))]);
    let at = machine.wakes_at();
    assert_eq!(machine.step(at, Input::Tick), [Effect::Publish(vec![0, 2])]);
    assert_eq!(machine.step(at, again()), []);
    let second = machine.wakes_at();
    assert_eq!(second.since(at), Duration::from_millis(200));
    machine.step(second, Input::Tick);
    assert_eq!(machine.step(second, again()), [Effect::Read]);
    assert_eq!(states(&machine), "kpk");
    let work = machine.current().unwrap();
    assert_eq!(
        (work.items[0].parked(), work.items[0].attempts),
        (Some("y"), 3)
    );
    let behind = "an earlier row of its key is parked";
    assert_eq!(
        (work.items[2].parked(), work.items[2].attempts),
        (Some(behind), 0)
    );

    // So are those that come later, without being sent.
    assert_eq!(
        machine.step(second, read(2, &[(4, "a"), (5, "c")])),
        [Effect::Store]
    );
    let parked = Input::Stored(Ok(Some(vec![lane("a")])));
    assert_eq!(machine.step(second, parked), [Effect::Publish(vec![1])]);
    assert_eq!(states(&machine), "ku");
    assert_eq!(machine.parked_count(), 1);
}

#[test]
fn what_will_never_be_taken_is_parked_at_once() {
    let mut machine = publishing(&[(1, ""), (2, "")]);
    let never = Err(Fault::Final("no topic".to_owned()));
    assert_eq!(
        machine.step(ms(1), published(vec![never, Ok(())])),
        [Effect::Read]
    );
    assert_eq!(states(&machine), "kp");
}

#[test]
fn a_failure_of_the_broker_counts_no_attempt_and_is_tried_for_ever() {
    let mut machine = publishing(&[(1, "a"), (2, "b")]);
    let mut now = ms(1);
    for _ in 0..100 {
        let failed = published(vec![Err(Fault::Broker), Err(Fault::Broker)]);
        let mut effects = machine.step(now, failed);
        while effects != [Effect::Publish(vec![0, 1])] {
            // In between it shows that it leads.
            let input = match effects.as_slice() {
                [Effect::Prove] => Input::Proven(Ok(())),
                [] => Input::Tick,
                other => panic!("{other:?}"),
            };
            if let Input::Tick = input {
                now = machine.wakes_at();
            }
            effects = machine.step(now, input);
        }
    }
    assert_eq!(states(&machine), "uu");
    assert!(
        machine
            .current()
            .unwrap()
            .items
            .iter()
            .all(|item| item.attempts == 0)
    );
    assert!(now > ms(500_000));
}

#[test]
fn rows_that_were_parked_are_read_again_only_when_they_are_stored() {
    let mut machine = leading(vec![lane("a")]);
    let mut released = work(&[(1, "a"), (3, "a")]);
    released.origin = Origin::Parked;
    released.items[0] = released.items[0].clone().dropped();
    assert_eq!(
        machine.step(ms(0), Input::Read(Ok((Some(1), released)))),
        [Effect::Prove]
    );
    let effects = machine.step(ms(0), Input::Proven(Ok(())));
    assert_eq!(effects, [Effect::Publish(vec![1])]);
    let done = Input::Published(vec![(1, Ok(()))]);
    assert_eq!(machine.step(ms(0), done), [Effect::Store]);
    assert_eq!(machine.step(ms(0), Input::Stored(Ok(Some(Vec::new())))), []);
    assert_eq!(machine.parked_count(), 0);
}

#[test]
fn the_lead_is_taken_from_who_is_silent_for_a_lease() {
    let mut machine = Machine::new(rules(), ms(0));
    machine.step(ms(0), Input::Tick);
    let mut now = ms(0);
    let follow = |machine: &mut Machine, now: &mut Mono, beat: i64| {
        assert_eq!(machine.step(*now, Input::Led(Ok(Led::Follows(beat)))), []);
        *now = machine.wakes_at();
        machine.step(*now, Input::Tick)
    };
    for beat in 1..=5 {
        assert_eq!(
            follow(&mut machine, &mut now, beat),
            [Effect::Lead { silent: None }]
        );
    }
    // It stands still from when it was seen first.
    let seen = now.since(ms(0)) - LEASE / 3;
    assert_eq!(
        follow(&mut machine, &mut now, 5),
        [Effect::Lead { silent: None }]
    );
    assert_eq!(
        follow(&mut machine, &mut now, 5),
        [Effect::Lead { silent: Some(5) }]
    );
    assert_eq!(now.since(ms(0)) - seen, LEASE);
}

#[test]
fn who_was_overtaken_publishes_and_stores_nothing_more() {
    let mut machine = publishing(&[(1, "a")]);
    // A lease long its broker does not answer, and somebody takes the lead.
    let at = machine.wakes_at();
    assert_eq!(at, Mono(0).plus(LEASE / 3));
    assert_eq!(machine.step(at, Input::Tick), [Effect::Prove]);
    let overtaken = machine.failed(Trouble::Overtaken);
    assert_eq!(machine.step(at, overtaken), [Effect::Abandon]);
    assert!(!machine.leads() && machine.current().is_none());
    assert_eq!(machine.wakes_at(), at.plus(LEASE / 3));

    let mut machine = publishing(&[(1, "a")]);
    machine.step(ms(1), published(vec![Ok(())]));
    machine.step(ms(1), read(2, &[(2, "a")]));
    let overtaken = machine.failed(Trouble::Overtaken);
    assert_eq!(machine.step(ms(1), overtaken), []);
    assert!(!machine.leads() && machine.current().is_none());
}

#[test]
fn after_a_lease_without_a_commit_nothing_is_sent_before_the_next_one() {
    let mut machine = publishing(&[(1, "a")]);
    machine.step(ms(1), published(vec![no("x")]));
    // The database is away: the lead may be another's by now.
    let late = Mono(0).plus(LEASE);
    assert_eq!(machine.step(late, Input::Tick), [Effect::Prove]);
    let away = machine.failed(Trouble::Away);
    assert_eq!(machine.step(late, away), []);
    let at = machine.wakes_at();
    assert_eq!(machine.step(at, Input::Tick), [Effect::Prove]);
    assert_eq!(
        machine.step(at, Input::Proven(Ok(()))),
        [Effect::Publish(vec![0])]
    );
}

#[test]
fn at_the_end_what_is_published_is_stored_and_the_lead_is_given_back() {
    let mut machine = publishing(&[(1, "a")]);
    assert_eq!(machine.step(ms(1), Input::Stop), []);
    assert_eq!(
        machine.step(ms(2), published(vec![Ok(())])),
        [Effect::Store]
    );
    assert_eq!(
        machine.step(ms(3), Input::Stored(Ok(None))),
        [Effect::Resign]
    );
    machine.step(ms(3), Input::Resigned);
    assert!(machine.is_done());

    // A row that fails is not tried again.
    let mut machine = publishing(&[(1, "a")]);
    machine.step(ms(1), Input::Stop);
    assert_eq!(
        machine.step(ms(2), published(vec![no("x")])),
        [Effect::Resign]
    );

    // What was only read is not begun.
    let mut machine = leading(Vec::new());
    machine.step(ms(0), read(1, &[(1, "a")]));
    machine.step(ms(0), Input::Stop);
    assert_eq!(machine.step(ms(1), Input::Proven(Ok(()))), [Effect::Resign]);

    // A follower has nothing to give back.
    let mut machine = Machine::new(rules(), ms(0));
    machine.step(ms(0), Input::Tick);
    machine.step(ms(0), Input::Led(Ok(Led::Follows(1))));
    assert_eq!(machine.step(ms(1), Input::Stop), []);
    assert!(machine.is_done());
}

#[test]
fn the_end_comes_although_nobody_answers() {
    let mut machine = publishing(&[(1, "a")]);
    assert_eq!(machine.step(ms(1), Input::Stop), []);
    let late = machine.wakes_at();
    assert_eq!(late, ms(5_001));
    assert_eq!(
        machine.step(late, Input::Tick),
        [Effect::Abandon, Effect::Resign]
    );
    let later = machine.wakes_at();
    assert_eq!(later, ms(6_001));
    assert_eq!(machine.step(later, Input::Tick), [Effect::Disconnect]);
    assert!(machine.is_done());
    assert_eq!(machine.wakes_at(), Mono::NEVER);
}
