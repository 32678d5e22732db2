//! What a streaming decoder gives, read into memory up to a cap.
//!
//! Floor 1 of proto.
//!
//! Invariants
//! - The buffer at most doubles with each step and never passes the cap, so what it holds is at
//!   most twice what was produced.

use std::io::{self, Read};

use super::CodecError;

/// Why reading stopped before the end.
pub(super) enum Stop {
    /// The decoder has more bytes than are allowed.
    Full,
    /// The decoder failed.
    Failed(io::Error),
}

impl Stop {
    /// The error of the codec that was read.
    pub(super) fn into_error(self, codec: super::Codec, max: usize) -> CodecError {
        match self {
            Self::Full => CodecError::TooLarge { max },
            Self::Failed(why) => CodecError::corrupt(codec, why),
        }
    }
}

/// Appends everything that `source` gives, as long as `output` stays within `max` bytes.
pub(super) fn read_to_end(
    mut source: impl Read,
    output: &mut Vec<u8>,
    max: usize,
) -> Result<(), Stop> {
    loop {
        let start = output.len();
        let room = max.saturating_sub(start);
        let step = start.clamp(STEP_BYTES_MIN, STEP_BYTES_MAX).min(room);
        if step == 0 {
            // The cap is reached; only a decoder that is at its end may stay.
            return match read_some(&mut source, &mut [0]).map_err(Stop::Failed)? {
                0 => Ok(()),
                _ => Err(Stop::Full),
            };
        }
        output.reserve_exact(step);
        output.resize(start + step, 0);
        let mut filled = start;
        while let Some(target) = output.get_mut(filled..).filter(|target| !target.is_empty()) {
            match read_some(&mut source, target) {
                Ok(0) => {
                    output.truncate(filled);
                    return Ok(());
                }
                Ok(count) => filled += count,
                Err(why) => return Err(Stop::Failed(why)),
            }
        }
    }
}

fn read_some(source: &mut impl Read, target: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(target) {
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

const STEP_BYTES_MIN: usize = 4 << 10;
/// Growing by more gains nothing, and would hold more beside the old buffer while it is copied.
const STEP_BYTES_MAX: usize = 4 << 20;
