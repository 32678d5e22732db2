//! The live state of the machines against what their logs replay: a broker that starts on a copy of
//! the disk, as a power cut leaves it now, must say the same.

use highwater_broker::service::Service;
use highwater_broker::service::configs::{ConfigResource, DescribeConfigs};
use highwater_broker::service::groups::{GroupDescription, GroupState};
use highwater_broker::service::topics::{MetadataCall, MetadataTopics};

use super::book::Oracle;
use super::life::Life;

/// Compares all that is durable in both.
pub(super) async fn same_state(life: &Life, other: &Service) {
    life.model().book.stats.states_compared += 1;
    let (ours, theirs) = (topics(&life.service).await, topics(other).await);
    if ours != theirs {
        differs(life, "topics", &ours, &theirs);
    }
    let mut names: Vec<String> = life
        .service
        .list_groups()
        .into_iter()
        .map(|one| one.group)
        .collect();
    names.extend(other.list_groups().into_iter().map(|one| one.group));
    names.sort_unstable();
    names.dedup();
    for group in names {
        let (ours, theirs) = (offsets(&life.service, &group), offsets(other, &group));
        if ours != theirs {
            differs(life, &format!("offsets of {group}"), &ours, &theirs);
        }
        let (ours, theirs) = (
            life.service.describe_group(&group),
            other.describe_group(&group),
        );
        // What members are about to agree on is not durable yet.
        if matches!(ours.state, GroupState::Stable | GroupState::Empty) && !same(&ours, &theirs) {
            differs(life, &format!("group {group}"), &ours, &theirs);
        }
    }
}

fn same(ours: &GroupDescription, theirs: &GroupDescription) -> bool {
    let members = |group: &GroupDescription| {
        let mut members = group.members.clone();
        members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
        members
    };
    (ours.state, &ours.protocol_type, &ours.protocol)
        == (theirs.state, &theirs.protocol_type, &theirs.protocol)
        && members(ours) == members(theirs)
}

fn differs(life: &Life, what: &str, ours: &impl std::fmt::Debug, theirs: &impl std::fmt::Debug) {
    let text = format!("{what}: the broker says {ours:?}, its log {theirs:?}");
    life.broken(Oracle::O15, text);
}

/// Names, ids, partitions and configs of all topics.
async fn topics(service: &Service) -> Vec<(String, String)> {
    let call = MetadataCall {
        topics: MetadataTopics::All,
        allow_auto_create: false,
    };
    let mut all = Vec::new();
    for topic in service.metadata(call).await {
        let Ok(topic) = topic.result else { continue };
        let asked = DescribeConfigs {
            resource: ConfigResource::Topic(topic.name.clone()),
            names: None,
        };
        let configs: Vec<(&'static str, String)> = service
            .describe_configs(vec![asked])
            .into_iter()
            .filter_map(|described| described.result.ok())
            .flatten()
            .map(|entry| (entry.name, entry.value))
            .collect();
        let text = format!("{} {} {configs:?}", topic.id, topic.partition_count);
        all.push((topic.name, text));
    }
    all.sort();
    all
}

fn offsets(service: &Service, group: &str) -> Vec<String> {
    let mut all: Vec<String> = service
        .fetch_offsets(group, None)
        .into_iter()
        .map(|offset| format!("{offset:?}"))
        .collect();
    all.sort();
    all
}
