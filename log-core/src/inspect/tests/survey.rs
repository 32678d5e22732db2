//! What the small files say, without a look at the segments.

use super::*;
use crate::checkpoint::{Damage, LogCheckpoint, replace};

fn surveyed(fs: &MemFs) -> Survey {
    let fs: Arc<dyn Fs> = Arc::new(fs.clone());
    survey(&fs, Path::new(ROOT)).unwrap()
}

#[test]
fn a_closed_directory_is_surveyed_and_stays_as_it_is() {
    let fs = closed();
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    image(&fs, Path::new(ROOT), &mut before);
    let found = surveyed(&fs);
    image(&fs, Path::new(ROOT), &mut after);
    assert!(before == after, "something was changed");
    assert_eq!((found.topics, found.logs, found.points), (1, 2, 2));
    assert!(found.was_closed && found.are_points_whole, "{found:?}");
    let newest = 1_700_000_000_000 + BATCHES - 1;
    assert_eq!(found.newest_record_ms, Some(newest));
    assert_eq!(found.newest_note_ms, Some(0), "this disk's clock stands");
    let nothing = Survey {
        topics: found.topics,
        logs: found.logs,
        points: found.points,
        was_closed: true,
        are_points_whole: true,
        newest_record_ms: found.newest_record_ms,
        newest_note_ms: found.newest_note_ms,
        journal_commits: found.journal_commits,
        ..Survey::default()
    };
    assert_eq!(found, nothing);
}

#[test]
fn what_a_crash_and_a_damaged_disk_leave_is_surveyed() {
    let (fs, shard) = written();
    let used: Arc<dyn Fs> = Arc::new(fs.clone());
    let locked = survey(&used, Path::new(ROOT));
    assert!(matches!(locked, Err(LogError::Locked { .. })), "{locked:?}");
    shard.abandon();
    assert!(!surveyed(&fs).was_closed);

    // Closed once, and then not.
    let fs = closed();
    open(&fs).abandon();
    let found = surveyed(&fs);
    assert_eq!((found.was_closed, found.points), (false, 2));

    let fs = closed();
    let root = Path::new(ROOT);
    flip(&fs, &PathBuf::from(dir_of(A)).join("checkpoint"), 25);
    flip(&fs, &root.join("VERSION"), 25);
    for (folder, name) in [("quarantine", "a.cut"), ("lost+found", "b")] {
        fs.create_dir(&root.join(folder)).unwrap();
        fs.create(&root.join(folder).join(name)).unwrap();
    }
    let found = surveyed(&fs);
    assert_eq!(found.checkpoints_damaged, 1);
    assert!(found.version_damage.is_some());
    assert_eq!(found.quarantined, ["a.cut"]);
    assert_eq!(found.lost, ["b"]);
}

#[test]
fn ranges_that_are_damaged_and_given_up_are_counted() {
    let fs = closed();
    let path = PathBuf::from(dir_of(A)).join("checkpoint");
    let file = fs.open(&path, OpenMode::Read).unwrap();
    let bytes = file.read_at(0, usize::try_from(file.len().unwrap()).unwrap());
    let mut checkpoint = LogCheckpoint::decode(bytes.unwrap(), Some(A)).unwrap();
    let range = |is_hole| Damage {
        segment: checkpoint.sealed[0].base,
        position: Position(if is_hole { 0 } else { 1000 }),
        position_end: Position(if is_hole { 500 } else { 1500 }),
        first: Offset(if is_hole { 0 } else { 10 }),
        end: Offset(if is_hole { 5 } else { 15 }),
        is_hole,
    };
    let damage = vec![range(true), range(false)];
    checkpoint.damage = damage;
    let dir = PathBuf::from(dir_of(A));
    replace(&fs, &dir, "checkpoint", &checkpoint.encode(A)).unwrap();
    let found = surveyed(&fs);
    assert_eq!((found.damaged_ranges, found.given_up_ranges), (1, 1));
}
