//! The crate `commitlog`: each append is one `write` into the page cache. It never syncs data: its
//! `flush` flushes a `File`, which does nothing, and syncs the map of the index.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use commitlog::message::{MessageBuf, MessageSet};
use commitlog::{CommitLog, LogOptions, ReadLimit};

use super::{Store, told};
use crate::Failure;
use crate::figures::Class;

struct Commits {
    log: Mutex<CommitLog>,
}

pub(super) fn open(folder: &Path, class: Class) -> Result<Box<dyn Store>, Failure> {
    if class != Class::Cached {
        return Err("commitlog has class 1 only".into());
    }
    let log = CommitLog::new(LogOptions::new(folder))?;
    Ok(Box::new(Commits {
        log: Mutex::new(log),
    }))
}

impl Store for Commits {
    fn append(&self, values: &[Vec<u8>]) -> Result<(), Failure> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let mut messages = MessageBuf::default();
        for value in values {
            messages.push(value).map_err(told)?;
        }
        let range = log.append(&mut messages).map_err(told)?;
        match range.len() == values.len() {
            true => Ok(()),
            false => Err(format!("{} of {} are taken", range.len(), values.len()).into()),
        }
    }

    fn read_back(self: Box<Self>, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let log = self.log.into_inner();
        let log = log.unwrap_or_else(PoisonError::into_inner);
        let mut next = 0;
        loop {
            let messages = log.read(next, ReadLimit::max_bytes(READ_BYTES));
            let messages = messages.map_err(told)?;
            if messages.is_empty() {
                return Ok(());
            }
            messages.verify_hashes().map_err(told)?;
            for message in messages.iter() {
                each(message.payload());
                next = message.offset() + 1;
            }
        }
    }
}

const READ_BYTES: usize = 1 << 20;
