//! The LZ4 frame format.
//!
//! Floor 1 of proto.
//!
//! Invariants
//! - Written: one frame of independent blocks of 64 KiB, which is what Java's reader demands.
//! - Read: frames one behind another, independent or linked blocks, with or without checksums and
//!   content size; skippable frames are skipped. A frame without its end mark is an error.
//! - Blocks are decompressed straight into the output; room is made for a block only as far as
//!   its bytes can expand.
//!
//! The framing is read here and not by the codec's crate, which reserves three times the block size
//! (12 MiB) before the first block, takes a frame that was cut off for a complete one, and copies
//! every block once more.

use std::io::Write;

use lz4_flex::block::decompress_into_with_dict;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use twox_hash::XxHash32;

use super::{Codec, CodecError};

pub(super) fn compress(input: &[u8], output: &mut Vec<u8>) -> Result<(), CodecError> {
    let info = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, output);
    encoder.write_all(input).map_err(corrupt)?;
    encoder.finish().map_err(corrupt)?;
    Ok(())
}

pub(super) fn decompress(input: &[u8], max: usize) -> Result<Vec<u8>, CodecError> {
    let mut output = Vec::new();
    let mut source = Source { rest: input };
    while !source.rest.is_empty() {
        let magic = source.u32()?;
        if magic & !0xf == SKIPPABLE_MAGIC {
            let length = source.u32()? as usize;
            source.take(length)?;
        } else if magic == FRAME_MAGIC {
            let frame = Descriptor::read(&mut source)?;
            read_frame(&frame, &mut source, &mut output, max)?;
        } else {
            return Err(corrupt("it does not start with a frame"));
        }
    }
    Ok(output)
}

/// Reads the blocks of a frame up to its end mark.
fn read_frame(
    frame: &Descriptor,
    source: &mut Source<'_>,
    output: &mut Vec<u8>,
    max: usize,
) -> Result<(), CodecError> {
    let start = output.len();
    loop {
        let size = source.u32()?;
        if size == END_MARK {
            break;
        }
        let length = (size & !UNCOMPRESSED_BIT) as usize;
        if length > frame.block_bytes_max {
            return Err(corrupt("a block is larger than its frame allows"));
        }
        let block = source.take(length)?;
        if frame.block_checksums && source.u32()? != XxHash32::oneshot(0, block) {
            return Err(corrupt("the checksum of a block is wrong"));
        }
        if size & UNCOMPRESSED_BIT == 0 {
            append_block(frame, block, output, start, max)?;
        } else if length > max.saturating_sub(output.len()) {
            return Err(CodecError::TooLarge { max });
        } else {
            output.extend_from_slice(block);
        }
    }
    let content = output.get(start..).unwrap_or_default();
    if frame
        .content_size
        .is_some_and(|size| size != content.len() as u64)
    {
        return Err(corrupt("the content has another size than was announced"));
    }
    if frame.content_checksum && source.u32()? != XxHash32::oneshot(0, content) {
        return Err(corrupt("the checksum of the content is wrong"));
    }
    Ok(())
}

/// Decompresses one block behind what `output` holds already; its frame began at `frame_start`.
fn append_block(
    frame: &Descriptor,
    block: &[u8],
    output: &mut Vec<u8>,
    frame_start: usize,
    max: usize,
) -> Result<(), CodecError> {
    let start = output.len();
    let expanded_max = block
        .len()
        .saturating_mul(EXPANSION_MAX)
        .min(frame.block_bytes_max);
    let room = max.saturating_sub(start).min(expanded_max);
    output.resize(start + room, 0);
    let window_start = match frame.linked {
        true => frame_start.max(start.saturating_sub(WINDOW_BYTES)),
        false => start,
    };
    let (before, target) = output.split_at_mut(start);
    let window = before.get(window_start..).unwrap_or_default();
    match decompress_into_with_dict(block, target, window) {
        Ok(written) => {
            output.truncate(start + written);
            Ok(())
        }
        Err(lz4_flex::block::DecompressError::OutputTooSmall { .. }) if room < expanded_max => {
            Err(CodecError::TooLarge { max })
        }
        Err(why) => Err(corrupt(why)),
    }
}

/// What a frame says about itself before its blocks.
struct Descriptor {
    linked: bool,
    block_checksums: bool,
    content_checksum: bool,
    content_size: Option<u64>,
    block_bytes_max: usize,
}

impl Descriptor {
    fn read(source: &mut Source<'_>) -> Result<Self, CodecError> {
        let whole = source.rest;
        let [flags, block_descriptor] = source.array()?;
        if flags >> 6 != 1 || flags & 0b10 != 0 || block_descriptor & 0b1000_1111 != 0 {
            return Err(corrupt("the frame has an unknown version or reserved bits"));
        }
        let block_bytes_max = match block_descriptor >> 4 {
            size @ 4..=7 => 1 << (8 + 2 * size),
            _ => return Err(corrupt("the frame has an unknown block size")),
        };
        let content_size = match flags & 0b1000 {
            0 => None,
            _ => Some(u64::from_le_bytes(source.array()?)),
        };
        if flags & 1 != 0 {
            return Err(corrupt("the frame needs a dictionary"));
        }
        let bytes = whole.len() - source.rest.len();
        let described = whole.get(..bytes).unwrap_or_default();
        let [_, checksum, ..] = XxHash32::oneshot(0, described).to_le_bytes();
        if source.array()? != [checksum] {
            return Err(corrupt("the checksum of the frame's header is wrong"));
        }
        Ok(Self {
            linked: flags & 0b10_0000 == 0,
            block_checksums: flags & 0b1_0000 != 0,
            content_checksum: flags & 0b100 != 0,
            content_size,
            block_bytes_max,
        })
    }
}

/// The compressed bytes that have not been read.
struct Source<'a> {
    rest: &'a [u8],
}

impl<'a> Source<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or_else(too_short)?;
        self.rest = rest;
        Ok(*array)
    }

    fn u32(&mut self) -> Result<u32, CodecError> {
        self.array().map(u32::from_le_bytes)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(too_short)?;
        self.rest = rest;
        Ok(taken)
    }
}

fn too_short() -> CodecError {
    corrupt("it ends in the middle of a frame")
}

fn corrupt(why: impl std::fmt::Display) -> CodecError {
    CodecError::corrupt(Codec::Lz4, why)
}

const FRAME_MAGIC: u32 = 0x184d_2204;
/// The lowest of the 16 magics of frames that a reader skips.
const SKIPPABLE_MAGIC: u32 = 0x184d_2a50;
const END_MARK: u32 = 0;
/// Set in the size of a block that is stored as it is.
const UNCOMPRESSED_BIT: u32 = 1 << 31;
/// How far back a match of a linked block can reach.
const WINDOW_BYTES: usize = 64 << 10;
/// A length is continued by bytes that each stand for 255 bytes of output.
const EXPANSION_MAX: usize = 255;
