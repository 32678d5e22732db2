//! Highwater's bytes: which of them exist, and what each of them means.
//!
//! Floor 0 of the workspace: everything else stands on this crate.
//!
//! Invariants
//! - No I/O, no clock, no thread, no global state.
//! - No input makes a function panic; bytes from outside give a value or a typed error.
//! - A length or count from outside is compared with the bytes that are there before it is used.
//!
//! The floors, lowest first:
//! - 0: [`error`], [`code`], [`clock`], [`security`];
//! - 1: [`varint`], [`compress`], [`sasl`];
//! - 2: the layout of a record, and the primitives of the Kafka wire (`cursor`);
//! - 3: [`batch`], and the records of the metadata log (`meta`);
//! - 4: [`record`], [`batch_builder`], and the Kafka messages (`kafka`);
//! - 5: the seam between a client and a broker (`exchange`), the log of consumer groups
//!   (`group_log`), and what members of a group tell each other (`consumer_protocol`).
//!
//! Features: `kafka` (the wire), `meta` (records of the metadata log), `sasl` (proofs of
//! passwords), and one for each codec: `lz4`, `gzip`, `snappy`, `zstd`. Without its feature a codec
//! is known by name and by number, and refuses to compress or decompress.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

pub mod batch;
pub mod batch_builder;
pub mod clock;
pub mod code;
pub mod compress;
#[cfg(feature = "kafka")]
pub mod consumer_protocol;
#[cfg(feature = "kafka")]
pub mod cursor;
pub mod error;
#[cfg(feature = "kafka")]
pub mod exchange;
#[cfg(feature = "kafka")]
pub mod group_log;
#[cfg(test)]
mod hex;
#[cfg(feature = "kafka")]
pub mod kafka;
mod layout;
#[cfg(feature = "meta")]
pub mod meta;
pub mod murmur2;
#[cfg(feature = "native")]
pub mod native;
pub mod record;
pub mod sasl;
pub mod security;
pub mod varint;
