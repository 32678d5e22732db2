//! The mark of a clean stop: every log's next offset, all of them durable.
//!
//! Floor 5 of log-core. Pure: values in, bytes out.
//!
//! Layout of `CLEAN`, in an envelope, big-endian: number of logs (4); for each: topic (16),
//! partition (4), next offset (8).

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::envelope::{self, EnvelopeError};
use crate::types::{LogId, Offset};

pub(super) fn encode(ends: &BTreeMap<LogId, Offset>) -> Bytes {
    let mut body = BytesMut::with_capacity(4 + ends.len() * LOG_BYTES);
    body.put_u32(u32::try_from(ends.len()).expect("a data directory has fewer than 2^32 logs"));
    for (log, end) in ends {
        log.encode(&mut body);
        body.put_i64(end.0);
    }
    envelope::wrap(MAGIC, VERSION, &body)
}

pub(super) fn decode(mut bytes: Bytes) -> Result<BTreeMap<LogId, Offset>, EnvelopeError> {
    let (_, mut body) = envelope::unwrap(&mut bytes, MAGIC, VERSION)?;
    decode_body(&mut body).ok_or(EnvelopeError::Body)
}

fn decode_body(body: &mut Bytes) -> Option<BTreeMap<LogId, Offset>> {
    let count = body.try_get_u32().ok()? as usize;
    let mut ends = BTreeMap::new();
    for _ in 0..count {
        let log = LogId::decode(body)?;
        ends.insert(log, Offset(body.try_get_i64().ok()?));
    }
    body.is_empty().then_some(ends)
}

const MAGIC: &[u8; 8] = b"HWCLEAN\0";
const VERSION: u32 = 1;
const LOG_BYTES: usize = 28;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ends_round_trip(
            logs in prop::collection::btree_map(any::<([u8; 16], u32)>(), any::<i64>(), 0..5),
        ) {
            let log = |((topic, partition), end)| (LogId { topic, partition }, Offset(end));
            let ends: BTreeMap<_, _> = logs.into_iter().map(log).collect();
            prop_assert_eq!(decode(encode(&ends)), Ok(ends));
        }

        #[test]
        fn a_body_of_any_bytes_gives_an_answer(body in prop::collection::vec(any::<u8>(), 0..90)) {
            let _answer = decode(envelope::wrap(MAGIC, VERSION, &body));
        }
    }
}
