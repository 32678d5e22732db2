//! Any history of members that come, go, die and work slowly, on a network that loses anything.

use std::sync::Arc;
use std::time::Duration;

use highwater_client::AssignmentStrategy::{self, CooperativeSticky, Range, RoundRobin, Sticky};
use highwater_client::{Consumer, ConsumerConfig};
use proptest::prelude::*;

use crate::board::{Board, paused};
use crate::config;
use crate::model::{Fault, Model};

/// How a member ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Close,
    Drop,
    Die,
}

/// One member's life.
#[derive(Clone, Debug)]
struct Life {
    begins_ms: u64,
    polls: u32,
    /// How long it works on what one poll gave.
    work_ms: u64,
    end: End,
}

fn life() -> impl Strategy<Value = Life> {
    let end = prop_oneof![2 => Just(End::Close), 1 => Just(End::Drop), 1 => Just(End::Die)];
    let work_ms = prop_oneof![6 => 0..500_u64, 1 => 20_000..40_000_u64];
    (0..20_000_u64, 0..40_u32, work_ms, end).prop_map(|(begins_ms, polls, work_ms, end)| Life {
        begins_ms,
        polls,
        work_ms,
        end,
    })
}

/// The strategies of the members of one group, who take them by turns.
#[derive(Clone, Copy, Debug)]
struct Strategies(&'static [&'static [AssignmentStrategy]]);

/// Each two members have a strategy in common; in the last group some keep their partitions through
/// a rebalance and some do not.
fn strategies() -> impl Strategy<Value = Strategies> {
    const EAGER: Strategies = Strategies(&[&[Range]]);
    const CHANGING: Strategies = Strategies(&[&[RoundRobin, Range], &[Range, CooperativeSticky]]);
    const STICKY: Strategies = Strategies(&[&[Sticky]]);
    const COOPERATIVE: Strategies = Strategies(&[&[CooperativeSticky]]);
    const MIXED: Strategies = Strategies(&[&[CooperativeSticky], &[Range, CooperativeSticky]]);
    prop_oneof![
        1 => Just(EAGER),
        1 => Just(CHANGING),
        1 => Just(STICKY),
        3 => Just(COOPERATIVE),
        2 => Just(MIXED),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => (0..60_u64).prop_map(Fault::Ok),
        // A commit that arrives after its sender has given it up may undo a newer one: that no
        // client can prevent, so nothing is as late as that.
        2 => (0..300_u64).prop_map(Fault::Late),
        1 => Just(Fault::NotSent),
        1 => Just(Fault::LostRequest),
        2 => Just(Fault::LostReply),
        1 => Just(Fault::Silence),
        1 => Just(Fault::Moved),
        1 => Just(Fault::Loading),
    ]
}

async fn live(
    model: Arc<Model>,
    board: Arc<Board>,
    (number, mut consumer): (usize, Consumer),
    life: Life,
) {
    model.sleep(Duration::from_millis(life.begins_ms)).await;
    consumer.subscribe(["t"]).unwrap();
    for _ in 0..life.polls {
        let records = consumer.poll(Duration::from_millis(200)).await.unwrap();
        board.note(&consumer, &records);
        if !records.is_empty() {
            model.sleep(Duration::from_millis(life.work_ms)).await;
        }
    }
    match life.end {
        // Whether its last commit came through is for the one who closes to judge.
        End::Close => drop(consumer.close(Duration::from_secs(60)).await),
        End::Drop => drop(consumer),
        End::Die => model.kill(number),
    }
}

/// What holds for a whole history.
struct Group {
    partitions: i32,
    auto_commit_interval_ms: u64,
    strategies: Strategies,
}

/// Lets the lives happen, and then one more member that ends all work.
async fn history(
    lives: Vec<Life>,
    faults: Vec<Fault>,
    group: Group,
) -> Result<Arc<Board>, TestCaseError> {
    let Group {
        partitions,
        auto_commit_interval_ms,
        strategies,
    } = group;
    let member = |number: usize| ConsumerConfig {
        max_poll_records: 7,
        auto_commit_interval_ms,
        partition_assignment_strategy: strategies.0[number % strategies.0.len()].to_vec(),
        ..config()
    };
    let model = Model::new(&[("t", partitions, RECORDS)], faults);
    let board = Arc::new(Board::default());
    let mut tasks = tokio::task::JoinSet::new();
    for (number, life) in lives.into_iter().enumerate() {
        let consumer = model.client(number).consumer(member(number));
        tasks.spawn(live(
            Arc::clone(&model),
            Arc::clone(&board),
            (number, consumer),
            life,
        ));
    }
    while let Some(done) = tasks.join_next().await {
        prop_assert!(done.is_ok(), "{:?}", done);
    }
    let mut last = model.client(usize::MAX).consumer(ConsumerConfig {
        max_poll_records: 500,
        ..member(0)
    });
    last.subscribe(["t"]).unwrap();
    let deadline = model.now().plus(Duration::from_secs(600));
    let is_done = |model: &Model| {
        (0..partitions).all(|partition| model.committed("t", partition) == Some(RECORDS))
    };
    while !is_done(&model) {
        prop_assert!(model.now() < deadline, "the group is stuck");
        let records = last.poll(Duration::from_millis(500)).await.unwrap();
        board.note(&last, &records);
        for partition in 0..partitions {
            let committed = model.committed("t", partition).unwrap_or(0);
            prop_assert!(
                board.has_all_below("t", partition, committed),
                "{partition} is committed up to {committed}, which nobody got"
            );
        }
    }
    Ok(board)
}

const RECORDS: i64 = 60;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_partition_has_two_owners_and_no_record_is_passed_over(
        lives in prop::collection::vec(life(), 0..5),
        faults in prop::collection::vec(fault(), 0..60),
        partitions in 1..6_i32,
        strategies in strategies(),
    ) {
        let auto_commit_interval_ms = 1_000;
        let group = Group { partitions, auto_commit_interval_ms, strategies };
        paused(history(lives, faults, group))?;
    }

    #[test]
    fn with_members_that_close_each_record_is_handed_out_once(
        lives in prop::collection::vec(life(), 0..5),
        delays in prop::collection::vec(0..500_u64, 0..200),
        partitions in 1..6_i32,
        strategies in strategies(),
    ) {
        // They overlap, and the commit of their own is too rare to help.
        let orderly = |life: Life| Life {
            begins_ms: life.begins_ms / 4,
            end: End::Close,
            work_ms: life.work_ms % 500,
            ..life
        };
        let lives = lives.into_iter().map(orderly).collect();
        let delays = delays.into_iter().map(Fault::Late).collect();
        let auto_commit_interval_ms = 60_000;
        let group = Group { partitions, auto_commit_interval_ms, strategies };
        let board = paused(history(lives, delays, group))?;
        let expected = usize::try_from(i64::from(partitions) * RECORDS).unwrap();
        prop_assert_eq!(board.handed_out(), expected);
    }
}
