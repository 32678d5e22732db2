//! The consumer's end of its membership: rounds of joining, and which one it works in.
//!
//! Floor 5 of client.
//!
//! Invariants
//! - A round is wished with what the consumer keeps while it joins: nothing if the group deals out
//!   eagerly; else all but what it has to give back, which the leader then gives to nobody else.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use highwater_proto::clock::Clock;
use highwater_proto::consumer_protocol::Assignment;
use tokio::sync::watch;

use super::assignor;
use super::call::{Claims, Last};
use super::machine::{Machine, Rules, Seat, Standing};
use super::task::{View, Ways, Wish, serve};
use crate::cluster::Cluster;
use crate::config::ConsumerConfig;
use crate::error::ClientError;

/// A consumer as a member, or on its way to be one.
#[derive(Debug)]
pub(super) struct Membership {
    wish: watch::Sender<Wish>,
    view: watch::Receiver<View>,
    round: u64,
    topics: Vec<String>,
    /// Whether partitions are kept through a rebalance.
    is_cooperative: bool,
    /// What the newest generation that was taken over assigned.
    last: Option<Last>,
    phase: Phase,
    /// The topics have changed since the round was wished.
    is_changed: bool,
}

#[derive(Debug)]
enum Phase {
    /// The round was wished; what is kept so long is of this seat.
    Out(Option<Seat>),
    /// The round's partitions are worked on.
    In(Seat),
    /// Some are given back as soon as the last commit is over.
    GivingBack(Seat),
}

/// What the consumer has to do.
#[derive(Debug)]
pub(super) enum Turn {
    /// Nothing.
    Stay,
    /// Work on these partitions, and on these only.
    Take(Vec<(String, Vec<i32>)>),
    /// Commit, and work on nothing that is not kept; then look again.
    GiveBack,
    /// Say what is kept: [`Membership::next_round`].
    Rejoin,
    /// Drop everything, then [`Membership::next_round`].
    Drop(ClientError),
    /// Drop everything and say why.
    Fail(ClientError),
}

impl Membership {
    /// Wishes the first round.
    pub(super) fn start(
        (parking, calls): (Arc<Cluster>, Arc<Cluster>),
        config: Arc<ConsumerConfig>,
        topics: Vec<String>,
    ) -> Self {
        let polled_at = calls.clock().now().mono;
        let machine = Machine::new(rules(&config));
        let first = Wish {
            round: 1,
            topics: Arc::from(topics.clone()),
            claims: Arc::default(),
            leave: false,
            polled_at,
        };
        let (wish, heard) = watch::channel(first);
        let (tell, view) = watch::channel(View::default());
        let is_cooperative = assignor::is_cooperative(&config.partition_assignment_strategy);
        let ways = Ways {
            parking,
            calls,
            config,
        };
        tokio::spawn(serve(ways, machine, heard, tell));
        Self {
            wish,
            view,
            round: 1,
            topics,
            is_cooperative,
            last: None,
            phase: Phase::Out(None),
            is_changed: false,
        }
    }

    /// From the next round on with other topics.
    pub(super) fn change(&mut self, topics: Vec<String>) {
        self.is_changed |= self.topics != topics;
        self.topics = topics;
    }

    pub(super) fn topics(&self) -> &[String] {
        &self.topics
    }

    /// Whether a partition of the topic is kept while the group is rebalanced.
    pub(super) fn keeps(&self, topic: &str) -> bool {
        self.is_cooperative && self.topics.iter().any(|it| it == topic)
    }

    /// The place in the generation that is worked in.
    pub(super) const fn seat(&self) -> Option<&Seat> {
        match &self.phase {
            Phase::Out(seat) => seat.as_ref(),
            Phase::In(seat) | Phase::GivingBack(seat) => Some(seat),
        }
    }

    /// The place from which a commit is accepted: that in a newer generation, if the coordinator
    /// has it already, is good for what is kept.
    pub(super) fn newest_seat(&self) -> Option<Seat> {
        let worked_in = self.seat()?;
        let view = self.view.borrow();
        match &view.standing {
            Standing::In(seat, _) | Standing::Rebalancing(seat) if view.round == self.round => {
                Some(seat.clone())
            }
            _ => Some(worked_in.clone()),
        }
    }

    /// Whether a generation is waited for.
    pub(super) fn is_joining(&self) -> bool {
        let view = self.view.borrow();
        let is_known = view.round == self.round;
        matches!(self.phase, Phase::Out(_))
            && (!is_known || matches!(view.standing, Standing::Joining))
    }

