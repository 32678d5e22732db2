//! The Kafka wire: frames, headers, bodies and primitives.

use bytes::Bytes;
use highwater_proto::cursor::{Reader, Str, Version, Writer};
use highwater_proto::error::DecodeError;
use highwater_proto::kafka::{
    self, ApiKey, FrameError, FrameHint, Request, RequestError, RequestHeader, Response,
};
use highwater_proto::varint;

/// T1: a stream of frames. The splitter takes whole frames within the limit and no others, and
/// each frame opens to a header and a body, or to an error.
pub fn t1_frames(data: &[u8]) {
    let mut rest = data;
    while let Some((prefix, after)) = rest.split_first_chunk::<{ kafka::SIZE_BYTES }>() {
        let announced = i32::from_be_bytes(*prefix);
        let size = match kafka::request_size(*prefix, FRAME_BYTES_MAX) {
            Ok(size) => size,
            Err(error) => {
                check_refusal(error, announced);
                break;
            }
        };
        assert!((8..=FRAME_BYTES_MAX).contains(&size));
        assert_eq!(i32::try_from(size), Ok(announced));
        assert_eq!(kafka::response_size(*prefix, FRAME_BYTES_MAX), Ok(size));
        let Some((frame, next)) = after.split_at_checked(size) else {
            break;
        };
        open(frame);
        rest = next;
    }
}

fn check_refusal(error: FrameError, announced: i32) {
    match error {
        FrameError::TooSmall { size } => assert!(size == announced && size < 8),
        FrameError::TooLarge { size, bytes_max } => {
            assert!(size == announced && bytes_max == FRAME_BYTES_MAX);
            assert!(usize::try_from(size).is_ok_and(|size| size > FRAME_BYTES_MAX));
        }
        FrameError::Foreign(hint) => {
            let [first, second, ..] = announced.to_be_bytes();
            match hint {
                FrameHint::Http => {
                    assert!(first.is_ascii_uppercase() && second.is_ascii_uppercase())
                }
                FrameHint::Tls => assert_eq!((first & !3, second), (0x14, 3)),
                _ => {}
            }
        }
        _ => {}
    }
    assert!(error.to_string().len() > 20, "an error is a sentence");
}

/// What a connection does with a frame.
fn open(frame: &[u8]) {
    let Ok((header, body)) = kafka::open_request(Bytes::copy_from_slice(frame)) else {
        return;
    };
    if let Ok(request) = Request::decode(header.key, header.version, body) {
        let again = request.encode_frame(header.version, header.correlation_id, header.client_id);
        again.expect("what was decoded can be encoded");
    }
}

/// T2: the header of a request, in each of its forms; and the rule that an ApiVersions of an
/// unknown version is answered in version 0.
pub fn t2_request_header(data: &[u8]) {
    let frame = Bytes::copy_from_slice(data);
    for is_flexible in [false, true] {
        let mut reader = Reader::new(frame.clone());
        let Ok(header) = RequestHeader::decode(&mut reader, |_, _| is_flexible) else {
            continue;
        };
        let rest = reader.into_rest();
        assert!(frame.ends_with(&rest));
        let mut writer = Writer::new();
        header
            .encode(&mut writer, is_flexible)
            .expect("the client id was within its limit");
        let written = writer.finish().into_bytes();
        assert!(
            written.len() <= frame.len() - rest.len(),
            "the shortest form is written"
        );
        let mut reader = Reader::new(written);
        assert_eq!(
            RequestHeader::decode(&mut reader, |_, _| is_flexible),
            Ok(header)
        );
        assert_eq!(reader.remaining(), 0);
    }
    let Ok((header, body)) = kafka::open_request(frame) else {
        return;
    };
    let api = ApiKey::from_number(header.key);
    let decoded = Request::decode(header.key, header.version, body);
    match (api, decoded) {
        (None, decoded) => {
            assert_eq!(decoded, Err(RequestError::UnknownKey { key: header.key }));
        }
        (Some(api), decoded) => {
            let unsupported = matches!(decoded, Err(RequestError::UnsupportedVersion { .. }));
            assert_eq!(
                unsupported,
                !api.info().implemented.contains(header.version)
            );
        }
    }
}

/// T3: the body of a request: byte 0 is the key, byte 1 the version. What decodes is encoded and
/// decoded to the same.
pub fn t3_requests(data: &[u8]) {
    let Some(([key, version], body)) = data.split_first_chunk() else {
        return;
    };
    let (key, version) = (i16::from(*key), i16::from(*version));
    let Ok(request) = Request::decode(key, version, Bytes::copy_from_slice(body)) else {
        return;
    };
    assert_eq!(request.key().number(), key);
    let written = request
        .encode(version)
        .expect("what was decoded can be encoded")
        .into_bytes();
    assert_eq!(Request::decode(key, version, written), Ok(request));
}

