//! What is noted about one log: its checkpoint and its recovery point.
//!
//! Floor 2 of log-core. Pure: values in, bytes out.
//!
//! Invariants
//! - Any bytes decode to a value or an error; a count is compared with the bytes that are there
//!   before anything is allocated for it.
//! - Times in a checkpoint are wall times at its writing minus ages, so that ages survive a
//!   restart whatever the clock says then.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::envelope::{self, EnvelopeError};
use crate::types::{LeaderEpoch, LogId, Offset, Position};

/// What is known for good about a log: replaced whole at each roll, retention and close.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogCheckpoint {
    /// The wall clock when this was written, in milliseconds.
    pub written_ms: i64,
    /// When the active segment got its first batch, as `written_ms` minus its age.
    pub active_since_ms: i64,
    /// When the active segment got its last batch, likewise; true after a clean stop only.
    pub active_last_append_ms: i64,
    /// The first offset that readers may ask for.
    pub start: Offset,
    /// The first offset of each leader epoch, both rising.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
    /// The sealed segments, in order.
    pub sealed: Vec<SealedInfo>,
    /// Ranges that were durable and are damaged, in order.
    pub damage: Vec<Damage>,
}

/// What a sealed segment was when it was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedInfo {
    /// Its first offset, which names its files.
    pub base: Offset,
    /// The offset after its last record.
    pub end: Offset,
    /// The length of its `.log` file.
    pub bytes: u64,
    /// How many batches it holds.
    pub batches: u64,
    /// The largest record timestamp that its batch headers claim, in milliseconds.
    pub max_timestamp: i64,
    /// When its last batch was appended, as `written_ms` minus its age.
    pub last_append_ms: i64,
    /// The CRC-32 over the first 21 bytes of each of its batches. Those hold the CRC-32C of the
    /// rest of the batch, so that this number covers every byte of the file.
    pub sum: u32,
}

/// A range of a segment that was durable once and is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment's first offset.
    pub segment: Offset,
    /// The first damaged byte.
    pub position: Position,
    /// The byte after the last damaged one; the file may end before it.
    pub position_end: Position,
    /// The first offset that the range held.
    pub first: Offset,
    /// The offset after the last one that the range held.
    pub end: Offset,
    /// Whether a repair gave the range up: reads go on behind it, whatever is configured.
    pub is_hole: bool,
}

/// Up to where everything of a log was synced when this was noted: what tells a torn tail
/// (above) from corruption (below).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryPoint {
    /// The first offset of the segment that was active.
    pub segment: Offset,
    /// The next offset.
    pub offset: Offset,
    /// The length of the active segment's `.log` file.
    pub position: Position,
    /// As [`SealedInfo::sum`], up to `position`.
    pub sum: u32,
    /// How many batches the active segment held.
    pub batches: u64,
    /// The largest timestamp of the active segment; `i64::MIN` without a batch.
    pub max_timestamp: i64,
    /// The log's first offset.
    pub start: Offset,
    /// No batch of a producer with a sequence lies between the producer snapshot and this offset.
    pub producers_from: Offset,
    /// The epochs that began since the checkpoint was written.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
    /// The windows at `offset` of the producers that have written since their snapshot; absent if
    /// they are too many, or not known.
    pub moved: Option<MovedProducers>,
}

/// The windows that the producers' snapshot does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedProducers {
    /// The offset of the snapshot.
    pub since: Offset,
    /// The windows.
    pub windows: Bytes,
}

impl LogCheckpoint {
    /// The bytes of the file of the log `owner`.
    #[must_use]
    pub fn encode(&self, owner: LogId) -> Bytes {
        let mut body = BytesMut::new();
        owner.encode(&mut body);
        body.put_i64(self.written_ms);
        body.put_i64(self.active_since_ms);
        body.put_i64(self.active_last_append_ms);
        body.put_i64(self.start.0);
        put_epochs(&mut body, &self.epochs);
        put_count(&mut body, self.sealed.len());
        for sealed in &self.sealed {
            body.put_i64(sealed.base.0);
            body.put_i64(sealed.end.0);
            body.put_u64(sealed.bytes);
            body.put_u64(sealed.batches);
            body.put_i64(sealed.max_timestamp);
            body.put_i64(sealed.last_append_ms);
            body.put_u32(sealed.sum);
        }
        put_count(&mut body, self.damage.len());
        for damage in &self.damage {
            body.put_i64(damage.segment.0);
            body.put_u64(damage.position.0);
            body.put_u64(damage.position_end.0);
            body.put_i64(damage.first.0);
            body.put_i64(damage.end.0);
            body.put_u8(u8::from(damage.is_hole));
        }
        envelope::wrap(CHECKPOINT_MAGIC, VERSION, &body)
    }

