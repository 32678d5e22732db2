//! gzip: one member or several.
//!
//! Floor 1 of proto.
//!
//! Invariants
//! - Every member's checksum is compared; bytes after the last member are an error.

use std::io::Write;

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::output::read_to_end;
use super::{Codec, CodecError};

pub(super) fn compress(input: &[u8], output: &mut Vec<u8>) -> Result<(), CodecError> {
    let mut encoder = GzEncoder::new(output, Compression::default());
    encoder
        .write_all(input)
        .and_then(|()| encoder.try_finish())
        .map_err(|why| CodecError::corrupt(Codec::Gzip, why))
}

pub(super) fn decompress(input: &[u8], max: usize) -> Result<Vec<u8>, CodecError> {
    let mut output = Vec::new();
    read_to_end(MultiGzDecoder::new(input), &mut output, max)
        .map_err(|stop| stop.into_error(Codec::Gzip, max))?;
    Ok(output)
}