/// T4: the same for responses, which a client gets from a broker that it need not trust.
pub fn t4_responses(data: &[u8]) {
    let Some(([key, version], body)) = data.split_first_chunk() else {
        return;
    };
    let Some(key) = ApiKey::from_number(i16::from(*key)) else {
        return;
    };
    let version = i16::from(*version);
    let frame = Bytes::copy_from_slice(body);
    if let Ok((id, response)) = Response::decode_frame(key, version, frame.clone()) {
        assert_eq!(kafka::correlation_id(&frame), Ok(id));
        let written = response
            .encode_frame(version, id)
            .expect("it was decoded")
            .into_bytes();
        let written = written.slice(kafka::SIZE_BYTES..);
        assert_eq!(
            Response::decode_frame(key, version, written),
            Ok((id, response))
        );
    }
    let Ok(response) = Response::decode(key, version, frame) else {
        return;
    };
    let written = response
        .encode(version)
        .expect("what was decoded can be encoded")
        .into_bytes();
    assert_eq!(Response::decode(key, version, written), Ok(response));
}

/// T11: varints against a slow twin, and the primitives of the wire in both of their forms: what
/// is read once is written and read again; nothing reads past the end.
pub fn t11_primitives(data: &[u8]) {
    check_varints(data);
    for version in [Version::new(0, false), Version::new(9, true)] {
        let bytes = Bytes::copy_from_slice(data);
        let mut reader = Reader::new(bytes.clone());
        let mut writer = Writer::new();
        let read = std::iter::from_fn(|| {
            copy_one(&mut reader, &mut writer, version).ok()?;
            (reader.remaining() > 0).then_some(())
        });
        let count = read.count();
        assert!(count <= data.len());
        let written = writer.finish().into_bytes();
        let mut again = Reader::new(written.clone());
        let mut twice = Writer::new();
        while again.remaining() > 0 {
            copy_one(&mut again, &mut twice, version).expect("what was written is read");
        }
        assert_eq!(twice.finish().into_bytes(), written);
    }
}

/// Reads a kind byte and a value of that kind, and writes both.
fn copy_one(reader: &mut Reader, writer: &mut Writer, version: Version) -> Result<(), DecodeError> {
    let kind = reader.i8()?;
    let mut value = Writer::new();
    match kind.rem_euclid(11) {
        0 => value.put_bool(reader.bool()?),
        1 => value.put_i16(reader.i16()?),
        2 => value.put_i32(reader.i32()?),
        3 => value.put_i64(reader.i64()?),
        4 => value.put_uuid(reader.uuid()?),
        5 => value.put_uvarint(reader.uvarint()?),
        6 => value
            .put_str(&reader.str(version)?, version)
            .expect("it was read"),
        7 => {
            let text: Option<Str> = reader.nullable_str(version)?;
            value
                .put_nullable_str(text.as_ref(), version)
                .expect("it was read");
        }
        8 => {
            let bytes = reader.nullable_bytes(version)?;
            value
                .put_nullable_bytes(bytes.as_ref(), version)
                .expect("it was read");
        }
        9 => {
            let before = reader.remaining();
            let count = reader.count(version, 1, 1)?;
            assert!(count.unwrap_or(0) <= before);
            // The elements are whatever stands there: values of their own.
            value.put_count(None, version).expect("null has a form");
        }
        _ => {
            let mut seen = 0;
            reader.tags(|reader, _tag| {
                seen += 1;
                reader.skip_rest();
                Ok(())
            })?;
            assert!(seen <= 1 << 20);
            value.put_uvarint(0);
        }
    }
    writer.put_i8(kind);
    writer.append(value);
    Ok(())
}

fn check_varints(data: &[u8]) {
    let wide = slow_varint(data, varint::BYTES_MAX_64, u64::MAX);
    assert_eq!(varint::read_u64(data).ok(), wide);
    let narrow = slow_varint(data, varint::BYTES_MAX_32, u64::from(u32::MAX));
    let read = varint::read_u32(data)
        .ok()
        .map(|(value, used)| (u64::from(value), used));
    assert_eq!(read, narrow);
    if let Ok((value, used)) = varint::read_i64(data) {
        let mut written = Vec::new();
        varint::put_i64(&mut written, value);
        assert_eq!(varint::read_i64(&written), Ok((value, written.len())));
        assert!(written.len() <= used && written.len() == varint::size_i64(value));
    }
    if let Ok((value, used)) = varint::read_i32(data) {
        let mut written = Vec::new();
        varint::put_i32(&mut written, value);
        assert_eq!(varint::read_i32(&written), Ok((value, written.len())));
        assert!(written.len() <= used && written.len() == varint::size_i32(value));
    }
}

/// What a varint means, without a care for speed.
fn slow_varint(data: &[u8], bytes_max: usize, value_max: u64) -> Option<(u64, usize)> {
    let mut value = 0_u128;
    for (index, byte) in data.iter().take(bytes_max).enumerate() {
        value |= u128::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let value = u64::try_from(value)
                .ok()
                .filter(|value| *value <= value_max);
            return value.map(|value| (value, index + 1));
        }
    }
    None
}

const FRAME_BYTES_MAX: usize = 1 << 20;
