//! Histories made wrong on purpose, one an anomaly: each has this anomaly and no other.

use super::super::Anomaly;
use super::super::FaultKind;
use super::super::History;
use super::super::Limits;
use super::super::Outcome;
use super::super::Role;
use super::super::Step;
use super::Told;
use super::poll;
use super::send;

#[track_caller]
fn only(told: &Told, anomaly: Anomaly) {
    let report = told.check();
    assert_eq!(report.found(anomaly), 1, "{report}");
    let found: u64 = report.anomalies.values().map(|seen| seen.found).sum();
    assert_eq!(found, 1, "{report}");
    assert!(!report.is_clean());
    assert!(report.to_string().contains(anomaly.name()));
}

#[test]
fn inconsistent_offsets() {
    let mut told = Told::new();
    let [one, other] = [0; 2].map(|_| told.process(Role::Assigned));
    let producer = told.process(Role::Idempotent);
    let unknown = vec![send(0, 8, None)];
    told.note(producer, Outcome::Info, unknown)
        .sent(producer, 0, 7, 0);
    told.polled(one, &[(0, 0, 7)]).polled(other, &[(0, 0, 8)]);
    only(&told, Anomaly::InconsistentOffsets);
}

#[test]
fn duplicate() {
    let mut told = Told::new();
    let producer = told.process(Role::Idempotent);
    told.sent(producer, 0, 7, 0).drain(&[(0, 0, 7), (0, 1, 7)]);
    only(&told, Anomaly::Duplicate);
}

#[test]
fn a_producer_that_may_send_twice_does_not_without_a_fault() {
    let mut told = Told::new();
    let producer = told.process(Role::All);
    told.sent(producer, 0, 7, 0).drain(&[(0, 0, 7), (0, 1, 7)]);
    only(&told, Anomaly::Duplicate);
}

#[test]
fn lost_write() {
    let mut told = Told::new();
    let producer = told.process(Role::All);
    told.sent(producer, 0, 7, 0).sent(producer, 0, 8, 1);
    let consumer = told.process(Role::Assigned);
    told.polled(consumer, &[(0, 1, 8)]);
    only(&told, Anomaly::LostWrite);
}

#[test]
fn a_kill_takes_no_write() {
    let mut told = Told::new();
    let producer = told.process(Role::One);
    told.sent(producer, 0, 7, 0)
        .fault(FaultKind::Kill)
        .drain(&[]);
    only(&told, Anomaly::Unseen);
}

#[test]
fn a_power_cut_takes_nothing_that_was_synced() {
    let mut told = Told::new();
    let producer = told.process(Role::All);
    told.sent(producer, 0, 7, 0)
        .fault(FaultKind::PowerCut)
        .drain(&[]);
    only(&told, Anomaly::Unseen);
}

#[test]
fn a_clean_stop_takes_nothing_from_the_page_cache() {
    let mut told = Told::new();
    let producer = told.process(Role::One);
    told.sent(producer, 1, 7, 0)
        .fault(FaultKind::Stop)
        .drain(&[]);
    only(&told, Anomaly::Unseen);
}

#[test]
fn a_power_cut_takes_nothing_from_the_page_cache_that_is_old() {
    let mut told = Told::new();
    let producer = told.process(Role::One);
    told.sent(producer, 1, 7, 0);
    told.now_us += 10_000_000;
    told.fault(FaultKind::PowerCut).drain(&[]);
    only(&told, Anomaly::Unseen);
}

#[test]
fn a_power_cut_takes_nothing_from_the_page_cache_that_a_group_is_behind() {
    let mut told = Told::new();
    let producer = told.process(Role::One);
    let member = told.process(Role::Subscribed);
    told.sent(producer, 1, 7, 0).polled(member, &[(1, 0, 7)]);
    told.commits(member, 1, 1)
        .fault(FaultKind::PowerCut)
        .drain(&[]);
    only(&told, Anomaly::PhantomRead);
}

#[test]
fn what_was_sent_behind_a_power_cut_is_not_taken_by_it() {
    let mut told = Told::new();
    let producer = told.process(Role::One);
    told.fault(FaultKind::PowerCut)
        .sent(producer, 1, 7, 0)
        .drain(&[]);
    only(&told, Anomaly::Unseen);
}

#[test]
fn unseen() {
    let mut told = Told::new();
    let producer = told.process(Role::Idempotent);
    told.sent(producer, 0, 7, 0).sent(producer, 0, 8, 1);
    told.drain(&[(0, 0, 7)]);
    only(&told, Anomaly::Unseen);
}

