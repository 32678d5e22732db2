//! The clients: they outlive the broker, and note what it answers.

mod admin;
mod committer;
mod member;
mod producer;
pub(super) mod records;

use std::sync::Arc;

pub(super) use self::committer::metadata;

use highwater_kit::rng::Rng;

use crate::broker_life::life::Life;
use crate::broker_life::plan::Plan;

/// A client between two lives of the broker.
pub(super) enum Client {
    Producer(producer::Producer),
    Member(member::Member),
    Committer(committer::Committer),
    Admin(admin::Admin),
}

impl Client {
    /// The clients of a plan.
    pub(super) fn all(plan: &Plan, rng: &mut Rng) -> Vec<Self> {
        let mut number = 0;
        let mut next = || {
            number += 1;
            (number, Rng::new(rng.bits()))
        };
        let mut clients = Vec::new();
        let (_, admin) = next();
        clients.push(Self::Admin(admin::Admin::new(plan, admin)));
        for _ in 0..plan.producers {
            let (number, rng) = next();
            clients.push(Self::Producer(producer::Producer::new(number, rng)));
        }
        for member in 0..plan.members {
            let (number, rng) = next();
            let group = format!("g{}", member % plan.groups);
            clients.push(Self::Member(member::Member::new(number, group, plan, rng)));
        }
        let (_, rng) = next();
        clients.push(Self::Committer(committer::Committer::new(rng)));
        clients
    }

    /// Uses the broker for a while.
    pub(super) async fn live(mut self, life: Arc<Life>, steps: usize) -> Self {
        for _ in 0..steps {
            if life.has_ended() {
                break;
            }
            match &mut self {
                Self::Producer(producer) => producer.step(&life).await,
                Self::Member(member) => member.step(&life).await,
                Self::Committer(committer) => committer.step(&life).await,
                Self::Admin(admin) => admin.step(&life).await,
            }
        }
        self
    }
}

/// The topics: the first two are always there.
pub(super) const TOPICS: [&str; 4] = ["safe", "fast", "both", "brief"];

/// `flush.ms` of every topic.
pub(super) const FLUSH_MS: u64 = 100;
