//! The codecs: each by round trips, by bytes of the reference implementations, by bombs, and by
//! bytes that are wrong.
//!
//! Floor 1 of proto.

#![cfg(all(
    feature = "gzip",
    feature = "snappy",
    feature = "lz4",
    feature = "zstd"
))]

use std::io::Write;

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use proptest::prelude::*;

use super::*;
use crate::hex::unhex;

/// Compressible, but not trivially.
fn sample() -> Vec<u8> {
    (0..40)
        .flat_map(|i| format!("order-{} is paid by card {};", i % 7, i * i).into_bytes())
        .collect()
}

/// More than four blocks of 64 KiB, with matches that reach from one block into the next.
fn large_sample() -> Vec<u8> {
    sample().into_iter().cycle().take(300_000).collect()
}

fn lz4_frame(info: FrameInfo, input: &[u8]) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(input).expect("memory takes every byte");
    encoder.finish().expect("memory takes every byte")
}

#[test]
fn names_and_numbers_round_trip() {
    for codec in Codec::ALL {
        assert_eq!(codec.name().parse(), Ok(codec));
        assert_eq!(
            Codec::from_attributes(codec.attributes() | 0x78),
            Some(codec)
        );
        assert!(codec.is_built_in());
    }
    assert_eq!((5..8).find_map(Codec::from_attributes), None);
    assert!(
        "brotli"
            .parse::<Codec>()
            .unwrap_err()
            .to_string()
            .contains("\"brotli\"")
    );
}

#[test]
fn every_codec_round_trips_and_keeps_its_cap() {
    for codec in Codec::ALL {
        for input in [Vec::new(), vec![7], sample(), large_sample()] {
            let packed = compress(codec, &input).unwrap();
            assert_eq!(
                decompress(codec, &packed, input.len()),
                Ok(input.clone()),
                "{codec}"
            );
            if !input.is_empty() {
                let max = input.len() - 1;
                assert_eq!(
                    decompress(codec, &packed, max),
                    Err(CodecError::TooLarge { max })
                );
            }
        }
    }
}

#[test]
fn several_members_or_frames_are_one_input() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let twice = compress(codec, &sample()).unwrap().repeat(2);
        assert_eq!(
            decompress(codec, &twice, 1 << 20),
            Ok(sample().repeat(2)),
            "{codec}"
        );
    }
}

#[test]
fn skippable_frames_are_skipped() {
    for codec in [Codec::Lz4, Codec::Zstd] {
        let mut input = b"\x5f\x2a\x4d\x18\x03\0\0\0abc".to_vec();
        input.extend(compress(codec, &sample()).unwrap());
        assert_eq!(decompress(codec, &input, 1 << 20), Ok(sample()), "{codec}");
    }
}

#[test]
fn an_input_that_was_cut_is_an_error() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let packed = compress(codec, &sample()).unwrap();
        // Xerial has no end mark: cut at a block it is a shorter stream.
        let shortest = if codec == Codec::Snappy { 17 } else { 1 };
        for length in shortest..packed.len() {
            let cut = decompress(codec, &packed[..length], 1 << 20);
            assert!(
                matches!(cut, Err(CodecError::Corrupt { .. })),
                "{codec} {length}: {cut:?}"
            );
        }
    }
}

#[test]
fn bytes_of_the_reference_implementations() {
    for (codec, hex) in [
        (Codec::Zstd, ZSTD_CHECKED),
        (Codec::Zstd, ZSTD_WIDE),
        (Codec::Lz4, LZ4_LINKED),
    ] {
        let packed = unhex(hex);
        assert_eq!(decompress(codec, &packed, 1114), Ok(sample()), "{codec}");
        assert_eq!(
            decompress(codec, &packed, 1113),
            Err(CodecError::TooLarge { max: 1113 })
        );
    }
}

#[test]
fn checksums_are_compared() {
    for (codec, hex, why) in [
        (
            Codec::Zstd,
            ZSTD_CHECKED,
            "the checksum of the content is wrong",
        ),
        (
            Codec::Lz4,
            LZ4_LINKED,
            "the checksum of the content is wrong",
        ),
    ] {
        let mut packed = unhex(hex);
        *packed.last_mut().unwrap() ^= 1;
        let error = decompress(codec, &packed, 1 << 20).unwrap_err();
        assert_eq!(
            error,
            CodecError::Corrupt {
                codec,
                why: why.to_owned()
            }
        );
    }
    let mut packed = unhex(LZ4_LINKED);
    packed[20] ^= 1;
    let error = decompress(Codec::Lz4, &packed, 1 << 20).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("the checksum of a block is wrong"),
        "{error}"
    );
    packed[6] ^= 1;
    let error = decompress(Codec::Lz4, &packed, 1 << 20).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("the checksum of the frame's header is wrong"),
        "{error}"
    );
}

