//! The crate `okaywal`: an entry for each call, whose commit syncs, several of them together where
//! several threads wait.
//!
//! It is made for a log that another store consumes, and reuses a file when it is consumed. Here
//! nothing is consumed, as in a log that keeps its records: one file is large enough for a pass.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use okaywal::{Configuration, Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};

use super::Store;
use crate::Failure;
use crate::figures::Class;

struct Okay {
    folder: PathBuf,
    log: WriteAheadLog,
}

pub(super) fn open(folder: &Path, class: Class) -> Result<Box<dyn Store>, Failure> {
    if class != Class::Synced {
        return Err("okaywal has class 2 only".into());
    }
    Ok(Box::new(Okay {
        folder: folder.to_owned(),
        log: configuration(folder).open(Keeper::default())?,
    }))
}

fn configuration(folder: &Path) -> Configuration {
    Configuration::default_for(folder)
        .preallocate_bytes(FILE_BYTES)
        .checkpoint_after_bytes(u64::from(FILE_BYTES))
}

/// Takes what a start recovers.
#[derive(Clone, Debug, Default)]
struct Keeper {
    values: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl LogManager for Keeper {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        let chunks = entry.read_all_chunks()?.unwrap_or_default();
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.extend(chunks);
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _last: EntryId,
        _entries: &mut SegmentReader,
        _log: &WriteAheadLog,
    ) -> io::Result<()> {
        Err(io::Error::other("a pass is larger than its file"))
    }
}

impl Store for Okay {
    fn append(&self, values: &[Vec<u8>]) -> Result<(), Failure> {
        let mut entry = self.log.begin_entry()?;
        for value in values {
            entry.write_chunk(value)?;
        }
        entry.commit()?;
        Ok(())
    }

    fn read_back(self: Box<Self>, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let Self { folder, log } = *self;
        log.shutdown()?;
        let keeper = Keeper::default();
        let log = configuration(&folder).open(keeper.clone())?;
        let values = keeper.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.iter().for_each(|value| each(value));
        drop(values);
        Ok(log.shutdown()?)
    }
}

/// As large as a segment of Highwater's may well be, and larger than what a pass appends.
const FILE_BYTES: u32 = 64 << 20;
