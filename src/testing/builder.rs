//! How a test broker is to be: where its data lives, its clock, its settings.

use std::path::PathBuf;
use std::sync::Arc;

use highwater_broker::clock::{SystemClock, VirtualClock};
use highwater_broker::config::BrokerConfig;
use highwater_broker::faults::Faults;
use highwater_broker::{Broker, KafkaListener};
use highwater_log::fs::Fs;
use highwater_log::fs::mem::MemFs;
use highwater_log::fs::os::OsFs;
use highwater_proto::clock::{Clock, Wall};
use tempfile::TempDir;

use crate::testing::broker::TestBroker;
use crate::testing::error::TestError;

/// 2026-01-01T00:00:00Z in milliseconds since 1970: when the clocks of test brokers start.
pub const START_MS: i64 = 1_767_225_600_000;

/// A test broker to be.
///
/// ```
/// use highwater::testing::TestBroker;
/// use highwater::broker::config::BrokerConfig;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = BrokerConfig { num_partitions: 12, ..BrokerConfig::default() };
/// let broker = TestBroker::builder().config(config).on_disk().system_clock().start().await?;
/// # broker.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TestBrokerBuilder {
    config: BrokerConfig,
    is_on_disk: bool,
    time: Time,
    start_ms: i64,
    seed: u64,
    listener: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum Time {
    Running,
    Frozen,
    System,
}

impl TestBrokerBuilder {
    pub(super) fn new() -> Self {
        Self {
            config: BrokerConfig::default(),
            is_on_disk: false,
            time: Time::Running,
            start_ms: START_MS,
            seed: 0,
            listener: None,
        }
    }

    /// The data lives in a temporary folder, which goes with the test broker. Without this it lives
    /// in memory.
    pub fn on_disk(mut self) -> Self {
        self.is_on_disk = true;
        self
    }

    /// Time is the machine's, and cannot be moved.
    pub fn system_clock(mut self) -> Self {
        self.time = Time::System;
        self
    }

    /// Time moves by [`TestBroker::advance`] alone: a test sees every moment exactly, and whatever
    /// waits for time waits until it is moved.
    pub fn frozen_clock(mut self) -> Self {
        self.time = Time::Frozen;
        self
    }

    /// The clock starts at this moment, in milliseconds since 1970, instead of at [`START_MS`].
    pub fn starts_at_ms(mut self, start_ms: i64) -> Self {
        self.start_ms = start_ms;
        self
    }

    /// The broker's settings. Where they are those of [`BrokerConfig::default`], a test broker
    /// looks after its data once a day instead of once in a second or some minutes, so that weeks
    /// pass in few steps; what is too old is removed at the end of each `advance`, too.
    pub fn config(mut self, config: BrokerConfig) -> Self {
        self.config = config;
        self
    }

    /// The ids of topics, members and the cluster follow from this number.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Listens at `[NAME=]HOST:PORT[,advertise=HOST:PORT]` instead of at `127.0.0.1:0`.
    pub fn listen(mut self, listener: impl Into<String>) -> Self {
        self.listener = Some(listener.into());
        self
    }

    /// Starts it on the runtime of the caller, which has sockets and timers enabled.
    ///
    /// # Errors
    /// Settings that cannot be right; a port that is taken; a disk that refuses.
    pub async fn start(self) -> Result<TestBroker, TestError> {
        TestBroker::start_as(self.plan()?).await
    }

    fn plan(self) -> Result<Plan, TestError> {
        let time = match self.time {
            Time::System => TestClock::System(SystemClock::new()),
            Time::Frozen => TestClock::Frozen(VirtualClock::new(Wall(self.start_ms))),
            Time::Running => TestClock::Running(VirtualClock::new(Wall(self.start_ms))),
        };
        let listener = self.listener.as_deref().unwrap_or("127.0.0.1:0").parse();
        Ok(Plan {
            config: self.config,
            is_on_disk: self.is_on_disk,
            clock: time,
            seed: self.seed,
            listener: listener.map_err(highwater_broker::error::BrokerError::from)?,
            faults: Faults::default(),
        })
    }
}

