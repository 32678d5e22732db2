//! Whether what was seen is what may be.
//!
//! Invariants
//! - Nothing is lost that the harm did not touch, but for what shares a checksum with it.
//! - Whatever is lost was named before anybody looked, or the start was refused.

use std::collections::BTreeSet;
use std::path::Path;

use highwater_broker::ids::TopicId;
use highwater_broker::repair::Repaired;
use highwater_log::fs::os::OsFs;
use highwater_log::inspect::{Finding as Named, FindingKind, Stretch, dump};

use super::harm::Harm;
use super::look::{Read, Seen};
use super::template::{Place, Stop, Template};

/// What became of the damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is lost.
    Repaired,
    /// What is lost was named, and answers an error.
    Contained,
    /// The start was refused.
    Refused,
}

/// Judges the first start on the damaged directory.
pub(super) fn judge_start(
    template: &Template,
    harm: &Harm,
    named: &[Named],
    seen: &Seen,
) -> Result<Verdict, String> {
    let is_damage = named.iter().any(|finding| finding.kind.is_damage());
    let read = match seen {
        Seen::Refused(sentence) => {
            if !sentence.contains("highwater log repair") {
                return Err(format!(
                    "the refusal names no command that helps: {sentence}"
                ));
            }
            if !is_damage {
                return Err(format!("refused, and verify finds nothing: {sentence}"));
            }
            return Ok(Verdict::Refused);
        }
        Seen::Read(read) => read,
    };
    let lost = lost(template, read);
    expect_touched(template, harm, &lost)?;
    let is_torn = named
        .iter()
        .any(|finding| finding.kind == FindingKind::TornTail);
    let is_grey = is_grey(template, harm, &lost);
    if harm.is_log() && named.is_empty() && !is_grey {
        return Err("verify finds nothing wrong".to_owned());
    }
    let is_named = is_damage || is_torn || is_grey || is_unsynced(template, harm);
    if !lost.is_empty() && !is_named {
        return Err(format!("{lost:?} are lost, and verify named {named:?}"));
    }
    for (place, offset) in &lost {
        let answers = read.errors.get(place).is_some_and(|at| at.contains(offset));
        if !answers && !is_cut_tail(template, harm, read, *place, *offset) {
            return Err(format!(
                "offset {offset} of {place:?} is missing without an error"
            ));
        }
    }
    let is_whole = lost.is_empty() && committed_agree(template, harm, read)?;
    Ok(match is_whole {
        true => Verdict::Repaired,
        false => Verdict::Contained,
    })
}

/// Judges what can be read after a repair.
pub(super) fn judge_repair(
    template: &Template,
    harm: &Harm,
    repaired: &Repaired,
    before: &Seen,
    after: &Seen,
) -> Result<(), String> {
    let after = match after {
        Seen::Refused(sentence) => return Err(format!("refused after the repair: {sentence}")),
        Seen::Read(read) => read,
    };
    if let Some((place, offsets)) = after.errors.iter().find(|(_, offsets)| !offsets.is_empty()) {
        return Err(format!(
            "after the repair {offsets:?} of {place:?} answer errors"
        ));
    }
    let lost = lost(template, after);
    expect_touched(template, harm, &lost)?;
    for (place, offset) in &lost {
        let named = repaired.losses.iter().any(|loss| {
            let is_here = loss.log.is_some_and(|log| log_place(log) == *place);
            let (first, end) = loss.offsets.unwrap_or_default();
            is_here && (first.0..end.0).contains(offset)
        });
        let was_cut = is_cut_tail(template, harm, after, *place, *offset);
        if !named && !was_cut {
            let losses = &repaired.losses;
            return Err(format!(
                "the repair lost {offset} of {place:?}, it says {losses:?}"
            ));
        }
    }
    if let Seen::Read(before) = before {
        for (place, offsets) in &before.right {
            let now = after.right.get(place).cloned().unwrap_or_default();
            if let Some(gone) = offsets.difference(&now).next() {
                return Err(format!(
                    "offset {gone} of {place:?} was readable before the repair"
                ));
            }
        }
    }
    committed_agree(template, harm, after).map(drop)
}

fn log_place(log: highwater_log::types::LogId) -> Place {
    (
        TopicId(log.topic),
        i32::try_from(log.partition).unwrap_or(-1),
    )
}

/// What was written and is not read.
fn lost(template: &Template, read: &Read) -> Vec<(Place, i64)> {
    let mut lost = Vec::new();
    for (place, written) in &template.records {
        let right = read.right.get(place);
        let is_lost = |offset: &&i64| right.is_none_or(|right| !right.contains(*offset));
        lost.extend(
            written
                .keys()
                .filter(is_lost)
                .map(|offset| (*place, *offset)),
        );
    }
    lost
}

