//! Repairs of whole data directories.

use super::*;
use crate::reader::{Minimum, UpTo};

fn findings(fs: &MemFs) -> Vec<Finding> {
    look(fs, ROOT).unwrap().1
}

/// Repairs; answers what was given up, which must be what was announced.
fn repair(fs: &MemFs) -> Vec<Loss> {
    let (now, found) = (Now::default(), findings(fs));
    let disk: Arc<dyn Fs> = Arc::new(fs.clone());
    let mut repair = Repair::begin(&disk, Path::new(ROOT), &found, now).unwrap();
    for id in repair.shard().log_ids() {
        repair.give_up(id, now).unwrap();
    }
    let losses = repair.losses().to_vec();
    repair.finish(now).unwrap();
    let announced: Vec<_> = found.iter().filter_map(Loss::of).collect();
    assert_eq!(places(&losses), places(&announced));
    losses
}

/// Where something was lost, in order; gaps that lie one behind another as one.
fn places(losses: &[Loss]) -> Vec<(Option<LogId>, Offset, Offset)> {
    let mut places: Vec<_> = losses
        .iter()
        .filter_map(|loss| Some((loss.log, loss.offsets?.0, loss.offsets?.1)))
        .collect();
    places.sort_unstable();
    places
}

/// The offsets that a reader gets, by log.
fn readable(fs: &MemFs) -> BTreeMap<LogId, Vec<i64>> {
    let shard = open(fs);
    let mut all = BTreeMap::new();
    for id in [A, B] {
        let reader = shard.reader(id).unwrap();
        let mut next = reader.start();
        let mut offsets = Vec::new();
        while next < reader.end() {
            let slice = reader.read(next, 1, UpTo::End, Minimum::OneBatch).unwrap();
            offsets.extend(slice.first_offset.0..slice.next_offset.0);
            assert!(slice.next_offset > next);
            next = slice.next_offset;
        }
        all.insert(id, offsets);
    }
    shard.abandon();
    all
}

/// The `.log` files, but for those that are empty, which come and go.
fn segments(fs: &MemFs) -> BTreeMap<PathBuf, bytes::Bytes> {
    let mut all = BTreeMap::new();
    image(fs, Path::new(ROOT), &mut all);
    all.into_iter()
        .filter_map(|(path, bytes)| Some((path, bytes?)))
        .filter(|(path, bytes)| path.extension().is_some_and(|e| e == "log") && !bytes.is_empty())
        .collect()
}

#[test]
fn a_repair_gives_up_what_is_damaged_and_nothing_else() {
    for slot in 0..3 {
        for position in [0, 3, 9, 16, 17, 30, 62, 100] {
            let fs = closed();
            let paths = files(&fs, A, ".log");
            let path = [&paths[0], &paths[1], paths.last().unwrap()][slot];
            flip(&fs, path, position);
            let before = segments(&fs);
            let losses = repair(&fs);
            let context = format!("segment {slot}, byte {position}: {losses:?}");
            assert_eq!(losses.len(), 1, "{context}");
            assert_eq!(losses[0].log, Some(A), "{context}");
            assert_eq!(losses[0].records_max(), 1, "{context}");
            assert_eq!(segments(&fs), before, "{context}: no byte of a log changes");
            let copy = fs
                .open(losses[0].copy.as_ref().unwrap(), OpenMode::Read)
                .unwrap();
            let (at, bytes) = (losses[0].position.unwrap().0, losses[0].bytes);
            let was = before[path].slice(usize::try_from(at).unwrap()..);
            let copied = copy.read_at(0, usize::try_from(bytes).unwrap()).unwrap();
            assert_eq!(copied, was[..copied.len()], "{context}");
            let (verified, found) = look(&fs, ROOT).unwrap();
            assert_eq!((found, verified.holes), (vec![], 1), "{context}");
            let lost = losses[0].offsets.unwrap().0.0;
            let read = readable(&fs);
            assert_eq!(read[&B], (0..BATCHES).collect::<Vec<_>>(), "{context}");
            let rest = (0..BATCHES).filter(|offset| *offset != lost);
            assert_eq!(read[&A], rest.collect::<Vec<_>>(), "{context}");
        }
    }
}

