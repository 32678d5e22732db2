//! Snappy, in the two framings that Kafka clients use.
//!
//! Floor 1 of proto.
//!
//! Invariants
//! - Written: the "xerial" stream, as Java clients do: a header, then blocks of 32 KiB of input,
//!   each behind its length. Read: that, or one raw block without a header, as librdkafka writes.
//! - An announced length is believed only as far as the bytes that are there can expand.

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::{Codec, CodecError};

pub(super) fn compress(input: &[u8], output: &mut Vec<u8>) -> Result<(), CodecError> {
    output.extend_from_slice(&HEADER);
    let mut encoder = Encoder::new();
    for block in input.chunks(BLOCK_BYTES) {
        let length_at = output.len();
        let start = length_at + LENGTH_BYTES;
        output.resize(start + max_compress_len(block.len()), 0);
        let target = output.get_mut(start..).unwrap_or_default();
        let written = encoder.compress(block, target).map_err(corrupt)?;
        output.truncate(start + written);
        // A block of 32 KiB grows by a sixth at most.
        let length = u32::try_from(written).map_err(corrupt)?;
        if let Some(field) = output.get_mut(length_at..start) {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok(())
}

pub(super) fn decompress(input: &[u8], max: usize) -> Result<Vec<u8>, CodecError> {
    let mut output = Vec::new();
    let mut decoder = Decoder::new();
    if !input.starts_with(&MAGIC) {
        append_block(&mut decoder, input, &mut output, max)?;
        return Ok(output);
    }
    let mut rest = input;
    while !rest.is_empty() {
        // A stream may follow another one, with a header of its own.
        if rest.starts_with(&MAGIC) {
            rest = rest
                .get(HEADER.len()..)
                .ok_or_else(|| corrupt("the header ends too early"))?;
            continue;
        }
        let (length, blocks) = rest
            .split_first_chunk()
            .ok_or_else(|| corrupt("a length ends too early"))?;
        let length = u32::from_be_bytes(*length) as usize;
        let block = blocks
            .get(..length)
            .ok_or_else(|| corrupt("a block ends too early"))?;
        append_block(&mut decoder, block, &mut output, max)?;
        rest = blocks.get(length..).unwrap_or_default();
    }
    Ok(output)
}

/// Decompresses one raw block behind what `output` holds already.
fn append_block(
    decoder: &mut Decoder,
    block: &[u8],
    output: &mut Vec<u8>,
    max: usize,
) -> Result<(), CodecError> {
    let length = decompress_len(block).map_err(corrupt)?;
    if length > block.len().saturating_mul(EXPANSION_MAX) {
        return Err(corrupt("a block announces more than it can hold"));
    }
    let start = output.len();
    if length > max.saturating_sub(start) {
        return Err(CodecError::TooLarge { max });
    }
    output.resize(start + length, 0);
    let target = output.get_mut(start..).unwrap_or_default();
    decoder.decompress(block, target).map_err(corrupt)?;
    Ok(())
}

fn corrupt(why: impl std::fmt::Display) -> CodecError {
    CodecError::corrupt(Codec::Snappy, why)
}

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// The magic, version 1, and 1 as the oldest version that can read it.
const HEADER: [u8; 16] = [
    0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1,
];
const LENGTH_BYTES: usize = 4;
/// The input of one block, as in Java's stream.
const BLOCK_BYTES: usize = 32 << 10;
/// The densest element copies 64 bytes and takes 3.
const EXPANSION_MAX: usize = 22;
