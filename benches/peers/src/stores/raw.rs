//! No log at all: a write and an fdatasync of a growing file, what the disk allows one thread.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::Store;
use crate::Failure;
use crate::figures::Class;

struct Raw {
    file: Mutex<File>,
    value_bytes: Mutex<usize>,
}

#[expect(clippy::disallowed_methods, reason = "it stands for the disk itself")]
pub(super) fn open(folder: &Path, class: Class) -> Result<Box<dyn Store>, Failure> {
    if class != Class::Synced {
        return Err("the raw file is synced".into());
    }
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).read(true).write(true);
    Ok(Box::new(Raw {
        file: Mutex::new(options.open(folder.join("raw"))?),
        value_bytes: Mutex::new(1),
    }))
}

impl Store for Raw {
    fn append(&self, values: &[Vec<u8>]) -> Result<(), Failure> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        for value in values {
            file.write_all(value)?;
            let bytes = self.value_bytes.lock();
            *bytes.unwrap_or_else(PoisonError::into_inner) = value.len();
        }
        Ok(file.sync_data()?)
    }

    fn read_back(self: Box<Self>, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let Self { file, value_bytes } = *self;
        let mut file = file.into_inner().unwrap_or_else(PoisonError::into_inner);
        let bytes = value_bytes.into_inner();
        let mut all = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut all)?;
        all.chunks(bytes.unwrap_or_else(PoisonError::into_inner))
            .for_each(each);
        Ok(())
    }
}
