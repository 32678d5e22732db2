//! What keeps a broker from starting, or a listener from opening.
//!
//! Floor 0 of broker.
//!
//! Invariants
//! - `Display` is one sentence that tells an operator what to do.

use std::io::ErrorKind;

use highwater_log::error::LogError;
use highwater_log::types::Offset;
use thiserror::Error;

use crate::error::InvalidConfig;

/// The broker did not start, or a listener did not open.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// The data directory cannot be opened, or is damaged.
    #[error(transparent)]
    Log(LogError),
    /// The data directory may not be written.
    #[error(
        "{failure}; the broker writes to its data directory: make it writable, or choose another"
    )]
    ReadOnly {
        /// What was tried, on which file, and what the operating system answered.
        failure: LogError,
    },
    /// The disk, or a quota on it, has no room for a start.
    #[error("{failure}; the disk is full: free some space, then start again")]
    DiskFull {
        /// What was tried, on which file, and what the operating system answered.
        failure: LogError,
    },
    /// There are partitions and no metadata that says whose they are.
    #[error(
        "{dir} holds {logs_count} partitions and no metadata of them; no data was changed: put \
         {dir}/logs/{meta_dir} back, or run `highwater log repair {dir}` to give their topics new names"
    )]
    MetaMissing {
        /// The data directory.
        dir: String,
        /// How many partitions have files.
        logs_count: usize,
        /// The name of the directory that is missing or empty.
        meta_dir: String,
    },
    /// A setting is not possible.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// The metadata log holds a record that this version cannot read.
    #[error("the metadata log cannot be read at offset {offset}: {why}; no data was changed")]
    Meta {
        /// The offset of the record.
        offset: Offset,
        /// What is wrong with it.
        why: String,
    },
    /// The log of groups holds a record that this version cannot read.
    #[error(
        "__consumer_offsets-{partition} cannot be read at offset {offset}: {why}; no data was changed"
    )]
    Groups {
        /// The partition of the log.
        partition: i32,
        /// The offset of the record.
        offset: Offset,
        /// What is wrong with it.
        why: String,
    },
    /// The first records of the metadata log could not be written.
    #[error("the metadata log cannot be written: {why}")]
    MetaWrite {
        /// What the log said.
        why: String,
    },
    /// A thread, a runtime or random bytes were not to be had.
    #[error("cannot {op}: {source}")]
    System {
        /// The operation, as a verb.
        op: &'static str,
        /// What the operating system answered.
        source: std::io::Error,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the operating system answered.
        source: std::io::Error,
    },
    /// The certificate, the key or the authorities of TLS cannot be used.
    #[error("a listener with TLS cannot be opened: {0}")]
    Tls(String),
    /// The broker was shut down.
    #[error("the broker is shut down")]
    Closed,
}

impl From<LogError> for BrokerError {
    fn from(failure: LogError) -> Self {
        let LogError::Io { source, .. } = &failure else {
            return Self::Log(failure);
        };
        match source.kind() {
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
                Self::ReadOnly { failure }
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { failure },
            _ => Self::Log(failure),
        }
    }
}
