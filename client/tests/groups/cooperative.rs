//! Members that keep their partitions through a rebalance.

use std::sync::Arc;
use std::time::Duration;

use highwater_client::AssignmentStrategy::{CooperativeSticky, Range, Sticky};
use highwater_client::{AssignmentStrategy, Consumer, ConsumerConfig, ErrorCode};

use crate::board::{Board, paused};
use crate::config;
use crate::model::{Fault, Model};
use crate::own;
use crate::s;

fn with(strategies: &[AssignmentStrategy]) -> ConsumerConfig {
    ConsumerConfig {
        partition_assignment_strategy: strategies.to_vec(),
        ..config()
    }
}

fn member(model: &Arc<Model>, number: usize, strategies: &[AssignmentStrategy]) -> Consumer {
    let mut consumer = model.client(number).consumer(with(strategies));
    consumer.subscribe(["t"]).unwrap();
    consumer
}

/// What a member reads while the group waits for another one that does not poll.
async fn read_in_a_rebalance(strategy: AssignmentStrategy) -> usize {
    let model = Model::new(&[("t", 4, 30)], []);
    let mut one = member(&model, 1, &[strategy]);
    let mut idle = member(&model, 2, &[strategy]);
    let (_, _) = tokio::join!(own(&mut one, 2), own(&mut idle, 2));
    while !one.poll(s(1)).await.unwrap().is_empty() {}
    let generation = model.generation();
    let mut new = member(&model, 3, &[strategy]);
    let (mut read, mut polls_left) = (0, 0);
    while polls_left < 100 {
        polls_left += 1;
        if polls_left == 50 {
            (0..4).for_each(|partition| model.fill("t", partition, 40));
        }
        read += one.poll(Duration::from_millis(100)).await.unwrap().len();
        new.poll(Duration::from_millis(10)).await.unwrap();
    }
    assert_eq!(model.generation(), generation, "the idle one is waited for");
    own(&mut idle, 1).await;
    read
}

#[test]
fn partitions_that_stay_are_read_through_a_rebalance() {
    paused(async {
        assert_eq!(read_in_a_rebalance(CooperativeSticky).await, 20);
        assert_eq!(read_in_a_rebalance(Sticky).await, 0);
    });
}

#[test]
fn only_what_moves_is_given_back() {
    paused(async {
        let model = Model::new(&[("t", 4, 0)], []);
        let mut one = member(&model, 1, &[CooperativeSticky]);
        own(&mut one, 4).await;
        let mut two = member(&model, 2, &[CooperativeSticky]);
        let until_it_has_two = async {
            let mut fewest = 4;
            while one.assignment().len() != 2 || model.generation() < 3 {
                one.poll(Duration::from_millis(10)).await.unwrap();
                fewest = fewest.min(one.assignment().len());
            }
            fewest
        };
        let (fewest, _) = tokio::join!(until_it_has_two, own(&mut two, 2));
        assert_eq!(fewest, 2, "what it keeps it always had");
        // One generation in which they are given back, and one in which they are taken.
        assert_eq!(
            (model.generation(), model.protocol().as_str()),
            (3, "cooperative-sticky")
        );
        two.close(s(60)).await.result().unwrap();
        own(&mut one, 4).await;
    });
}

#[test]
fn a_commit_in_the_middle_of_a_rebalance_waits_for_its_end() {
    paused(async {
        let by_hand = ConsumerConfig {
            enable_auto_commit: false,
            ..with(&[CooperativeSticky])
        };
        let model = Model::new(&[("t", 2, 30)], []);
        let mut one = model.client(1).consumer(by_hand);
        one.subscribe(["t"]).unwrap();
        let mut handed_out = own(&mut one, 2).await.len();
        while handed_out < 60 {
            handed_out += one.poll(s(1)).await.unwrap().len();
        }
        let mut two = member(&model, 2, &[CooperativeSticky]);
        while model.parked_count() < 2 {
            two.poll(Duration::from_millis(10)).await.unwrap();
        }
        // Its own join comes through at once, the assignment late.
        while model.generation() < 2 {
            model.script([Fault::Ok(0), Fault::Late(2_000), Fault::Late(2_000)]);
            one.poll(Duration::from_millis(20)).await.unwrap();
            two.poll(Duration::from_millis(1)).await.unwrap();
        }
        one.commit().await.unwrap();
        let committed = [0, 1].map(|partition| model.committed("t", partition));
        assert_eq!(committed, [Some(30); 2]);
    });
}

