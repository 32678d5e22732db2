//! The machine against scripts, and against any order of answers.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

fn ms(ms: u64) -> Mono {
    Mono(0).plus(Duration::from_millis(ms))
}

fn rules() -> Rules {
    Rules {
        heartbeat: Duration::from_millis(3_000),
        max_poll: Duration::from_millis(300_000),
        metadata_max_age: Duration::from_millis(60_000),
        retry: Duration::from_millis(100),
        is_static: false,
    }
}

fn error(code: ErrorCode) -> ClientError {
    ClientError::check(code.code(), None).unwrap_err()
}

fn joined(generation: i32, is_leader: bool) -> Joined {
    Joined {
        seat: Seat {
            generation,
            member_id: "me".to_owned(),
        },
        is_leader,
        ..Joined::default()
    }
}

fn join(member_id: &str, generation: i32) -> Action {
    Action::Join {
        member_id: member_id.to_owned(),
        generation,
    }
}

fn counts(count: i32) -> Counts {
    Counts([("t".to_owned(), count)].into())
}

/// A machine that is a member of generation 1, as its leader if it deals out `leads` partitions.
fn member(now: Mono, rules: Rules, leads: Option<i32>) -> Machine {
    let mut machine = Machine::new(rules);
    machine.step(now, now, Input::Wish(1));
    let answer = JoinAnswer::Joined(joined(1, leads.is_some()));
    machine.step(now, now, Input::Joined(Ok(answer)));
    let joined = joined(1, leads.is_some());
    if leads.is_some() {
        let plan = Plan::default();
        machine.step(now, now, Input::Planned(joined.clone(), Ok(plan)));
    }
    let synced = Synced {
        joined,
        counts: leads.map(counts),
    };
    let actions = machine.step(now, now, Input::Synced(synced, Ok(Bytes::new())));
    assert_eq!(actions, []);
    assert!(matches!(machine.standing(), (1, Standing::In(..))));
    machine
}

#[test]
fn a_member_takes_the_id_it_is_given_joins_syncs_and_beats() {
    let now = ms(5);
    let mut machine = Machine::new(rules());
    let join = |member_id: &str| join(member_id, -1);
    assert_eq!(machine.step(now, now, Input::Wake), []);
    assert_eq!(machine.step(now, now, Input::Wish(1)), [join("")]);
    let given = JoinAnswer::TakeId("me".to_owned());
    assert_eq!(
        machine.step(now, now, Input::Joined(Ok(given))),
        [join("me")]
    );
    let answer = JoinAnswer::Joined(joined(7, true));
    let actions = machine.step(now, now, Input::Joined(Ok(answer)));
    assert_eq!(actions, [Action::Plan(joined(7, true))]);
    let plan = Plan {
        counts: counts(3),
        assignments: vec![("me".to_owned(), Bytes::from("mine"))],
    };
    let synced = Synced {
        joined: joined(7, true),
        counts: Some(counts(3)),
    };
    assert_eq!(
        machine.step(now, now, Input::Planned(joined(7, true), Ok(plan.clone()))),
        [Action::Sync(synced.clone(), plan.assignments)]
    );
    machine.step(
        now,
        now,
        Input::Synced(synced.clone(), Ok(Bytes::from("mine"))),
    );
    let seat = synced.joined.seat;
    assert_eq!(
        machine.standing(),
        (1, &Standing::In(seat.clone(), Bytes::from("mine")))
    );
    let beat_at = now.plus(Duration::from_secs(3));
    assert_eq!(machine.wake_at(now), beat_at);
    assert_eq!(
        machine.step(beat_at, now, Input::Wake),
        [Action::Beat(seat)]
    );
    assert_eq!(machine.step(beat_at, now, Input::Wake), [], "one at a time");
    machine.step(beat_at, now, Input::Beaten(7, Ok(())));
    assert_eq!(machine.wake_at(now), beat_at.plus(Duration::from_secs(3)));
}

#[test]
fn a_rebalance_waits_for_the_consumer_and_goes_on_beating() {
    let mut machine = member(ms(0), rules(), None);
    let rebalance = || Err(error(ErrorCode::RebalanceInProgress));
    let beat = |machine: &mut Machine, at| machine.step(ms(at), ms(at), Input::Wake);
    assert_eq!(beat(&mut machine, 3_000).len(), 1);
    assert_eq!(
        machine.step(ms(3_000), ms(3_000), Input::Beaten(1, rebalance())),
        []
    );
    assert!(matches!(machine.standing(), (1, Standing::Rebalancing(_))));
    assert_eq!(beat(&mut machine, 6_000).len(), 1, "the session goes on");
    machine.step(ms(6_000), ms(6_000), Input::Beaten(1, rebalance()));
    let actions = machine.step(ms(6_001), ms(6_001), Input::Wish(2));
    assert_eq!(actions, [join("me", 1)]);
    assert!(matches!(machine.standing(), (2, Standing::Joining)));
    // What is still said about the generation before changes nothing.
    let late = Err(error(ErrorCode::UnknownMemberId));
    assert_eq!(
        machine.step(ms(6_002), ms(6_002), Input::Beaten(1, late)),
        []
    );
    assert!(matches!(machine.standing(), (2, Standing::Joining)));
}

