//! What the demo left on the disk, by partition.
//!
//! Floor 6 of cli.

use std::path::Path;

use highwater_broker::ids::TopicId;
use highwater_log::fs::Fs;
use highwater_log::fs::os::OsFs;
use highwater_log::inspect::{Stretch, dump};
use highwater_log::types::LogId;

use super::report::Report;
use crate::cli::failure::Failure;
use crate::cli::segments::segments;

/// Counts the batches of each partition and their bytes.
pub(super) fn count(dir: &Path, topic: TopicId, report: &mut Report) -> Result<(), Failure> {
    let fs = OsFs::new();
    for one in &mut report.partitions {
        let id = LogId {
            topic: topic.0,
            partition: one.partition.unsigned_abs(),
        };
        let log = dir
            .join("logs")
            .join(id.topic_dir())
            .join(id.partition.to_string());
        if !log.is_dir() {
            // A log's files are made at its first use.
            continue;
        }
        for segment in segments(&fs, &log)? {
            add(&fs, &segment, &mut one.batches, &mut one.stored_bytes)?;
        }
        report.batches += one.batches;
        report.stored_bytes += one.stored_bytes;
    }
    Ok(())
}

fn add(fs: &dyn Fs, segment: &Path, batches: &mut u64, bytes: &mut u64) -> Result<(), Failure> {
    for stretch in dump(fs, segment)? {
        match stretch? {
            Stretch::Batch {
                header,
                is_crc_right: true,
                ..
            } => {
                *batches += 1;
                *bytes += header.total_bytes() as u64;
            }
            Stretch::Batch { position, .. } | Stretch::Damage { position, .. } => {
                let segment = segment.display();
                return Err(Failure::Failed(format!(
                    "{segment} is damaged at byte {position}"
                )));
            }
        }
    }
    Ok(())
}
