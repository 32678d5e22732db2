//! `highwater log repair`: gives up what is lost in a data directory, and says exactly what.
//!
//! Floor 2 of cli.
//!
//! Invariants
//! - Exit code 0 once nothing is wrong any more; a dry run that finds something ends with 1.

use std::path::Path;
use std::sync::Arc;

use highwater_broker::clock::SystemClock;
use highwater_broker::repair::{RepairMode, Repaired, repair};
use highwater_log::fs::os::OsFs;
use highwater_log::fs::{Fs, OpenMode};
use highwater_log::inspect::{Event, FindingKind, Loss};
use highwater_proto::clock::Clock as _;
use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::numbers::{bytes, count};
use crate::cli::output;
use crate::cli::segments::segments;

/// Runs the command.
pub(super) fn run(path: &Path, dry_run: bool, json: bool) -> Result<(), Failure> {
    if !path.is_dir() {
        let sentence = format!("there is no folder {}", path.display());
        return Err(Failure::Failed(sentence));
    }
    let mode = match dry_run {
        true => RepairMode::DryRun,
        false => RepairMode::GiveUp,
    };
    let fs: Arc<dyn Fs> = Arc::new(OsFs::new());
    let sizes = segments(&*fs, path)?.into_iter().filter_map(|segment| {
        let file = fs.open(&segment, OpenMode::Read).ok()?;
        file.len().ok()
    });
    let bar = output::progress(Some(sizes.sum()), "checking");
    let now = SystemClock::new().now();
    let repaired = repair(&fs, path, mode, now, &mut |event| {
        if let Event::Segment { bytes, .. } = event {
            bar.inc(bytes);
        }
    });
    bar.finish_and_clear();
    let repaired = repaired?;
    if json {
        output::json(&Report::new(&repaired, dry_run))?;
    } else {
        output::text(&text(&repaired, dry_run))?;
    }
    match dry_run && !repaired.is_sound() {
        true => Err(Failure::Found),
        false => Ok(()),
    }
}

fn text(repaired: &Repaired, dry_run: bool) -> String {
    let mut text: String = repaired
        .losses
        .iter()
        .map(|loss| line(loss, dry_run))
        .collect();
    if repaired.is_metadata_lost && dry_run {
        text += "lost: metadata; topics that have lost their names would get new ones\n";
    }
    for topic in &repaired.topics {
        text += &format!(
            "the topic with the folder {:032x} is named {} now and has {} partitions\n",
            u128::from_be_bytes(topic.id.0),
            topic.name,
            count(u64::from(topic.partitions.unsigned_abs()))
        );
    }
    text + &summary(repaired, dry_run)
}

fn line(loss: &Loss, dry_run: bool) -> String {
    let file = loss.file.display();
    let copy = match &loss.copy {
        Some(copy) => format!("; a copy is in {}", copy.display()),
        None => String::new(),
    };
    if loss.kind == FindingKind::Version {
        let what = if dry_run { "would be made" } else { "was made" };
        return format!("mended: {file} {what} anew{copy}\n");
    }
    let place = loss.position.map(|position| format!("byte {position}: "));
    let offsets = loss.offsets.map(|(first, end)| {
        let records = count(loss.records_max());
        format!("offsets {first} to {end}, at most {records} records")
    });
    let held = [
        (loss.bytes > 0).then(|| format!("{} bytes", count(loss.bytes))),
        offsets,
    ];
    let held: Vec<String> = held.into_iter().flatten().collect();
    let held = match held.is_empty() {
        true => "what the journal had".to_owned(),
        false => held.join(", "),
    };
    let what = if dry_run { "lost" } else { "given up" };
    format!(
        "{what}: {file}: {}{held}{copy}\n",
        place.unwrap_or_default()
    )
}

fn summary(repaired: &Repaired, dry_run: bool) -> String {
    let verified = &repaired.verified;
    let read = format!(
        "{} logs, {} segments, {} batches, {}",
        count(verified.logs),
        count(verified.segments),
        count(verified.batches),
        bytes(verified.bytes)
    );
    if repaired.is_sound() {
        return match verified.findings {
            0 => format!("{read}: nothing to repair\n"),
            found => format!("{read}: nothing to repair; the next start heals {found} findings\n"),
        };
    }
    let records: u64 = repaired.losses.iter().map(Loss::records_max).sum();
    let lost: u64 = repaired.losses.iter().map(|loss| loss.bytes).sum();
    let what = if dry_run { "would give up" } else { "gave up" };
    format!(
        "{read}: {what} at most {} records, {}\n",
        count(records),
        bytes(lost)
    )
}

/// What `--json` says.
#[derive(Debug, Serialize)]
struct Report {
    dry_run: bool,
    logs: u64,
    segments: u64,
    batches: u64,
    bytes: u64,
    metadata_lost: bool,
    records_lost_max: u64,
    bytes_lost: u64,
    losses: Vec<Lost>,
    renamed_topics: Vec<Renamed>,
}

#[derive(Debug, Serialize)]
struct Lost {
    kind: String,
    topic_id: Option<String>,
    partition: Option<u32>,
    file: String,
    position: Option<u64>,
    bytes: u64,
    /// The first offset, and the one behind the last.
    offsets: Option<(i64, i64)>,
    copy: Option<String>,
}

#[derive(Debug, Serialize)]
struct Renamed {
    topic_id: String,
    name: String,
    partitions: i32,
}

impl Report {
    fn new(repaired: &Repaired, dry_run: bool) -> Self {
        let verified = repaired.verified;
        let losses = &repaired.losses;
        Self {
            dry_run,
            logs: verified.logs,
            segments: verified.segments,
            batches: verified.batches,
            bytes: verified.bytes,
            metadata_lost: repaired.is_metadata_lost,
            records_lost_max: losses.iter().map(Loss::records_max).sum(),
            bytes_lost: losses.iter().map(|loss| loss.bytes).sum(),
            losses: losses.iter().map(Lost::new).collect(),
            renamed_topics: repaired
                .topics
                .iter()
                .map(|topic| Renamed {
                    topic_id: format!("{:032x}", u128::from_be_bytes(topic.id.0)),
                    name: topic.name.clone(),
                    partitions: topic.partitions,
                })
                .collect(),
        }
    }
}

impl Lost {
    fn new(loss: &Loss) -> Self {
        Self {
            kind: format!("{:?}", loss.kind),
            topic_id: loss.log.map(|log| log.topic_dir()),
            partition: loss.log.map(|log| log.partition),
            file: loss.file.display().to_string(),
            position: loss.position.map(|position| position.0),
            bytes: loss.bytes,
            offsets: loss.offsets.map(|(first, end)| (first.0, end.0)),
            copy: loss.copy.as_ref().map(|copy| copy.display().to_string()),
        }
    }
}
