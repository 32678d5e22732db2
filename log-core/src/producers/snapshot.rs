//! The file that spares a start the replay of old batches.
//!
//! Floor 2 of log-core. Pure.
//!
//! Invariants
//! - It is a cache: one that is damaged, or newer than the log, is replaced by a replay.
//! - It holds how long each producer was idle, not when it was last seen: clocks change.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{ProducerState, Producers, SeenBatch, WINDOW_BATCHES};
use crate::envelope::{self, EnvelopeError};
use crate::types::{LogId, Offset};

impl Producers {
    /// A snapshot of all batches of the log `owner` below `offset`.
    #[must_use]
    pub fn encode(&self, owner: LogId, offset: Offset, now_ms: i64) -> Bytes {
        let mut body = BytesMut::with_capacity(HEAD_BYTES + self.states.len() * STATE_BYTES);
        owner.encode(&mut body);
        body.put_i64(offset.0);
        body.put_u32(u32::try_from(self.states.len()).expect("the count of producers is bounded"));
        // In order, so that equal states give equal files.
        let mut states: Vec<_> = self.states.iter().collect();
        states.sort_unstable_by_key(|(id, _)| **id);
        for (id, state) in states {
            body.put_i64(*id);
            body.put_i16(state.epoch);
            body.put_i64(now_ms.saturating_sub(state.last_seen_ms).max(0));
            body.put_u8(state.count);
            state.put_window(&mut body);
        }
        envelope::wrap(MAGIC, VERSION, &body)
    }

    /// Reads a snapshot of the log `owner`, or of any log: the offset below which it knows every
    /// batch, and the states.
    ///
    /// # Errors
    /// What is wrong with it; [`EnvelopeError::Foreign`] if it is whole and another log's.
    pub fn decode(
        mut bytes: Bytes,
        owner: Option<LogId>,
        now_ms: i64,
    ) -> Result<(Offset, Self), EnvelopeError> {
        let (version, mut body) = envelope::unwrap(&mut bytes, MAGIC, VERSION)?;
        if version >= VERSION_WITH_OWNER {
            let found = LogId::decode(&mut body).ok_or(EnvelopeError::Body)?;
            if owner.is_some_and(|owner| owner != found) {
                return Err(EnvelopeError::Foreign);
            }
        }
        Self::decode_body(body, now_ms).ok_or(EnvelopeError::Body)
    }

    fn decode_body(mut body: Bytes, now_ms: i64) -> Option<(Offset, Self)> {
        let offset = Offset(body.try_get_i64().ok()?);
        let count = body.try_get_u32().ok()? as usize;
        if body.len() != count.checked_mul(STATE_BYTES)? {
            return None;
        }
        let mut producers = Self::default();
        for _ in 0..count {
            let id = body.try_get_i64().ok()?;
            let epoch = body.try_get_i16().ok()?;
            let last_seen_ms = now_ms.saturating_sub(body.try_get_i64().ok()?);
            let count = body.try_get_u8().ok()?;
            let window = SeenBatch::take_window(&mut body)?;
            if usize::from(count) > WINDOW_BATCHES {
                return None;
            }
            producers.states.insert(
                id,
                ProducerState {
                    epoch,
                    last_seen_ms,
                    window,
                    count,
                },
            );
        }
        Some((offset, producers))
    }
}

impl ProducerState {
    pub(super) fn put_window(&self, out: &mut BytesMut) {
        for seen in &self.window {
            out.put_i32(seen.first_sequence);
            out.put_i32(seen.last_sequence);
            out.put_i64(seen.base_offset.0);
        }
    }
}

impl SeenBatch {
    pub(super) fn take_window(bytes: &mut Bytes) -> Option<[Self; WINDOW_BATCHES]> {
        let mut window = [Self::default(); WINDOW_BATCHES];
        for seen in &mut window {
            *seen = Self {
                first_sequence: bytes.try_get_i32().ok()?,
                last_sequence: bytes.try_get_i32().ok()?,
                base_offset: Offset(bytes.try_get_i64().ok()?),
            };
        }
        Some(window)
    }
}

const MAGIC: &[u8; 8] = b"HWPRODS\0";
const VERSION: u32 = VERSION_WITH_OWNER;
const VERSION_WITH_OWNER: u32 = 2;
/// The owner, the offset and the count.
const HEAD_BYTES: usize = 32;
const STATE_BYTES: usize = 19 + WINDOW_BATCHES * 16;