    /// Reads the bytes of the file of the log `owner`, or of any log.
    ///
    /// # Errors
    /// What is wrong with them; [`EnvelopeError::Foreign`] if they are whole and another log's.
    pub fn decode(mut bytes: Bytes, owner: Option<LogId>) -> Result<Self, EnvelopeError> {
        let (version, mut body) = envelope::unwrap(&mut bytes, CHECKPOINT_MAGIC, VERSION)?;
        if version >= VERSION_WITH_OWNER {
            let found = LogId::decode(&mut body).ok_or(EnvelopeError::Body)?;
            if owner.is_some_and(|owner| owner != found) {
                return Err(EnvelopeError::Foreign);
            }
        }
        Self::decode_body(body, version)
            .filter(Self::is_ordered)
            .ok_or(EnvelopeError::Body)
    }

    fn decode_body(mut body: Bytes, version: u32) -> Option<Self> {
        let written_ms = body.try_get_i64().ok()?;
        let active_since_ms = body.try_get_i64().ok()?;
        let active_last_append_ms = body.try_get_i64().ok()?;
        let start = Offset(body.try_get_i64().ok()?);
        let epochs = take_epochs(&mut body)?;
        let mut sealed = Vec::with_capacity(take_count(&mut body, SEALED_BYTES)?);
        for _ in 0..sealed.capacity() {
            sealed.push(SealedInfo {
                base: Offset(body.try_get_i64().ok()?),
                end: Offset(body.try_get_i64().ok()?),
                bytes: body.try_get_u64().ok()?,
                batches: body.try_get_u64().ok()?,
                max_timestamp: body.try_get_i64().ok()?,
                last_append_ms: body.try_get_i64().ok()?,
                sum: body.try_get_u32().ok()?,
            });
        }
        let mut damage = Vec::with_capacity(take_count(&mut body, DAMAGE_BYTES)?);
        for _ in 0..damage.capacity() {
            damage.push(Damage {
                segment: Offset(body.try_get_i64().ok()?),
                position: Position(body.try_get_u64().ok()?),
                position_end: Position(body.try_get_u64().ok()?),
                first: Offset(body.try_get_i64().ok()?),
                end: Offset(body.try_get_i64().ok()?),
                is_hole: version >= VERSION_WITH_HOLES && take_flag(&mut body)?,
            });
        }
        body.is_empty().then_some(Self {
            written_ms,
            active_since_ms,
            active_last_append_ms,
            start,
            epochs,
            sealed,
            damage,
        })
    }

    /// The milliseconds that a stop adds to every age, by the wall clock at its end: none if that
    /// went back, or forward by more than 30 days. A clock that stands at 1970 at boot, or that was
    /// set to another decade, makes nothing older.
    #[must_use]
    pub fn stop_ms(&self, wall_ms: i64) -> i64 {
        let passed = wall_ms.saturating_sub(self.written_ms);
        if (0..=STOP_MS_MAX).contains(&passed) {
            passed
        } else {
            0
        }
    }

    fn is_ordered(&self) -> bool {
        self.sealed.iter().all(|sealed| sealed.base < sealed.end)
            && self
                .sealed
                .windows(2)
                .all(|pair| pair[0].end <= pair[1].base)
            && self
                .epochs
                .windows(2)
                .all(|pair| pair[0] < pair[1] && pair[0].1 <= pair[1].1)
    }
}

