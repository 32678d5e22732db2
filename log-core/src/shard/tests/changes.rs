//! Logs that come, go and change.

use std::collections::BTreeSet;
use std::io;

use super::*;
use crate::fs::{Fs, OpenMode};

#[test]
fn adding_a_log_that_is_open_keeps_it_and_takes_the_configuration() {
    let rig = Rig::new();
    rig.commit(&[A]);
    let page_cache = LogConfig {
        durability: Durability::PageCache,
        ..config_of(A)
    };
    let reader = rig
        .shard
        .add_log(A, page_cache, LeaderEpoch(9), rig.now)
        .unwrap();
    assert_eq!(reader.end(), Offset(1));
    rig.enqueue(1, A, AckAt::Durable);
    rig.shard.write_once();
    assert_eq!(rig.answers.take_names(), [1]);
}

#[test]
fn every_log_on_the_disk_is_opened_and_takes_its_configuration_later() {
    let rig = Rig::new();
    rig.enqueue(1, P, AckAt::Written);
    rig.shard.write_once();
    rig.shard.close(rig.now).unwrap();
    let dir = DataDir::open(Arc::new(rig.fs.clone()), Path::new(DIR)).unwrap();
    let (shard, _) = Shard::open(dir, Vec::new(), ShardConfig::default(), rig.now).unwrap();
    assert_eq!(shard.log_ids(), [A, B, C, P]);
    let reader = shard.reader(P).unwrap();
    shard.append(P, batch(10), AckAt::Written, rig.now, |_| {});
    assert_eq!(
        reader.durable(),
        Offset(1),
        "an fsync log until it is told otherwise"
    );
    shard.set_config(P, config_of(P)).unwrap();
    assert_eq!(reader.durable(), Offset(2));
}

#[test]
fn removing_a_log_answers_who_waits_and_removes_its_topic_with_the_last_one() {
    let rig = Rig::new();
    rig.enqueue(1, A, AckAt::Durable);
    rig.shard.write_once();
    rig.shard.remove_log(A).unwrap();
    rig.shard.sync_once();
    assert_eq!(rig.answers.take_names(), [1]);
    let topic = format!("logs/{}", A.topic_dir());
    assert_eq!(rig.names(&topic), ["1"]);
    rig.enqueue(2, A, AckAt::Durable);
    rig.shard.write_once();
    assert_eq!(rig.answers.take(), [(2, Err(LogError::Closed.to_string()))]);
    rig.shard.remove_log(B).unwrap();
    assert!(!rig.names("logs").contains(&A.topic_dir()));
    rig.shard.remove_log(B).unwrap();
}

#[test]
fn removing_that_failed_half_way_goes_on_when_it_is_asked_again() {
    let rig = Rig::new();
    rig.commit(&[C]);
    let mut left = 2;
    rig.fs.set_hook(move |op, _| {
        if op == Op::Remove {
            left -= 1;
        }
        if left < 0 {
            Err(io::ErrorKind::Other.into())
        } else {
            Ok(())
        }
    });
    assert!(rig.shard.remove_log(C).is_err());
    rig.fs.clear_hook();
    assert!(rig.shard.reader(C).is_none());
    assert!(rig.names("logs").contains(&C.topic_dir()));
    rig.shard.remove_log(C).unwrap();
    assert!(!rig.names("logs").contains(&C.topic_dir()));
}

#[test]
fn what_nobody_claims_is_moved_aside_and_kept() {
    let rig = Rig::new();
    rig.commit(&[A, B, C]);
    let moved = rig.shard.move_aside(&BTreeSet::from([A, P])).unwrap();
    let expected = [
        PathBuf::from(format!("lost+found/{}-1", A.topic_dir())),
        PathBuf::from(format!("lost+found/{}", C.topic_dir())),
    ];
    assert_eq!(moved, expected);
    assert_eq!(rig.shard.log_ids(), [A, P]);
    let kept = rig.names(&format!("lost+found/{}/0", C.topic_dir()));
    assert!(
        kept.contains(&"00000000000000000000.log".to_owned()),
        "{kept:?}"
    );
    assert!(
        rig.shard
            .move_aside(&BTreeSet::from([A, P]))
            .unwrap()
            .is_empty()
    );
    let rig = rig.cut_power();
    assert_eq!(rig.shard.log_ids(), [A, P]);
    assert_eq!(rig.readable(A), 1);
}

#[test]
fn epochs_are_raised_everywhere_and_only_once() {
    let rig = Rig::new();
    rig.commit(&[A]);
    rig.shard.raise_epochs(LeaderEpoch(3)).unwrap();
    rig.shard.raise_epochs(LeaderEpoch(3)).unwrap();
    rig.commit(&[A]);
    let reader = rig.shard.reader(A).unwrap();
    assert_eq!(reader.current_epoch(), LeaderEpoch(3));
    assert_eq!(reader.epoch_end(0), (0, Offset(1)));
    assert_eq!(reader.epoch_at(Offset(1)), Some(LeaderEpoch(3)));
}

/// Only the journal could give back what a start takes for damage: here is none.
fn without_journal() -> Rig {
    Rig::with(ShardConfig {
        journal_bytes: 0,
        ..ShardConfig::default()
    })
}

#[test]
fn an_epoch_is_on_the_disk_before_anything_is_appended_under_it() {
    let rig = without_journal();
    rig.shard.raise_epochs(LeaderEpoch(3)).unwrap();
    let made = LogId { partition: 7, ..A };
    let config = config_of(made);
    let added = rig.shard.add_log(made, config, LeaderEpoch(3), rig.now);
    added.unwrap();
    rig.commit(&[A, made]);
    rig.commit(&[A]);
    let rig = rig.cut_power();
    for (log, count) in [(A, 2), (made, 1)] {
        assert_eq!(rig.readable(log), count);
        let reader = rig.shard.reader(log).unwrap();
        assert_eq!(reader.epoch_at(Offset(0)), Some(LeaderEpoch(3)));
        assert_eq!(reader.current_epoch(), LeaderEpoch(3));
    }
}

#[test]
fn an_epoch_of_which_a_damaged_point_knew_is_believed() {
    for slot in ["a", "b"] {
        let rig = without_journal();
        rig.shard.raise_epochs(LeaderEpoch(3)).unwrap();
        rig.commit(&[A]);
        let points = path(&format!("recovery-points.{slot}"));
        let file = rig.fs.open(&points, OpenMode::Append).unwrap();
        file.write_at(30, &[io::IoSlice::new(b"?")]).unwrap();
        file.sync().unwrap();
        let rig = rig.cut_power();
        assert_eq!(rig.readable(A), 1, "{slot} is damaged");
    }
}

#[test]
fn retention_is_asked_of_every_log() {
    let rig = Rig::new();
    let short = LogConfig {
        retention_ms: Some(1000),
        ..config_of(A)
    };
    rig.shard.set_config(A, short).unwrap();
    rig.commit(&[A, B]);
    let later = at(90_000_000_000);
    let retired = rig.shard.apply_retention(later).unwrap();
    let gone: Vec<_> = retired
        .iter()
        .filter(|(_, retired)| retired.segments > 0)
        .map(|(id, _)| *id)
        .collect();
    assert!(gone.contains(&A), "{retired:?}");
    assert_eq!(rig.shard.reader(A).unwrap().start(), Offset(1));
}
