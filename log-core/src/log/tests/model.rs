//! Random histories: whatever happens to a log, reads, searches and epochs are those of a list.
//!
//! Floor 6 of log-core: tests.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Batches of records, by their timestamps.
    Append {
        batches: Vec<Vec<i64>>,
        value_bytes: usize,
        codec: Codec,
    },
    Roll,
    Sync,
    /// Deletes a part of what is there, in percent.
    Delete(i64),
    RaiseEpoch,
    Clean,
    /// A stop without a close; the recovery point is the newest one or an older one.
    Unclean {
        with_point: bool,
    },
    /// The caches are gone, too.
    LoseCaches,
    LoseCheckpoint,
}

fn step() -> impl Strategy<Value = Step> {
    let timestamps = prop::collection::vec(0..60_i64, 1..5);
    let codec = prop::sample::select(vec![Codec::None, Codec::Lz4, Codec::Gzip]);
    prop_oneof![
        6 => (prop::collection::vec(timestamps, 1..6), 0..250_usize, codec).prop_map(
            |(batches, value_bytes, codec)| Step::Append { batches, value_bytes, codec }
        ),
        1 => Just(Step::Roll),
        1 => Just(Step::Sync),
        1 => (0..=100_i64).prop_map(Step::Delete),
        1 => Just(Step::RaiseEpoch),
        1 => Just(Step::Clean),
        1 => any::<bool>().prop_map(|with_point| Step::Unclean { with_point }),
        1 => Just(Step::LoseCaches),
        1 => Just(Step::LoseCheckpoint),
    ]
}

/// A rig and the epochs that were raised.
struct History {
    rig: Rig,
    point: RecoveryPoint,
    epochs: Vec<(i32, i64)>,
}

impl History {
    fn take(&mut self, step: Step) {
        let rig = &mut self.rig;
        match step {
            Step::Append {
                batches,
                value_bytes,
                codec,
            } => {
                let batches: Vec<_> = batches
                    .iter()
                    .map(|times| batch(times, value_bytes, codec))
                    .collect();
                rig.append(&batches);
            }
            Step::Roll => rig.log.roll(rig.now).unwrap(),
            Step::Sync => self.point = rig.sync(),
            Step::Delete(percent) => {
                let before = rig.start + (rig.end() - rig.start) * percent / 100;
                let start = rig.log.delete_records(Offset(before), rig.now).unwrap();
                assert_eq!(start, Offset(before));
                rig.start = before;
            }
            Step::RaiseEpoch => {
                let epoch = self.epochs.last().unwrap().0 + 1;
                rig.log.raise_epoch(LeaderEpoch(epoch));
                self.epochs.push((epoch, rig.end()));
            }
            Step::Clean => {
                assert_eq!(rig.close_and_reopen(), Recovered::default());
                self.point = rig.log.recovery_point();
            }
            Step::Unclean { with_point } => self.crash(with_point),
            Step::LoseCaches => {
                for name in rig.names() {
                    if name.contains("index") || name.contains("producers") {
                        rig.fs.remove(&Path::new(DIR).join(name)).unwrap();
                    }
                }
                self.crash(true);
            }
            Step::LoseCheckpoint => {
                self.point = rig.sync();
                rig.fs.remove(&Path::new(DIR).join("checkpoint")).unwrap();
                self.crash(true);
                // An epoch without a batch stood in the checkpoint only; the broker, which counts
                // them, raises it again.
                let (epoch, _) = *self.epochs.last().unwrap();
                self.rig.log.raise_epoch(LeaderEpoch(epoch));
            }
        }
    }

    fn crash(&mut self, with_point: bool) {
        let rig = &mut self.rig;
        // Epochs that began since the last point come from the broker again.
        self.point = if with_point {
            rig.log.recovery_point()
        } else {
            self.point.clone()
        };
        self.point.epochs = rig.log.recovery_point().epochs;
        let report = rig.reopen(Some(self.point.clone()), false);
        assert_eq!((report.torn_bytes, report.quarantined), (0, Vec::new()));
        self.point = rig.log.recovery_point();
    }