#[test]
fn what_is_said_about_an_older_generation_changes_nothing() {
    let mut machine = member(ms(0), rules(), Some(3));
    machine.step(ms(1), ms(1), Input::Wish(2));
    let answer = JoinAnswer::Joined(joined(2, false));
    machine.step(ms(1), ms(1), Input::Joined(Ok(answer)));
    let synced = Synced {
        joined: joined(2, false),
        counts: None,
    };
    machine.step(ms(1), ms(1), Input::Synced(synced, Ok(Bytes::new())));
    let refused = || Err(error(ErrorCode::UnknownMemberId));
    machine.step(ms(2), ms(1), Input::Beaten(1, refused()));
    machine.step(ms(2), ms(1), Input::Checked(1, Ok(counts(9))));
    assert!(matches!(machine.standing(), (2, Standing::In(..))));
    machine.step(ms(2), ms(1), Input::Beaten(2, refused()));
    assert!(matches!(machine.standing(), (2, Standing::Lost(_))));
}

#[test]
fn what_a_heartbeat_is_refused_with_decides() {
    for (code, id_after) in [
        (ErrorCode::UnknownMemberId, ""),
        (ErrorCode::IllegalGeneration, "me"),
    ] {
        let mut machine = member(ms(0), rules(), None);
        machine.step(ms(3_000), ms(0), Input::Wake);
        let refused = Input::Beaten(1, Err(error(code)));
        assert_eq!(
            machine.step(ms(3_000), ms(0), refused),
            [],
            "it is not joined unasked"
        );
        assert_eq!(machine.standing(), (1, &Standing::Lost(error(code))));
        let actions = machine.step(ms(3_001), ms(3_001), Input::Wish(2));
        assert_eq!(actions, [join(id_after, -1)]);
    }
    let mut machine = member(ms(0), rules(), None);
    machine.step(ms(3_000), ms(0), Input::Wake);
    let fenced = Input::Beaten(1, Err(error(ErrorCode::FencedInstanceId)));
    machine.step(ms(3_000), ms(0), fenced);
    assert!(matches!(machine.standing(), (1, Standing::Failed(_))));

    let mut machine = member(ms(0), rules(), None);
    machine.step(ms(3_000), ms(0), Input::Wake);
    let moved = Input::Beaten(1, Err(error(ErrorCode::NotCoordinator)));
    machine.step(ms(3_000), ms(0), moved);
    assert!(matches!(machine.standing(), (1, Standing::In(..))));
    assert_eq!(machine.wake_at(ms(0)), ms(3_100), "tried again soon");
}

#[test]
fn a_refused_join_hurries_once_and_then_waits() {
    let mut machine = Machine::new(rules());
    machine.step(ms(0), ms(0), Input::Wish(1));
    let refuse = |machine: &mut Machine, at| {
        let refused = Err(error(ErrorCode::UnknownMemberId));
        machine.step(ms(at), ms(at), Input::Joined(refused)).len()
    };
    assert_eq!(refuse(&mut machine, 0), 1, "at once");
    assert_eq!(refuse(&mut machine, 0), 0);
    assert_eq!(machine.wake_at(ms(0)), ms(100));
    assert_eq!(machine.step(ms(100), ms(0), Input::Wake).len(), 1);
    assert_eq!(refuse(&mut machine, 100), 0);
    assert_eq!(machine.wake_at(ms(0)), ms(300));
    machine.step(ms(300), ms(0), Input::Wake);
    let full = Err(error(ErrorCode::GroupMaxSizeReached));
    machine.step(ms(300), ms(0), Input::Joined(full));
    assert!(matches!(machine.standing(), (1, Standing::Failed(_))));
    assert_eq!(machine.wake_at(ms(0)), Mono::NEVER);
    assert_eq!(machine.step(ms(400), ms(400), Input::Wish(2)).len(), 1);
}