impl RecoveryPoint {
    /// Puts the point behind what `out` holds, without the producers.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_i64(self.segment.0);
        out.put_i64(self.offset.0);
        out.put_u64(self.position.0);
        out.put_u32(self.sum);
        out.put_u64(self.batches);
        out.put_i64(self.max_timestamp);
        out.put_i64(self.start.0);
        out.put_i64(self.producers_from.0);
        put_epochs(out, &self.epochs);
    }

    /// Takes a point off the front of `bytes`; `None` if it is malformed.
    pub fn decode(bytes: &mut Bytes) -> Option<Self> {
        Some(Self {
            segment: Offset(bytes.try_get_i64().ok()?),
            offset: Offset(bytes.try_get_i64().ok()?),
            position: Position(bytes.try_get_u64().ok()?),
            sum: bytes.try_get_u32().ok()?,
            batches: bytes.try_get_u64().ok()?,
            max_timestamp: bytes.try_get_i64().ok()?,
            start: Offset(bytes.try_get_i64().ok()?),
            producers_from: Offset(bytes.try_get_i64().ok()?),
            epochs: take_epochs(bytes)?,
            moved: None,
        })
    }
}

impl MovedProducers {
    /// Puts the windows behind what `out` holds.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_i64(self.since.0);
        put_count(out, self.windows.len());
        out.put_slice(&self.windows);
    }

    /// Takes windows off the front of `bytes`; `None` if they are cut off.
    pub fn decode(bytes: &mut Bytes) -> Option<Self> {
        let since = Offset(bytes.try_get_i64().ok()?);
        let length = take_count(bytes, 1)?;
        let windows = bytes.split_to(length);
        Some(Self { since, windows })
    }
}

fn put_count(out: &mut BytesMut, count: usize) {
    out.put_u32(u32::try_from(count).expect("a log has fewer than 2^32 segments"));
}

/// A count whose items of `item_bytes` all fit into what is there.
fn take_count(bytes: &mut Bytes, item_bytes: usize) -> Option<usize> {
    let count = bytes.try_get_u32().ok()? as usize;
    (count.checked_mul(item_bytes)? <= bytes.len()).then_some(count)
}