#[test]
fn phantom_read() {
    let mut told = Told::new();
    let producer = told.process(Role::One);
    told.sent(producer, 0, 7, 0);
    let consumer = told.process(Role::Assigned);
    told.polled(consumer, &[(0, 0, 7)]);
    told.fault(FaultKind::PowerCut).drain(&[]);
    only(&told, Anomaly::PhantomRead);
}

#[test]
fn never_sent() {
    let mut told = Told::new();
    told.drain(&[(0, 0, 7)]);
    only(&told, Anomaly::NeverSent);
}

#[test]
fn sent_to_another_partition() {
    let mut told = Told::new();
    let producer = told.process(Role::One);
    let step = vec![send(0, 7, None)];
    told.note(producer, Outcome::Info, step).drain(&[(1, 0, 7)]);
    only(&told, Anomaly::NeverSent);
}

#[test]
fn read_before_it_was_sent() {
    let mut told = Told::new();
    let producer = told.process(Role::One);
    let consumer = told.process(Role::Assigned);
    told.polled(consumer, &[(0, 0, 7)]).sent(producer, 0, 7, 0);
    only(&told, Anomaly::NeverSent);
}

#[test]
fn g1a() {
    let mut told = Told::new();
    let producer = told.process(Role::One);
    let step = vec![send(0, 7, None)];
    told.note(producer, Outcome::Fail, step).drain(&[(0, 0, 7)]);
    only(&told, Anomaly::G1a);
}

/// Three values at the offsets 0 to 2 of partition 0.
fn three() -> Told {
    let mut told = Told::new();
    let producer = told.process(Role::Idempotent);
    for offset in 0..3 {
        told.sent(producer, 0, 70 + offset, offset);
    }
    told.drain(&[(0, 0, 70), (0, 1, 71), (0, 2, 72)]);
    told
}

#[test]
fn poll_skip() {
    let mut told = three();
    let consumer = told.process(Role::Assigned);
    told.polled(consumer, &[(0, 0, 70)])
        .polled(consumer, &[(0, 2, 72)]);
    only(&told, Anomaly::PollSkip);
}

#[test]
fn a_skip_behind_an_assigned_position() {
    let mut told = three();
    let consumer = told.process(Role::Subscribed);
    told.assigned(consumer, &[(0, 1)])
        .polled(consumer, &[(0, 2, 72)]);
    only(&told, Anomaly::PollSkip);
}

#[test]
fn nonmonotonic_poll() {
    let mut told = three();
    let consumer = told.process(Role::Subscribed);
    let step = vec![poll(&[(0, 1, 71)])];
    // What a failed poll handed out counts.
    told.polled(consumer, &[(0, 1, 71)])
        .note(consumer, Outcome::Fail, step);
    only(&told, Anomaly::NonmonotonicPoll);
}

#[test]
fn a_power_cut_moves_a_consumer_once() {
    let mut told = Told::new();
    let producer = told.process(Role::Idempotent);
    told.sent(producer, 1, 7, 0).sent(producer, 1, 8, 1);
    let consumer = told.process(Role::Assigned);
    told.polled(consumer, &[(1, 0, 7), (1, 1, 8)])
        .fault(FaultKind::PowerCut);
    told.polled(consumer, &[(1, 1, 8)])
        .polled(consumer, &[(1, 1, 8)]);
    told.drain(&[(1, 0, 7), (1, 1, 8)]);
    only(&told, Anomaly::NonmonotonicPoll);
}

#[test]
fn int_poll_skip() {
    let mut told = three();
    let consumer = told.process(Role::Assigned);
    told.polled(consumer, &[(0, 0, 70), (0, 2, 72)]);
    only(&told, Anomaly::IntPollSkip);
}

#[test]
fn int_nonmonotonic_poll() {
    let mut told = three();
    let consumer = told.process(Role::Assigned);
    let steps = vec![poll(&[(0, 1, 71)]), poll(&[(0, 0, 70)])];
    told.note(consumer, Outcome::Ok, steps);
    only(&told, Anomaly::IntNonmonotonicPoll);
}

#[test]
fn nonmonotonic_send() {
    let mut told = Told::new();
    let [one, other] = [0; 2].map(|_| told.process(Role::All));
    told.sent(one, 0, 7, 1).sent(other, 0, 8, 0);
    told.drain(&[(0, 0, 8), (0, 1, 7)]);
    only(&told, Anomaly::NonmonotonicSend);
}

