//! A tool that commits and deletes offsets from outside of groups, several at once.

use highwater_broker::error::GroupError;
use highwater_broker::service::groups::{Commit, Member, OffsetToCommit};
use highwater_broker::service::offsets::OffsetAt;
use highwater_kit::rng::Rng;

use super::TOPICS;
use crate::broker_life::book::Oracle;
use crate::broker_life::life::{Life, Request};
use crate::broker_life::model::Place;

/// The tool between two steps.
pub(in crate::broker_life) struct Committer {
    rng: Rng,
}

/// A partition whose topic is known beyond doubt, and an offset in it.
#[derive(Clone, Debug)]
pub(in crate::broker_life) struct Pointer {
    pub(in crate::broker_life) topic: String,
    pub(in crate::broker_life) place: Place,
    pub(in crate::broker_life) offset: i64,
    pub(in crate::broker_life) epoch: i32,
}

impl Committer {
    pub(in crate::broker_life) const fn new(rng: Rng) -> Self {
        Self { rng }
    }

    pub(in crate::broker_life) async fn step(&mut self, life: &Life) {
        match self.rng.below(12) {
            0..=3 => {
                let ms = self.rng.pick(&[5, 50, 400]);
                life.ask(Request::Long("a pause"), life.clock.sleep_ms(ms))
                    .await;
            }
            4 => self.delete_offset(life).await,
            5 => self.delete_group(life).await,
            _ => self.commit_two(life).await,
        }
    }

    async fn pointer(&mut self, life: &Life) -> Option<Pointer> {
        let topic = self.rng.pick(&TOPICS);
        let (id, partitions) = {
            let model = life.model();
            (model.sure_id(topic)?, model.topics.get(topic)?.partitions)
        };
        let partition =
            i32::try_from(self.rng.below(partitions.max(1).unsigned_abs() as usize)).ok()?;
        let end = life
            .offset_at(topic, partition, OffsetAt::Latest)
            .await?
            .offset
            .0;
        let below = usize::try_from(end).ok()? + 1;
        Some(Pointer {
            topic: topic.to_owned(),
            place: (id, partition),
            offset: i64::try_from(self.rng.below(below)).ok()?,
            epoch: -1,
        })
    }

    /// Two groups, or one twice, at the same time.
    async fn commit_two(&mut self, life: &Life) {
        let (first, second) = (self.pointer(life).await, self.pointer(life).await);
        let groups = self
            .rng
            .pick(&[["tools", "tools"], ["tools", "other-tools"]]);
        let gives_up = self.rng.percent(10).then(|| self.rng.below(6));
        // Nobody is in these groups: a refusal changes nothing for this tool.
        let _outcomes = tokio::join!(
            commit(
                life,
                groups[0],
                outside(),
                first.into_iter().collect(),
                None
            ),
            commit(
                life,
                groups[1],
                outside(),
                second.into_iter().collect(),
                gives_up
            ),
        );
    }

    async fn delete_offset(&mut self, life: &Life) {
        let Some(pointer) = self.pointer(life).await else {
            return;
        };
        let key = ("tools".to_owned(), pointer.place);
        let number = life
            .model()
            .committed
            .entry(key.clone())
            .or_default()
            .ask(-1, 0);
        let of = vec![(pointer.topic, pointer.place.1)];
        let asked = life.service.delete_offsets("tools".to_owned(), of);
        let answer = life.ask(Request::Short("delete an offset"), asked).await;
        life.note(format!("offset of tools in {key:?} deleted: {answer:?}"));
        let mut model = life.model();
        let Some(committed) = model.committed.get_mut(&key) else {
            return;
        };
        match answer {
            Some(Ok(outcomes)) if outcomes == [Ok(())] => committed.acknowledge(number),
            Some(Err(GroupError::Unavailable { .. })) | None => {}
            Some(_) => committed.refuse(number),
        }
    }

