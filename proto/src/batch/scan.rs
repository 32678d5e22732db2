//! `Batches`: the batches that stand one behind another in a buffer.
//!
//! Floor 3 of proto.
//!
//! Invariants
//! - The scan ends at the end of the buffer, at a length of zero (space that was never written),
//!   or with one error; after that it gives nothing more.
//! - [`Batches::position`] is always the first byte that was not given out.

use super::{BatchError, BatchHeader, OVERHEAD_BYTES};

/// One batch that a scan found. Its checksum has not been compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScannedBatch<'a> {
    /// Where the batch starts in the buffer.
    pub position: usize,
    /// Its header.
    pub header: BatchHeader,
    /// The whole batch.
    pub bytes: &'a [u8],
}

/// Goes over the batches that stand one behind another in a buffer.
///
/// ```
/// use highwater_proto::batch::Batches;
/// use highwater_proto::batch_builder::BatchBuilder;
/// use highwater_proto::compress::Codec;
///
/// let mut builder = BatchBuilder::new(Codec::None);
/// builder.append(0, None, Some(b"value"), &[])?;
/// let batch = builder.build()?;
///
/// let mut file = [&batch[..], &batch[..]].concat();
/// file.resize(4096, 0);
/// let mut batches = Batches::new(&file);
/// let positions: Result<Vec<_>, _> = batches.by_ref().map(|b| Ok(b?.position)).collect();
/// assert_eq!(positions, Ok::<_, highwater_proto::batch::BatchError>(vec![0, batch.len()]));
/// assert_eq!(batches.position(), 2 * batch.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
    ended: bool,
}

impl<'a> Batches<'a> {
    /// Starts at the first byte of a buffer.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            position: 0,
            ended: false,
        }
    }

    /// The first byte that was not given out: where the next batch starts, or where the scan
    /// ended, or where the error is.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    fn next_batch(&self, rest: &'a [u8]) -> Option<Result<ScannedBatch<'a>, BatchError>> {
        // Space that was never written reads as zeros, and may end before a length could stand.
        let length = rest.get(LENGTH_POSITION..OVERHEAD_BYTES);
        if length.unwrap_or(rest).iter().all(|&byte| byte == 0) {
            return None;
        }
        Some(BatchHeader::parse(rest).and_then(|header| {
            let wanted = header.total_bytes();
            let Some(bytes) = rest.get(..wanted) else {
                return Err(BatchError::Truncated {
                    wanted,
                    left: rest.len(),
                });
            };
            Ok(ScannedBatch {
                position: self.position,
                header,
                bytes,
            })
        }))
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<ScannedBatch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let found = if rest.is_empty() {
            None
        } else {
            self.next_batch(rest)
        };
        match &found {
            Some(Ok(batch)) => self.position += batch.bytes.len(),
            Some(Err(_)) | None => self.ended = true,
        }
        found
    }
}

const LENGTH_POSITION: usize = 8;
