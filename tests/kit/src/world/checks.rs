//! What a reader of the shard finds, compared with the model.
//!
//! Invariants
//! - What a half removed log holds is nobody's business: it is not looked at.

use std::path::Path;

use highwater_log::data_dir::DataDir;
use highwater_log::error::LogError;
use highwater_log::reader::{LogReader, Minimum, StreamAsk, UpTo};
use highwater_log::types::{LogId, Offset};

use super::{Stop, World};
use crate::client::{B, DATA_DIR, KEY, P};
use crate::model::{Contents, Removal};
use crate::oracle::{Oracle, Survived, Violation, violation};
use crate::search;

impl World {
    /// Consumers read everything that they may.
    pub(crate) fn observe(&mut self) -> Result<(), Stop> {
        self.client.rewind();
        self.observe_new()
    }

    /// Consumers read on from where they are.
    pub(super) fn observe_new(&mut self) -> Result<(), Stop> {
        for id in self.client.open_ids() {
            let Some(reader) = self.shard().reader(id) else {
                continue;
            };
            let synced = reader.synced().0;
            let from = reader.start().max(Offset(self.client.log(id).read_to));
            let contents = self.contents_from(from, &reader)?;
            self.client.log(id).read(&contents, synced)?;
        }
        Ok(())
    }

    /// Everything that a consumer may read, read in small pieces.
    fn contents(&self, reader: &LogReader) -> Result<Contents, Stop> {
        self.contents_from(reader.start(), reader)
    }

    fn contents_from(&self, from: Offset, reader: &LogReader) -> Result<Contents, Stop> {
        let (start, end) = (reader.start(), reader.durable());
        let mut bytes = Vec::new();
        let mut next = from;
        while next < end {
            let slice =
                self.allow(reader.read(next, read_bytes(next), UpTo::Durable, Minimum::OneBatch))?;
            if slice.next_offset <= next {
                let segments = reader.segments();
                let text = format!("a read at {next} does not come to {end}: {segments:?}");
                return Err(violation(Oracle::NothingLost, text).into());
            }
            slice
                .parts
                .iter()
                .for_each(|part| bytes.extend_from_slice(part));
            next = slice.next_offset;
        }
        Ok(Contents::parse(start.0, end.0, &bytes.into())?)
    }

