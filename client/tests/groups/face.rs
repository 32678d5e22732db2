//! What a user can do with a consumer of a group: patterns, listeners, streams, pauses, a good end.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_core::Stream;
use highwater_client::AssignmentStrategy::CooperativeSticky;
use highwater_client::{
    BoxFuture, ClientError, CommittedOffset, Consumer, ConsumerConfig, ConsumerRecord,
    RebalanceListener, StartAt,
};

use crate::board::paused;
use crate::config;
use crate::model::Model;
use crate::own;
use crate::s;

pub(crate) fn offset(topic: &str, partition: i32, offset: i64) -> CommittedOffset {
    CommittedOffset {
        topic: topic.to_owned(),
        partition,
        offset,
        ..CommittedOffset::default()
    }
}

/// Writes down what it hears; at `revoked` it says these offsets, after a while.
#[derive(Clone)]
struct Ear {
    heard: Arc<Mutex<Vec<String>>>,
    says: Vec<CommittedOffset>,
    model: Arc<Model>,
}

impl Ear {
    fn new(model: &Arc<Model>, says: &[CommittedOffset]) -> Self {
        Self {
            heard: Arc::default(),
            says: says.to_vec(),
            model: Arc::clone(model),
        }
    }

    fn hear(&self, what: &str, partitions: &[(Arc<str>, i32)]) {
        let numbers: Vec<String> = partitions.iter().map(|it| it.1.to_string()).collect();
        let mut heard = self.heard.lock().unwrap();
        heard.push(format!("{what} {}", numbers.join(",")));
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

impl RebalanceListener for Ear {
    fn assigned(&mut self, partitions: &[(Arc<str>, i32)]) {
        self.hear("assigned", partitions);
    }

    fn revoked(
        &mut self,
        partitions: &[(Arc<str>, i32)],
    ) -> BoxFuture<'static, Vec<CommittedOffset>> {
        self.hear("revoked", partitions);
        let it = self.clone();
        Box::pin(async move {
            it.model.sleep(s(1)).await;
            it.says
        })
    }

    fn lost(&mut self, partitions: &[(Arc<str>, i32)]) {
        self.hear("lost", partitions);
    }
}

fn by_hand(is_cooperative: bool) -> ConsumerConfig {
    let default = ConsumerConfig::default().partition_assignment_strategy;
    ConsumerConfig {
        enable_auto_commit: false,
        partition_assignment_strategy: match is_cooperative {
            true => vec![CooperativeSticky],
            false => default,
        },
        ..config()
    }
}

#[test]
fn a_listener_hears_all_and_says_what_is_done() {
    paused(async {
        for is_cooperative in [false, true] {
            let model = Model::new(&[("t", 2, 30)], []);
            let mut one = model.client(1).consumer(by_hand(is_cooperative));
            let ear = Ear::new(&model, &[offset("t", 1, 7)]);
            one.on_rebalance(ear.clone()).unwrap();
            one.subscribe(["t"]).unwrap();
            own(&mut one, 2).await;
            assert_eq!(ear.heard(), ["assigned 0,1"]);
            let mut two = model.client(2).consumer(by_hand(is_cooperative));
            two.subscribe(["t"]).unwrap();
            let mut records = Vec::new();
            while two.assignment().len() != 1 {
                one.poll(Duration::from_millis(20)).await.unwrap();
                records.extend(two.poll(Duration::from_millis(20)).await.unwrap());
            }
            let expected: &[&str] = match is_cooperative {
                true => &["revoked 1"],
                false => &["revoked 0,1", "assigned 0"],
            };
            own(&mut one, 1).await;
            assert_eq!(ear.heard(), expected);
            assert_eq!(model.committed("t", 1), Some(7), "it was waited for");
            let first = match records.first() {
                Some(record) => record.offset,
                None => two.poll(s(1)).await.unwrap()[0].offset,
            };
            assert_eq!(first, 7);
            // It does not poll for so long that the group goes on without it.
            own(&mut two, 2).await;
            model.sleep(s(30)).await;
            one.poll(Duration::from_millis(10)).await.unwrap();
            assert_eq!(ear.heard()[0], "lost 0");
        }
    });
}

#[test]
fn closing_asks_the_listener_and_tells_how_it_went() {
    paused(async {
        let model = Model::new(&[("t", 2, 10)], []);
        let mut consumer = model.client(1).consumer(by_hand(true));
        let ear = Ear::new(&model, &[offset("t", 0, 4)]);
        consumer.on_rebalance(ear.clone()).unwrap();
        consumer.subscribe(["t"]).unwrap();
        let mut read = own(&mut consumer, 2).await.len();
        while read < 20 {
            read += consumer.poll(s(1)).await.unwrap().len();
        }
        let closed = consumer.close(s(60)).await;
        assert_eq!(ear.heard(), ["assigned 0,1", "revoked 0,1"]);
        assert_eq!(closed.committed, [offset("t", 0, 4)]);
        let mut open: Vec<_> = closed
            .uncommitted
            .iter()
            .map(|it| (it.partition, it.offset))
            .collect();
        open.sort_unstable();
        assert_eq!((open, closed.error), (vec![(0, 10), (1, 10)], None));
        assert_eq!(
            (model.members_count(), model.committed("t", 0)),
            (0, Some(4))
        );

        // Another one has not enough time.
        let mut consumer = model.client(2).consumer(by_hand(true));
        consumer.on_rebalance(ear).unwrap();
        consumer.subscribe(["t"]).unwrap();
        own(&mut consumer, 2).await;
        let closed = consumer.close(Duration::from_millis(500)).await;
        assert!(
            matches!(closed.error, Some(ClientError::Unknown(_))),
            "{closed:?}"
        );
        model.sleep(s(2)).await;
        assert_eq!(model.members_count(), 0, "it leaves all the same");
    });
}

#[test]
fn with_commits_of_its_own_nothing_is_left_when_it_closes() {
    paused(async {
        let model = Model::new(&[("t", 2, 10)], []);
        let mut consumer = model.client(1).consumer(config());
        consumer.subscribe(["t"]).unwrap();
        let mut read = own(&mut consumer, 2).await.len();
        while read < 20 {
            read += consumer.poll(s(1)).await.unwrap().len();
        }
        let closed = consumer.close(s(60)).await;
        assert_eq!((closed.committed.len(), closed.uncommitted.len()), (2, 0));
        assert!(closed.committed.iter().all(|it| it.offset == 10));
    });
}

#[test]
fn a_pattern_finds_topics_that_come_later() {
    paused(async {
        let model = Model::new(
            &[
                ("orders.eu", 1, 3),
                ("payments", 1, 3),
                ("__orders.x", 1, 3),
            ],
            [],
        );
        let mut consumer = model.client(1).consumer(ConsumerConfig {
            metadata_max_age_ms: 30_000,
            ..config()
        });
        let error = consumer.subscribe_pattern("orders.(").unwrap_err();
        assert!(matches!(error, ClientError::Invalid(_)), "{error}");
        consumer.subscribe_pattern(r".*orders\..*").unwrap();
        assert!(consumer.assign("t", 0, StartAt::Earliest).await.is_err());
        own(&mut consumer, 1).await;
        assert_eq!(consumer.subscription(), ["orders.eu"]);
        model.add_partition("orders.us", 3);
        model.add_partition("reorders", 3);
        own(&mut consumer, 2).await;
        assert_eq!(consumer.subscription(), ["orders.eu", "orders.us"]);
        // A long poll counts as polling, too, although it began before the membership.
        while !consumer.poll(s(300)).await.unwrap().is_empty() {}
        assert_eq!(consumer.assignment().len(), 2);
        consumer.subscribe_pattern("pay.*").unwrap();
        let mut topics = Vec::new();
        while topics != ["payments"] {
            consumer.poll(s(1)).await.unwrap();
            topics = consumer.subscription().to_vec();
        }
        own(&mut consumer, 1).await;
        consumer.unsubscribe().await.unwrap();
        assert!(consumer.subscription().is_empty());
        consumer
            .assign("payments", 0, StartAt::Earliest)
            .await
            .unwrap();
    });
}

async fn next(consumer: &mut Consumer) -> ConsumerRecord {
    let mut records = pin!(consumer.stream());
    poll_fn(|cx| records.as_mut().poll_next(cx))
        .await
        .unwrap()
        .unwrap()
}

#[test]
fn a_stream_commits_only_what_the_caller_is_done_with() {
    paused(async {
        let model = Model::new(&[("t", 1, 20)], []);
        let mut consumer = model.client(1).consumer(ConsumerConfig {
            auto_commit_interval_ms: 1_000,
            ..config()
        });
        consumer.subscribe(["t"]).unwrap();
        for expected in 0..5 {
            assert_eq!(next(&mut consumer).await.offset, expected);
        }
        model.sleep(s(3)).await;
        assert_eq!(
            model.committed("t", 0),
            None,
            "the caller may be at work on it"
        );
        assert_eq!(next(&mut consumer).await.offset, 5);
        model.sleep(Duration::from_millis(1)).await;
        assert_eq!(model.committed("t", 0), Some(5));
        // One stream for the rest; it is dropped in the middle of a wait.
        {
            let mut records = pin!(consumer.stream());
            for expected in 6..20 {
                let record = poll_fn(|cx| records.as_mut().poll_next(cx)).await;
                assert_eq!(record.unwrap().unwrap().offset, expected);
            }
            tokio::select! {
                _ = poll_fn(|cx| records.as_mut().poll_next(cx)) => unreachable!("it is the end"),
                () = model.sleep(s(300)) => {}
            }
        }
        assert_eq!(model.committed("t", 0), Some(20));
        assert_eq!(consumer.assignment().len(), 1, "waiting is polling");
        model.fill("t", 0, 21);
        assert_eq!(next(&mut consumer).await.offset, 20);
    });
}

#[test]
fn a_stream_gives_all_partitions_by_turns() {
    paused(async {
        let model = Model::new(&[("t", 3, 100)], []);
        let mut consumer = model.client(1).consumer(ConsumerConfig {
            max_poll_records: 2,
            ..config()
        });
        for partition in 0..3 {
            consumer
                .assign("t", partition, StartAt::Earliest)
                .await
                .unwrap();
        }
        let mut next_offsets = [0; 3];
        for _ in 0..300 {
            let record = next(&mut consumer).await;
            let place = &mut next_offsets[usize::try_from(record.partition).unwrap()];
            assert_eq!(record.offset, *place);
            *place += 1;
            let (low, high) = (next_offsets.iter().min(), next_offsets.iter().max());
            assert!(high.unwrap() - low.unwrap() <= 12, "{next_offsets:?}");
        }
    });
}

#[test]
fn a_paused_partition_holds_up_nothing_and_loses_nothing() {
    paused(async {
        let model = Model::new(&[("t", 2, 100)], []);
        let mut consumer = model.client(1).consumer(ConsumerConfig {
            max_poll_records: 3,
            ..config()
        });
        for partition in 0..2 {
            consumer
                .assign("t", partition, StartAt::Earliest)
                .await
                .unwrap();
        }
        assert_eq!(consumer.lag("t", 0), None);
        let mut offsets = [0, 0];
        let mut take = |records: Vec<ConsumerRecord>| {
            for record in records {
                let place = &mut offsets[usize::try_from(record.partition).unwrap()];
                assert_eq!(record.offset, *place, "of {}", record.partition);
                *place += 1;
            }
            offsets
        };
        // Both have records that were not handed out yet.
        take(consumer.poll(s(1)).await.unwrap());
        consumer.pause("t", 0).unwrap();
        assert_eq!(consumer.paused(), [(Arc::from("t"), 0)]);
        let before = take(Vec::new())[0];
        while take(consumer.poll(s(1)).await.unwrap())[1] < 100 {}
        assert_eq!(take(consumer.poll(s(3)).await.unwrap()), [before, 100]);
        assert_eq!(consumer.lag("t", 1), Some(0));
        assert_eq!(consumer.lag("t", 0), Some(100 - before));
        consumer
            .seek("t", 0, StartAt::Offset(before))
            .await
            .unwrap();
        assert_eq!(
            take(consumer.poll(s(3)).await.unwrap())[0],
            before,
            "still paused"
        );
        consumer.resume("t", 0).unwrap();
        while take(consumer.poll(s(1)).await.unwrap())[0] < 100 {}
        assert!(consumer.pause("t", 2).is_err());
        assert!(consumer.resume("u", 0).is_err());
    });
}

#[test]
fn offsets_are_committed_and_asked_for_by_hand() {
    paused(async {
        let model = Model::new(&[("t", 3, 10)], []);
        let mut consumer = model.client(1).consumer(config());
        let offsets = [offset("t", 0, 4), offset("t", 2, 6)];
        consumer.commit_offsets(&offsets).await.unwrap();
        let found = consumer
            .committed(&[("t", 0), ("t", 1), ("t", 2)])
            .await
            .unwrap();
        assert_eq!(found, offsets);
        assert_eq!(consumer.beginning_offsets("t").await.unwrap(), [0; 3]);
        assert_eq!(consumer.end_offsets("t").await.unwrap(), [10; 3]);
        let found = consumer.offsets_for_times(&[("t", 1, 5)]).await.unwrap();
        assert_eq!((found.len(), found[0].partition), (1, 1));
        let mut outside = model.client(2).consumer(ConsumerConfig::default());
        let refused = outside.commit_offsets(&offsets).await;
        assert!(matches!(refused, Err(ClientError::Invalid(_))));
        assert!(outside.on_rebalance(Ear::new(&model, &[])).is_err());
    });
}

/// Consumers go to other threads, and are looked at from them.
const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Consumer>();
    const fn is_sent<T: Send>() {}
    is_sent::<highwater_client::Records<'_>>();
};
