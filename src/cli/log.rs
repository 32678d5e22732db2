//! `highwater log`: what stands in a data directory, and whether it is right.
//!
//! Floor 2 of cli.
//!
//! Invariants
//! - Nothing is changed but by `repair`.
//! - Lost records are exit code 1; what heals at the next start is told, and exit code 0.

mod repair;

use std::path::Path;
use std::sync::Arc;

use highwater_log::error::LogError;
use highwater_log::fs::os::OsFs;
use highwater_log::fs::{Fs, OpenMode};
use highwater_log::inspect::{Event, Finding, Stretch, Verified, dump, verify};
use highwater_proto::batch::BatchHeader;
use highwater_proto::record::RecordIter;
use serde::Serialize;

use crate::cli::args::{LogArgs, LogCommand};
use crate::cli::failure::Failure;
use crate::cli::numbers::{bytes, count};
use crate::cli::output::{self, Output};
use crate::cli::printed::Data;
use crate::cli::segments::segments;

/// Runs the command.
pub(crate) fn run(args: LogArgs) -> Result<(), Failure> {
    match args.command {
        LogCommand::Dump {
            path,
            records,
            json,
        } => Dumper::new(records, json).run(&path),
        LogCommand::Repair {
            path,
            dry_run,
            json,
        } => repair::run(&path, dry_run, json),
        LogCommand::Verify { path, json } => check(&path, json),
    }
}

fn check(path: &Path, json: bool) -> Result<(), Failure> {
    if !path.is_dir() {
        return Err(Failure::Failed(format!(
            "there is no folder {}",
            path.display()
        )));
    }
    let fs: Arc<dyn Fs> = Arc::new(OsFs::new());
    // The folder of one log may belong to a running broker: the sum is only a guess.
    let sizes = segments(&*fs, path)?.into_iter().filter_map(|segment| {
        let file = fs.open(&segment, OpenMode::Read).ok()?;
        file.len().ok()
    });
    let bar = output::progress(Some(sizes.sum()), "checking");
    let mut findings = Vec::new();
    let mut failed = Ok(());
    let verified = verify(&fs, path, &mut |event| match event {
        Event::Segment { bytes, .. } => bar.inc(bytes),
        Event::Finding(finding) if json => {
            if findings.len() < FINDINGS_MAX {
                findings.push(Found::new(&finding));
            }
        }
        Event::Finding(finding) => {
            let what = if finding.kind.is_damage() {
                "damage"
            } else {
                "heals"
            };
            let told = bar.suspend(|| output::text(&format!("{what}: {finding}\n")));
            if failed.is_ok() {
                failed = told;
            }
        }
    });
    bar.finish_and_clear();
    let verified = verified?;
    failed?;
    if json {
        output::json(&Checked::new(&verified, findings))?;
    } else {
        output::text(&summary(&verified))?;
    }
    if verified.damaged > 0 {
        Err(Failure::Found)
    } else {
        Ok(())
    }
}

fn summary(verified: &Verified) -> String {
    let Verified {
        logs,
        segments,
        batches,
        findings,
        damaged,
        ..
    } = *verified;
    let read = format!(
        "{} logs, {} segments, {} batches, {}",
        count(logs),
        count(segments),
        count(batches),
        bytes(verified.bytes)
    );
    match (findings, damaged) {
        (0, _) if verified.holes > 0 => format!(
            "{read}: all right, but for {} ranges that were given up\n",
            count(verified.holes)
        ),
        (0, _) => format!("{read}: all right\n"),
        (_, 0) => format!("{read}: {findings} findings, which the next start heals\n"),
        _ => {
            format!("{read}: {findings} findings, {damaged} of them need `highwater log repair`\n")
        }
    }
}

/// What `log verify --json` says.
#[derive(Debug, Serialize)]
struct Checked {
    logs: u64,
    segments: u64,
    batches: u64,
    bytes: u64,
    damaged: u64,
    /// Ranges that earlier repairs gave up.
    given_up: u64,
    /// The number of all; `findings` has the first ones.
    findings_count: u64,
    findings: Vec<Found>,
}

impl Checked {
    fn new(verified: &Verified, findings: Vec<Found>) -> Self {
        let Verified {
            logs,
            segments,
            batches,
            bytes,
            damaged,
            holes: given_up,
            ..
        } = *verified;
        let findings_count = verified.findings;
        Self {
            logs,
            segments,
            batches,
            bytes,
            damaged,
            given_up,
            findings_count,
            findings,
        }
    }
}

#[derive(Debug, Serialize)]
struct Found {
    kind: String,
    damage: bool,
    file: String,
    position: Option<u64>,
    /// The first offset, and the one behind the last.
    offsets: Option<(i64, i64)>,
    what: String,
}

impl Found {
    fn new(finding: &Finding) -> Self {
        Self {
            kind: format!("{:?}", finding.kind),
            damage: finding.kind.is_damage(),
            file: finding.file.display().to_string(),
            position: finding.position.map(|position| position.0),
            offsets: finding.offsets.map(|(first, end)| (first.0, end.0)),
            what: finding.what.clone(),
        }
    }
}

/// Prints segments.
struct Dumper {
    fs: OsFs,
    records: bool,
    json: bool,
    out: Output,
    is_damaged: bool,
}

