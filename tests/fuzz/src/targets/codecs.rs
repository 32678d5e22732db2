//! The four codecs on bytes of unknown origin.

use highwater_proto::compress::{Codec, CodecError, compress, decompress};

/// T7: RFC 1952, one member or several.
pub fn t7_gzip(data: &[u8]) {
    check(Codec::Gzip, data);
}

/// T8: a raw block of Snappy, or a stream of them.
pub fn t8_snappy(data: &[u8]) {
    check(Codec::Snappy, data);
}

/// T9: LZ4 frames.
pub fn t9_lz4(data: &[u8]) {
    check(Codec::Lz4, data);
}

/// T10: Zstandard frames.
pub fn t10_zstd(data: &[u8]) {
    check(Codec::Zstd, data);
}

/// The input as compressed bytes, and as bytes to compress.
fn check(codec: Codec, data: &[u8]) {
    match decompress(codec, data, OUTPUT_BYTES_MAX) {
        Ok(output) => {
            assert!(output.len() <= OUTPUT_BYTES_MAX, "the cap holds");
            if let Some(less) = output.len().checked_sub(1) {
                let cut = decompress(codec, data, less);
                assert!(cut.is_err(), "a cap of one byte less is exceeded");
            }
            round_trip(codec, &output);
        }
        Err(CodecError::TooLarge { max }) => assert_eq!(max, OUTPUT_BYTES_MAX),
        Err(error) => assert!(matches!(error, CodecError::Corrupt { .. }), "{error}"),
    }
    round_trip(codec, data);
}

fn round_trip(codec: Codec, input: &[u8]) {
    let packed = compress(codec, input).expect("every input can be compressed");
    let opened = decompress(codec, &packed, input.len());
    assert!(
        opened.is_ok_and(|opened| opened == input),
        "{codec} does not give its input back"
    );
}

const OUTPUT_BYTES_MAX: usize = 1 << 18;