#[test]
fn a_nonmonotonic_send_to_the_page_cache() {
    let mut told = Told::new();
    let producer = told.process(Role::One);
    told.sent(producer, 1, 7, 1).sent(producer, 1, 8, 0);
    told.drain(&[(1, 0, 8), (1, 1, 7)])
        .fault(FaultKind::PowerCut);
    told.drain(&[(1, 0, 8), (1, 1, 7)]);
    let drained = told
        .history
        .processes
        .iter_mut()
        .find(|it| it.role == Role::Drain);
    drained.unwrap().role = Role::Assigned;
    only(&told, Anomaly::NonmonotonicSend);
}

#[test]
fn int_nonmonotonic_send() {
    let mut told = Told::new();
    let producer = told.process(Role::Idempotent);
    let steps = vec![send(0, 7, Some(1)), send(0, 8, Some(0))];
    told.note(producer, Outcome::Ok, steps);
    told.drain(&[(0, 0, 8), (0, 1, 7)]);
    only(&told, Anomaly::IntNonmonotonicSend);
}

#[test]
fn zero_offset() {
    for wrong in [Some(0), None] {
        let mut told = three();
        let member = told.process(Role::Subscribed);
        told.commits(member, 0, 2)
            .fault(FaultKind::Kill)
            .committed(member, wrong);
        told.history.processes[1].role = Role::Assigned;
        only(&told, Anomaly::ZeroOffset);
    }
}

#[test]
fn an_offset_that_was_seen_is_not_none_later() {
    let mut told = three();
    let member = told.process(Role::Subscribed);
    let step = Step::Commit {
        group: 0,
        partition: 0,
        offset: 2,
    };
    told.note(member, Outcome::Info, vec![step]);
    told.committed(member, Some(2)).committed(member, None);
    only(&told, Anomaly::ZeroOffset);
}

#[test]
fn commit_lost() {
    let mut told = three();
    let member = told.process(Role::Subscribed);
    told.commits(member, 0, 1).commits(member, 0, 2);
    told.committed(member, Some(1));
    only(&told, Anomaly::CommitLost);
}

#[test]
fn a_commit_that_was_seen_is_not_lost_later() {
    let mut told = three();
    let member = told.process(Role::Subscribed);
    let step = Step::Commit {
        group: 0,
        partition: 0,
        offset: 2,
    };
    told.commits(member, 0, 1)
        .note(member, Outcome::Info, vec![step]);
    told.committed(member, Some(2)).committed(member, Some(1));
    only(&told, Anomaly::CommitLost);
}

#[test]
fn commit_ahead() {
    let mut told = three();
    let member = told.process(Role::Subscribed);
    told.commits(member, 0, 1).committed(member, Some(2));
    only(&told, Anomaly::CommitAhead);
}

#[test]
fn a_commit_beyond_the_end() {
    let mut told = three();
    let member = told.process(Role::Subscribed);
    told.commits(member, 0, 4).committed(member, Some(4));
    only(&told, Anomaly::CommitAhead);
}

#[test]
fn stuck_consumer() {
    let mut told = three();
    let consumer = told.process(Role::Assigned);
    told.assigned(consumer, &[(0, 2)]).polled(consumer, &[]);
    told.now_us += 31_000_000;
    told.polled(consumer, &[]);
    // It is told once.
    told.polled(consumer, &[]);
    only(&told, Anomaly::StuckConsumer);
    assert!(told.check().worst_lag_us > 31_000_000);
}

#[test]
fn what_cannot_be_checked_is_refused() {
    let wrong = |change: fn(&mut Told)| {
        let mut told = three();
        change(&mut told);
        told.history.check(&Limits::default()).unwrap_err().0
    };
    let twice = wrong(|told| _ = told.sent(0, 0, 70, 3));
    assert!(twice.contains("70 is sent twice"), "{twice}");
    let partition = wrong(|told| _ = told.sent(0, 2, 99, 3));
    assert!(partition.contains("partition"), "{partition}");
    let process = wrong(|told| _ = told.sent(9, 0, 99, 3));
    assert!(process.contains("process"), "{process}");
    let times = wrong(|told| told.history.operations[0].start_us = 10_000);
    assert!(times.contains("ends before it begins"), "{times}");
    let drain = wrong(|told| _ = told.fault(FaultKind::Kill));
    assert!(drain.contains("drain"), "{drain}");
    let line = History::read(&b"{\"fault\":7}\n"[..]).unwrap_err();
    assert!(line.to_string().contains("line 1"), "{line}");
}
