//! What the contract allows is counted, and is no finding.

use super::super::Anomaly;
use super::super::FaultKind;
use super::super::History;
use super::super::Outcome;
use super::super::Role;
use super::Told;
use super::poll;
use super::send;

#[track_caller]
fn excused(told: &Told, anomaly: Anomaly, count: u64) {
    let report = told.check();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.excused(anomaly), count, "{report}");
}

#[test]
fn a_power_cut_takes_from_an_fsync_topic_what_one_acknowledged_and_nobody_read() {
    let mut told = Told::new();
    let [one, all] = [Role::One, Role::All].map(|role| told.process(role));
    told.sent(one, 0, 7, 0)
        .fault(FaultKind::PowerCut)
        .sent(all, 0, 8, 0);
    told.drain(&[(0, 0, 8)]);
    excused(&told, Anomaly::LostWrite, 1);
    excused(&told, Anomaly::InconsistentOffsets, 1);
}

#[test]
fn a_power_cut_takes_the_newest_of_the_page_cache() {
    let mut told = Told::new();
    let producer = told.process(Role::Idempotent);
    told.sent(producer, 1, 7, 0).sent(producer, 1, 8, 1);
    let consumer = told.process(Role::Assigned);
    told.polled(consumer, &[(1, 0, 7), (1, 1, 8)]);
    told.fault(FaultKind::PowerCut).sent(producer, 1, 9, 1);
    told.polled(consumer, &[(1, 1, 9)]);
    told.drain(&[(1, 0, 7), (1, 1, 9)]);
    excused(&told, Anomaly::InconsistentOffsets, 1);
    excused(&told, Anomaly::NonmonotonicPoll, 1);
    excused(&told, Anomaly::NonmonotonicSend, 0);
}

#[test]
fn acks_zero_promises_nothing() {
    let mut told = Told::new();
    let producer = told.process(Role::Zero);
    told.sent(producer, 0, 7, 0).drain(&[]);
    excused(&told, Anomaly::Unseen, 0);
}

#[test]
fn a_producer_without_idempotence_sends_twice_over_a_kill() {
    let mut told = Told::new();
    let producer = told.process(Role::All);
    let start_us = told.now_us;
    told.fault(FaultKind::Kill).sent(producer, 0, 7, 1);
    told.history.operations[0].start_us = start_us;
    told.drain(&[(0, 0, 7), (0, 1, 7)]);
    excused(&told, Anomaly::Duplicate, 1);
}

#[test]
fn a_copy_that_a_power_cut_took_is_no_duplicate() {
    let mut told = Told::new();
    let producer = told.process(Role::Idempotent);
    let consumer = told.process(Role::Assigned);
    told.now_us += 1000;
    told.polled(consumer, &[(1, 3, 7)])
        .fault(FaultKind::PowerCut);
    told.sent(producer, 1, 7, 0).drain(&[(1, 0, 7)]);
    told.history.operations[1].start_us = 0;
    excused(&told, Anomaly::Duplicate, 1);
}

#[test]
fn a_rebalance_unbinds_a_consumer() {
    let mut told = Told::new();
    let producer = told.process(Role::Idempotent);
    let steps = vec![
        send(0, 7, Some(0)),
        send(0, 8, Some(1)),
        send(0, 9, Some(2)),
    ];
    told.note(producer, Outcome::Ok, steps);
    let consumer = told.process(Role::Subscribed);
    told.polled(consumer, &[(0, 0, 7), (0, 1, 8)]);
    told.assigned(consumer, &[(0, 0)])
        .polled(consumer, &[(0, 0, 7)]);
    told.assigned(consumer, &[(0, 2)])
        .polled(consumer, &[(0, 2, 9)]);
    told.drain(&[(0, 0, 7), (0, 1, 8), (0, 2, 9)]);
    excused(&told, Anomaly::NonmonotonicPoll, 0);
}

#[test]
fn gaps_without_values_are_no_skips() {
    let mut told = Told::new();
    let producer = told.process(Role::Idempotent);
    told.sent(producer, 0, 7, 0)
        .sent(producer, 0, 8, 5_000_000_000);
    told.drain(&[(0, 0, 7), (0, 5_000_000_000, 8)]);
    excused(&told, Anomaly::PollSkip, 0);
}

#[test]
fn an_unknown_commit_may_come_at_any_time_and_once() {
    let mut told = Told::new();
    let member = told.process(Role::Subscribed);
    let producer = told.process(Role::Idempotent);
    told.sent(producer, 0, 7, 0).sent(producer, 0, 8, 1);
    let step = super::Step::Commit {
        group: 0,
        partition: 0,
        offset: 2,
    };
    told.note(member, Outcome::Info, vec![step])
        .commits(member, 0, 1);
    told.committed(member, Some(1)).committed(member, Some(2));
    told.drain(&[(0, 0, 7), (0, 1, 8)]);
    excused(&told, Anomaly::CommitLost, 0);
}

#[test]
fn a_restart_gives_a_consumer_its_time_again() {
    let mut told = Told::new();
    let producer = told.process(Role::Idempotent);
    told.sent(producer, 0, 7, 0);
    let consumer = told.process(Role::Assigned);
    told.assigned(consumer, &[(0, 0)]);
    told.now_us += 20_000_000;
    told.fault(FaultKind::Kill).polled(consumer, &[]);
    told.now_us += 20_000_000;
    told.polled(consumer, &[]).drain(&[(0, 0, 7)]);
    excused(&told, Anomaly::StuckConsumer, 0);
}

#[test]
fn without_a_drain_the_end_cannot_be_told() {
    let mut told = Told::new();
    let producer = told.process(Role::Idempotent);
    told.sent(producer, 0, 7, 0);
    let report = told.check();
    assert!(report.is_clean() && !report.is_drained, "{report}");
    assert!(report.to_string().contains("nobody drained it"));
}

#[test]
fn a_history_is_read_as_it_was_written() {
    let mut told = Told::new();
    let producer = told.process(Role::Zero);
    told.note(
        producer,
        Outcome::Info,
        vec![send(0, 7, None), poll(&[(1, 2, 3)])],
    );
    told.fault(FaultKind::PowerCut)
        .commits(producer, 0, 3)
        .committed(producer, None);
    told.drain(&[(0, 0, 7)]);
    let mut text = Vec::new();
    told.history.write(&mut text).unwrap();
    assert_eq!(History::read(&*text).unwrap(), told.history);
}

/// A consumer that had read what a power cut took commits its position above the end.
#[test]
fn a_commit_above_the_end_pins_nothing_that_is_sent_later() {
    let mut told = Told::new();
    let producer = told.process(Role::Idempotent);
    let consumer = told.process(Role::Subscribed);
    told.fault(FaultKind::PowerCut)
        .commits(consumer, 1, 10)
        .sent(producer, 1, 5, 0)
        .fault(FaultKind::PowerCut);
    told.drain(&[]);
    excused(&told, Anomaly::Unseen, 1);
}

#[test]
fn a_commit_of_what_a_power_cut_took_may_lie_beyond_the_end() {
    let mut told = Told::new();
    let producer = told.process(Role::Idempotent);
    let member = told.process(Role::Subscribed);
    told.sent(producer, 1, 7, 0).polled(member, &[(1, 0, 7)]);
    told.fault(FaultKind::PowerCut).commits(member, 1, 1);
    let step = super::Step::Committed {
        group: 0,
        partition: 1,
        offset: Some(1),
    };
    told.note(member, Outcome::Ok, vec![step]).drain(&[]);
    excused(&told, Anomaly::PhantomRead, 1);
}