#[test]
fn lz4_is_written_as_java_reads_it() {
    let packed = compress(Codec::Lz4, &large_sample()).unwrap();
    // Version 1, independent blocks, no checksums, no content size; blocks of 64 KiB.
    assert_eq!(packed[..7], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);
    assert_eq!(packed[packed.len() - 4..], [0; 4]);
}

#[test]
fn lz4_frames_of_every_kind_are_read() {
    let sizes = [
        BlockSize::Max64KB,
        BlockSize::Max256KB,
        BlockSize::Max1MB,
        BlockSize::Max4MB,
    ];
    for size in sizes {
        for mode in [BlockMode::Independent, BlockMode::Linked] {
            for checks in [false, true] {
                let info = FrameInfo::new()
                    .block_size(size)
                    .block_mode(mode)
                    .block_checksums(checks)
                    .content_checksum(checks)
                    .content_size(checks.then_some(300_000));
                let packed = lz4_frame(info, &large_sample());
                assert_eq!(decompress(Codec::Lz4, &packed, 300_000), Ok(large_sample()));
            }
        }
    }
}

#[test]
fn snappy_vectors() {
    let raw = b"\x05\x10hello";
    assert_eq!(decompress(Codec::Snappy, raw, 5), Ok(b"hello".to_vec()));
    let xerial = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x07\x05\x10hello";
    assert_eq!(decompress(Codec::Snappy, xerial, 5), Ok(b"hello".to_vec()));
    assert_eq!(compress(Codec::Snappy, b"hello"), Ok(xerial.to_vec()));
    let large = snap::raw::Encoder::new()
        .compress_vec(&large_sample())
        .unwrap();
    assert_eq!(
        decompress(Codec::Snappy, &large, 300_000),
        Ok(large_sample())
    );
}

#[test]
fn an_announced_length_is_not_believed() {
    // A raw block that announces 4 GiB, and one that announces 256 MiB, in a few bytes.
    for raw in [
        &b"\xff\xff\xff\xff\x0f\x10hello"[..],
        b"\x80\x80\x80\x80\x01\x10hello",
    ] {
        let error = decompress(Codec::Snappy, raw, usize::MAX).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("announces more than it can hold"),
            "{error}"
        );
    }
    // A zstd frame in one segment of 2^63 bytes.
    let single = b"\x28\xb5\x2f\xfd\xe0\0\0\0\0\0\0\0\x80\x01\0\0";
    assert_eq!(
        decompress(Codec::Zstd, single, 99),
        Err(CodecError::TooLarge { max: 99 })
    );
}

/// A megabyte or less that decompresses to a gibibyte.
fn bomb(codec: Codec) -> Vec<u8> {
    let zeros = vec![0; 1 << 20];
    match codec {
        Codec::None => Vec::new(),
        Codec::Gzip => compress(codec, &zeros)
            .expect("zeros can be compressed")
            .repeat(1 << 10),
        Codec::Snappy => {
            let stream = compress(codec, &zeros).expect("zeros can be compressed");
            let (header, blocks) = stream.split_at(16);
            [header, &blocks.repeat(1 << 10)].concat()
        }
        Codec::Lz4 => {
            let info = FrameInfo::new().block_size(BlockSize::Max1MB);
            lz4_frame(info, &zeros).repeat(1 << 10)
        }
        Codec::Zstd => {
            // A window of 128 MiB, then blocks of one byte that stand for 128 KiB each.
            let header = b"\x28\xb5\x2f\xfd\0\x88";
            let size_and_type: u32 = 131_072 << 3 | 0b10;
            let block = &size_and_type.to_le_bytes()[..3];
            [
                header,
                &[block, b"\0"].concat().repeat(1 << 13)[..],
                b"\x01\0\0",
            ]
            .concat()
        }
    }
}

#[test]
fn a_bomb_costs_its_cap() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bomb = bomb(codec);
        for max in [0, 1, 65_536, 1 << 20, 8 << 20] {
            let result = decompress(codec, &bomb, max);
            assert_eq!(result, Err(CodecError::TooLarge { max }), "{codec}");
        }
    }
}

#[test]
fn a_small_bomb_is_genuine() {
    // 32 KiB of the zstd bomb's kind are a valid gibibyte; check the kind on 16 MiB.
    let mut bomb = bomb(Codec::Zstd);
    bomb.truncate(6 + 4 * 128);
    bomb.extend(b"\x01\0\0");
    assert_eq!(
        decompress(Codec::Zstd, &bomb, 16 << 20).map(|output| output.len()),
        Ok(16 << 20)
    );
}

