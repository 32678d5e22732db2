//! Repairs a data directory that no broker uses: what is lost is given up and told, and everything
//! else can be used again.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - Nothing is changed where nothing is wrong, nor by a dry run.
//! - A log is never deleted or moved because the metadata of its topic is lost: the topic gets a
//!   new name.
//! - Damage of the metadata log is given up last, so that a repair that was cut off begins again.

mod salvage;

use std::path::Path;
use std::sync::Arc;

use highwater_log::error::LogError;
use highwater_log::fs::{Fs, OpenMode};
use highwater_log::inspect::{Event, Loss, Repair, Verified, verify};
use highwater_proto::clock::Now;

pub use self::salvage::SalvagedTopic;
use crate::error::BrokerError;
use crate::service::start::META_LOG;

/// What a repair does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairMode {
    /// It says what it would give up.
    DryRun,
    /// It gives up what is lost.
    GiveUp,
}

/// What a repair did, or would do.
#[derive(Clone, Debug, Default)]
pub struct Repaired {
    /// What was read before.
    pub verified: Verified,
    /// What is given up.
    pub losses: Vec<Loss>,
    /// Whether metadata is among it: then every topic of which a partition has files is still
    /// there, but may have lost its name and its configs.
    pub is_metadata_lost: bool,
    /// The topics that have a new name, or more partitions, since the metadata does not know theirs
    /// any more. Empty in a dry run.
    pub topics: Vec<SalvagedTopic>,
}

impl Repaired {
    /// Whether there is nothing to give up.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.losses.is_empty() && !self.is_metadata_lost
    }
}

/// Reads everything in a data directory that no broker uses, and gives up what is lost: it is
/// copied to `quarantine`, and readers pass over it from then on. Blocks.
///
/// # Errors
/// [`LogError::Locked`] if a broker uses the directory; [`LogError::TooNew`];
/// [`LogError::Corrupt`] if it is no data directory; the disk's; [`BrokerError::Meta`] for a
/// metadata record that this version cannot read.
///
/// ```
/// use std::path::Path;
/// use std::sync::Arc;
/// use highwater_broker::Broker;
/// use highwater_broker::repair::{RepairMode, repair};
/// use highwater_log::fs::{Fs, mem::MemFs};
/// use highwater_proto::clock::Now;
///
/// let (fs, root): (Arc<dyn Fs>, _) = (Arc::new(MemFs::new()), Path::new("/data"));
/// drop(Broker::builder().fs(Arc::clone(&fs), root).start()?);
/// let repaired = repair(&fs, root, RepairMode::GiveUp, Now::default(), &mut |_| {})?;
/// assert!(repaired.is_sound());
/// # Ok::<(), highwater_broker::error::BrokerError>(())
/// ```
pub fn repair(
    fs: &Arc<dyn Fs>,
    root: &Path,
    mode: RepairMode,
    now: Now,
    tell: &mut dyn FnMut(Event),
) -> Result<Repaired, BrokerError> {
    let mut findings = Vec::new();
    let verified = verify(fs, root, &mut |event| {
        if let Event::Finding(finding) = &event {
            findings.push(finding.clone());
        }
        tell(event);
    })?;
    let losses: Vec<Loss> = findings.iter().filter_map(Loss::of).collect();
    let is_metadata_lost =
        losses.iter().any(|loss| loss.log == Some(META_LOG)) || is_metadata_missing(&**fs, root)?;
    let planned = Repaired {
        verified,
        losses,
        is_metadata_lost,
        topics: Vec::new(),
    };
    if planned.is_sound() || mode == RepairMode::DryRun {
        return Ok(planned);
    }
    let mut repair = Repair::begin(fs, root, &findings, now)?;
    let mut others = repair.shard().log_ids();
    others.retain(|id| *id != META_LOG);
    for id in others {
        repair.give_up(id, now)?;
    }
    let topics = match is_metadata_lost {
        true => salvage::salvage(repair.shard(), now)?,
        false => Vec::new(),
    };
    if repair.shard().reader(META_LOG).is_some() {
        repair.give_up(META_LOG, now)?;
    }
    let losses = repair.losses().to_vec();
    repair.finish(now)?;
    Ok(Repaired {
        losses,
        topics,
        ..planned
    })
}

/// Whether there are logs and nothing that says whose they are.
fn is_metadata_missing(fs: &dyn Fs, root: &Path) -> Result<bool, LogError> {
    let logs = root.join("logs");
    let names = fs
        .list(&logs)
        .map_err(|error| LogError::io("list", &logs, error))?;
    let meta = META_LOG.topic_dir();
    let is_topic = |name: &String| name.len() == meta.len() && *name != meta;
    if !names.iter().any(is_topic) {
        return Ok(false);
    }
    let dir = logs.join(meta).join(META_LOG.partition.to_string());
    let files = fs.list(&dir).unwrap_or_default();
    let holds = |name: &String| {
        let is_log = Path::new(name).extension().is_some_and(|end| end == "log");
        let file = fs.open(&dir.join(name), OpenMode::Read);
        is_log && file.and_then(|file| file.len()).is_ok_and(|len| len > 0)
    };
    Ok(!files.iter().any(holds))
}
