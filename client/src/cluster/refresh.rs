//! Asking the cluster who leads what: one question at a time, for everybody who waits.
//!
//! Floor 3 of client.
//!
//! Invariants
//! - One Metadata request is under way at a time; topics that are asked for meanwhile share the
//!   next one, which begins after they were asked for.
//! - A caller that is dropped takes nothing from the others: a task does the asking.
//! - A topic that one caller wants created and another does not is asked for in two requests.
//! - Answers that did not help are asked of another broker: each round begins with the next one.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::Core;
use super::directory::TopicInfo;
use crate::error::ClientError;

/// The questions that wait.
#[derive(Debug, Default)]
pub(super) struct Refreshes {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By whether the topics are created.
    rounds: HashMap<bool, Round>,
    asker: Option<AbortHandle>,
    /// Counts the rounds.
    turn: usize,
}

#[derive(Debug, Default)]
struct Round {
    topics: BTreeSet<String>,
    done: watch::Sender<Option<Arc<Outcome>>>,
}

#[derive(Debug)]
pub(super) struct Outcome {
    /// What each topic looks like, or why that is not known.
    topics: HashMap<String, Result<TopicInfo, ClientError>>,
}

impl Core {
    /// Asks for a topic, in the next round.
    pub(super) async fn refresh(
        self: &Arc<Self>,
        topic: &str,
        create: bool,
    ) -> Result<TopicInfo, ClientError> {
        for _ in 0..ROUNDS_MAX {
            let mut done = self.ask_for([topic.to_owned()], create);
            if let Ok(outcome) = done.wait_for(Option::is_some).await
                && let Some(outcome) = &*outcome
                && let Some(result) = outcome.topics.get(topic)
            {
                return result.clone();
            }
            // The runtime of the one who asked has ended.
        }
        Err(ClientError::Closed)
    }

    /// Puts topics into the next round, and sees to it that there is one.
    pub(super) fn ask_for(
        self: &Arc<Self>,
        topics: impl IntoIterator<Item = String>,
        create: bool,
    ) -> watch::Receiver<Option<Arc<Outcome>>> {
        let mut state = self.refreshes.lock();
        let round = state.rounds.entry(create).or_default();
        round.topics.extend(topics);
        let done = round.done.subscribe();
        if state.asker.as_ref().is_none_or(AbortHandle::is_finished) {
            let core = Arc::clone(self);
            let asker = tokio::spawn(async move { core.ask_all().await });
            state.asker = Some(asker.abort_handle());
        }
        done
    }

    async fn ask_all(self: Arc<Self>) {
        while let Some((create, round, turn)) = self.refreshes.next() {
            let topics: Vec<&str> = round.topics.iter().map(String::as_str).collect();
            let answer = self.metadata(Some(&topics), create, turn).await;
            let result = |name: &str| match &answer {
                Err(error) => Err(error.clone()),
                Ok(response) => {
                    let said = response.topics.iter();
                    let mut said = said.filter(|said| said.name.as_deref() == Some(name));
                    match said.next() {
                        Some(said) => ClientError::check(said.error_code, None)
                            .and_then(|()| self.known(name)),
                        None => Err(no_word(name)),
                    }
                }
            };
            let results = topics.iter().map(|name| ((*name).to_owned(), result(name)));
            let topics = results.collect();
            round.done.send_replace(Some(Arc::new(Outcome { topics })));
        }
    }

    fn known(&self, topic: &str) -> Result<TopicInfo, ClientError> {
        let info = self.directory().topic(topic);
        info.ok_or_else(|| ClientError::NotSent(format!("{topic} changes at this moment")))
    }
}

impl Refreshes {
    /// The next round; without one, the asker ends.
    fn next(&self) -> Option<(bool, Round, usize)> {
        let mut state = self.lock();
        let next = [false, true]
            .into_iter()
            .find_map(|create| Some((create, state.rounds.remove(&create)?)));
        let Some((create, round)) = next else {
            state.asker = None;
            return None;
        };
        state.turn = state.turn.wrapping_add(1);
        Some((create, round, state.turn))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_word(topic: &str) -> ClientError {
    ClientError::Unknown(format!("the answer says nothing of the topic {topic}"))
}

/// How often one caller begins anew after a runtime that ended.
const ROUNDS_MAX: usize = 3;