#[test]
fn a_member_that_rejoins_and_is_refused_has_lost_what_it_kept() {
    for (code, id_after) in [
        (ErrorCode::UnknownMemberId, ""),
        (ErrorCode::IllegalGeneration, "me"),
    ] {
        let mut machine = member(ms(0), rules(), None);
        assert_eq!(machine.step(ms(1), ms(1), Input::Wish(2)), [join("me", 1)]);
        let refused = Input::Joined(Err(error(code)));
        assert_eq!(machine.step(ms(2), ms(2), refused), []);
        assert_eq!(machine.standing(), (2, &Standing::Lost(error(code))));
        let actions = machine.step(ms(3), ms(3), Input::Wish(3));
        assert_eq!(actions, [join(id_after, -1)]);
        // Refused again, it is not in a hurry any more.
        machine.step(ms(3), ms(3), Input::Joined(Err(error(code))));
        assert_eq!(machine.wake_at(ms(3)), ms(103));
    }
    let mut machine = member(ms(0), rules(), None);
    machine.step(ms(1), ms(1), Input::Wish(2));
    let answer = JoinAnswer::Joined(joined(2, false));
    machine.step(ms(1), ms(1), Input::Joined(Ok(answer)));
    let synced = Synced {
        joined: joined(2, false),
        counts: None,
    };
    let again = Input::Synced(synced, Err(error(ErrorCode::RebalanceInProgress)));
    assert_eq!(
        machine.step(ms(2), ms(2), again),
        [join("me", 2)],
        "it keeps what it has, and says that it was in the generation"
    );
}

#[test]
fn who_does_not_poll_leaves_and_a_static_member_is_missed() {
    let mut machine = member(ms(0), rules(), None);
    let late = ms(300_000);
    assert_eq!(
        machine.step(ms(299_999), ms(0), Input::Wake).len(),
        1,
        "a heartbeat"
    );
    machine.step(ms(299_999), ms(0), Input::Beaten(1, Ok(())));
    assert_eq!(machine.wake_at(ms(0)), late);
    let member_id = "me".to_owned();
    assert_eq!(
        machine.step(late, ms(0), Input::Wake),
        [Action::Leave { member_id }]
    );
    let (_, standing) = machine.standing();
    let Standing::Lost(error) = standing else {
        panic!("{standing:?}")
    };
    assert!(
        error.to_string().contains("max.poll.interval.ms"),
        "{error}"
    );
    assert_eq!(machine.step(late, late, Input::Left), []);
    assert!(!machine.has_left(), "it may come back");
    assert_eq!(machine.step(late, late, Input::Wish(2)), [join("", -1)]);

    let is_static = Rules {
        is_static: true,
        ..rules()
    };
    let mut machine = member(ms(0), is_static, None);
    assert_eq!(machine.step(late, ms(0), Input::Wake), []);
    assert!(matches!(machine.standing(), (1, Standing::Lost(_))));
    assert_eq!(machine.step(late, late, Input::Wish(2)), [join("me", -1)]);
}

#[test]
fn the_leader_sees_partitions_that_were_added() {
    let mut machine = member(ms(0), rules(), Some(3));
    let check = Action::Check(1, counts(3));
    let polled = ms(60_000);
    let actions = machine.step(ms(60_000), polled, Input::Wake);
    assert!(actions.contains(&check), "{actions:?}");
    machine.step(ms(60_000), polled, Input::Beaten(1, Ok(())));
    machine.step(ms(60_001), polled, Input::Checked(1, Ok(counts(3))));
    assert!(matches!(machine.standing(), (1, Standing::In(..))));
    let actions = machine.step(ms(120_001), polled, Input::Wake);
    assert!(actions.contains(&check), "{actions:?}");
    machine.step(ms(120_001), polled, Input::Checked(1, Ok(counts(4))));
    assert!(matches!(machine.standing(), (1, Standing::Rebalancing(_))));
}

#[test]
fn leaving_ends_everything() {
    let mut machine = Machine::new(rules());
    assert_eq!(machine.step(ms(0), ms(0), Input::Leave), []);
    assert!(machine.has_left(), "there is nothing to leave");
    let mut machine = member(ms(0), rules(), None);
    let member_id = "me".to_owned();
    assert_eq!(
        machine.step(ms(1), ms(0), Input::Leave),
        [Action::Leave { member_id }]
    );
    assert_eq!(machine.step(ms(1), ms(0), Input::Leave), []);
    assert_eq!(machine.step(ms(1), ms(0), Input::Wish(9)), []);
    machine.step(ms(2), ms(0), Input::Left);
    assert_eq!(machine.standing(), (1, &Standing::Left));
}

/// One step of a history.
#[derive(Clone, Debug)]
enum Event {
    Wish,
    /// The oldest call that is under way is answered, with an error or with success.
    Answer(Option<ErrorCode>),
    Time(u64),
    Poll,
}

