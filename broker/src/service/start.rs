//! The start of the service: the metadata log and those of groups are replayed, and every other log
//! is brought in line with the metadata, before anybody is served.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - After an unclean stop the new leader epoch is durable in the metadata log before any other
//!   log is written.
//! - What the metadata log has never heard of is moved to `lost+found`, not deleted. If it has
//!   heard of nothing, nothing is moved: the broker does not start.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};

use highwater_log::config::LogConfig;
use highwater_log::error::LogError;
use highwater_log::shard::ShardRecovered;
use highwater_log::types::{LeaderEpoch, LogId};
use highwater_proto::clock::Clock;
use highwater_proto::sasl::Secret;
use tokio::sync::watch;

use crate::config::BrokerConfig;
use crate::coordinator::{Coordinator, CoordinatorOptions, Replayed, replay};
use crate::error::BrokerError;
use crate::ids::{Ids, TopicId};
use crate::meta::{LastStop, MetaMachine, OFFSETS_TOPIC};
use crate::service::fetch::session::Sessions;
use crate::service::first_times::FirstTimes;
use crate::service::groups::{Groups, RecoveredGroups};
use crate::service::producer_ids::Block;
#[cfg(feature = "sasl")]
use crate::service::users;
use crate::service::{Inner, MetaKey, Service};
use crate::shard::{OpenedShard, Shard};
use crate::workers::Workers;

/// What a service runs over.
#[derive(Debug)]
pub struct ServiceOptions {
    /// The settings; they are valid.
    pub config: Arc<BrokerConfig>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where tasks and slow work run.
    pub workers: Workers,
    /// Where ids come from.
    pub ids: Ids,
    /// The logs, recovered.
    pub opened: OpenedShard,
    /// Where they are, for the broker's description.
    pub data_dir: String,
}

impl Service {
    /// Replays the metadata log and brings every other log in line with it.
    pub(crate) async fn start(options: ServiceOptions) -> Result<Self, BrokerError> {
        let ServiceOptions {
            config,
            clock,
            workers,
            ids,
            opened,
            data_dir,
        } = options;
        let OpenedShard { shard, recovered } = opened;
        let missing = metadata_missing(&recovered, &data_dir);
        let replayed = match missing {
            // Nothing is made where something must be put back.
            Some(error) if shard.reader(META_LOG).is_none() => return Err(error),
            missing => replay_metadata(&shard, &config, missing).await?,
        };
        let offsets_topic = replayed.machine.state().named(OFFSETS_TOPIC).cloned();
        let groups = {
            let (config, shard) = (Arc::clone(&config), Arc::clone(&shard));
            let now = clock.now();
            let read =
                move || RecoveredGroups::read(&config, offsets_topic.as_deref(), &shard, now);
            // The task fails only when the runtime is being shut down.
            let read = workers.spawn_blocking(read).await;
            read.unwrap_or(Err(BrokerError::Closed))?
        };
        let meta = Coordinator::new(
            replayed,
            CoordinatorOptions {
                shard: Arc::clone(&shard),
                log: META_LOG,
                clock: Arc::clone(&clock),
                runtime: workers.runtime().clone(),
                snapshot_bytes: config.metadata_snapshot_bytes,
            },
        );
        let fetch_sessions = Mutex::new(Sessions::new(&config));
        let salt_secret = ids.secret().map_err(|error| BrokerError::System {
            op: "draw a secret for the broker",
            source: std::io::Error::other(error),
        })?;
        let service = Self {
            inner: Arc::new(Inner {
                config,
                clock,
                metrics: Arc::clone(shard.metrics()),
                workers,
                ids,
                shard,
                meta,
                producer_ids: Block::default(),
                groups: Groups::new(groups),
                salt_secret: Secret(salt_secret.to_vec()),
                #[cfg(feature = "sasl")]
                passwords: tokio::sync::Semaphore::new(users::PASSWORDS_AT_ONCE_MAX),
                fetch_sessions,
                listening: Mutex::default(),
                data_dir,
                closing: watch::Sender::new(false),
                request_budget: OnceLock::new(),
                first_times: FirstTimes::default(),
                recent: Arc::default(),
            }),
        };
        service.catch_up(&recovered).await?;
        Ok(service)
    }

