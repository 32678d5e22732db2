//! What a topic promises: how large its records may be, and whether it keeps them.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - A topic that acknowledges what a power failure loses is refused, unless that is allowed.

use std::sync::Arc;

use highwater_proto::code::ErrorCode;

use super::error::OutboxError;
use crate::admin::{Admin, ConfigEntry};
use crate::cluster::Cluster;
use crate::error::ClientError;

/// Whether acknowledgements out of memory are good enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum MemoryAcks {
    #[default]
    Refused,
    Allowed,
}

/// A topic that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    /// The bytes of a batch, and so of a record.
    pub(super) bytes_max: usize,
    /// Whether records without a key are refused.
    pub(super) needs_keys: bool,
}

/// Why a topic was not looked at with success.
#[derive(Debug)]
pub(super) enum Unfit {
    Client(ClientError),
    Refused(OutboxError),
}

impl From<ClientError> for Unfit {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl Destination {
    /// Looks at a topic; it is created by the broker if it does that on demand.
    pub(super) async fn look(
        cluster: &Arc<Cluster>,
        topic: &str,
        memory_acks: MemoryAcks,
    ) -> Result<Self, Unfit> {
        let admin = Admin::new(Arc::clone(cluster));
        let configs = match admin.topic_configs(topic).await {
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {
                // Asked once: while it is waited for, no other row is published.
                cluster.metadata(Some(&[topic]), true).await?;
                admin.topic_configs(topic).await?
            }
            configs => configs?,
        };
        if memory_acks == MemoryAcks::Refused {
            let copies = match setting(&configs, "durability") {
                Some(_) => 1,
                None => fewest_copies(&admin, topic).await?,
            };
            if let Some(why) = loses(&configs, copies) {
                let topic = topic.to_owned();
                return Err(Unfit::Refused(OutboxError::MemoryAck { topic, why }));
            }
        }
        let bytes_max = setting(&configs, "max.message.bytes").and_then(|it| it.parse().ok());
        let policy = setting(&configs, "cleanup.policy").unwrap_or_default();
        Ok(Self {
            bytes_max: bytes_max.unwrap_or(usize::MAX),
            needs_keys: policy.split(',').any(|it| it.trim() == "compact"),
        })
    }
}

/// In how many copies the partition is kept that has the fewest.
async fn fewest_copies(admin: &Admin, topic: &str) -> Result<usize, ClientError> {
    let partitions = admin.describe_partitions(topic).await?;
    let copies = partitions.iter().map(|it| it.replicas.len());
    Ok(copies.min().unwrap_or(0))
}

/// What makes a topic lose what it has acknowledged with `acks=all` in a power failure, if anything
/// does. Highwater says it by `durability`; elsewhere two brokers have to have it, or each record
/// is flushed.
fn loses(configs: &[ConfigEntry], copies: usize) -> Option<String> {
    if let Some(durability) = setting(configs, "durability") {
        return (durability != "fsync").then(|| format!("durability={durability}"));
    }
    if setting(configs, "flush.messages") == Some("1") {
        return None;
    }
    let in_sync = setting(configs, "min.insync.replicas");
    let in_sync: usize = in_sync.and_then(|it| it.parse().ok()).unwrap_or(1);
    (copies < 2 || in_sync < 2).then(|| {
        format!("it has {copies} copies and min.insync.replicas={in_sync}, and both should be 2")
    })
}

fn setting<'a>(configs: &'a [ConfigEntry], name: &str) -> Option<&'a str> {
    let entry = configs.iter().find(|entry| entry.name == name);
    entry.and_then(|entry| entry.value.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::ConfigSource;

    fn lost(settings: &[(&str, &str)], copies: usize) -> Option<String> {
        let entry = |(name, value): &(&str, &str)| ConfigEntry {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
            is_default: false,
            source: ConfigSource::Topic,
            is_read_only: false,
        };
        loses(&settings.iter().map(entry).collect::<Vec<_>>(), copies)
    }

    #[test]
    fn a_topic_keeps_what_it_acknowledges_on_a_disk_or_on_two_brokers() {
        assert_eq!(lost(&[("durability", "fsync")], 1), None);
        let why = lost(&[("durability", "page-cache")], 1).unwrap();
        assert_eq!(why, "durability=page-cache");
        assert_eq!(lost(&[("min.insync.replicas", "2")], 3), None);
        assert_eq!(lost(&[("flush.messages", "1")], 1), None);
        assert!(lost(&[("min.insync.replicas", "1")], 3).is_some());
        let why = lost(&[("min.insync.replicas", "2")], 1).unwrap();
        assert!(
            why.starts_with("it has 1 copies and min.insync.replicas=2"),
            "{why}"
        );
        assert!(lost(&[("flush.messages", "9223372036854775807")], 1).is_some());
    }
}
