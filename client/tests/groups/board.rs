//! What all members of a test together have seen.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use highwater_client::{Consumer, ConsumerRecord};

/// Owners by generation and partition, and every record that was handed out.
#[derive(Debug, Default)]
pub(crate) struct Board {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    owners: HashMap<(i32, String, i32), String>,
    seen: BTreeSet<(String, i32, i64)>,
    handed_out: usize,
}

impl Board {
    /// Takes note of what a consumer owns and got.
    pub(crate) fn note(&self, consumer: &Consumer, records: &[ConsumerRecord]) {
        let mut state = self.state.lock().unwrap();
        let assignment = consumer.assignment();
        if let Some(me) = consumer.group_metadata() {
            for (topic, partition) in &assignment {
                let place = (me.generation, topic.to_string(), *partition);
                let owner = state
                    .owners
                    .entry(place)
                    .or_insert_with(|| me.member_id.clone());
                assert_eq!(*owner, me.member_id, "{topic}-{partition} has two owners");
            }
        } else {
            assert!(
                assignment.is_empty(),
                "who is no member owns nothing: {assignment:?}"
            );
        }
        for record in records {
            let place = (record.topic.clone(), record.partition);
            assert!(
                assignment.contains(&place),
                "{place:?} is not this member's"
            );
            state
                .seen
                .insert((record.topic.to_string(), record.partition, record.offset));
            state.handed_out += 1;
        }
    }

    /// How many different records of a topic were handed out.
    pub(crate) fn seen(&self, topic: &str) -> usize {
        let state = self.state.lock().unwrap();
        state.seen.iter().filter(|(of, ..)| of == topic).count()
    }

    /// Whether everything below an offset was handed out.
    pub(crate) fn has_all_below(&self, topic: &str, partition: i32, offset: i64) -> bool {
        let state = self.state.lock().unwrap();
        (0..offset).all(|offset| state.seen.contains(&(topic.to_owned(), partition, offset)))
    }

    /// How many records were handed out, repetitions included.
    pub(crate) fn handed_out(&self) -> usize {
        self.state.lock().unwrap().handed_out
    }
}

/// Runs a future on a clock that jumps.
pub(crate) fn paused<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}
