//! A consumer of a life: a member of a group that reads, commits, and now and then is lost.
//!
//! Invariants
//! - Each change of what it reads stands in its history before what it read afterwards.
//! - It commits by hand, so that its history says what was asked for.

use std::sync::Arc;
use std::time::Duration;

use highwater_client::{
    Client, ClientError, Consumer, ConsumerConfig, ConsumerRecord, ErrorCode, GroupMetadata,
    OffsetReset,
};
use highwater_kit::history::{Operation, Outcome, Step};
use highwater_kit::rng::Rng;

use super::scene::Scene;

/// Which consumer it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) process: u32,
    pub(super) group: u32,
}

/// The name of a group.
pub(super) fn group_name(group: u32) -> String {
    format!("group-{group}")
}

/// Reads until it is over, as one consumer after another.
pub(super) async fn consume(scene: Scene, member: Member, mut rng: Rng) -> Vec<Operation> {
    let client = scene.client(&format!("consumer-{}", member.process)).await;
    let mut done = Vec::new();
    // A name of its own outlives a consumer that is dropped.
    let instance = rng
        .percent(25)
        .then(|| format!("instance-{}", member.process));
    while !scene.is_over() {
        let config = config(member, instance.clone(), &mut rng);
        let mut reading = Reading::new(&scene, &client, member, config);
        reading.go_on(&mut rng).await;
        let Reading {
            consumer,
            done: its,
            ..
        } = reading;
        done.extend(its);
        match rng.percent(50) {
            // The group learns it at once, or when the session is over.
            true => drop(consumer.close(CLOSE_MAX).await),
            false => drop(consumer),
        }
    }
    done
}

struct Reading<'a> {
    scene: &'a Scene,
    member: Member,
    consumer: Consumer,
    seat: Option<GroupMetadata>,
    /// Whether records were handed out since the last commit.
    has_news: bool,
    is_fenced: bool,
    done: Vec<Operation>,
}

impl<'a> Reading<'a> {
    fn new(scene: &'a Scene, client: &Client, member: Member, config: ConsumerConfig) -> Self {
        let now = scene.now_us();
        let nothing = vec![Step::Assign(Vec::new())];
        Self {
            scene,
            member,
            consumer: client.consumer(config),
            seat: None,
            has_news: false,
            is_fenced: false,
            done: vec![Operation::new(
                member.process,
                [now, now],
                Outcome::Ok,
                nothing,
            )],
        }
    }

    /// Polls and commits until it is over, or the consumer is lost.
    async fn go_on(&mut self, rng: &mut Rng) {
        let topics: Vec<&str> = self.scene.topics().iter().map(|topic| topic.name).collect();
        if let Err(error) = self.consumer.subscribe(topics) {
            self.scene
                .wrong(format!("consumer {}: {error}", self.member.process));
            return self.scene.end();
        }
        while !self.scene.is_over() {
            self.poll().await;
            if rng.percent(30) {
                self.commit().await;
            }
            if self.is_fenced || rng.below(64) == 0 {
                return;
            }
        }
        self.commit().await;
    }

    async fn poll(&mut self) {
        let start_us = self.scene.now_us();
        let polled = self.consumer.poll(POLL).await;
        let during = [start_us, self.scene.now_us()];
        let records = polled.as_deref().unwrap_or_default();
        self.note_rebalance(during, records);
        let process = self.member.process;
        match &polled {
            Ok(records) => {
                self.done.push(self.scene.poll(process, during, records));
                self.has_news |= !records.is_empty();
            }
            Err(error) => {
                // The group wrote down a static member's new id when the member had it already:
                // a kill in between leaves the former one, as it does with Kafka.
                self.is_fenced = error.code() == Some(ErrorCode::FencedInstanceId);
                if !error.is_retriable() && !self.is_fenced {
                    self.scene
                        .wrong(format!("a poll of consumer {process} failed: {error}"));
                }
                let nothing = vec![Step::Poll(Vec::new())];
                self.done
                    .push(Operation::new(process, during, Outcome::Info, nothing));
                self.scene.pause(20).await;
            }
        }
    }

    /// Another generation, or none: what is read now was assigned anew.
    fn note_rebalance(&mut self, during: [u64; 2], records: &[ConsumerRecord]) {
        let seat = self.consumer.group_metadata();
        if seat == self.seat {
            return;
        }
        self.seat = seat;
        self.has_news = false;
        let assigned = self
            .consumer
            .assignment()
            .into_iter()
            .map(|(topic, partition)| {
                let is_it = |it: &&ConsumerRecord| it.partition == partition && *it.topic == *topic;
                let position = match records.iter().find(is_it) {
                    Some(first) => Some(first.offset),
                    None => self.consumer.position(&topic, partition),
                };
                let position = position.and_then(|position| u64::try_from(position).ok());
                (self.scene.place(&topic, partition), position)
            });
        let steps = vec![Step::Assign(assigned.collect())];
        let process = self.member.process;
        self.done
            .push(Operation::new(process, during, Outcome::Ok, steps));
    }

    /// What a commit asks for: where each partition stands, the untouched ones included.
    fn positions(&self) -> Vec<Step> {
        let assigned = self.consumer.assignment();
        let commit = |(topic, partition): &(Arc<str>, i32)| {
            let offset = self.consumer.position(topic, *partition)?;
            Some(Step::Commit {
                group: self.member.group,
                partition: self.scene.place(topic, *partition),
                offset: u64::try_from(offset).ok()?,
            })
        };
        assigned.iter().filter_map(commit).collect()
    }

    async fn commit(&mut self) {
        if !self.has_news {
            return;
        }
        let steps = self.positions();
        let start_us = self.scene.now_us();
        let result = self.consumer.commit().await;
        let during = [start_us, self.scene.now_us()];
        let outcome = match &result {
            Ok(()) => {
                self.has_news = false;
                Outcome::Ok
            }
            Err(error) => refused(error),
        };
        let process = self.member.process;
        self.done
            .push(Operation::new(process, during, outcome, steps));
    }
}

/// What became of a commit that failed.
fn refused(error: &ClientError) -> Outcome {
    match error.code() {
        Some(
            ErrorCode::IllegalGeneration
            | ErrorCode::UnknownMemberId
            | ErrorCode::RebalanceInProgress
            | ErrorCode::FencedInstanceId,
        ) => Outcome::Fail,
        // A request that was repeated may have been done the first time.
        _ => Outcome::Info,
    }
}

fn config(member: Member, instance: Option<String>, rng: &mut Rng) -> ConsumerConfig {
    ConsumerConfig {
        group_id: Some(group_name(member.group)),
        group_instance_id: instance,
        session_timeout_ms: 2_000,
        heartbeat_interval_ms: 150,
        max_poll_interval_ms: 10_000,
        enable_auto_commit: false,
        fetch_max_wait_ms: 100,
        max_poll_records: rng.pick(&[10, 100, 500]),
        auto_offset_reset: OffsetReset::Earliest,
        request_timeout_ms: 5_000,
        retry_backoff_ms: 20,
        ..ConsumerConfig::default()
    }
}

const POLL: Duration = Duration::from_millis(100);

/// As long as Kafka's consumer closes.
const CLOSE_MAX: Duration = Duration::from_secs(30);
