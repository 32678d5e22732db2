//! Members of a group against a model of its coordinator, on a clock that jumps: who owns what,
//! what is committed, and what a bad network, slow members and dead ones do to it.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod answers;
mod board;
mod cooperative;
mod coordinator;
mod face;
mod histories;
mod model;
mod session;

use std::time::Duration;

use board::{Board, paused};
use highwater_client::{
    AssignmentStrategy, ClientError, Consumer, ConsumerConfig, ConsumerRecord, ErrorCode,
    OffsetReset,
};
use model::{Fault, Model, TICK};

/// Settings of the tests: a session of ten seconds, and what is there is read.
fn config() -> ConsumerConfig {
    ConsumerConfig {
        group_id: Some("g".to_owned()),
        session_timeout_ms: 10_000,
        max_poll_interval_ms: 20_000,
        request_timeout_ms: 2_000,
        auto_offset_reset: OffsetReset::Earliest,
        ..ConsumerConfig::default()
    }
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Polls until the consumer owns so many partitions; a minute without is a failure.
async fn own(consumer: &mut Consumer, count: usize) -> Vec<ConsumerRecord> {
    let mut records = Vec::new();
    let mut polls_left = 600;
    while consumer.assignment().len() != count {
        assert!(
            polls_left > 0,
            "it owns {:?}, not {count}",
            consumer.assignment()
        );
        polls_left -= 1;
        records.extend(consumer.poll(Duration::from_millis(100)).await.unwrap());
    }
    records
}

fn code(error: &ClientError) -> Option<ErrorCode> {
    error.code()
}

#[test]
fn members_share_the_partitions_and_take_over_what_one_leaves() {
    paused(async {
        let model = Model::new(&[("t", 4, 0)], []);
        let mut one = model.client(1).consumer(config());
        one.subscribe(["t"]).unwrap();
        own(&mut one, 4).await;
        assert_eq!(one.group_metadata().unwrap().generation, 1);
        let mut two = model.client(2).consumer(config());
        two.subscribe(["t"]).unwrap();
        let (_, _) = tokio::join!(own(&mut one, 2), own(&mut two, 2));
        assert_eq!(model.generation(), 2);
        let metadata = two.group_metadata().unwrap();
        assert_eq!((metadata.group_id.as_str(), metadata.generation), ("g", 2));
        one.close(s(60)).await.result().unwrap();
        assert_eq!(model.members_count(), 1);
        own(&mut two, 4).await;
        drop(two);
        model.sleep(s(1)).await;
        assert_eq!(
            model.members_count(),
            0,
            "a consumer that is dropped leaves, too"
        );
    });
}

#[test]
fn a_fresh_group_is_joined_without_a_pause() {
    paused(async {
        let model = Model::new(&[("t", 12, 1)], []);
        let mut consumer = model.client(1).consumer(config());
        consumer.subscribe(["t"]).unwrap();
        let before = model.now();
        assert!(!consumer.poll(s(60)).await.unwrap().is_empty());
        assert_eq!(model.now().since(before), Duration::ZERO);
    });
}

#[test]
fn what_a_dead_member_had_is_taken_over_after_its_session() {
    paused(async {
        let model = Model::new(&[("t", 4, 0)], []);
        let mut one = model.client(1).consumer(config());
        let mut two = model.client(2).consumer(config());
        one.subscribe(["t"]).unwrap();
        two.subscribe(["t"]).unwrap();
        let (_, _) = tokio::join!(own(&mut one, 2), own(&mut two, 2));
        model.kill(1);
        let killed_at = model.now();
        while two.assignment().len() < 4 {
            two.poll(Duration::from_millis(10)).await.unwrap();
        }
        // The session began with the last heartbeat; then the other one hears of it with its own.
        let waited = model.now().since(killed_at);
        assert!(
            waited <= s(10) + s(3) + 2 * TICK + Duration::from_millis(20),
            "{waited:?}"
        );
        assert!(waited >= s(10) - s(3), "{waited:?}");
    });
}

#[test]
fn who_does_not_poll_loses_its_partitions_and_cannot_commit_them() {
    paused(async {
        let model = Model::new(&[("t", 2, 100)], []);
        let mut slow = model.client(1).consumer(config());
        slow.subscribe(["t"]).unwrap();
        let mut handed_out = Vec::new();
        while handed_out.is_empty() {
            handed_out = slow.poll(s(1)).await.unwrap();
        }
        let mut quick = model.client(2).consumer(config());
        quick.subscribe(["t"]).unwrap();
        // The slow one works for longer than it may.
        own(&mut quick, 2).await;
        let error = slow.commit().await.unwrap_err();
        let expected = [ErrorCode::UnknownMemberId, ErrorCode::IllegalGeneration];
        assert!(expected.contains(&code(&error).unwrap()), "{error}");
        // It comes back, and both share again.
        let (_, _) = tokio::join!(own(&mut quick, 1), own(&mut slow, 1));
    });
}

#[test]
fn only_what_was_handed_out_and_done_is_committed_by_itself() {
    paused(async {
        let model = Model::new(&[("t", 1, 100)], []);
        let few = || ConsumerConfig {
            max_poll_records: 5,
            max_poll_interval_ms: 300_000,
            ..config()
        };
        let mut consumer = model.client(1).consumer(few());
        consumer.subscribe(["t"]).unwrap();
        assert_eq!(consumer.poll(s(1)).await.unwrap().len(), 5);
        model.sleep(s(60)).await;
        assert_eq!(
            model.committed("t", 0),
            None,
            "the caller may still be at work"
        );
        assert_eq!(consumer.poll(s(1)).await.unwrap().len(), 5);
        model.sleep(Duration::from_millis(1)).await;
        assert_eq!(model.committed("t", 0), Some(5));
        assert_eq!(consumer.poll(s(1)).await.unwrap().len(), 5);
        assert_eq!(model.committed("t", 0), Some(5), "not with every poll");
        drop(consumer);
        model.sleep(s(60)).await;
        assert_eq!(
            model.committed("t", 0),
            Some(5),
            "whoever is dropped commits nothing"
        );

        let mut next = model.client(2).consumer(few());
        next.subscribe(["t"]).unwrap();
        let records = own(&mut next, 1).await;
        let records = if records.is_empty() {
            next.poll(s(1)).await.unwrap()
        } else {
            records
        };
        assert_eq!(records[0].offset, 5);
        next.close(s(60)).await.result().unwrap();
        assert_eq!(model.committed("t", 0), Some(5 + records.len() as i64));
    });
}

#[test]
fn a_long_poll_commits_in_the_middle_of_its_wait() {
    paused(async {
        let model = Model::new(&[("t", 1, 3)], []);
        let mut consumer = model.client(1).consumer(config());
        consumer.subscribe(["t"]).unwrap();
        assert_eq!(consumer.poll(s(1)).await.unwrap().len(), 3);
        assert_eq!(consumer.poll(s(6)).await.unwrap(), []);
        assert_eq!(model.committed("t", 0), Some(3));
        // And it does not count as not polling.
        assert_eq!(consumer.poll(s(300)).await.unwrap(), []);
        assert_eq!(consumer.assignment().len(), 1);
        assert_eq!(model.generation(), 1);
    });
}

#[test]
fn a_commit_by_hand_is_where_the_next_member_goes_on() {
    paused(async {
        let model = Model::new(&[("t", 1, 100)], []);
        let by_hand = || ConsumerConfig {
            enable_auto_commit: false,
            max_poll_records: 5,
            ..config()
        };
        let mut consumer = model.client(1).consumer(by_hand());
        consumer.subscribe(["t"]).unwrap();
        consumer.commit().await.unwrap();
        assert_eq!(consumer.poll(s(1)).await.unwrap().len(), 5);
        consumer.commit().await.unwrap();
        assert_eq!(model.committed("t", 0), Some(5));
        assert_eq!(consumer.poll(s(1)).await.unwrap().len(), 5);
        consumer.close(s(60)).await.result().unwrap();
        assert_eq!(
            model.committed("t", 0),
            Some(5),
            "nothing is committed unasked"
        );
        let mut next = model.client(2).consumer(by_hand());
        next.subscribe(["t"]).unwrap();
        assert_eq!(next.poll(s(1)).await.unwrap()[0].offset, 5);
    });
}

#[test]
fn an_older_commit_that_is_tried_again_does_not_come_behind_a_newer_one() {
    paused(async {
        // Two joins, a sync, the question for offsets; then the first commit is lost.
        let faults = [
            Fault::Ok(0),
            Fault::Ok(0),
            Fault::Ok(0),
            Fault::Ok(0),
            Fault::LostRequest,
        ];
        let model = Model::new(&[("t", 1, 100)], faults);
        let mut consumer = model.client(1).consumer(ConsumerConfig {
            auto_commit_interval_ms: 100,
            max_poll_records: 5,
            ..config()
        });
        consumer.subscribe(["t"]).unwrap();
        assert_eq!(consumer.poll(s(1)).await.unwrap().len(), 5);
        model.sleep(Duration::from_millis(200)).await;
        assert_eq!(consumer.poll(s(1)).await.unwrap().len(), 5);
        consumer.commit().await.unwrap();
        assert_eq!(model.committed("t", 0), Some(10));
        model.sleep(s(1)).await;
        assert_eq!(model.committed("t", 0), Some(10));
    });
}

#[test]
fn a_group_without_offsets_starts_where_it_is_told() {
    paused(async {
        let model = Model::new(&[("t", 1, 7)], []);
        let start = |auto_offset_reset| ConsumerConfig {
            auto_offset_reset,
            ..config()
        };
        let mut latest = model.client(1).consumer(start(OffsetReset::Latest));
        latest.subscribe(["t"]).unwrap();
        own(&mut latest, 1).await;
        latest.poll(s(1)).await.unwrap();
        assert_eq!(latest.position("t", 0), Some(7));
        drop(latest);
        model.sleep(s(1)).await;

        let mut none = model.client(2).consumer(start(OffsetReset::None));
        none.subscribe(["t"]).unwrap();
        let error = none.poll(s(60)).await.unwrap_err();
        let topic = "t".to_owned();
        assert_eq!(
            error,
            ClientError::NoOffset {
                topic,
                partition: 0
            }
        );
        none.seek("t", 0, highwater_client::StartAt::Offset(3))
            .await
            .unwrap();
        assert_eq!(none.poll(s(60)).await.unwrap()[0].offset, 3);
    });
}

#[test]
fn a_parked_join_holds_up_nothing() {
    paused(async {
        let model = Model::new(&[("t", 2, 0)], []);
        let idle = ConsumerConfig {
            max_poll_interval_ms: 300_000,
            ..config()
        };
        let mut one = model.client(1).consumer(idle);
        one.subscribe(["t"]).unwrap();
        own(&mut one, 2).await;
        let client = model.client(2);
        let mut two = client.consumer(config());
        two.subscribe(["t"]).unwrap();
        while model.parked_count() < 2 {
            assert_eq!(two.poll(Duration::from_millis(10)).await.unwrap(), []);
        }
        let before = model.now();
        // The first member does not poll; the second one is done while it waits for it.
        two.close(s(60)).await.result().unwrap();
        assert_eq!(model.now().since(before), Duration::ZERO);
        assert_eq!(model.members_count(), 1);
    });
}

#[test]
fn added_partitions_and_late_topics_are_found() {
    paused(async {
        let model = Model::new(&[("t", 1, 0)], []);
        let mut consumer = model.client(1).consumer(ConsumerConfig {
            metadata_max_age_ms: 30_000,
            ..config()
        });
        consumer.subscribe(["t", "late"]).unwrap();
        own(&mut consumer, 1).await;
        model.add_partition("late", 0);
        own(&mut consumer, 2).await;
        model.add_partition("t", 0);
        own(&mut consumer, 3).await;
        // Another subscription takes effect with the next poll.
        consumer.subscribe(["late"]).unwrap();
        assert_eq!(consumer.subscription(), ["late"]);
        own(&mut consumer, 1).await;
        consumer.unsubscribe().await.unwrap();
        assert_eq!((consumer.assignment(), model.members_count()), (vec![], 0));
    });
}

#[test]
fn the_coordinator_is_followed_when_it_moves() {
    paused(async {
        let faults = [
            Fault::Moved,
            Fault::Loading,
            Fault::Ok(0),
            Fault::Moved,
            Fault::Loading,
        ];
        let model = Model::new(&[("t", 2, 0)], faults);
        let mut consumer = model.client(1).consumer(config());
        consumer.subscribe(["t"]).unwrap();
        own(&mut consumer, 2).await;
    });
}

#[test]
fn groups_are_listed_from_every_broker_as_soon_as_it_has_loaded_them() {
    paused(async {
        let model = Model::new(&[("t", 2, 0)], [Fault::Loading, Fault::Loading]);
        let listed = model.client(1).admin().list_groups().await.unwrap();
        let names: Vec<&str> = listed.iter().map(|it| it.group.as_str()).collect();
        assert_eq!(names, ["g"]);
    });
}

#[test]
fn a_poll_that_is_dropped_anywhere_loses_nothing() {
    paused(async {
        let board = Board::default();
        let model = Model::new(&[("t", 3, 50)], [Fault::Ok(30); 40]);
        let mut consumer = model.client(1).consumer(config());
        consumer.subscribe(["t"]).unwrap();
        let mut pauses = (1..40).cycle();
        while board.seen("t") < 150 {
            let patience = Duration::from_millis(pauses.next().unwrap());
            tokio::select! {
                records = consumer.poll(s(60)) => board.note(&consumer, &records.unwrap()),
                () = model.sleep(patience) => {}
            }
        }
        assert_eq!(board.handed_out(), 150, "each record once");
    });
}

#[test]
fn what_cannot_be_right_is_refused_early() {
    paused(async {
        let model = Model::new(&[("t", 1, 0)], []);
        let client = model.client(1);
        let refused = |config: ConsumerConfig, sentence: &str| {
            let error = client.consumer(config).subscribe(["t"]).unwrap_err();
            assert!(
                matches!(&error, ClientError::Invalid(why) if why.contains(sentence)),
                "{error}"
            );
        };
        let without = ConsumerConfig::default();
        refused(without.clone(), "group.id");
        let empty = Some(String::new());
        refused(
            ConsumerConfig {
                group_id: empty,
                ..config()
            },
            "group.id",
        );
        let slow = 10_000;
        refused(
            ConsumerConfig {
                heartbeat_interval_ms: slow,
                ..config()
            },
            "heartbeat.interval.ms must be below session.timeout.ms",
        );
        refused(
            ConsumerConfig {
                heartbeat_interval_ms: 0,
                ..config()
            },
            "heartbeat.interval.ms",
        );
        refused(
            ConsumerConfig {
                max_poll_interval_ms: 0,
                ..config()
            },
            "max.poll.interval.ms",
        );
        let none = Vec::<AssignmentStrategy>::new();
        refused(
            ConsumerConfig {
                partition_assignment_strategy: none,
                ..config()
            },
            "partition.assignment.strategy",
        );
        let mut consumer = client.consumer(without);
        assert!(matches!(
            consumer.commit().await,
            Err(ClientError::Invalid(_))
        ));
        let mut consumer = client.consumer(config());
        assert!(consumer.subscribe(Vec::<String>::new()).is_err());
        let start = highwater_client::StartAt::Earliest;
        consumer.assign("t", 0, start).await.unwrap();
        assert!(consumer.subscribe(["t"]).is_err(), "assigned by hand");
        consumer.unassign("t", 0);
        consumer.subscribe(["t"]).unwrap();
        assert!(
            consumer.assign("t", 0, start).await.is_err(),
            "assigned by the group"
        );
    });
}

#[test]
fn a_consumer_that_assigns_by_hand_commits_for_its_group() {
    paused(async {
        let model = Model::new(&[("t", 1, 10)], []);
        let mut consumer = model.client(1).consumer(config());
        consumer
            .assign("t", 0, highwater_client::StartAt::Earliest)
            .await
            .unwrap();
        assert_eq!(consumer.poll(s(1)).await.unwrap().len(), 10);
        consumer.commit().await.unwrap();
        assert_eq!(model.committed("t", 0), Some(10));
        assert_eq!(consumer.group_metadata(), None);
    });
}
