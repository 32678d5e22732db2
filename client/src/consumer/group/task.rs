//! The task behind a membership: carries out what the machine wants, and tells it what came of it.
//!
//! Floor 5 of client.
//!
//! Invariants
//! - It goes on while nobody polls; it ends when the membership has ended, and leaves the group
//!   when the consumer is gone.
//! - A join or a sync that the coordinator has parked holds up nothing else: it has a session of
//!   its own.

use std::sync::Arc;

use highwater_proto::clock::Mono;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::call::{self, Claims};
use super::machine::{Action, Input, Machine, Standing};
use super::plan;
use crate::cluster::Cluster;
use crate::config::ConsumerConfig;

/// What the consumer wishes; the newest wish counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Wish {
    /// To be a member once more, with these topics.
    pub(super) round: u64,
    pub(super) topics: Arc<[String]>,
    /// What it keeps so long.
    pub(super) claims: Arc<Claims>,
    /// To be none any more.
    pub(super) leave: bool,
    /// When the consumer was polled.
    pub(super) polled_at: Mono,
}

/// How the newest round that was begun stands.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) round: u64,
    pub(super) standing: Standing,
}

impl Default for View {
    fn default() -> Self {
        Self {
            round: 0,
            standing: Standing::Joining,
        }
    }
}

/// Whom the task talks to.
#[derive(Clone, Debug)]
pub(super) struct Ways {
    /// The session that joins and syncs are parked on.
    pub(super) parking: Arc<Cluster>,
    /// For everything else.
    pub(super) calls: Arc<Cluster>,
    pub(super) config: Arc<ConsumerConfig>,
}

/// Serves a membership to its end.
pub(super) async fn serve(
    ways: Ways,
    mut machine: Machine,
    mut wish: watch::Receiver<Wish>,
    view: watch::Sender<View>,
) {
    let clock = Arc::clone(ways.calls.clock());
    let mut calls = JoinSet::new();
    let mut is_heard = true;
    let mut input = heard(&mut wish);
    loop {
        let polled_at = wish.borrow().polled_at;
        for action in machine.step(clock.now().mono, polled_at, input) {
            if matches!(action, Action::Leave { .. }) {
                calls.abort_all();
            }
            let said = {
                let wish = wish.borrow();
                (Arc::clone(&wish.topics), Arc::clone(&wish.claims))
            };
            calls.spawn(carry_out(ways.clone(), said, action));
        }
        view.send_if_modified(|view| tell(view, machine.standing()));
        if machine.has_left() {
            return;
        }
        let sleep = clock.sleep_until(machine.wake_at(wish.borrow().polled_at));
        input = tokio::select! {
            biased;
            Some(done) = calls.join_next() => match done {
                Ok(input) => input,
                Err(error) => {
                    if error.is_panic() {
                        tracing::error!(%error, "a call of a group's member ended");
                    }
                    Input::Wake
                }
            },
            changed = wish.changed(), if is_heard => {
                let wish = changed.map_or(Input::Leave, |()| heard(&mut wish));
                is_heard = !matches!(wish, Input::Leave);
                wish
            },
            () = sleep => Input::Wake,
        };
    }
}

/// Whether there was something new to tell.
fn tell(view: &mut View, (round, standing): (u64, &Standing)) -> bool {
    let is_new = view.round != round || view.standing != *standing;
    if is_new {
        (view.round, view.standing) = (round, standing.clone());
    }
    is_new
}

fn heard(wish: &mut watch::Receiver<Wish>) -> Input {
    let wish = wish.borrow_and_update();
    match wish.leave {
        true => Input::Leave,
        false => Input::Wish(wish.round),
    }
}

async fn carry_out(
    ways: Ways,
    (topics, claims): (Arc<[String]>, Arc<Claims>),
    action: Action,
) -> Input {
    let Ways {
        parking,
        calls,
        config,
    } = &ways;
    match action {
        Action::Join {
            member_id,
            generation,
        } => {
            let wants = call::Wants {
                topics: &topics,
                claims: &claims,
                generation,
            };
            Input::Joined(call::join(parking, config, &member_id, wants).await)
        }
        Action::Plan(joined) => {
            let planned = plan::plan(calls, config, &joined).await;
            Input::Planned(joined, planned)
        }
        Action::Sync(synced, assignments) => {
            let answer = call::sync(parking, config, &synced, assignments).await;
            Input::Synced(synced, answer)
        }
        Action::Beat(seat) => {
            Input::Beaten(seat.generation, call::beat(calls, config, &seat).await)
        }
        Action::Check(generation, counts) => {
            let topics = counts.0.keys().map(String::as_str).collect();
            Input::Checked(generation, plan::counts(calls, config, topics).await)
        }
        Action::Leave { member_id } => {
            if let Err(error) = call::leave(calls, config, &member_id).await {
                tracing::debug!(%error, "the group was left without its coordinator's word");
            }
            Input::Left
        }
    }
}
