//! One partition's log on disk, and the data directory that holds many: synchronous, crash safe,
//! without tokio, sockets, clock or topic names.
//!
//! It is: an append-only segment log of Kafka record batches with sparse indexes, idempotent
//! producers, retention and recovery. It is not: a broker, a network protocol or a key-value
//! store.

pub mod checkpoint;
mod combine;
pub mod config;
pub mod data_dir;
pub mod envelope;
pub mod epochs;
pub mod error;
pub mod fs;
pub mod index_file;
pub mod inspect;
mod journal;
mod key_index;
pub mod keys;
pub mod log;
pub mod offset_index;
pub mod producers;
pub mod reader;
mod recovery;
mod recovery_points;
pub mod retention;
mod segment;
pub mod shard;
mod sync;
pub mod time_index;
pub mod types;
pub mod view;

pub use crate::config::LogConfig;
pub use crate::data_dir::DataDir;
pub use crate::error::LogError;
pub use crate::log::{Appended, Log, Recovered, RecoveryStart, Sent, SyncTarget};
pub use crate::reader::{LogReader, Minimum, Slice, UpTo};
pub use crate::shard::{AckAt, Append, Done, Shard, ShardConfig, ShardRecovered};
pub use crate::types::{LeaderEpoch, LogId, Offset, Position};