    async fn catch_up(&self, recovered: &ShardRecovered) -> Result<(), BrokerError> {
        let stop = if recovered.is_new || recovered.is_clean {
            LastStop::Clean
        } else {
            LastStop::Unclean
        };
        let cluster = self
            .inner
            .ids
            .cluster()
            .map_err(|error| BrokerError::System {
                op: "draw an id for the cluster",
                source: std::io::Error::other(error),
            })?;
        let decide = move |meta: &MetaMachine| meta.start(cluster, stop);
        let written = self.inner.meta.write(MetaKey::Topics, decide).await;
        written.map_err(|error| match BrokerError::from(error) {
            BrokerError::Log(error) => BrokerError::MetaWrite {
                why: error.to_string(),
            },
            known => known,
        })?;
        let (known, epoch) = self.inner.meta.read(|meta| {
            let state = meta.state();
            let topics = state.topics().chain(state.deleting());
            let logs = topics.flat_map(|topic| topic.logs()).chain([META_LOG]);
            (logs.collect::<BTreeSet<LogId>>(), state.leader_epoch())
        });
        let shard = &self.inner.shard;
        // Each move is logged below; nothing more can be done about it here.
        shard.move_aside(known).await?;
        shard.raise_epochs(epoch).await?;
        self.configure_logs().await?;
        self.finish_deleting(self.deleting()).await;
        Ok(())
    }

    /// Gives every log that was found the policies of its topic.
    async fn configure_logs(&self) -> Result<(), LogError> {
        let mut open = self.inner.shard.log_ids();
        open.retain(|log| *log != META_LOG);
        for of_topic in open.chunk_by(|a, b| a.topic == b.topic) {
            let id = TopicId(of_topic[0].topic);
            let topic = self.topic(&crate::ids::TopicRef::Id(id));
            let policy = topic.map(|topic| topic.settings.log.clone());
            self.inner
                .shard
                .set_config(of_topic.to_vec(), || policy)
                .await?;
        }
        Ok(())
    }
}

/// Opens the metadata log and replays it. `missing` is the answer if it says nothing.
async fn replay_metadata(
    shard: &Shard,
    config: &Arc<BrokerConfig>,
    missing: Option<BrokerError>,
) -> Result<Replayed<MetaMachine>, BrokerError> {
    let log_config = meta_log_config();
    shard
        .open_log(META_LOG, || Some((log_config.clone(), LeaderEpoch(0))))
        .await?;
    shard
        .set_config(vec![META_LOG], || Some(log_config))
        .await?;
    shard.mark_vital(META_LOG);
    let log = shard.reader(META_LOG).ok_or(LogError::Closed)?;
    let replayed = replay(MetaMachine::new(Arc::clone(config)), &log);
    let replayed = replayed.map_err(|error| BrokerError::Meta {
        offset: error.offset,
        why: error.why,
    })?;
    match missing {
        // The first record gives the cluster its id, and no other log is made before it is durable.
        Some(missing) if replayed.machine.state().cluster_id().is_none() => Err(missing),
        _ => Ok(replayed),
    }
}

/// What to answer if the metadata log says nothing: there are other logs, so that it did once.
fn metadata_missing(recovered: &ShardRecovered, dir: &str) -> Option<BrokerError> {
    let others = recovered.logs.iter().filter(|(log, _)| *log != META_LOG);
    let logs_count = others.count();
    (logs_count > 0).then(|| BrokerError::MetaMissing {
        dir: dir.to_owned(),
        logs_count,
        meta_dir: META_LOG.topic_dir(),
    })
}

/// The log of the metadata machine.
pub(super) const META_LOG: LogId = LogId {
    topic: TopicId::META.0,
    partition: 0,
};

/// Nothing of it is deleted by age or size: snapshots let go of what they replace. Always synced.
pub(super) fn meta_log_config() -> LogConfig {
    LogConfig {
        // A snapshot is one batch and must fit: ten thousand topics with some configs each.
        segment_bytes: 16 << 20,
        segment_ms: i64::MAX,
        retention_ms: None,
        retention_bytes: None,
        delete: false,
        ..LogConfig::default()
    }
}
