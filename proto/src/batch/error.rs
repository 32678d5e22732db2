//! `BatchError`: why bytes are no valid record batch.
//!
//! Floor 3 of proto.
//!
//! Invariants
//! - One variant for each rule, so that a broker can answer each with a code of its own.

use thiserror::Error;

use crate::compress::CodecError;
use crate::error::DecodeError;

/// Why bytes are no valid record batch.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BatchError {
    /// There is not one byte.
    #[error("there is no record batch")]
    Empty,
    /// The batch ends before its length says.
    #[error("the batch needs {wanted} bytes and {left} are there")]
    Truncated {
        /// The size of the batch, or of its header, in bytes.
        wanted: usize,
        /// The bytes that are there.
        left: usize,
    },
    /// The length is impossible, or is not that of the bytes that were sent.
    #[error("the batch announces a length of {announced}, which does not fit its {actual} bytes")]
    BadLength {
        /// The length field: bytes after the first 12.
        announced: i32,
        /// The bytes that are there.
        actual: usize,
    },
    /// The format is not version 2.
    #[error("the batch has format version {magic}, and only version 2 is supported")]
    BadMagic {
        /// The version as it was found.
        magic: i8,
    },
    /// More than one batch was sent where one may stand.
    #[error("more than one record batch was sent for one partition")]
    MultipleBatches,
    /// The batch is larger than its topic allows.
    #[error("the batch has {bytes} bytes, and at most {max} are allowed")]
    TooLarge {
        /// The size of the batch.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The bytes changed on their way or on the disk.
    #[error("the batch is corrupt: its checksum is {stored:08x}, that of its bytes {computed:08x}")]
    CrcMismatch {
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// A produced batch must start at offset 0; the log assigns the offsets.
    #[error("a produced batch starts at offset 0, and this one at {base_offset}")]
    BaseOffsetNotZero {
        /// The offset as it was sent.
        base_offset: i64,
    },
    /// The count of the records and their last offset do not agree, or there are none.
    #[error(
        "the batch has {records_count} records, and its last offset delta is \
             {last_offset_delta}"
    )]
    BadCount {
        /// The last offset delta as it was found.
        last_offset_delta: i32,
        /// The count as it was found.
        records_count: i32,
    },
    /// Only a broker writes control batches.
    #[error("a client cannot produce a control batch")]
    ControlBatch,
    /// Producer id, epoch and sequence do not go together.
    #[error("producer id {id}, epoch {epoch} and sequence {base_sequence} do not go together")]
    BadProducer {
        /// The producer id.
        id: i64,
        /// The producer epoch.
        epoch: i16,
        /// The sequence number of the first record.
        base_sequence: i32,
    },
    /// Attribute bits are set that a producer must leave zero.
    #[error("the batch has attributes {attributes:#06x}, of which some bits are reserved")]
    ReservedAttributes {
        /// The attributes as they were sent.
        attributes: i16,
    },
    /// No codec has this number.
    #[error("no codec has the number {id}")]
    UnknownCodec {
        /// The number as it was found.
        id: u8,
    },
    /// The records cannot be decompressed.
    #[error("the records cannot be decompressed: {0}")]
    Codec(#[from] CodecError),
    /// A record is malformed.
    #[error("record {index} of the batch is malformed: {source}")]
    BadRecords {
        /// The place of the record in the batch, counted from 0.
        index: u32,
        /// What is wrong, counted from the start of the decompressed records.
        source: DecodeError,
    },
}