#[test]
fn segments_that_are_gone_or_short_become_holes() {
    for slot in 0..3 {
        for is_gone in [true, false] {
            let fs = closed();
            let paths = files(&fs, A, ".log");
            let path = [&paths[0], &paths[1], paths.last().unwrap()][slot];
            match is_gone {
                true => fs.remove(path).unwrap(),
                false => cut(&fs, path, 100),
            }
            let losses = repair(&fs);
            assert!(!losses.is_empty(), "{slot} {is_gone}");
            assert_eq!(findings(&fs), [], "{slot} {is_gone}");
            let lost: u64 = losses.iter().map(Loss::records_max).sum();
            let read = readable(&fs)[&A].len() as u64;
            let all = BATCHES.unsigned_abs();
            assert_eq!(read + lost, all, "{slot} {is_gone}: {losses:?}");
            // Offsets go on behind what is lost.
            let shard = open(&fs);
            let appended = shard.append_wait(A, batch(0), AckAt::Durable, Now::default());
            assert_eq!(appended.unwrap().base_offset, Offset(BATCHES));
        }
    }
}

#[test]
fn where_nothing_is_wrong_a_repair_changes_no_log() {
    let fs = closed();
    let before = segments(&fs);
    assert_eq!(repair(&fs), []);
    assert_eq!(segments(&fs), before);
    assert_eq!(findings(&fs), []);
}

#[test]
fn a_version_that_is_missing_or_damaged_is_made_anew() {
    let version = PathBuf::from(ROOT).join(VERSION);
    for is_gone in [true, false] {
        let fs = closed();
        let was = fs
            .open(&version, OpenMode::Read)
            .unwrap()
            .read_at(0, 100)
            .unwrap();
        match is_gone {
            true => fs.remove(&version).unwrap(),
            false => flip(&fs, &version, 21),
        }
        let found = findings(&fs);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].kind, FindingKind::Version);
        let losses = repair(&fs);
        assert_eq!(losses[0].copy.is_some(), !is_gone);
        assert_eq!(losses[0].records_max(), 0);
        let now = fs
            .open(&version, OpenMode::Read)
            .unwrap()
            .read_at(0, 100)
            .unwrap();
        assert_eq!(now, was);
        assert_eq!(readable(&fs)[&A].len() as i64, BATCHES);
    }
}

#[test]
fn a_running_broker_and_what_is_no_data_directory_are_refused() {
    let (fs, shard) = written();
    let disk: Arc<dyn Fs> = Arc::new(fs.clone());
    let refused = Repair::begin(&disk, Path::new(ROOT), &[], Now::default());
    assert!(matches!(refused.unwrap_err(), LogError::Locked { .. }));
    shard.close(Now::default()).unwrap();
    fs.create_dir(Path::new("/else")).unwrap();
    let disk: Arc<dyn Fs> = Arc::new(fs);
    assert!(verify(&disk, Path::new("/else"), &mut |_| {}).is_err());
}

#[test]
fn a_bad_tail_is_kept_before_it_is_cut_off() {
    let (fs, shard) = written();
    shard.abandon();
    let path = files(&fs, A, ".log").pop().unwrap();
    flip(&fs, &path, 80);
    let was = fs
        .open(&path, OpenMode::Read)
        .unwrap()
        .read_at(0, 1 << 20)
        .unwrap();
    let losses = repair(&fs);
    assert_eq!(losses.len(), 1, "{losses:?}");
    assert_eq!(losses[0].kind, FindingKind::CorruptTail);
    let copy = fs
        .open(losses[0].copy.as_ref().unwrap(), OpenMode::Read)
        .unwrap();
    assert_eq!(copy.read_at(0, 1 << 20).unwrap(), was);
    assert_eq!(findings(&fs), []);
}
