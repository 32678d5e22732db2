//! Any history of members that come, go, die and work slowly, on a network that loses anything.

use std::sync::Arc;
use std::time::Duration;

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
        End::Close => drop(consumer.close().await),
        End::Drop => drop(consumer),
        End::Die => model.kill(number),
    }
}

/// Lets the lives happen, and then one more member that ends all work.
async fn history(
    lives: Vec<Life>,
    faults: Vec<Fault>,
    (partitions, auto_commit_interval_ms): (i32, u64),
) -> Result<Arc<Board>, TestCaseError> {
    let model = Model::new(&[("t", partitions, RECORDS)], faults);
    let board = Arc::new(Board::default());
    let mut tasks = tokio::task::JoinSet::new();
    for (number, life) in lives.into_iter().enumerate() {
        let config = ConsumerConfig {
            max_poll_records: 7,
            auto_commit_interval_ms,
            ..config()
        };
        let consumer = model.client(number).consumer(config);
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
    let mut last = model.client(usize::MAX).consumer(config());
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
    ) {
        paused(history(lives, faults, (partitions, 1_000)))?;
    }

    #[test]
    fn with_members_that_close_each_record_is_handed_out_once(
        lives in prop::collection::vec(life(), 0..5),
        delays in prop::collection::vec(0..500_u64, 0..200),
        partitions in 1..6_i32,
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
        let board = paused(history(lives, delays, (partitions, 60_000)))?;
        let expected = usize::try_from(i64::from(partitions) * RECORDS).unwrap();
        prop_assert_eq!(board.handed_out(), expected);
    }
}
