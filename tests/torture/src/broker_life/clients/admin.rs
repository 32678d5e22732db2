//! The administrator: makes, changes and deletes topics, one change at a time.
//!
//! Invariants
//! - A change without an answer is settled by the next start of the broker, before the next one.

use highwater_broker::error::{ConfigError, DeleteRecordsError, TopicError};
use highwater_broker::ids::TopicRef;
use highwater_broker::service::configs::{
    AlterConfigs, AlterFrom, ConfigChange, ConfigOperation, ConfigResource,
};
use highwater_broker::service::offsets::{DeleteRecordsPartition, OffsetAt};
use highwater_broker::service::topics::{
    CreatePartitionsCall, CreateTopicsCall, NewPartitions, NewTopic,
};
use highwater_kit::rng::Rng;
use highwater_log::types::Offset;

use super::TOPICS;
use crate::broker_life::book::Oracle;
use crate::broker_life::life::{Life, Request};
use crate::broker_life::model::{Change, Durability, Topic};
use crate::broker_life::plan::Plan;

/// The administrator between two steps.
pub(in crate::broker_life) struct Admin {
    rng: Rng,
    changes: bool,
}

impl Admin {
    pub(in crate::broker_life) const fn new(plan: &Plan, rng: Rng) -> Self {
        Self {
            rng,
            changes: plan.topic_changes,
        }
    }

    pub(in crate::broker_life) async fn step(&mut self, life: &Life) {
        let missing = {
            let model = life.model();
            let known = |name: &&str| model.topics.contains_key(*name);
            let last = if self.changes { TOPICS.len() } else { 3 };
            TOPICS[..last].iter().copied().find(|name| !known(name))
        };
        if let Some(name) = missing
            && (name != "brief" || self.rng.percent(40))
        {
            self.create(life, name).await;
            return;
        }
        match self.rng.below(20) {
            0 | 1 if self.changes => self.delete(life, "brief").await,
            2 if self.changes => self.grow(life).await,
            3..=5 if self.changes => self.switch(life, "both").await,
            6..=8 => self.delete_records(life).await,
            _ => {
                let ms = self.rng.pick(&[20, 300, 3_000]);
                life.ask(Request::Long("a pause"), life.clock.sleep_ms(ms))
                    .await;
            }
        }
    }

    async fn create(&mut self, life: &Life, name: &str) {
        let durability = match name {
            "fast" => Durability::PageCache,
            "both" | "brief" if self.rng.percent(50) => Durability::PageCache,
            _ => Durability::Fsync,
        };
        let partitions = 1 + i32::try_from(self.rng.below(2)).expect("it is small");
        let retention_ms = (name != "safe" && self.rng.percent(40)).then_some(20_000);
        let segment_bytes = self.rng.pick(&["2500", "8000", "1048576"]);
        let topic = Topic {
            id: None,
            partitions,
            durability,
            retention_ms,
            pending: Some(Change::Create),
        };
        life.model().topics.insert(name.to_owned(), topic);
        let retention = retention_ms.unwrap_or(-1).to_string();
        let configs = [
            ("durability", durability.name()),
            ("segment.bytes", segment_bytes),
            ("retention.ms", retention.as_str()),
        ];
        let call = CreateTopicsCall {
            topics: vec![NewTopic {
                name: name.to_owned(),
                partition_count: Some(partitions),
                configs: configs
                    .map(|(name, value)| (name.to_owned(), Some(value.to_owned())))
                    .into(),
                ..NewTopic::default()
            }],
            validate_only: false,
        };
        let asked = life.service.create_topics(call);
        let answer = life.ask(Request::Short("create a topic"), asked).await;
        let result = answer
            .and_then(|mut answers| answers.pop())
            .map(|answer| answer.result);
        life.note(format!(
            "{name} is made: {:?}",
            result.as_ref().map(|r| r.as_ref().map(|d| d.id))
        ));
        let mut model = life.model();
        match result {
            Some(Ok(made)) => {
                model.book.stats.topics_made += 1;
                let topic = model.topics.get_mut(name).expect("it was put in above");
                topic.id = Some(made.id);
                topic.pending = None;
            }
            None | Some(Err(TopicError::Storage { .. })) => {}
            // The files of the one before resist: it goes later.
            Some(Err(TopicError::Exists { deleting: true })) if life.disk.fired() > 0 => {
                model.topics.remove(name);
            }
            Some(Err(error)) => {
                model.broken(Oracle::O14, format!("{name} cannot be made: {error}"))
            }
        }
    }

    /// Notes a change that is asked for, if the topic is known beyond doubt.
    fn begin(life: &Life, name: &str, change: Change) -> bool {
        let mut model = life.model();
        let topic = model
            .topics
            .get_mut(name)
            .filter(|topic| topic.pending.is_none());
        topic.map(|topic| topic.pending = Some(change)).is_some()
    }