fn take_flag(bytes: &mut Bytes) -> Option<bool> {
    match bytes.try_get_u8().ok()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn put_epochs(out: &mut BytesMut, epochs: &[(LeaderEpoch, Offset)]) {
    put_count(out, epochs.len());
    for (epoch, start) in epochs {
        out.put_i32(epoch.0);
        out.put_i64(start.0);
    }
}

fn take_epochs(bytes: &mut Bytes) -> Option<Vec<(LeaderEpoch, Offset)>> {
    let count = take_count(bytes, EPOCH_BYTES)?;
    let mut epochs = Vec::with_capacity(count);
    for _ in 0..count {
        let epoch = LeaderEpoch(bytes.try_get_i32().ok()?);
        epochs.push((epoch, Offset(bytes.try_get_i64().ok()?)));
    }
    Some(epochs)
}

const CHECKPOINT_MAGIC: &[u8; 8] = b"HWCHECK\0";
const VERSION: u32 = VERSION_WITH_OWNER;
const VERSION_WITH_HOLES: u32 = 2;
const VERSION_WITH_OWNER: u32 = 3;
/// The longest stop over which the wall clock is believed: 30 days.
const STOP_MS_MAX: i64 = 30 * 24 * 60 * 60 * 1000;
const EPOCH_BYTES: usize = 12;
const SEALED_BYTES: usize = 52;
const DAMAGE_BYTES: usize = 40;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWNER: LogId = LogId {
        topic: [3; 16],
        partition: 7,
    };

    fn sealed_infos() -> impl Strategy<Value = Vec<SealedInfo>> {
        prop::collection::vec((1..50_i64, any::<u64>(), any::<i64>(), any::<u32>()), 0..6).prop_map(
            |lengths| {
                let mut base = Offset(7);
                let mut infos = Vec::new();
                for (records, bytes, time, sum) in lengths {
                    let end = base.plus(records);
                    infos.push(SealedInfo {
                        base,
                        end,
                        bytes,
                        batches: bytes / 2,
                        max_timestamp: time,
                        last_append_ms: time / 2,
                        sum,
                    });
                    base = end;
                }
                infos
            },
        )
    }

    fn epochs() -> impl Strategy<Value = Vec<(LeaderEpoch, Offset)>> {
        prop::collection::btree_map(0..100_i32, 0..1_i64, 0..5).prop_map(|map| {
            map.into_keys()
                .map(|epoch| (LeaderEpoch(epoch), Offset(i64::from(epoch))))
                .collect()
        })
    }

    fn point(numbers: [i64; 4], epochs: Vec<(LeaderEpoch, Offset)>) -> RecoveryPoint {
        let [segment, offset, start, producers_from] = numbers.map(Offset);
        RecoveryPoint {
            segment,
            offset,
            position: Position(offset.0.unsigned_abs()),
            sum: 9,
            batches: 3,
            max_timestamp: i64::MIN,
            start,
            producers_from,
            epochs,
            moved: None,
        }
    }

    proptest! {
        #[test]
        fn checkpoint_round_trip(
            times in any::<[i64; 4]>(), epochs in epochs(), sealed in sealed_infos(),
            damaged in prop::collection::vec(any::<([i64; 5], bool)>(), 0..3),
        ) {
            let damage = damaged.into_iter().map(|([a, b, c, d, e], is_hole)| Damage {
                segment: Offset(a),
                position: Position(b.unsigned_abs()),
                position_end: Position(c.unsigned_abs()),
                first: Offset(d),
                end: Offset(e),
                is_hole,
            });
            let checkpoint = LogCheckpoint {
                written_ms: times[0],
                active_since_ms: times[1],
                active_last_append_ms: times[2],
                start: Offset(times[3]),
                epochs,
                sealed,
                damage: damage.collect(),
            };
            let bytes = checkpoint.encode(OWNER);
            let other = LogId { partition: 8, ..OWNER };
            let foreign = LogCheckpoint::decode(bytes.clone(), Some(other));
            prop_assert_eq!(foreign, Err(EnvelopeError::Foreign));
            prop_assert_eq!(LogCheckpoint::decode(bytes, Some(OWNER)), Ok(checkpoint));
        }

        #[test]
        fn recovery_points_follow_one_another(
            first in any::<[i64; 4]>(), second in any::<[i64; 4]>(), epochs in epochs(),
        ) {
            let (first, second) = (point(first, epochs), point(second, Vec::new()));
            let mut bytes = BytesMut::new();
            first.encode(&mut bytes);
            second.encode(&mut bytes);
            let whole = bytes.freeze();
            let mut bytes = whole.clone();
            prop_assert_eq!(RecoveryPoint::decode(&mut bytes), Some(first));
            prop_assert_eq!(RecoveryPoint::decode(&mut bytes), Some(second));
            prop_assert!(bytes.is_empty());
            prop_assert_eq!(RecoveryPoint::decode(&mut whole.slice(..63)), None);
        }

        #[test]
        fn any_body_gives_an_answer(body in prop::collection::vec(any::<u8>(), 0..200)) {
            for version in 1..=VERSION {
                let whole = envelope::wrap(CHECKPOINT_MAGIC, version, &body);
                let _answer = LogCheckpoint::decode(whole, None);
            }
        }
    }

    #[test]
    fn a_stop_counts_only_if_it_is_plausible() {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        let written_ms = 56 * 365 * DAY_MS;
        let checkpoint = LogCheckpoint {
            written_ms,
            ..LogCheckpoint::default()
        };
        for days in [0, 3, 30] {
            assert_eq!(
                checkpoint.stop_ms(written_ms + days * DAY_MS),
                days * DAY_MS
            );
        }
        for wall_ms in [
            0,
            written_ms - 1,
            written_ms + 30 * DAY_MS + 1,
            i64::MAX,
            i64::MIN,
        ] {
            assert_eq!(checkpoint.stop_ms(wall_ms), 0);
        }
    }

    #[test]
    fn overlapping_segments_are_malformed() {
        let info = SealedInfo {
            base: Offset(0),
            end: Offset(5),
            bytes: 1,
            batches: 1,
            max_timestamp: 0,
            last_append_ms: 0,
            sum: 0,
        };
        let overlap = SealedInfo {
            base: Offset(4),
            end: Offset(9),
            ..info
        };
        let wrong = LogCheckpoint {
            sealed: vec![info, overlap],
            ..LogCheckpoint::default()
        };
        assert_eq!(
            LogCheckpoint::decode(wrong.encode(OWNER), None),
            Err(EnvelopeError::Body)
        );
    }
}
