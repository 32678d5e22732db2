//! The frames of the native protocol.

use bytes::Bytes;
use highwater_proto::native::frame::{self, NativeFrameError, SIZE_BYTES};

/// T14: a frame without its size, as a broker and as a client read it. What is accepted can be
/// written and says the same again; a body is what stands behind the head.
pub fn t14_native(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    match frame::decode_request(bytes.clone()) {
        Ok((request, body)) => {
            assert!(data.ends_with(&body));
            let first = frame::encode(&request, body.len()).expect("it came in a frame");
            let again = frame::decode_request(inner(&first, &body));
            assert_eq!(again, Ok((request, body)));
        }
        Err(error) => check_refusal(&error, data),
    }
    match frame::decode_response(bytes) {
        Ok((response, body)) => {
            let first = frame::encode(&response, body.len()).expect("it came in a frame");
            let again = frame::decode_response(inner(&first, &body));
            assert_eq!(again, Ok((response, body)));
        }
        Err(error) => check_refusal(&error, data),
    }
}

fn inner(first: &[u8], body: &[u8]) -> Bytes {
    let frame = [first, body].concat();
    let prefix = frame.first_chunk().expect("it has a size");
    let size = frame::frame_size(*prefix, usize::MAX).expect("a frame that was written");
    assert_eq!(size, frame.len() - SIZE_BYTES);
    Bytes::from(frame).slice(SIZE_BYTES..)
}

fn check_refusal(error: &NativeFrameError, data: &[u8]) {
    match error {
        NativeFrameError::TooSmall { .. } => assert!(data.len() < 4),
        NativeFrameError::Version { version } => assert_eq!(data.first(), Some(version)),
        NativeFrameError::HeadTooLarge { head, .. } => assert!(*head > data.len() - 4),
        _ => {}
    }
    assert!(error.to_string().len() > 20, "an error is a sentence");
}