    async fn delete(&self, life: &Life, name: &str) {
        if !Self::begin(life, name, Change::Delete) {
            return;
        }
        let asked = life.service.delete_topics(vec![TopicRef::from(name)]);
        let answer = life.ask(Request::Short("delete a topic"), asked).await;
        let result = answer
            .and_then(|mut answers| answers.pop())
            .map(|answer| answer.result);
        life.note(format!("{name} is deleted: {result:?}"));
        let mut model = life.model();
        match result {
            Some(Ok((_, id))) => {
                model.book.stats.topics_deleted += 1;
                model.forget(id);
                model.topics.remove(name);
            }
            None | Some(Err(TopicError::Storage { .. })) => {}
            Some(Err(error)) => {
                model.broken(Oracle::O14, format!("{name} cannot be deleted: {error}"));
            }
        }
    }

    async fn grow(&mut self, life: &Life) {
        let name = self.rng.pick(&["safe", "fast"]);
        let total = life
            .model()
            .topics
            .get(name)
            .map_or(9, |topic| topic.partitions + 1);
        if total > 4 || !Self::begin(life, name, Change::Grow(total)) {
            return;
        }
        let call = CreatePartitionsCall {
            topics: vec![NewPartitions {
                name: name.to_owned(),
                total,
                assignments: None,
            }],
            validate_only: false,
        };
        let asked = life.service.create_partitions(call);
        let answer = life.ask(Request::Short("more partitions"), asked).await;
        let result = answer
            .and_then(|mut answers| answers.pop())
            .map(|answer| answer.result);
        life.note(format!("{name} gets {total} partitions: {result:?}"));
        let mut model = life.model();
        match result {
            Some(Ok(())) => {
                if let Some(topic) = model.topics.get_mut(name) {
                    topic.partitions = total;
                    topic.pending = None;
                }
            }
            None | Some(Err(TopicError::Storage { .. })) => {}
            Some(Err(error)) => model.broken(Oracle::O14, format!("{name} cannot grow: {error}")),
        }
    }

    async fn switch(&self, life: &Life, name: &str) {
        let now = life.model().topics.get(name).map(|topic| topic.durability);
        let next = match now {
            Some(Durability::Fsync) => Durability::PageCache,
            _ => Durability::Fsync,
        };
        if !Self::begin(life, name, Change::Durability(next)) {
            return;
        }
        let call = AlterConfigs {
            resource: ConfigResource::Topic(name.to_owned()),
            from: AlterFrom::Current,
            changes: vec![ConfigChange {
                name: "durability".to_owned(),
                operation: ConfigOperation::Set(next.name().to_owned()),
            }],
        };
        let asked = life.service.alter_configs(vec![call], false);
        let answer = life.ask(Request::Short("alter a config"), asked).await;
        let result = answer
            .and_then(|mut answers| answers.pop())
            .map(|answer| answer.result);
        life.note(format!("{name} is {next:?}: {result:?}"));
        let mut model = life.model();
        match result {
            Some(Ok(())) => {
                if let Some(topic) = model.topics.get_mut(name) {
                    topic.durability = next;
                    topic.pending = None;
                }
            }
            None | Some(Err(ConfigError::Storage { .. })) => {}
            Some(Err(error)) => model.broken(Oracle::O14, format!("{name} cannot change: {error}")),
        }
    }

    async fn delete_records(&mut self, life: &Life) {
        let name = self.rng.pick(&TOPICS);
        let Some((id, count)) = ({
            let model = life.model();
            model
                .sure_id(name)
                .map(|id| (id, model.topics[name].partitions))
        }) else {
            return;
        };
        let partition =
            i32::try_from(self.rng.below(count.max(1).unsigned_abs() as usize)).unwrap_or(0);
        let Some(end) = life.offset_at(name, partition, OffsetAt::Latest).await else {
            return;
        };
        let below = usize::try_from(end.offset.0).unwrap_or(0) + 1;
        let before = i64::try_from(self.rng.below(below)).unwrap_or(0);
        let place = (id, partition);
        {
            let mut model = life.model();
            let partition = model.partition(place);
            partition.start_asked = partition.start_asked.max(before);
        }
        let asked = life.service.delete_records(vec![DeleteRecordsPartition {
            topic: name.to_owned(),
            partition,
            before: Offset(before),
        }]);
        let answer = life.ask(Request::Short("delete records"), asked).await;
        let result = answer
            .and_then(|mut answers| answers.pop())
            .map(|answer| answer.result);
        life.note(format!("{name}/{partition} begins at {before}: {result:?}"));
        let wall_ms = life.clock.wall_ms();
        let mut model = life.model();
        match result {
            Some(Ok(start)) => {
                if start.0 < before {
                    let text = format!("{name}/{partition}: {start:?} answered to {before}");
                    model.broken(Oracle::O8, text);
                }
                if model.sure_id(name) == Some(id) {
                    model.saw_start(name, place, start.0, wall_ms);
                }
            }
            None | Some(Err(DeleteRecordsError::Storage { .. })) => {}
            Some(Err(error)) => {
                model.broken(
                    Oracle::O14,
                    format!("{name}/{partition} below {before}: {error}"),
                );
            }
        }
    }
}
