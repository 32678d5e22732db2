//! The recovery points of all logs of a data directory, in one A/B pair of files.
//!
//! Floor 4 of log-core.
//!
//! Invariants
//! - A point never names bytes that were not synced before it was written.
//! - Losing the file costs a longer scan at the next start, never data.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::checkpoint::{AbFile, MovedProducers, RecoveryPoint};
use crate::error::LogError;
use crate::fs::{Fs, OpenMode};
use crate::types::{LogId, Position};

/// Where the points are kept.
#[derive(Debug)]
pub(crate) struct RecoveryPoints {
    pair: AbFile,
}

impl RecoveryPoints {
    /// Opens the pair in `dir`, whose files need not exist, and reads the newest points.
    ///
    /// # Errors
    /// The disk's; [`LogError::TooNew`] for points of a newer version; [`LogError::Corrupt`] for
    /// points whose checksum agrees and whose layout does not.
    pub(crate) fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        mode: OpenMode,
    ) -> Result<(Self, BTreeMap<LogId, RecoveryPoint>), LogError> {
        let (pair, state) = AbFile::open(fs, dir, NAME, MAGIC, VERSION, mode)?;
        let points = match state.map(decode) {
            None => BTreeMap::new(),
            Some(Some(points)) => points,
            Some(None) => {
                return Err(LogError::Corrupt {
                    file: dir.join(NAME),
                    position: Position(0),
                    why: "its checksum agrees, its layout does not".to_owned(),
                });
            }
        };
        Ok((Self { pair }, points))
    }

    /// Whether the points that were read are the last ones that were written.
    pub(crate) fn is_whole(&self) -> bool {
        self.pair.is_whole()
    }

    /// Replaces all points, durable when it returns.
    pub(crate) fn write(&mut self, points: &[(LogId, RecoveryPoint)]) -> Result<(), LogError> {
        self.pair.write(&encode(points))
    }
}

fn encode(points: &[(LogId, RecoveryPoint)]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u32(u32::try_from(points.len()).expect("a data directory has fewer than 2^32 logs"));
    for (log, point) in points {
        log.encode(&mut out);
        point.encode(&mut out);
    }
    for (number, (_, point)) in (0..).zip(points) {
        if let Some(moved) = &point.moved {
            out.put_u32(number);
            moved.encode(&mut out);
        }
    }
    out.freeze()
}

fn decode(mut bytes: Bytes) -> Option<BTreeMap<LogId, RecoveryPoint>> {
    let count = bytes.try_get_u32().ok()?;
    let (mut points, mut order) = (BTreeMap::new(), Vec::new());
    for _ in 0..count {
        let log = LogId::decode(&mut bytes)?;
        points.insert(log, RecoveryPoint::decode(&mut bytes)?);
        order.push(log);
    }
    while bytes.has_remaining() {
        let log = order.get(bytes.try_get_u32().ok()? as usize)?;
        points.get_mut(log)?.moved = Some(MovedProducers::decode(&mut bytes)?);
    }
    Some(points)
}

const NAME: &str = "recovery-points";
const MAGIC: [u8; 8] = *b"HWPOINT\0";
const VERSION: u32 = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fs::mem::MemFs;
    use crate::types::Offset;

    fn point(log: u8, offset: i64) -> (LogId, RecoveryPoint) {
        let log = LogId {
            topic: [log; 16],
            partition: u32::from(log),
        };
        (
            log,
            RecoveryPoint {
                offset: Offset(offset),
                ..RecoveryPoint::default()
            },
        )
    }

    #[test]
    fn the_points_of_the_last_write_are_read_back() {
        let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
        let dir = Path::new("/d");
        fs.create_dir(dir).unwrap();
        let open = || RecoveryPoints::open(Arc::clone(&fs), dir, OpenMode::Recover).unwrap();
        let (mut points, none) = open();
        assert!(none.is_empty());
        points.write(&[point(1, 10), point(2, 20)]).unwrap();
        points.write(&[point(2, 25), point(3, 30)]).unwrap();
        assert_eq!(open().1, BTreeMap::from([point(2, 25), point(3, 30)]));
    }

    proptest! {
        #[test]
        fn any_bytes_give_points_or_nothing(
            logs in prop::collection::btree_map(any::<u8>(), any::<i64>(), 0..5),
            cut in any::<prop::sample::Index>(),
            noise in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let points: Vec<_> = logs.into_iter().map(|(log, at)| point(log, at)).collect();
            let bytes = encode(&points);
            let back = decode(bytes.clone()).unwrap();
            prop_assert_eq!(back.into_iter().collect::<Vec<_>>(), points);
            prop_assert!(decode(bytes.slice(..cut.index(bytes.len()))).is_none());
            let _answer = decode(Bytes::from(noise));
        }
    }
}
