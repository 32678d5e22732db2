//! Records of the broker's own as one batch.
//!
//! Floor 3 of broker.
//!
//! Invariants
//! - All records of a call stand in one batch: they are stored together or not at all.

use highwater_log::error::LogError;
use highwater_proto::batch::{ProduceLimits, ProducedBatch, validate_produced};
use highwater_proto::batch_builder::BatchBuilder;
use highwater_proto::clock::Wall;
use highwater_proto::compress::Codec;

/// A batch of these keys and values, not compressed.
///
/// # Errors
/// [`LogError::LargerThanSegment`] for more than any log can take.
pub fn batch_of<B: AsRef<[u8]>>(
    now: Wall,
    records: impl IntoIterator<Item = (Option<B>, Option<B>)>,
) -> Result<ProducedBatch, LogError> {
    let too_large = || LogError::LargerThanSegment {
        bytes: i32::MAX as usize,
        segment_bytes: i32::MAX as u64,
    };
    let mut builder = BatchBuilder::new(Codec::None);
    for (key, value) in records {
        let (key, value) = (key.as_ref(), value.as_ref());
        let appended = builder.append(now.0, key.map(AsRef::as_ref), value.map(AsRef::as_ref), &[]);
        appended.map_err(|_| too_large())?;
    }
    let bytes = builder.build().map_err(|_| too_large())?;
    let limits = ProduceLimits {
        batch_bytes_max: usize::MAX,
        ..ProduceLimits::default()
    };
    Ok(validate_produced(&bytes, &limits)?)
}
