//! A broker on a disk of a few megabytes that others fill, too.

use std::path::Path;
use std::sync::Arc;

use highwater_broker::clock::VirtualClock;
use highwater_broker::config::BrokerConfig;
use highwater_broker::error::ProduceError;
use highwater_broker::service::configs::{
    AlterConfigs, AlterFrom, ConfigChange, ConfigOperation, ConfigResource,
};
use highwater_broker::service::produce::Produced;
use highwater_kit::small_disk::SmallDisk;
use highwater_log::fs::Fs;
use highwater_log::fs::mem::MemFs;

use crate::kit::{Rig, START, batch, copy_of, until};
use crate::member::TIMERS_IDLE;

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const RESERVE: u64 = 256 << 10;
const DISK: u64 = 8 * MIB;

/// A broker and its small disk.
pub(crate) struct Small {
    pub(crate) rig: Rig,
    pub(crate) disk: SmallDisk,
}

/// A mebibyte is to stay free, and a quarter of one is in reserve.
pub(crate) fn config() -> BrokerConfig {
    BrokerConfig {
        min_free_bytes: 1 << 20,
        log_dirs_reserve_bytes: RESERVE,
        log_journal_bytes: MIB,
        ..BrokerConfig::default()
    }
}

impl Small {
    pub(crate) fn new() -> Self {
        Self::with(config())
    }

    pub(crate) fn with(config: BrokerConfig) -> Self {
        let small = Self::over(MemFs::new(), VirtualClock::new(START), config, DISK);
        assert!(small.rig.service.poisoned().is_none());
        small
    }

    pub(crate) fn over(fs: MemFs, clock: VirtualClock, config: BrokerConfig, bytes: u64) -> Self {
        let disk = SmallDisk::new(Arc::new(fs.clone()), Path::new("/data"), bytes);
        Self::on(disk, fs, clock, config)
    }

    fn on(disk: SmallDisk, fs: MemFs, clock: VirtualClock, config: BrokerConfig) -> Self {
        let rig = Rig::on(Arc::new(disk.clone()), fs, clock, config);
        Self { rig, disk }
    }

    /// Stops in good order and starts again, on the same disk.
    pub(crate) async fn restart(self) -> Self {
        let Self { rig, disk } = self;
        rig.broker.shutdown().await.unwrap();
        drop(rig.broker);
        Self::on(disk, rig.fs, rig.clock, rig.config)
    }

    /// The process dies, and a new one starts on the same disk, with so much room.
    pub(crate) fn kill(self, free_bytes: u64) -> Self {
        let image = copy_of(&self.rig.fs);
        let (clock, config) = (self.rig.clock.clone(), self.rig.config.clone());
        drop(self.rig);
        let disk = SmallDisk::new(Arc::new(image.clone()), Path::new("/data"), DISK);
        disk.leave_free(free_bytes);
        Self::on(disk, image, clock, config)
    }

    /// A second goes by, and what is due in it is done.
    pub(crate) async fn second(&self) {
        until(|| self.rig.clock.sleepers_count() >= TIMERS_IDLE).await;
        self.rig.advance_ms(1000);
        until(|| self.rig.clock.sleepers_count() >= TIMERS_IDLE).await;
    }

    /// The reserve is made by the first tick of a broker that has lived for a second.
    pub(crate) async fn with_reserve(self) -> Self {
        for _ in 0..2 {
            self.second().await;
        }
        assert_eq!(self.reserve(), Some(RESERVE));
        self
    }

    pub(crate) fn reserve(&self) -> Option<u64> {
        self.disk.length(Path::new("/data/RESERVE"))
    }

    /// Produces a batch of so many bytes.
    pub(crate) async fn produce(
        &self,
        topic: &str,
        bytes: usize,
    ) -> Result<Produced, ProduceError> {
        self.rig.produce(topic, batch(&[&"v".repeat(bytes)])).await
    }

    /// Produces until that is refused; how many records were taken.
    pub(crate) async fn fill(&self, topic: &str) -> i64 {
        for count in 0..10_000 {
            let produced = self.produce(topic, 16 << 10).await;
            if let Err(error) = produced {
                assert!(is_storage(&error), "{error:?}");
                return count;
            }
        }
        panic!("the disk has an end");
    }

    /// Produces from now on, within so many seconds.
    pub(crate) async fn produces_within(&self, topic: &str, seconds: u32) {
        for _ in 0..seconds {
            self.second().await;
            if self.produce(topic, 10).await.is_ok() {
                return;
            }
        }
        panic!(
            "it does not heal by itself: {:?}",
            self.produce(topic, 10).await
        );
    }

    pub(crate) async fn set_config(&self, topic: &str, name: &str, value: &str) {
        let change = ConfigChange {
            name: name.to_owned(),
            operation: ConfigOperation::Set(value.to_owned()),
        };
        let asked = AlterConfigs {
            resource: ConfigResource::Topic(topic.to_owned()),
            from: AlterFrom::Current,
            changes: vec![change],
        };
        let altered = self.rig.service.alter_configs(vec![asked], false).await;
        altered[0].result.as_ref().unwrap();
    }

    /// What all files of the directory hold.
    pub(crate) fn dir_bytes(&self) -> u64 {
        bytes_in(&self.rig.fs, Path::new("/data"))
    }

    /// What all files of the directory hold, which is what the broker counts. The broker writes by
    /// itself meanwhile, so that only a difference that stays is one.
    pub(crate) fn counted_bytes(&self) -> u64 {
        let mut last = (None, 0);
        for _ in 0..TRIES_MAX {
            last = (self.rig.service.room().dir_bytes, self.dir_bytes());
            if last.0 == Some(last.1) {
                break;
            }
            std::thread::yield_now();
        }
        assert_eq!(last.0, Some(last.1), "counted as it is");
        last.1
    }
}

/// More than a write of the broker's own takes.
const TRIES_MAX: usize = 1000;

fn bytes_in(fs: &MemFs, dir: &Path) -> u64 {
    let names = fs.list(dir).unwrap();
    let bytes = names.iter().map(|name| {
        let path = dir.join(name);
        match fs.list(&path) {
            Ok(_) => bytes_in(fs, &path),
            Err(_) => {
                let file = fs.open(&path, highwater_log::fs::OpenMode::Read);
                file.map_or(0, |file| file.len().unwrap())
            }
        }
    });
    bytes.sum()
}

pub(crate) fn is_storage(error: &ProduceError) -> bool {
    matches!(error, ProduceError::Storage { .. })
}
