//! What a reader of the shard finds, compared with the model.

use std::path::Path;

use highwater_log::data_dir::DataDir;
use highwater_log::error::LogError;
use highwater_log::reader::{LogReader, Minimum, UpTo};
use highwater_log::types::{LogId, Offset};
use highwater_proto::batch::{self, OVERHEAD_BYTES, PREFIX_BYTES};

use super::{Stop, World};
use crate::client::DATA_DIR;
use crate::model::{Contents, Removal};
use crate::oracle::{Oracle, Survived, violation};
use crate::search;

impl World {
    /// Consumers read everything that they may.
    pub(super) fn observe(&mut self) -> Result<(), Stop> {
        for id in self.client.ids() {
            let Some(reader) = self.shard().reader(id) else {
                continue;
            };
            let synced = reader.synced().0;
            let contents = self.contents(&reader)?;
            self.client.log(id).read(&contents, synced)?;
        }
        Ok(())
    }

    /// Everything that a consumer may read, read in small pieces.
    fn contents(&self, reader: &LogReader) -> Result<Contents, Stop> {
        let (start, end) = (reader.start(), reader.durable());
        let mut bytes = Vec::new();
        let mut next = start;
        while next < end {
            let slice =
                self.allow(reader.read(next, READ_BYTES, UpTo::Durable, Minimum::OneBatch))?;
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
                // What a half removed log holds is nobody's business.
                Removal::Asked => continue,
                Removal::Done => {
                    let text = format!("{id} was removed and came back");
                    return Err(violation(Oracle::NothingInvented, text).into());
                }
            }
            let contents = self.contents(&reader)?;
            let checked = self.client.log(id).check(&contents, survived);
            checked.map_err(|broken| broken.in_log(id))?;
            self.client.log(id).recovered(&contents)?;
        }
        Ok(())
    }

    /// Finding by offset and by time equals a linear scan, in every log.
    ///
    /// # Errors
    /// The first difference.
    pub fn verify_search(&self) -> Result<(), Stop> {
        for id in self.client.ids() {
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
        for (id, log) in &self.client.model.logs {
            let reader = self.reader(*id);
            for (base, body) in log.expected() {
                match reader.read(Offset(base), 1, UpTo::Durable, Minimum::OneBatch) {
                    Err(_) => damage.refused.push((*id, base)),
                    Ok(slice) => {
                        let mut expected = prefix(base, body.len()).to_vec();
                        expected.extend_from_slice(&body);
                        if slice.parts.concat() != expected {
                            damage.wrong.push((*id, base));
                        }
                    }
                }
            }
        }
        damage
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
        let open = self
            .client
            .ids()
            .into_iter()
            .filter_map(|id| Some((id, self.shard().reader(id)?)));
        open.map(|(id, reader)| Ok((id, self.contents(&reader)?)))
            .collect()
    }
}

/// What reading a damaged disk gave.
#[derive(Debug, Default)]
pub struct Damage {
    /// Batches whose read was refused: the damage is named.
    pub refused: Vec<(LogId, i64)>,
    /// Batches that were served with other bytes than those that were sent.
    pub wrong: Vec<(LogId, i64)>,
}

/// What a log of these tests writes before the body of a batch: they never raise the epoch.
fn prefix(base: i64, body_bytes: usize) -> [u8; PREFIX_BYTES] {
    let length = body_bytes + PREFIX_BYTES - OVERHEAD_BYTES;
    batch::prefix(
        base,
        i32::try_from(length).expect("batches of tests are small"),
        0,
    )
}

/// Less than two batches, so that reads are taken apart everywhere.
const READ_BYTES: usize = 200;