    /// Looks what has to be done.
    pub(super) fn turn(&mut self, may_give_back: bool) -> Turn {
        let standing = self.standing();
        match (&self.phase, standing) {
            (_, Standing::Failed(error)) => {
                self.phase = Phase::Out(None);
                // A changed subscription may help; the same one would fail again.
                match std::mem::take(&mut self.is_changed) {
                    true => Turn::Drop(error),
                    false => Turn::Fail(error),
                }
            }
            (_, Standing::Lost(error)) => {
                self.phase = Phase::Out(None);
                Turn::Drop(error)
            }
            (Phase::In(seat) | Phase::Out(Some(seat)), _) if self.is_changed => {
                self.give_back(seat.clone())
            }
            (Phase::Out(None), _) if self.is_changed => Turn::Rejoin,
            (Phase::Out(_), Standing::In(seat, assignment)) => {
                let assigned = partitions(&assignment);
                self.last = Some(Last {
                    generation: seat.generation,
                    partitions: assigned.clone(),
                });
                self.phase = Phase::In(seat);
                Turn::Take(assigned)
            }
            (Phase::In(seat), Standing::Rebalancing(_)) => self.give_back(seat.clone()),
            (Phase::Out(_), Standing::Rebalancing(_)) => Turn::Rejoin,
            (Phase::GivingBack(_), _) if may_give_back => Turn::Rejoin,
            _ => Turn::Stay,
        }
    }

    /// How the round stands; [`Standing::Joining`] stands for no news.
    fn standing(&mut self) -> Standing {
        let view = self.view.borrow_and_update();
        let is_known =
            matches!(view.standing, Standing::In(..)) && !matches!(self.phase, Phase::Out(_));
        match view.round == self.round && !is_known {
            true => view.standing.clone(),
            false => Standing::Joining,
        }
    }

    fn give_back(&mut self, seat: Seat) -> Turn {
        self.phase = Phase::GivingBack(seat);
        Turn::GiveBack
    }

    /// Some of what was taken over has to be given back before the next round.
    pub(super) fn release(&mut self) {
        if let Phase::In(seat) = &self.phase {
            self.phase = Phase::GivingBack(seat.clone());
        }
    }

    /// Wishes the next round, and says what the consumer keeps so long.
    pub(super) fn next_round(&mut self, owned: Vec<(String, Vec<i32>)>) {
        self.round += 1;
        let seat = self.seat().filter(|_| self.is_cooperative).cloned();
        self.phase = Phase::Out(seat);
        self.is_changed = false;
        let (round, topics) = (self.round, Arc::from(self.topics.clone()));
        let claims = Arc::new(Claims {
            owned,
            last: self.last.clone(),
        });
        self.wish.send_modify(|wish| {
            (wish.round, wish.topics, wish.claims) = (round, topics, claims);
        });
    }

    /// Waits for news. Cancel safe.
    pub(super) async fn changed(&mut self) {
        if self.view.changed().await.is_err() {
            // The task has ended: there will be none.
            std::future::pending::<()>().await;
        }
    }

    /// The consumer is being polled, until this is dropped.
    pub(super) fn polling(&self, clock: Arc<dyn Clock>) -> Polling {
        let polling = Polling {
            wish: self.wish.clone(),
            clock,
        };
        polling.touch();
        polling
    }

    /// Leaves the group, and waits until that is done.
    pub(super) async fn leave(mut self) {
        self.wish.send_modify(|wish| wish.leave = true);
        let has_left = |view: &View| matches!(view.standing, Standing::Left);
        // An error means that the task has ended, which is as well.
        let _ = self.view.wait_for(has_left).await;
    }
}

/// Tells the membership that the consumer is being polled.
#[derive(Debug)]
pub(in crate::consumer) struct Polling {
    wish: watch::Sender<Wish>,
    clock: Arc<dyn Clock>,
}

impl Polling {
    /// The consumer is still being polled.
    pub(in crate::consumer) fn touch(&self) {
        let now = self.clock.now().mono;
        self.wish.send_if_modified(|wish| {
            wish.polled_at = now;
            // Nobody has to be woken for that.
            false
        });
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        self.touch();
    }
}

fn partitions(assignment: &Bytes) -> Vec<(String, Vec<i32>)> {
    match Assignment::decode(assignment) {
        Ok(assignment) => assignment.partitions,
        Err(error) => {
            tracing::error!(%error, "the leader's assignment cannot be read: nothing is taken");
            Vec::new()
        }
    }
}

fn rules(config: &ConsumerConfig) -> Rules {
    let max_poll_ms = u64::try_from(config.max_poll_interval_ms).unwrap_or(0);
    Rules {
        heartbeat: Duration::from_millis(config.heartbeat_interval_ms),
        max_poll: Duration::from_millis(max_poll_ms),
        metadata_max_age: Duration::from_millis(config.metadata_max_age_ms),
        retry: Duration::from_millis(config.retry_backoff_ms.max(1)),
        is_static: config.group_instance_id.is_some(),
    }
}