    /// Compares every log with the model, then takes what is there as firm.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn verify(&mut self, survived: Survived) -> Result<(), Stop> {
        for id in self.client.ids() {
            let reader = self.shard().reader(id);
            let log = self.client.log(id);
            let Some(reader) = reader else {
                if log.removal == Removal::No && log.is_firm() {
                    let text = format!("{id} is gone");
                    return Err(violation(Oracle::NothingLost, text).into());
                }
                continue;
            };
            match log.removal {
                Removal::No => {}
                Removal::Asked => continue,
                Removal::Done => {
                    let text = format!("{id} was removed and came back");
                    return Err(violation(Oracle::NothingInvented, text).into());
                }
            }
            let contents = self.contents(&reader)?;
            let checked = self.client.log(id).check(&contents, survived);
            checked.map_err(|broken| broken.in_log(id))?;
            check_epochs(&reader, &contents).map_err(|broken| broken.in_log(id))?;
            self.check_stream(id, &reader, &contents)?;
            self.client.log(id).recovered(&contents)?;
        }
        Ok(())
    }

    /// The key index knows each record that is there, with the revision that it always had.
    fn check_stream(&self, id: LogId, reader: &LogReader, contents: &Contents) -> Result<(), Stop> {
        if !self.shape.keys {
            return Ok(());
        }
        let wrong = |text: String| violation(Oracle::SameState, text).in_log(id).into();
        let head = self.allow(reader.stream_head(KEY))?;
        let last = head.map(|head| (head.offset.0, head.revision.cast_signed()));
        let end = contents.end - 1;
        if last != (end >= 0).then_some((end, end)) {
            let text = format!("the log ends at {end}, and the stream with {last:?}");
            return Err(wrong(text));
        }
        let mut next = contents.start;
        loop {
            let ask = StreamAsk {
                from_revision: next.cast_unsigned(),
                ..StreamAsk::default()
            };
            let slice = self.allow(reader.stream(KEY, &ask))?;
            for read in &slice.records {
                if (read.revision.cast_signed(), read.record.offset) != (next, next) {
                    let (revision, offset) = (read.revision, read.record.offset);
                    let text = format!("revision {revision} stands at {offset}, {next} was due");
                    return Err(wrong(text));
                }
                next += 1;
            }
            if slice.is_complete {
                break;
            }
        }
        match next == contents.end {
            true => Ok(()),
            false => Err(wrong(format!(
                "the stream ends at {next}, not at {}",
                contents.end
            ))),
        }
    }

    /// Finding by offset and by time equals a linear scan, in every log.
    ///
    /// # Errors
    /// The first difference.
    pub fn verify_search(&self) -> Result<(), Stop> {
        for id in self.client.open_ids() {
            if let Some(reader) = self.shard().reader(id) {
                let contents = self.contents(&reader)?;
                self.allow(search::check(&reader, &contents))??;
            }
        }
        Ok(())
    }

    /// Reads every batch that must be there, by its offset, on a disk that was damaged.
    #[must_use]
    pub fn read_damaged(&self) -> Damage {
        let mut damage = Damage::default();
        let logs = self.client.model.logs.iter();
        for (id, log) in logs.filter(|(_, log)| log.removal == Removal::No) {
            let Some(reader) = self.shard().reader(*id) else {
                let lost = log.expected().into_iter();
                damage.refused.extend(lost.map(|(base, _)| (*id, base)));
                continue;
            };
            for (base, expected) in log.expected() {
                match reader.read(Offset(base), 1, UpTo::Durable, Minimum::OneBatch) {
                    Err(_) => damage.refused.push((*id, base)),
                    // The log ends before it.
                    Ok(slice) if slice.is_empty() => damage.refused.push((*id, base)),
                    Ok(slice) => {
                        if slice.parts.concat() != expected {
                            damage.wrong.push((*id, base));
                        }
                    }
                }
            }
        }
        damage
    }

    /// Reads a disk that lost what it said it had: whatever is served was sent, and batches are
    /// taken and served again.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn verify_sound(&mut self) -> Result<(), Stop> {
        for id in self.client.open_ids() {
            self.verify_served(id)?;
        }
        for id in [B, P] {
            let before = self.reader(id).end();
            let base = self.append_unasked(id)?;
            let slice = self
                .reader(id)
                .read(base, 1, UpTo::Durable, Minimum::OneBatch);
            let slice = self.allow(slice)?;
            if base < before || slice.first_offset != base {
                let text = format!("the log ended at {before}, a new batch stands at {base}");
                return Err(violation(Oracle::OneValue, text).in_log(id).into());
            }
        }
        Ok(())
    }

    fn verify_served(&self, id: LogId) -> Result<(), Stop> {
        let Some(reader) = self.shard().reader(id) else {
            let text = format!("{id} is gone");
            return Err(violation(Oracle::NothingLost, text).into());
        };
        let mut next = reader.start();
        while next < reader.durable() {
            match reader.read(next, 1, UpTo::Durable, Minimum::OneBatch) {
                Ok(slice) => {
                    let bytes = slice.parts.concat().into();
                    let contents = Contents::parse(next.0, slice.next_offset.0, &bytes)?;
                    for stored in &contents.batches {
                        let sent = self.client.model.logs[&id].was_sent(stored);
                        sent.map_err(|broken| broken.in_log(id))?;
                    }
                    next = slice.next_offset.max(next.plus(1));
                }
                Err(LogError::Corrupt { .. }) => next = next.plus(1),
                Err(error) => self.allow(Err(error))?,
            }
        }
        Ok(())
    }

    /// Nobody else can open the data directory.
    ///
    /// # Errors
    /// A second handle was granted.
    pub fn verify_exclusive(&self) -> Result<(), Stop> {
        match DataDir::open(self.fs(), Path::new(DATA_DIR)) {
            Err(LogError::Locked { .. }) => Ok(()),
            other => {
                let text = format!("a second open of the directory answered {other:?}");
                Err(violation(Oracle::Exclusive, text).into())
            }
        }
    }

    /// What each log holds, for comparison.
    ///
    /// # Errors
    /// A read that fails.
    pub fn snapshot(&self) -> Result<Vec<(LogId, Contents)>, Stop> {
        let ids = self.client.open_ids().into_iter();
        let open = ids.filter_map(|id| Some((id, self.shard().reader(id)?)));
        open.map(|(id, reader)| Ok((id, self.contents(&reader)?)))
            .collect()
    }
}

/// The history of the epochs says what the batches say.
fn check_epochs(reader: &LogReader, contents: &Contents) -> Result<(), Violation> {
    for stored in &contents.batches {
        let known = reader.epoch_at(Offset(stored.base)).map(|epoch| epoch.0);
        if known != Some(stored.epoch) {
            let text = format!(
                "the batch at {} has epoch {}, its log says {known:?}",
                stored.base, stored.epoch
            );
            return Err(violation(Oracle::SameState, text));
        }
    }
    Ok(())
}

/// What reading a damaged disk gave.
#[derive(Debug, Default)]
pub struct Damage {
    /// Batches whose read was refused: the damage is named.
    pub refused: Vec<(LogId, i64)>,
    /// Batches that were served with other bytes than those that were sent.
    pub wrong: Vec<(LogId, i64)>,
}

/// Less than two batches or several, so that reads are taken apart everywhere.
fn read_bytes(from: Offset) -> usize {
    match from.0 % 4 {
        0 => 200,
        1 => 10_000,
        _ => 3000,
    }
}