impl Dumper {
    fn new(records: bool, json: bool) -> Self {
        Self {
            fs: OsFs::new(),
            records,
            json,
            out: Output::new(),
            is_damaged: false,
        }
    }

    fn run(mut self, path: &Path) -> Result<(), Failure> {
        for segment in segments(&self.fs, path)? {
            self.segment(&segment)?;
        }
        self.out.flush()?;
        if self.is_damaged {
            Err(Failure::Found)
        } else {
            Ok(())
        }
    }

    fn segment(&mut self, segment: &Path) -> Result<(), Failure> {
        let file = segment.display().to_string();
        if !self.json {
            self.out.bytes(format!("{file}\n").as_bytes())?;
        }
        for stretch in dump(&self.fs, segment)? {
            match stretch? {
                Stretch::Batch {
                    position,
                    header,
                    is_crc_right,
                } => {
                    self.is_damaged |= !is_crc_right;
                    let batch = Batch::new(&file, position.0, &header, is_crc_right);
                    self.print(&batch, || batch.line())?;
                    if self.records && is_crc_right {
                        self.records(segment, position.0, &header)?;
                    }
                }
                Stretch::Damage {
                    position,
                    bytes,
                    expected,
                    why,
                } => {
                    self.is_damaged = true;
                    let position = position.0;
                    let damage = Damage {
                        file: &file,
                        position,
                        bytes,
                        expected: expected.0,
                        damage: &why,
                    };
                    self.print(&damage, || {
                        format!("  @{position} DAMAGE of {bytes} bytes, offset {expected}: {why}\n")
                    })?;
                }
            }
        }
        Ok(())
    }

    fn records(
        &mut self,
        segment: &Path,
        position: u64,
        header: &BatchHeader,
    ) -> Result<(), Failure> {
        let read = self.fs.open(segment, OpenMode::Read);
        let read = read.and_then(|file| file.read_at(position, header.total_bytes()));
        let batch = read.map_err(|error| LogError::io("read", segment, error))?;
        let damaged = |why: &dyn std::fmt::Display| {
            Failure::Failed(format!("{} at byte {position}: {why}", segment.display()))
        };
        let records =
            RecordIter::new(batch, DECOMPRESSED_BYTES_MAX).map_err(|why| damaged(&why))?;
        for record in records {
            let record = record.map_err(|why| damaged(&why))?;
            let (key, value) = (
                Data::of(record.key.as_ref()),
                Data::of(record.value.as_ref()),
            );
            let (offset, timestamp) = (record.offset, record.timestamp);
            let line = Record {
                offset,
                timestamp,
                key: &key,
                value: &value,
            };
            self.print(&line, || {
                format!("    {offset} {timestamp} {key} {value}\n")
            })?;
        }
        Ok(())
    }

    fn print(
        &mut self,
        value: &impl Serialize,
        line: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.json {
            self.out.json(value)
        } else {
            self.out.bytes(line().as_bytes())
        }
    }
}

/// A batch, as JSON.
#[derive(Debug, Serialize)]
struct Batch<'a> {
    file: &'a str,
    position: u64,
    base_offset: i64,
    last_offset: i64,
    records: i32,
    bytes: u64,
    codec: String,
    base_timestamp: i64,
    max_timestamp: i64,
    leader_epoch: i32,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    transactional: bool,
    control: bool,
    crc_right: bool,
}

impl<'a> Batch<'a> {
    fn new(file: &'a str, position: u64, header: &BatchHeader, crc_right: bool) -> Self {
        Self {
            file,
            position,
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            records: header.records_count,
            bytes: header.total_bytes() as u64,
            codec: header
                .codec()
                .map_or_else(|_| "unknown".to_owned(), |codec| codec.to_string()),
            base_timestamp: header.base_timestamp,
            max_timestamp: header.max_timestamp,
            leader_epoch: header.leader_epoch,
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            transactional: header.is_transactional(),
            control: header.is_control(),
            crc_right,
        }
    }

    fn line(&self) -> String {
        let Self {
            position,
            base_offset,
            last_offset,
            records,
            bytes,
            codec,
            ..
        } = self;
        let producer = match self.producer_id {
            ..0 => String::new(),
            id => format!(
                ", producer {id} epoch {} sequence {}",
                self.producer_epoch, self.base_sequence
            ),
        };
        let kind = match (self.control, self.transactional) {
            (true, _) => ", control",
            (_, true) => ", transactional",
            _ => "",
        };
        let crc = if self.crc_right {
            ""
        } else {
            ", CHECKSUM WRONG"
        };
        format!(
            "  @{position} offsets {base_offset} to {last_offset}, {records} records, \
             {bytes} bytes, {codec}, epoch {}{producer}{kind}{crc}\n",
            self.leader_epoch
        )
    }
}

/// Bytes that are no batch, as JSON.
#[derive(Debug, Serialize)]
struct Damage<'a> {
    file: &'a str,
    position: u64,
    bytes: u64,
    expected: i64,
    damage: &'a str,
}

/// A record of the batch before it, as JSON.
#[derive(Debug, Serialize)]
struct Record<'a> {
    offset: i64,
    timestamp: i64,
    key: &'a Data<'a>,
    value: &'a Data<'a>,
}

/// Findings that `--json` names one by one.
const FINDINGS_MAX: usize = 1000;
/// The most that one batch may decompress to.
const DECOMPRESSED_BYTES_MAX: usize = 1 << 30;