/// Whether all of it stood in the harmed bytes, or shares an interval of the index with them.
fn expect_touched(template: &Template, harm: &Harm, lost: &[(Place, i64)]) -> Result<(), String> {
    let touched = touched(template, harm)?;
    let is_other = |(place, offset): &&(Place, i64)| {
        let is_touched = touched.contains(&(*place, *offset));
        let is_unsynced = is_unsynced(template, harm) && is_tail(template, *place, *offset);
        !is_touched && !is_unsynced
    };
    match lost.iter().find(is_other) {
        Some((place, offset)) => Err(format!("offset {offset} of {place:?} was not touched")),
        None => Ok(()),
    }
}

/// The records of a harmed segment that the harm may cost.
fn touched(template: &Template, harm: &Harm) -> Result<BTreeSet<(Place, i64)>, String> {
    let mut touched = BTreeSet::new();
    let Some(place) = place_of(&harm.file).filter(|_| harm.is_log()) else {
        return Ok(touched);
    };
    let path = template.dir.join(&harm.file);
    let batches = dump(&OsFs::new(), &path).map_err(|error| error.to_string())?;
    let (first, end) = harm.changed;
    let is_last = is_last_segment(template, &harm.file);
    for stretch in batches {
        let Stretch::Batch {
            position, header, ..
        } = stretch.map_err(|error| error.to_string())?
        else {
            continue;
        };
        let behind = position.0 + header.total_bytes() as u64;
        let is_near = position.0 < end + INTERVAL_BYTES && behind + INTERVAL_BYTES > first;
        // What is torn off above the recovery point takes with it what stands behind.
        let is_behind = is_last && template.stop == Stop::Killed && behind > first;
        if is_near || is_behind {
            let offsets = header.base_offset..=header.last_offset();
            touched.extend(offsets.map(|offset| (place, offset)));
        }
    }
    Ok(touched)
}

/// Whether bytes that were not yet synced in their own files may be lost: the damage hit what alone
/// had them, and bit rot there looks like a torn tail.
fn is_unsynced(template: &Template, harm: &Harm) -> bool {
    template.stop == Stop::Killed && harm.kind().starts_with("journal-")
}

/// Whether it is the last segment that was cut, where no byte tells what was written behind the
/// recovery points, and no more is lost than that.
fn is_grey(template: &Template, harm: &Harm, lost: &[(Place, i64)]) -> bool {
    let is_tail = |(place, offset): &(Place, i64)| is_tail(template, *place, *offset);
    let is_active = is_last_segment(template, &harm.file);
    template.stop == Stop::Killed && is_active && lost.iter().all(is_tail)
}

/// Whether the record is one of the last that were written before the kill.
fn is_tail(template: &Template, place: Place, offset: i64) -> bool {
    let written = &template.records[&place];
    written
        .keys()
        .rev()
        .take(TAIL_RECORDS)
        .any(|at| *at == offset)
}

/// Whether the log ends before the record: it was torn off above the recovery point.
fn is_cut_tail(template: &Template, harm: &Harm, read: &Read, place: Place, offset: i64) -> bool {
    let right = read.right.get(&place).and_then(|right| right.last());
    let errors = read.errors.get(&place).and_then(|errors| errors.last());
    let is_behind = right.max(errors).is_none_or(|last| *last < offset);
    let is_active = harm.is_log() && is_last_segment(template, &harm.file);
    template.stop == Stop::Killed && is_behind && (is_active || is_unsynced(template, harm))
}

/// Whether the group's offsets are as they were; a harmed log of groups may have lost them.
fn committed_agree(template: &Template, harm: &Harm, read: &Read) -> Result<bool, String> {
    let agree = read.committed == template.committed;
    let is_data = place_of(&harm.file).is_some_and(|place| template.records.contains_key(&place));
    let may_differ = harm.is_log() && !is_data || is_unsynced(template, harm);
    if agree || may_differ {
        return Ok(agree);
    }
    let (is, was) = (&read.committed, &template.committed);
    Err(format!("the group has {is:?}, it committed {was:?}"))
}

/// The partition in whose folder the file stands.
fn place_of(file: &Path) -> Option<Place> {
    let mut names = file.iter().map(|name| name.to_string_lossy());
    if names.next()? != "logs" {
        return None;
    }
    let topic = u128::from_str_radix(&names.next()?, 16).ok()?;
    let partition = names.next()?.parse().ok()?;
    Some((TopicId(topic.to_be_bytes()), partition))
}

fn is_last_segment(template: &Template, file: &Path) -> bool {
    let (Some(dir), Some(name)) = (file.parent(), file.file_name()) else {
        return false;
    };
    let Ok(entries) = std::fs::read_dir(template.dir.join(dir)) else {
        return false;
    };
    let logs = entries
        .filter_map(Result::ok)
        .map(|entry| entry.file_name());
    let last = logs
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "log"))
        .max();
    last.is_some_and(|last| last == name)
}

/// An interval of the index, and a batch that crosses its end.
const INTERVAL_BYTES: u64 = 512 + 1_000;
/// What was written between the last recovery points and the kill, in one partition, at most.
const TAIL_RECORDS: usize = 12;
