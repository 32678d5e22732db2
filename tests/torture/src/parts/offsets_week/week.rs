//! The week: a broker in memory, its clock, a thousand groups.
//!
//! Invariants
//! - The broker runs by `Builder::simulate`, on one thread: two weeks take the same course.
//! - Time moves between two rounds only, when all that was to do is done, from timer to timer.

use std::sync::Arc;
use std::time::Duration;

use highwater_broker::Broker;
use highwater_broker::clock::VirtualClock;
use highwater_broker::config::BrokerConfig;
use highwater_broker::service::topics::{CreateTopicsCall, NewTopic};
use highwater_kit::scales::Scales;
use highwater_log::fs::Fs;
use highwater_log::fs::mem::MemFs;
use highwater_proto::clock::{Clock, Wall};
use tokio::runtime::Runtime;

use super::groups::{Groups, PARTITIONS, TOPIC};
use super::logs::GroupsLog;
use crate::part::Notes;

/// A week under way.
#[derive(Debug)]
pub(super) struct Week {
    groups: Groups,
    broker: Broker,
    logs: Vec<GroupsLog>,
    clock: VirtualClock,
    scales: Scales,
    disk: MemFs,
    config: BrokerConfig,
    rounds: u64,
    stretches: u64,
    // The last to go: the end of the broker needs it.
    runtime: Runtime,
}

impl Week {
    /// A new broker; every group has committed once.
    pub(super) fn begin() -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| error.to_string())?;
        let config = config();
        let disk = MemFs::new();
        let scales = Scales::over(Arc::new(disk.clone()));
        let clock = VirtualClock::new(Wall(START_MS));
        let (broker, groups, logs) = runtime.block_on(async {
            let broker = start(Arc::new(scales.clone()), &config, clock.clone()).await?;
            make_topic(&broker).await?;
            let groups = Groups::of(&broker);
            groups.commit(0).await?;
            let partitions = config.offsets_topic_num_partitions;
            let segment_bytes = u64::from(config.offsets_topic_segment_bytes.unsigned_abs());
            let logs = GroupsLog::all(broker.service(), partitions, segment_bytes);
            Ok::<_, String>((broker, groups, logs))
        })?;
        let mut week = Self {
            groups,
            broker,
            logs,
            clock,
            scales,
            disk,
            config,
            rounds: 1,
            stretches: 0,
            runtime,
        };
        week.weigh()?;
        Ok(week)
    }

    /// How many stretches are over.
    pub(super) const fn stretches(&self) -> u64 {
        self.stretches
    }

    /// Lives through so many rounds, and looks at all that must hold.
    pub(super) fn live(&mut self, rounds: u64) -> Result<(), String> {
        let before: Vec<u64> = self.logs.iter().map(|log| log.rewritings).collect();
        for _ in 0..rounds {
            self.round()?;
        }
        self.weigh()?;
        for (log, before) in self.logs.iter().zip(before) {
            if log.rewritings < before + REWRITINGS_MIN {
                let (partition, count) = (log.partition, log.rewritings - before);
                return Err(format!(
                    "partition {partition} was written anew {count} times in {rounds} rounds"
                ));
            }
        }
        self.stretches += 1;
        Ok(())
    }

    /// Adds what the logs took.
    pub(super) fn report(&self, notes: &Notes) {
        for log in &self.logs {
            // Rows of one name are sorted, and the last one is shown.
            notes.row(
                format!("partition {}", log.partition),
                format!(
                    "{:7} rounds, {:6} rewritings: {} bytes at most, {} allowed, {} live",
                    self.rounds,
                    log.rewritings,
                    log.peak_bytes,
                    log.bytes_max(),
                    log.live_bytes
                ),
            );
        }
    }

    fn round(&mut self) -> Result<(), String> {
        let Self {
            groups,
            broker,
            logs,
            ..
        } = self;
        self.runtime.block_on(async {
            settle(broker).await;
            let target = self.clock.now().mono.plus(INTERVAL);
            let mut held = self.clock.hold();
            while held.step(target) {
                settle(broker).await;
            }
            groups.commit(self.rounds).await?;
            for log in logs {
                let looked = log.look(&self.scales, broker.service()).await;
                looked.map_err(|why| format!("round {}: {why}", self.rounds))?;
            }
            Ok::<_, String>(())
        })?;
        self.rounds += 1;
        Ok(())
    }

    /// Reads all logs, and asks for all offsets: here, and where the power is cut right behind the
    /// last answer, inside of a rewriting if there is one.
    fn weigh(&mut self) -> Result<(), String> {
        let Self {
            groups,
            broker,
            logs,
            ..
        } = self;
        let last = self.rounds - 1;
        let left = Arc::new(self.disk.after_power_cut());
        self.runtime.block_on(async {
            settle(broker).await;
            let mut count = 0;
            for log in logs {
                count += log.weigh(broker.service(), PARTITIONS as usize).await?;
            }
            if count != groups.count() {
                return Err(format!("the logs know {count} groups behind round {last}"));
            }
            groups.check(last).await?;
            let clock = VirtualClock::new(self.clock.now().wall);
            let other = start(left, &self.config, clock).await?;
            let checked = Groups::of(&other).check(last).await;
            other.crash().await;
            settle(&other).await;
            checked.map_err(|why| format!("after a power cut, {why}"))
        })
    }
}

async fn start(
    disk: Arc<dyn Fs>,
    config: &BrokerConfig,
    clock: VirtualClock,
) -> Result<Broker, String> {
    Broker::builder()
        .fs(disk, DATA_DIR)
        .config(config.clone())
        .clock(Arc::new(clock))
        .simulate(SEED)
        .await
        .map_err(|error| error.to_string())
}

async fn make_topic(broker: &Broker) -> Result<(), String> {
    let topic = NewTopic {
        name: TOPIC.to_owned(),
        partition_count: Some(PARTITIONS),
        ..NewTopic::default()
    };
    let call = CreateTopicsCall {
        topics: vec![topic],
        validate_only: false,
    };
    let made = broker.service().create_topics(call).await.remove(0).result;
    made.map(drop).map_err(|error| error.to_string())
}

/// Lets the broker go on until it has nothing to do.
async fn settle(broker: &Broker) {
    let mut turns = broker.turns();
    loop {
        tokio::task::yield_now().await;
        let now = broker.turns();
        if now == turns {
            return;
        }
        turns = now;
    }
}

/// Segments in which a log of 250 groups is written anew every few rounds; quiet groups are kept
/// for longer than the week.
fn config() -> BrokerConfig {
    BrokerConfig {
        offsets_topic_num_partitions: 4,
        offsets_topic_segment_bytes: 1 << 20,
        offsets_retention_minutes: 14 * 24 * 60,
        ..BrokerConfig::default()
    }
}

/// The time between two commits of a group.
pub(super) const INTERVAL_MS: u64 = 5_000;
pub(super) const DATA_DIR: &str = "/data";
const INTERVAL: Duration = Duration::from_millis(INTERVAL_MS);
/// 2023-11-14.
const START_MS: i64 = 1_700_000_000_000;
const SEED: u64 = 1;
/// A stretch in which a log is written anew less often shows nothing.
const REWRITINGS_MIN: u64 = 12;
