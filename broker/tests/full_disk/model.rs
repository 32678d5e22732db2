//! Any course of appends, commits, upkeep, restarts and a disk that others fill and empty: what was
//! acknowledged is there, nothing else is, and it always heals.

use proptest::prelude::*;

use crate::member::{commit, committed};
use crate::small::{MIB, Small, config};

#[derive(Clone, Debug)]
enum Step {
    Produce(usize, usize),
    Commit,
    /// Others leave so many blocks.
    Fill(u64),
    Empty,
    Second,
    Restart,
    Kill(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2_usize, 10..40_000_usize).prop_map(|(topic, bytes)| Step::Produce(topic, bytes)),
        3 => Just(Step::Commit),
        2 => (0..40_u64).prop_map(Step::Fill),
        1 => Just(Step::Empty),
        2 => Just(Step::Second),
        1 => Just(Step::Restart),
        1 => (0..40_u64).prop_map(Step::Kill),
    ]
}

const TOPICS: [&str; 2] = ["t", "u"];

struct Course {
    small: Small,
    taken: [i64; 2],
    committed: i64,
}

impl Course {
    async fn take(mut self, step: Step) -> Self {
        match step {
            Step::Produce(topic, bytes) => {
                let produced = self.small.produce(TOPICS[topic], bytes).await;
                self.taken[topic] += i64::from(produced.is_ok());
            }
            Step::Commit => {
                let next = self.committed + 1;
                match commit(&self.small.rig, "g", "t", next).await {
                    Ok(()) => self.committed = next,
                    // A reserve that is used up refuses, and says nothing else later.
                    Err(_) => assert_eq!(self.small.reserve(), None),
                }
            }
            Step::Fill(blocks) => self.small.disk.leave_free(blocks * 4096),
            Step::Empty => self.small.disk.others_leave(),
            Step::Second => self.small.second().await,
            Step::Restart => {
                self.room_to_start();
                self.small = self.small.restart().await;
            }
            Step::Kill(blocks) => {
                let room = self.room_to_start().max(blocks * 4096);
                self.small = self.small.kill(room);
            }
        }
        assert_eq!(self.small.rig.service.poisoned(), None);
        self
    }

    /// Without a reserve neither a clean stop nor a start is promised on a full disk.
    fn room_to_start(&self) -> u64 {
        let is_there = self.small.reserve().is_some();
        let wanted = if is_there { 0 } else { 256 << 10 };
        if self.small.disk.free() < wanted {
            self.small.disk.leave_free(wanted);
        }
        wanted
    }

    async fn check(&self) {
        let rig = &self.small.rig;
        for (topic, taken) in TOPICS.iter().zip(self.taken) {
            assert_eq!(rig.end(topic).await, taken, "{topic}");
            assert_eq!(rig.values(topic, 0).await.len() as i64, taken, "{topic}");
        }
        if self.committed > 0 {
            assert_eq!(committed(rig, "g", "t"), self.committed);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_acknowledged_is_there_and_it_heals(
        min_free in prop_oneof![Just(0), Just(1 << 20)],
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
        runtime.unwrap().block_on(async move {
            let mut config = config();
            config.min_free_bytes = min_free;
            let small = Small::with(config);
            for topic in TOPICS {
                small.rig.topic(topic, 1, &[("segment.bytes", "60000")]).await;
            }
            let mut course = Course { small, taken: [0; 2], committed: 0 };
            for step in steps {
                course = course.take(step).await;
                course.check().await;
            }
            course.small.disk.others_leave();
            course.small.disk.leave_free(4 * MIB);
            course.small.produces_within("t", 5).await;
            course.taken[0] += 1;
            course.check().await;
        });
    }
}
