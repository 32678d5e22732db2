//! What must hold after a start: everything that clients were told is there, and nothing else.

use highwater_broker::error::TopicError;
use highwater_broker::ids::{TopicId, TopicRef};
use highwater_broker::service::configs::{ConfigResource, DescribeConfigs};
use highwater_broker::service::offsets::{EpochPartition, OffsetAt};
use highwater_broker::service::topics::{MetadataCall, MetadataTopics, TopicDescription};
use highwater_kit::rng::Rng;
use highwater_log::types::LogId;

use super::book::Oracle;
use super::clients::{TOPICS, metadata};
use super::life::Life;
use super::model::{Change, Committed, Durability, Place};
use super::run::{DATA_DIR, Ended};
use super::scan::{Scanned, scan};

/// After a start.
pub(super) async fn after_start(life: &Life, last: Option<Ended>, rng: &mut Rng) {
    let mut newest = None;
    for name in TOPICS {
        let found = describe(life, name).await;
        settle_topic(life, name, found.as_ref());
        if let Some(found) = &found {
            epoch(life, found, last);
            newest = Some(found.leader_epoch);
        }
    }
    if newest.is_some() {
        life.model().epoch = newest;
    }
    no_files_of_gone_topics(life);
    let Some(last) = last else { return };
    let places = all_places(life);
    for (name, place) in places {
        let Some(scanned) = scan(life, &name, place.1).await else {
            // Where it ends is not known, so that what may be lost counts as lost.
            let mut model = life.model();
            let lost = model.partition(place).is_unread(last.survived);
            model.lost.extend(lost);
            continue;
        };
        partition(life, &name, place, &scanned, last);
        lookups(life, &name, place, &scanned, rng).await;
    }
    committed(life).await;
}

fn all_places(life: &Life) -> Vec<(String, Place)> {
    let model = life.model();
    let topics = model.topics.iter();
    topics
        .filter_map(|(name, topic)| Some((name, topic.id?, topic.partitions)))
        .flat_map(|(name, id, count)| (0..count).map(move |at| (name.clone(), (id, at))))
        .collect()
}

async fn describe(life: &Life, name: &str) -> Option<TopicDescription> {
    let call = MetadataCall {
        topics: MetadataTopics::These(vec![TopicRef::from(name)]),
        allow_auto_create: false,
    };
    match life.service.metadata(call).await.remove(0).result {
        Ok(found) => Some(found),
        Err(TopicError::Unknown) => None,
        Err(error) => {
            life.broken(Oracle::O1, format!("topic {name}: {error}"));
            None
        }
    }
}

/// A topic is as it was told, or as it was asked to become.
fn settle_topic(life: &Life, name: &str, found: Option<&TopicDescription>) {
    let durability = found.and_then(|_| durability(life, name));
    let mut model = life.model();
    let known = model.topics.get(name).cloned();
    let pending = known.as_ref().and_then(|topic| topic.pending.clone());
    let told = format!("topic {name} was {known:?}, is {found:?}, {durability:?}");
    let Some(found) = found else {
        match (known, pending) {
            (None, _) | (_, Some(Change::Create)) => {}
            (Some(topic), Some(Change::Delete)) => {
                topic.id.into_iter().for_each(|id| model.forget(id));
            }
            _ => model.broken(Oracle::O1, told),
        }
        model.topics.remove(name);
        return;
    };
    let Some(mut topic) = known else {
        model.broken(Oracle::O1, told);
        return;
    };
    let is_right = match pending {
        Some(Change::Create) => {
            topic.id = Some(found.id);
            found.partition_count == topic.partitions && durability == Some(topic.durability)
        }
        Some(Change::Grow(total)) => {
            let is_one = [topic.partitions, total].contains(&found.partition_count);
            topic.partitions = found.partition_count;
            is_one && durability == Some(topic.durability)
        }
        Some(Change::Durability(next)) => {
            let is_one = durability == Some(next) || durability == Some(topic.durability);
            topic.durability = durability.unwrap_or(next);
            is_one && found.partition_count == topic.partitions
        }
        Some(Change::Delete) | None => {
            found.partition_count == topic.partitions && durability == Some(topic.durability)
        }
    };
    if !is_right || topic.id != Some(found.id) || model.gone.contains(&found.id) {
        model.broken(Oracle::O1, told);
    }
    topic.pending = None;
    model.topics.insert(name.to_owned(), topic);
}

fn durability(life: &Life, name: &str) -> Option<Durability> {
    let asked = DescribeConfigs {
        resource: ConfigResource::Topic(name.to_owned()),
        names: Some(vec!["durability".to_owned()]),
    };
    let described = life.service.describe_configs(vec![asked]).pop()?;
    let value = described.result.ok()?.pop()?.value;
    let all = [Durability::Fsync, Durability::PageCache];
    all.into_iter().find(|one| one.name() == value)
}

/// The leader epoch rises with each unclean stop, and only then.
fn epoch(life: &Life, found: &TopicDescription, last: Option<Ended>) {
    let mut model = life.model();
    let now = found.leader_epoch;
    if let (Some(last), Some(before)) = (last, model.epoch) {
        let is_right = match last {
            Ended {
                is_clean: false, ..
            } => now > before,
            Ended {
                failed_starts: 0, ..
            } => now == before,
            // A start that did not come to its end may have raised it, or not.
            _ => now >= before,
        };
        if !is_right {
            let text = format!("leader epoch {before}, now {now}, after {last:?}");
            model.broken(Oracle::O8, text);
        }
    }
}