#[test]
fn who_lost_its_membership_in_a_rebalance_drops_what_it_kept() {
    paused(async {
        let model = Model::new(&[("t", 2, 0)], []);
        let mut one = member(&model, 1, &[CooperativeSticky]);
        own(&mut one, 2).await;
        let mut two = member(&model, 2, &[CooperativeSticky]);
        while model.parked_count() < 2 {
            two.poll(Duration::from_millis(10)).await.unwrap();
        }
        // The first one is silent for longer than a rebalance waits.
        own(&mut two, 2).await;
        let error = one
            .commit_offsets(&[crate::face::offset("t", 0, 7)])
            .await
            .unwrap_err();
        let expected = [ErrorCode::UnknownMemberId, ErrorCode::IllegalGeneration];
        assert!(expected.contains(&error.code().unwrap()), "{error}");
        one.poll(Duration::from_millis(100)).await.unwrap();
        assert_eq!(one.assignment(), []);
        let (_, _) = tokio::join!(own(&mut one, 1), own(&mut two, 1));
    });
}

#[test]
fn a_group_changes_over_member_by_member_without_a_loss() {
    paused(async {
        let board = Board::default();
        let model = Model::new(&[("t", 6, 40)], []);
        let both = [Range, CooperativeSticky];
        let steps: [(&[AssignmentStrategy], &str); 4] = [
            (&[Range], "range"),
            (&both, "range"),
            (&[CooperativeSticky], "cooperative-sticky"),
            // And back the same way.
            (&both, "range"),
        ];
        let mut members: Vec<Consumer> = (0..3).map(|it| member(&model, it, &[Range])).collect();
        let mut number = 3;
        for (strategies, agreed) in steps {
            for place in 0..3 {
                let mut old = std::mem::replace(
                    &mut members[place],
                    model.client(number).consumer(with(strategies)),
                );
                let records = old.poll(Duration::from_millis(10)).await.unwrap();
                board.note(&old, &records);
                old.close(s(60)).await.result().unwrap();
                members[place].subscribe(["t"]).unwrap();
                number += 1;
                while !members.iter().all(|it| it.assignment().len() == 2) {
                    for member in &mut members {
                        let records = member.poll(Duration::from_millis(20)).await.unwrap();
                        board.note(member, &records);
                    }
                }
            }
            assert_eq!(model.protocol(), agreed, "{strategies:?}");
        }
        while board.seen("t") < 240 {
            for member in &mut members {
                let records = member.poll(Duration::from_millis(20)).await.unwrap();
                board.note(member, &records);
            }
        }
        assert_eq!(board.handed_out(), 240, "each record once");
    });
}

#[test]
fn a_cooperative_poll_that_is_dropped_anywhere_loses_nothing() {
    paused(async {
        let board = Board::default();
        let model = Model::new(&[("t", 3, 50)], [Fault::Ok(30); 80]);
        let mut one = member(&model, 1, &[CooperativeSticky]);
        let mut two = member(&model, 2, &[CooperativeSticky]);
        let mut pauses = (1..40).cycle();
        while board.seen("t") < 150 {
            for consumer in [&mut one, &mut two] {
                let patience = Duration::from_millis(pauses.next().unwrap());
                tokio::select! {
                    records = consumer.poll(s(60)) => board.note(consumer, &records.unwrap()),
                    () = model.sleep(patience) => {}
                }
            }
        }
        assert_eq!(board.handed_out(), 150, "each record once");
    });
}

#[test]
fn a_cooperative_member_gives_up_a_topic_at_once() {
    paused(async {
        let model = Model::new(&[("t", 2, 30), ("u", 2, 30)], []);
        let mut consumer = model.client(1).consumer(with(&[CooperativeSticky]));
        consumer.subscribe(["t", "u"]).unwrap();
        own(&mut consumer, 4).await;
        consumer.subscribe(["t"]).unwrap();
        for record in consumer.poll(s(1)).await.unwrap() {
            assert_eq!(&*record.topic, "t");
        }
        own(&mut consumer, 2).await;
    });
}