    fn check_times(&self) {
        let reader = self.rig.log.reader();
        let records: Vec<(i64, i64, i32)> = self
            .rig
            .readable()
            .flat_map(|kept| kept.records.iter().map(|(o, t)| (*o, *t, kept.epoch)))
            .filter(|(offset, ..)| *offset >= self.rig.start)
            .collect();
        let hit = |(offset, timestamp, epoch): &(i64, i64, i32)| TimeHit {
            offset: Offset(*offset),
            timestamp: *timestamp,
            epoch: LeaderEpoch(*epoch),
        };
        for asked in 0..62 {
            let linear = records
                .iter()
                .find(|(_, timestamp, _)| *timestamp >= asked)
                .map(hit);
            assert_eq!(reader.find_time(asked).unwrap(), linear, "time {asked}");
        }
        let largest = records.iter().map(|(_, timestamp, _)| *timestamp).max();
        let first = records
            .iter()
            .find(|(_, timestamp, _)| Some(*timestamp) == largest)
            .map(hit);
        assert_eq!(reader.max_timestamp().unwrap(), first);
    }

    fn check_epochs(&self) {
        let reader = self.rig.log.reader();
        assert_eq!(reader.current_epoch().0, self.epochs.last().unwrap().0);
        for kept in self.rig.readable() {
            let offset = kept.base.max(self.rig.start);
            assert_eq!(
                reader.epoch_at(Offset(offset)),
                Some(LeaderEpoch(kept.epoch))
            );
        }
        let current = self.epochs.last().unwrap().0;
        assert_eq!(reader.epoch_end(current), (current, Offset(self.rig.end())));
        assert_eq!(reader.epoch_end(current + 1), (-1, Offset(-1)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn a_log_is_a_list(
        steps in prop::collection::vec(step(), 1..18),
        verify in prop::sample::select(vec![Verify::First, Verify::Always, Verify::Never]),
        segment_bytes in 600..3000_u64, index_interval_bytes in 1..900_u32,
    ) {
        let config = LogConfig {
            segment_bytes: segment_bytes.max(1600),
            index_interval_bytes,
            fetch_verify: verify,
            ..small()
        };
        let rig = Rig::new(config);
        let point = rig.log.recovery_point();
        let mut history = History { rig, point, epochs: vec![(0, 0)] };
        for step in steps {
            history.take(step);
            history.rig.check();
            history.check_times();
            history.check_epochs();
        }
    }
}

#[test]
fn a_fsync_log_shows_nothing_above_its_durable_mark() {
    let mut rig = Rig::new(LogConfig {
        durability: Durability::Fsync,
        ..small()
    });
    rig.append_simple(2, 50);
    let target = rig.log.sync_target();
    rig.append_simple(2, 50);
    let reader = rig.log.reader();
    let read = |up_to| {
        reader
            .read(Offset(0), 1 << 20, up_to, Minimum::OneBatch)
            .unwrap()
    };
    assert!(read(UpTo::Durable).is_empty());
    assert_eq!(read(UpTo::End).next_offset, Offset(4));
    assert_eq!(reader.find_time(0).unwrap(), None);
    target.sync().unwrap();
    rig.log.marks().advance_durable(target.end());
    assert_eq!(
        read(UpTo::Durable).next_offset,
        Offset(2),
        "marks were captured before the sync"
    );
    assert_eq!(rig.log.recovery_point().offset, Offset(2));
}

#[test]
fn a_reader_outlives_the_log_and_its_files() {
    let mut rig = Rig::new(small());
    rig.append_simple(12, 300);
    let reader = rig.log.reader();
    let before = reader
        .read(Offset(0), 1 << 20, UpTo::Durable, Minimum::OneBatch)
        .unwrap();
    rig.log.destroy().unwrap();
    assert_eq!(rig.fs.list(Path::new("/logs/t")).unwrap(), [""; 0]);
    assert_eq!(before.next_offset, Offset(12));
    assert_eq!(before.parts.concat().len(), before.bytes);
}