/// What every broker of a test broker is made of: the first one, and those after a restart.
#[derive(Debug)]
pub(super) struct Plan {
    config: BrokerConfig,
    is_on_disk: bool,
    pub(super) clock: TestClock,
    seed: u64,
    listener: KafkaListener,
    pub(super) faults: Faults,
}

impl Plan {
    /// A place for data, empty.
    pub(super) fn place(&self) -> Result<Place, TestError> {
        if !self.is_on_disk {
            return Ok(Place::Memory(MemFs::new()));
        }
        let folder = tempfile::Builder::new().prefix("highwater-test-").tempdir();
        folder
            .map(Place::Folder)
            .map_err(TestError::system("make a temporary folder"))
    }

    /// A broker over this place. `starts_count` tells its ids apart from those before it; `port` is
    /// the free one that the first of them was given.
    pub(super) async fn broker(
        &self,
        place: &Place,
        starts_count: u64,
        port: Option<u16>,
    ) -> Result<Broker, TestError> {
        let mut config = for_tests(self.config.clone());
        let mut listener = self.listener.clone();
        if let (0, Some(port)) = (listener.bind.port, port) {
            listener.bind.port = port;
        }
        let (fs, dir): (Arc<dyn Fs>, _) = match place {
            Place::Memory(fs) => {
                // A journal saves syncs, which cost nothing in memory.
                config.log_journal_bytes = 0;
                (Arc::new(fs.clone()), PathBuf::from("/highwater"))
            }
            Place::Folder(folder) => (Arc::new(OsFs::new()), folder.path().to_owned()),
        };
        let builder = Broker::builder()
            .config(config)
            .fs(fs, dir)
            .clock(self.clock.shared())
            .faults(self.faults.clone())
            .listen_kafka(listener);
        Ok(builder
            .simulate(self.seed.wrapping_add(starts_count))
            .await?)
    }
}

/// What is done by the clock is done seldom, unless it was asked for.
fn for_tests(mut config: BrokerConfig) -> BrokerConfig {
    let default = BrokerConfig::default();
    let exchange = |setting: &mut u64, default: u64, for_tests: u64| {
        if *setting == default {
            *setting = for_tests;
        }
    };
    let checkpoint = &mut config.log_checkpoint_interval_ms;
    exchange(checkpoint, default.log_checkpoint_interval_ms, DAY_MS);
    let retention = &mut config.log_retention_check_interval_ms;
    exchange(retention, default.log_retention_check_interval_ms, DAY_MS);
    let offsets = &mut config.offsets_retention_check_interval_ms;
    exchange(offsets, default.offsets_retention_check_interval_ms, DAY_MS);
    // Nothing damages a test's data but the test.
    exchange(
        &mut config.log_scrub_interval_ms,
        default.log_scrub_interval_ms,
        0,
    );
    config
}

const DAY_MS: u64 = 86_400_000;

/// The clock of a test broker.
#[derive(Clone, Debug)]
pub(super) enum TestClock {
    /// Runs as the machine's, and jumps.
    Running(VirtualClock),
    /// Stands, and jumps.
    Frozen(VirtualClock),
    /// The machine's.
    System(SystemClock),
}

impl TestClock {
    pub(super) fn shared(&self) -> Arc<dyn Clock> {
        match self {
            Self::Running(clock) | Self::Frozen(clock) => Arc::new(clock.clone()),
            Self::System(clock) => Arc::new(*clock),
        }
    }

    pub(super) fn movable(&self) -> Option<&VirtualClock> {
        match self {
            Self::Running(clock) | Self::Frozen(clock) => Some(clock),
            Self::System(_) => None,
        }
    }
}

/// Where the data lives.
#[derive(Debug)]
pub(super) enum Place {
    Memory(MemFs),
    Folder(TempDir),
}
