//! Zstandard: one frame or several.
//!
//! Floor 1 of proto.
//!
//! Invariants
//! - The decoder's window never exceeds the output's cap (or 128 KiB, if that is more): while no
//!   more than the cap is produced, no match can reach further back. So at most two times the cap
//!   is held, in the window and in the output.
//! - Content checksums are compared; skippable frames are skipped; dictionaries are refused.

use std::io::Read;

use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::encoding::{CompressionLevel, FrameCompressor};

use super::output::read_to_end;
use super::{Codec, CodecError};

pub(super) fn compress(input: &[u8], output: &mut Vec<u8>) -> Result<(), CodecError> {
    let mut compressor = FrameCompressor::new(CompressionLevel::Fastest);
    compressor.set_source(input);
    compressor.set_drain(output);
    compressor.compress();
    Ok(())
}

pub(super) fn decompress(input: &[u8], max: usize) -> Result<Vec<u8>, CodecError> {
    let mut output = Vec::new();
    let mut rest = input;
    while !rest.is_empty() {
        let (magic, behind) = rest.split_first_chunk().ok_or_else(too_short)?;
        if u32::from_le_bytes(*magic) & !0xf == SKIPPABLE_MAGIC {
            let (length, content) = behind.split_first_chunk().ok_or_else(too_short)?;
            let length = u32::from_le_bytes(*length) as usize;
            rest = content.get(length..).ok_or_else(too_short)?;
        } else {
            rest = read_frame(rest, &mut output, max)?;
        }
    }
    Ok(output)
}

/// Decompresses one frame behind what `output` holds already; gives the bytes behind the frame.
fn read_frame<'a>(
    input: &'a [u8],
    output: &mut Vec<u8>,
    max: usize,
) -> Result<&'a [u8], CodecError> {
    let window_log = (max as u64)
        .clamp(BLOCK_BYTES_MAX, WINDOW_BYTES_MAX)
        .next_power_of_two()
        .ilog2();
    let (header, body) = bounded_header(input, window_log)?;
    let source = header.as_slice().chain(body);
    let mut decoder = StreamingDecoder::new_with_max_window_size(source, 1 << window_log).map_err(
        |why| match why {
            // Only a frame in one segment can announce so much: its window is its content.
            FrameDecoderError::WindowSizeTooBig { .. } => CodecError::TooLarge { max },
            why => corrupt(why),
        },
    )?;
    read_to_end(&mut decoder, output, max).map_err(|stop| stop.into_error(Codec::Zstd, max))?;
    let (source, frame) = decoder.into_parts();
    let stored = frame.get_checksum_from_data();
    if stored.is_some() && stored != frame.get_calculated_checksum() {
        return Err(corrupt("the checksum of the content is wrong"));
    }
    Ok(source.into_inner().1)
}

/// The first bytes of a frame, with a window that is as small as the cap allows, and the rest.
fn bounded_header(
    input: &[u8],
    window_log: u32,
) -> Result<([u8; HEADER_BYTES], &[u8]), CodecError> {
    let (header, body) = input
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or_else(too_short)?;
    let mut header = *header;
    let [.., descriptor, window] = &mut header;
    if *descriptor & SINGLE_SEGMENT_BIT == 0 {
        // The byte is an exponent above 1 KiB, and eighths in its three lowest bits.
        let bounded = u8::try_from((window_log - 10) << 3).unwrap_or(u8::MAX);
        *window = (*window).min(bounded);
    }
    Ok((header, body))
}

fn too_short() -> CodecError {
    corrupt("it ends in the middle of a frame")
}

fn corrupt(why: impl std::fmt::Display) -> CodecError {
    CodecError::corrupt(Codec::Zstd, why)
}

/// Magic, descriptor, and the window or what stands in its place.
const HEADER_BYTES: usize = 6;
const SINGLE_SEGMENT_BIT: u8 = 1 << 5;
/// The lowest of the 16 magics of frames that a reader skips.
const SKIPPABLE_MAGIC: u32 = 0x184d_2a50;
/// The largest block of the format; a smaller window would bound the blocks, too.
const BLOCK_BYTES_MAX: u64 = 128 << 10;
/// The largest window that the format's byte can say without eighths.
const WINDOW_BYTES_MAX: u64 = 1 << 41;