fn no_files_of_gone_topics(life: &Life) {
    let mut model = life.model();
    let dirs: Vec<(TopicId, String)> = model
        .gone
        .iter()
        .map(|id| {
            let log = LogId {
                topic: id.0,
                partition: 0,
            };
            (*id, log.topic_dir())
        })
        .collect();
    if dirs.is_empty() || life.disk.fired() > 0 || life.disk.is_dead() {
        // Files that resist go later.
        return;
    }
    // What was cut off a damaged log is kept, whatever becomes of its topic.
    let logs = std::path::Path::new(DATA_DIR).join("logs");
    for path in life.disk.files() {
        if !path.starts_with(&logs) {
            continue;
        }
        let path = path.display().to_string();
        if let Some((id, _)) = dirs.iter().find(|(_, dir)| path.contains(dir.as_str())) {
            model.broken(
                Oracle::O9,
                format!("{path} belongs to {id}, which was deleted"),
            );
        }
    }
}

/// What a partition holds against what clients were told of it.
fn partition(life: &Life, name: &str, place: Place, scanned: &Scanned, last: Ended) {
    let wall_ms = life.clock.wall_ms();
    let mut model = life.model();
    let what = format!("{name}/{}", place.1);
    let known = model.partition(place);
    let (floor, survived) = (known.floor(last.survived), last.survived);
    if scanned.end < floor {
        let (strong, written) = (known.strong, known.written);
        let text = format!(
            "{what} ends at {}: {survived:?} is what survived, and all below {strong} was durable, \
             all below {written} written",
            scanned.end
        );
        model.broken(Oracle::O1, text);
    }
    model.saw_start(name, place, scanned.start, wall_ms);
    for found in &scanned.records {
        model.found(name, place, found);
    }
    let lost = model.partition(place).ends_at(scanned.end);
    model.book.stats.records_lost_as_allowed += lost.len() as u64;
    model.lost.extend(lost);
    model
        .book
        .note(format!("{what} holds {}..{}", scanned.start, scanned.end));
}

/// Lookups by epoch and by time against what is there.
async fn lookups(life: &Life, name: &str, place: Place, scanned: &Scanned, rng: &mut Rng) {
    let epochs: std::collections::BTreeSet<i32> =
        scanned.records.iter().map(|found| found.epoch).collect();
    for epoch in epochs {
        let beyond = scanned.records.iter().find(|found| found.epoch > epoch);
        let expected = beyond.map_or(scanned.end, |found| found.offset);
        let asked = EpochPartition {
            topic: name.to_owned(),
            partition: place.1,
            current_leader_epoch: -1,
            leader_epoch: epoch,
        };
        let answer = life.service.offset_for_leader_epoch(vec![asked]).pop();
        let end = answer.and_then(|answer| answer.result.ok());
        if end.is_none_or(|end| end.end_offset.0 != expected) {
            let text = format!(
                "{name}/{}: epoch {epoch} ends at {expected}, not {end:?}",
                place.1
            );
            life.broken(Oracle::O10, text);
        }
    }
    if scanned.records.is_empty() {
        return;
    }
    let at = rng.below(scanned.records.len());
    let time = scanned.records[at].timestamp;
    let first = scanned.records.iter().find(|found| found.timestamp >= time);
    let expected = first.map(|found| found.offset);
    let listed = life.offset_at(name, place.1, OffsetAt::Time(time)).await;
    if listed.map(|listed| listed.offset.0) != expected
        && life.disk.fired() == 0
        && !life.disk.is_dead()
    {
        let text = format!(
            "{name}/{}: the first record from {time} on is {expected:?}, not {listed:?}",
            place.1
        );
        life.broken(Oracle::O10, text);
    }
}

/// Every committed offset is one that was asked for, and points to what is there.
pub(super) async fn committed(life: &Life) {
    let keys: Vec<(String, Place)> = life.model().committed.keys().cloned().collect();
    for (group, place) in keys {
        let name = {
            let model = life.model();
            let mut topics = model.topics.iter();
            topics
                .find(|(_, topic)| topic.id == Some(place.0))
                .map(|(name, _)| name.clone())
        };
        let Some(name) = name else { continue };
        let of = [(name.clone(), place.1)];
        let fetched = life.service.fetch_offsets(&group, Some(&of));
        let Some(fetched) = fetched.into_iter().next() else {
            continue;
        };
        let is_within = {
            let mut model = life.model();
            model.saw_committed(&group, place, fetched.offset);
            model
                .committed
                .get(&(group.clone(), place))
                .is_some_and(Committed::is_within)
        };
        if fetched.offset < 0 {
            continue;
        }
        if fetched.metadata != metadata(fetched.offset) {
            life.broken(Oracle::O6, format!("group {group}: {fetched:?}"));
        }
        let end = life.offset_at(&name, place.1, OffsetAt::Latest).await;
        if is_within && end.is_some_and(|end| end.offset.0 < fetched.offset) {
            let text = format!("group {group}: {fetched:?} points beyond the end, {end:?}");
            life.broken(Oracle::O6, text);
        }
    }
}

/// Where all partitions end.
pub(super) async fn ends(life: &Life) -> Vec<(Place, i64)> {
    let mut ends = Vec::new();
    for (name, place) in all_places(life) {
        if let Some(end) = life.offset_at(&name, place.1, OffsetAt::Latest).await {
            ends.push((place, end.offset.0));
        }
    }
    ends
}