    async fn delete_group(&self, life: &Life) {
        let group = "other-tools";
        let asked: Vec<_> = {
            let mut model = life.model();
            let own = model
                .committed
                .iter_mut()
                .filter(|((name, _), _)| name == group);
            own.map(|(key, committed)| (key.clone(), committed.ask(-1, 0)))
                .collect()
        };
        let deleted = life.service.delete_groups(vec![group.to_owned()]);
        let answer = life.ask(Request::Short("delete a group"), deleted).await;
        life.note(format!("group {group} deleted: {answer:?}"));
        let outcome = answer.and_then(|mut outcomes| outcomes.pop());
        let mut model = life.model();
        for (key, number) in asked {
            let Some(committed) = model.committed.get_mut(&key) else {
                continue;
            };
            match &outcome {
                Some(Ok(())) => committed.acknowledge(number),
                Some(Err(GroupError::Unavailable { .. })) | None => {}
                Some(Err(_)) => committed.refuse(number),
            }
        }
    }
}

fn outside() -> Member {
    Member {
        generation: -1,
        ..Member::default()
    }
}

/// Commits; whether the member is no longer what it thinks, if it was told so.
pub(in crate::broker_life) async fn commit(
    life: &Life,
    group: &str,
    member: Member,
    pointers: Vec<Pointer>,
    gives_up: Option<usize>,
) -> Result<(), GroupError> {
    if pointers.is_empty() {
        return Ok(());
    }
    let numbers: Vec<u64> = {
        let mut model = life.model();
        let ask = |pointer: &Pointer| {
            let key = (group.to_owned(), pointer.place);
            let end = model.partition(pointer.place).written;
            model
                .committed
                .entry(key)
                .or_default()
                .ask(pointer.offset, end)
        };
        pointers.iter().map(ask).collect()
    };
    let generation = member.generation;
    let offsets = pointers.iter().map(|pointer| OffsetToCommit {
        topic: pointer.topic.clone(),
        partition: pointer.place.1,
        offset: pointer.offset,
        leader_epoch: pointer.epoch,
        metadata: metadata(pointer.offset),
    });
    let call = Commit {
        member,
        retention_ms: None,
        offsets: offsets.collect(),
    };
    let asked = life.service.commit_offsets(group.to_owned(), call);
    let answer = match gives_up {
        Some(turns) => life.ask_briefly(turns, asked).await,
        None => life.ask(Request::Short("commit"), asked).await,
    };
    let points: Vec<_> = pointers
        .iter()
        .map(|p| (&p.topic, p.place.1, p.offset))
        .collect();
    life.note(format!("{group} commits {points:?}: {answer:?}"));
    settle_commit(life, group, generation, &pointers, &numbers, answer)
}

/// What stands beside a committed offset: enough for the log of groups to become large.
pub(in crate::broker_life) fn metadata(offset: i64) -> String {
    format!("at {offset} {}", "-".repeat(METADATA_BYTES))
}

const METADATA_BYTES: usize = 300;

/// What `commit_offsets` answers; `None` if it did not.
type Answer = Option<Result<Vec<Result<(), GroupError>>, GroupError>>;

fn settle_commit(
    life: &Life,
    group: &str,
    generation: i32,
    pointers: &[Pointer],
    numbers: &[u64],
    answer: Answer,
) -> Result<(), GroupError> {
    let mut model = life.model();
    let (outcomes, refusal) = match answer {
        None => return Ok(()),
        Some(Err(error @ GroupError::Unavailable { .. })) => return Err(error),
        Some(Err(error)) => (vec![Err(error.clone()); pointers.len()], Err(error)),
        Some(Ok(outcomes)) => (outcomes, Ok(())),
    };
    let synced = model.groups.get(group).map_or(0, |group| group.synced);
    if refusal.is_ok() && (0..synced).contains(&generation) {
        let text = format!(
            "group {group}: a commit of generation {generation} was taken, though the assignments \
             of generation {synced} were given out"
        );
        model.broken(Oracle::O6, text);
    }
    for ((pointer, number), outcome) in pointers.iter().zip(numbers).zip(outcomes) {
        let is_there = model.sure_id(&pointer.topic) == Some(pointer.place.0);
        let key = (group.to_owned(), pointer.place);
        let Some(committed) = model.committed.get_mut(&key) else {
            continue;
        };
        match outcome {
            Ok(()) => {
                committed.acknowledge(*number);
                model.book.stats.commits_acknowledged += 1;
                if is_there {
                    // What a durable offset points to is durable, as far as it is there.
                    let partition = model.partition(pointer.place);
                    partition.is_durable_below(pointer.offset.min(partition.written));
                }
            }
            Err(_) => committed.refuse(*number),
        }
    }
    refusal
}