proptest! {
    #[test]
    fn any_input_round_trips(
        input in prop::collection::vec(any::<u8>(), 0..300),
        repeats in 1_usize..400,
    ) {
        let input = input.repeat(repeats);
        for codec in Codec::ALL {
            let packed = compress(codec, &input).unwrap();
            prop_assert_eq!(decompress(codec, &packed, input.len()), Ok(input.clone()));
        }
    }

    #[test]
    fn any_bytes_give_a_bounded_output_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        max in 0_usize..5000,
    ) {
        for codec in Codec::ALL {
            let mut input = match codec {
                Codec::None => Vec::new(),
                Codec::Gzip => b"\x1f\x8b\x08".to_vec(),
                Codec::Snappy => b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0".to_vec(),
                Codec::Lz4 => b"\x04\x22\x4d\x18\x60\x40\x82".to_vec(),
                Codec::Zstd => b"\x28\xb5\x2f\xfd".to_vec(),
            };
            input.extend(&bytes);
            for input in [&input, &bytes] {
                if let Ok(output) = decompress(codec, input, max) {
                    prop_assert!(output.len() <= max);
                }
            }
        }
    }

    #[test]
    fn changed_bytes_give_a_bounded_output_or_an_error(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        linked: bool,
    ) {
        let pack = |codec| (codec, compress(codec, &sample()).unwrap());
        let mut inputs: Vec<_> = Codec::ALL.into_iter().map(pack).collect();
        inputs.push((Codec::Zstd, unhex(ZSTD_CHECKED)));
        let mode = if linked { BlockMode::Linked } else { BlockMode::Independent };
        inputs.push((Codec::Lz4, lz4_frame(FrameInfo::new().block_mode(mode), &sample())));
        for (codec, mut packed) in inputs {
            for (at, byte) in &changes {
                let at = at.index(packed.len());
                packed[at] = *byte;
            }
            if let Ok(output) = decompress(codec, &packed, 2000) {
                prop_assert!(output.len() <= 2000);
            }
        }
    }
}

/// `zstd -19 --check`.
const ZSTD_CHECKED: &str = "\
    28b52ffd645a0315050032891714b0a90307a2435849492654364932ed34aa8f5118026bb4cd73c45f692d6f\
    e4a5e26991bfaaa39353700d1edcfa07763527d3ae328f5c74a9b75afbe39d36595691c93fd7d1ad76fa904b\
    0a758c65284e431c031994c320a780e53096242ea811f0a4bcf6df60a3920f112824e155c2f3034e2232c2c4\
    9778257f12c1488b8888b8238c54049186105210fc681fedbd9bc7a9f2f9aa2f2aaf7934c106461594a7ef9c";
/// `zstd --ultra -22 --long=27`: a window of 128 MiB for 1114 bytes.
const ZSTD_WIDE: &str = "\
    28b52ffd008815050032891714b0a90307a2435849492654364932ed34aa8f5118026bb4cd73c45f692d6fe4\
    a5e26991bfaaa39353700d1edcfa07763527d3ae328f5c74a9b75afbe39d36595691c93fd7d1ad76fa904b0a\
    758c65284e431c031994c320a780e53096242ea811f0a4bcf6df60a3920f112824e155c2f3034e2232c2c497\
    78257f12c1488b8888b8238c54049186105210fc681fedbd9bc7a9f2f9aa2f2aaf7934c1064615";
/// `lz4 -BD -B4 -BX`: linked blocks, checksums of blocks and content.
const LZ4_LINKED: &str = "\
    04224d187440bd4a010000f20b6f726465722d302069732070616964206279206361726420303b1a001d311a\
    0013311a001d321a0013341a001d331a0013391a001d341a002331361b001d351b002332351b001d361b0014\
    3336000eb90014346c000eba001436a1000ebb001438d6000ebc002431300c010fbe0000143238000ebf0024\
    31346f000ec000243136a6000ec100243139dd000ec200153214010ec30024323538000ec40024323870000e\
    c400243332a8000ec400243336e0000ec400153418010ec40024343438000ec40024343870000ec400243532\
    a8000ec400243537e0000ec400153618010ec400153638000ec400153770000ec4001537a8000ec4001538e0\
    000ec400153918010ec400153950010ec4002f3130890108253130c2010ec600253131fb010ec70016313402\
    0ec8002531326d020ec900253133a6020eca00253134df020ecb0050313532313b3d720a490000000015ba08\
    3f";