fn event() -> impl Strategy<Value = Event> {
    let code = prop_oneof![
        Just(ErrorCode::UnknownMemberId),
        Just(ErrorCode::IllegalGeneration),
        Just(ErrorCode::RebalanceInProgress),
        Just(ErrorCode::NotCoordinator),
        Just(ErrorCode::CoordinatorLoadInProgress),
        Just(ErrorCode::FencedInstanceId),
    ];
    prop_oneof![
        1 => Just(Event::Wish),
        6 => Just(Event::Answer(None)),
        2 => code.prop_map(|code| Event::Answer(Some(code))),
        3 => (0..4_000_u64).prop_map(Event::Time),
        1 => Just(Event::Poll),
    ]
}

/// What a coordinator would answer.
fn answer(action: Action, refused: Option<ErrorCode>, generation: &mut i32) -> Input {
    let result = refused.map_or(Ok(()), |code| Err(error(code)));
    match action {
        Action::Join { member_id, .. } if member_id.is_empty() => {
            Input::Joined(result.map(|()| JoinAnswer::TakeId("me".to_owned())))
        }
        Action::Join { .. } => {
            *generation += 1;
            let joined = joined(*generation, *generation % 2 == 0);
            Input::Joined(result.map(|()| JoinAnswer::Joined(joined)))
        }
        Action::Plan(joined) => {
            let plan = Plan {
                counts: counts(*generation % 3),
                ..Plan::default()
            };
            Input::Planned(joined, result.map(|()| plan))
        }
        Action::Sync(synced, _) => Input::Synced(synced, result.map(|()| Bytes::new())),
        Action::Beat(seat) => Input::Beaten(seat.generation, result),
        Action::Check(generation, counts) => Input::Checked(generation, result.map(|()| counts)),
        Action::Leave { .. } => Input::Left,
    }
}

const fn is_chain(action: &Action) -> bool {
    matches!(
        action,
        Action::Join { .. } | Action::Plan(_) | Action::Sync(..)
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_the_invariants_and_ends_in_the_group(
        events in prop::collection::vec(event(), 0..120),
    ) {
        let mut machine = Machine::new(rules());
        let mut under_way: VecDeque<Action> = VecDeque::new();
        let (mut now, mut polled_at, mut wished, mut generation) = (ms(0), ms(0), 0, 0);
        let mut last_joined = -1;
        // After the random part all goes well.
        let good = std::iter::repeat_n([Event::Wish, Event::Poll], 1)
            .chain(std::iter::repeat_n([Event::Answer(None), Event::Time(1_000)], 20));
        for event in events.into_iter().chain(good.flatten()) {
            let must_wish = matches!(
                machine.standing(),
                (round, Standing::Lost(_) | Standing::Failed(_) | Standing::Rebalancing(_))
                    if round == wished
            );
            let input = match event {
                Event::Wish => {
                    wished += 1;
                    Input::Wish(wished)
                }
                Event::Answer(refused) => match under_way.pop_front() {
                    Some(action) => answer(action, refused, &mut generation),
                    None => continue,
                },
                Event::Time(passed) => {
                    now = now.plus(Duration::from_millis(passed));
                    Input::Wake
                }
                Event::Poll => {
                    polled_at = now;
                    Input::Wake
                }
            };
            let is_wish = matches!(input, Input::Wish(_));
            if let Input::Joined(Ok(JoinAnswer::Joined(joined))) = &input {
                last_joined = joined.seat.generation;
            }
            let actions = machine.step(now, polled_at, input);
            let (_, standing) = machine.standing();
            if matches!(standing, Standing::Lost(_) | Standing::Failed(_)) {
                last_joined = -1;
            }
            for action in actions {
                if let Action::Join { generation, .. } = &action {
                    prop_assert_eq!(*generation, last_joined);
                }
                prop_assert!(!(must_wish && is_chain(&action)) || is_wish, "unwished {action:?}");
                let (_, standing) = machine.standing();
                let is_member = matches!(standing, Standing::In(..) | Standing::Rebalancing(_));
                prop_assert!(
                    is_member || !matches!(action, Action::Beat(_) | Action::Check(..)),
                    "{standing:?} {action:?}"
                );
                let is_same = |it: &&Action| match (&action, *it) {
                    (Action::Beat(a), Action::Beat(b)) => a.generation == b.generation,
                    (Action::Check(a, _), Action::Check(b, _)) => a == b,
                    (a, b) => is_chain(a) && is_chain(b),
                };
                prop_assert_eq!(under_way.iter().find(is_same), None);
                under_way.push_back(action);
            }
            prop_assert!(machine.standing().0 <= wished);
            prop_assert!(machine.wake_at(polled_at) > now, "it would spin");
        }
        let (round, standing) = machine.standing();
        prop_assert_eq!(round, wished);
        prop_assert!(matches!(standing, Standing::In(..)), "{:?}", standing);
    }
}
