//! What the simulated disk promises to the tests that stand on it.

use std::io::IoSlice;

use highwater_log::fs::{File, Fs as _, OpenMode};

use super::*;

const DIR: &str = "/d";
const FILE: &str = "/d/f";

/// A disk with one durable file that holds `content`.
fn disk(content: &[u8]) -> (SimFs, Arc<dyn File>) {
    let fs = SimFs::new(1);
    fs.create_dir(Path::new(DIR)).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    let file = fs.create(Path::new(FILE)).unwrap();
    fs.sync_dir(Path::new(DIR)).unwrap();
    write(&*file, 0, content).unwrap();
    file.sync().unwrap();
    assert_eq!(fs.changes(), 0);
    (fs, file)
}

fn write(file: &dyn File, position: u64, bytes: &[u8]) -> io::Result<()> {
    file.write_at(position, &[IoSlice::new(bytes)])
}

fn after(fs: &SimFs, crash: Crash, seed: u64) -> Option<Vec<u8>> {
    fs.image(crash, &mut Rng::new(seed))
        .content(Path::new(FILE))
}

#[test]
fn only_a_sync_makes_bytes_durable() {
    let (fs, file) = disk(b"old");
    write(&*file, 3, b"er").unwrap();
    assert_eq!(after(&fs, Crash::Nothing, 0).unwrap(), b"old");
    assert_eq!(after(&fs, Crash::Killed, 0).unwrap(), b"older");
    fs.sync_dir(Path::new(DIR)).unwrap();
    assert_eq!(after(&fs, Crash::Nothing, 0).unwrap(), b"old");
    file.sync().unwrap();
    assert_eq!(after(&fs, Crash::Nothing, 0).unwrap(), b"older");
}

#[test]
fn only_a_directory_sync_makes_a_name_durable() {
    let fs = SimFs::new(1);
    fs.create_dir(Path::new(DIR)).unwrap();
    let file = fs.create(Path::new(FILE)).unwrap();
    write(&*file, 0, b"x").unwrap();
    file.sync().unwrap();
    assert_eq!(after(&fs, Crash::Nothing, 0), None);
    fs.sync_dir(Path::new(DIR)).unwrap();
    assert_eq!(
        after(&fs, Crash::Nothing, 0),
        None,
        "the directory itself has no name yet"
    );
    fs.sync_dir(Path::new("/")).unwrap();
    assert_eq!(after(&fs, Crash::Nothing, 0).unwrap(), b"x");
    fs.remove(Path::new(FILE)).unwrap();
    assert_eq!(after(&fs, Crash::Nothing, 0).unwrap(), b"x");
    fs.sync_dir(Path::new(DIR)).unwrap();
    assert_eq!(after(&fs, Crash::Nothing, 0), None);
}

#[test]
fn a_rename_is_atomic_and_durable_by_its_directories() {
    let (fs, _) = disk(b"new");
    fs.create_dir(Path::new("/e")).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    fs.rename(Path::new(FILE), Path::new("/e/g")).unwrap();
    let names = |crash| fs.image(crash, &mut Rng::new(0)).files();
    assert_eq!(names(Crash::Nothing), [Path::new(FILE)]);
    assert_eq!(names(Crash::Prefix(1)), [Path::new("/e/g")]);
    fs.sync_dir(Path::new("/e")).unwrap();
    assert_eq!(names(Crash::Nothing), [Path::new(FILE), Path::new("/e/g")]);
    fs.sync_dir(Path::new(DIR)).unwrap();
    assert_eq!(names(Crash::Nothing), [Path::new("/e/g")]);
}

#[test]
fn a_prefix_keeps_the_order() {
    let (fs, file) = disk(b"");
    write(&*file, 0, b"a").unwrap();
    write(&*file, 1, b"b").unwrap();
    file.set_len(1).unwrap();
    assert_eq!(fs.changes(), 3);
    let images: Vec<_> = (0..4)
        .map(|n| after(&fs, Crash::Prefix(n), 0).unwrap())
        .collect();
    assert_eq!(images, [&b""[..], b"a", b"ab", b"a"]);
}

#[test]
fn a_subset_tears_at_sectors_only() {
    let (fs, file) = disk(&[0; 2000]);
    write(&*file, 500, &[1; 1000]).unwrap();
    // The write meets the sectors at 0, 512 and 1024.
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let image = after(&fs, Crash::Subset, seed).unwrap();
        assert_eq!(image.len(), 2000);
        let pieces = [500..512, 512..1024, 1024..1500];
        let kept = pieces.map(|piece| {
            assert!(
                image[piece.clone()]
                    .iter()
                    .all(|byte| *byte == image[piece.start])
            );
            image[piece.start] == 1
        });
        assert!(
            image[..500]
                .iter()
                .chain(&image[1500..])
                .all(|byte| *byte == 0)
        );
        seen.insert(kept);
    }
    assert_eq!(seen.len(), 8, "every subset turns up");
}

#[test]
fn a_length_arrives_without_data_and_data_without_length() {
    let (fs, file) = disk(b"1234");
    write(&*file, 2, b"abcd").unwrap();
    let images: BTreeSet<_> = (0..100)
        .map(|seed| after(&fs, Crash::Lengths, seed).unwrap())
        .collect();
    for expected in [&b"1234\0\0"[..], b"12ab", b"12abcd"] {
        assert!(images.contains(expected), "{expected:?} in {images:?}");
    }
    let kept = |image: &Vec<u8>| image.starts_with(b"12") && image.len() >= 4;
    assert!(images.iter().all(kept), "{images:?}");
}

#[test]
fn a_crash_leaves_its_call_half_done_and_refuses_the_rest() {
    let (fs, file) = disk(b"");
    fs.crash_at(fs.operations() + 1);
    write(&*file, 0, b"a").unwrap();
    assert!(!fs.is_dead());
    write(&*file, 1, b"b").expect_err("the process is dead");
    assert!(fs.is_dead());
    assert!(file.len().is_err() && fs.list(Path::new(DIR)).is_err());
    assert!(fs.create(Path::new("/d/g")).is_err());
    assert_eq!(after(&fs, Crash::Prefix(2), 0).unwrap(), b"ab");
    assert_eq!(after(&fs, Crash::Prefix(1), 0).unwrap(), b"a");
    let image = fs.image(Crash::Nothing, &mut Rng::new(0));
    assert!(!image.is_dead() && image.list(Path::new(DIR)).is_ok());
}

#[test]
fn the_nth_call_fails_once_or_from_then_on() {
    let (fs, file) = disk(b"");
    let fault = Fault {
        on: Op::Write,
        nth: 2,
        sticky: false,
        errno: Errno::NoSpace,
        after_sync: AfterFailedSync::default(),
    };
    fs.inject(fault);
    let attempts = || {
        (0..3)
            .map(|_| write(&*file, 0, b"ab").is_ok())
            .collect::<Vec<_>>()
    };
    assert_eq!(attempts(), [true, false, true]);
    fs.clear_faults();
    fs.inject(Fault {
        sticky: true,
        ..fault
    });
    assert_eq!(attempts(), [true, false, false]);
    assert_eq!(fs.fired(), 3);
}

#[test]
fn after_a_failed_sync_the_next_one_lies() {
    let outcomes = [
        (AfterFailedSync::CleanNew, &b"new"[..], &b"old"[..]),
        (AfterFailedSync::CleanOld, b"old", b"old"),
        (AfterFailedSync::Dirty, b"new", b"new"),
    ];
    for (after_sync, seen, durable) in outcomes {
        let (fs, file) = disk(b"old");
        write(&*file, 0, b"new").unwrap();
        fs.inject(Fault {
            on: Op::Sync,
            nth: 1,
            sticky: false,
            errno: Errno::Io,
            after_sync,
        });
        file.sync().expect_err("the injected failure");
        file.sync().expect("the second sync answers success");
        assert_eq!(file.read_at(0, 9).unwrap(), seen, "{after_sync:?}");
        assert_eq!(
            after(&fs, Crash::Nothing, 0).unwrap(),
            durable,
            "{after_sync:?}"
        );
        let recovered = fs.open(Path::new(FILE), OpenMode::Recover).unwrap();
        assert_eq!(recovered.read_at(0, 9).unwrap(), durable, "{after_sync:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_disk() {
    let run = || {
        let (fs, file) = disk(&[3; 900]);
        let fault = Fault {
            on: Op::Write,
            nth: 1,
            sticky: false,
            errno: Errno::Io,
            after_sync: AfterFailedSync::default(),
        };
        fs.inject(fault);
        write(&*file, 700, &[4; 900]).expect_err("the injected failure");
        (
            file.len().unwrap(),
            after(&fs, Crash::Subset, 5),
            after(&fs, Crash::Lengths, 6),
        )
    };
    assert_eq!(run(), run());
}

#[test]
fn damage_reaches_the_disk_and_the_cache() {
    let (fs, file) = disk(b"abc");
    fs.damage(Path::new(FILE), 1, 0x20);
    assert_eq!(file.read_at(0, 9).unwrap(), "aBc");
    assert_eq!(after(&fs, Crash::Nothing, 0).unwrap(), b"aBc");
}

#[test]
fn a_copy_of_a_disk_changes_alone() {
    let (fs, file) = disk(b"old");
    let copy = fs.image(Crash::Killed, &mut Rng::new(0));
    write(&*file, 0, b"new").unwrap();
    file.sync().unwrap();
    assert_eq!(copy.content(Path::new(FILE)).unwrap(), b"old");
    assert_ne!(copy.fingerprint(), fs.fingerprint());
    let again = copy.open(Path::new(FILE), OpenMode::Append).unwrap();
    write(&*again, 0, b"new").unwrap();
    again.sync().unwrap();
    assert_eq!(copy.fingerprint(), fs.fingerprint());
}

/// C4, in place: what did not arrive of a write over old bytes shows them, whole sectors of them.
#[test]
fn a_file_that_is_written_again_shows_its_last_life() {
    let (fs, file) = disk(&[1; 2048]);
    write(&*file, 0, &[2; 2048]).unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let image = after(&fs, Crash::Subset, seed).unwrap();
        assert!(image.iter().all(|byte| [1, 2].contains(byte)));
        seen.insert([0, 512, 1024, 1536].map(|at| image[at]));
    }
    for expected in [[1, 2, 1, 2], [2, 1, 1, 1], [1, 1, 1, 1]] {
        assert!(seen.contains(&expected), "{expected:?} in {seen:?}");
    }
}

/// C4, over used blocks: of a file that was removed, and of the same file's cut end; never those of
/// another directory, nor in the last block that was there.
#[test]
fn a_file_that_grows_over_used_blocks_shows_what_they_held() {
    let (fs, file) = disk(&[1; 12_288]);
    fs.create_dir(Path::new("/e")).unwrap();
    for (name, byte) in [("/d/g", 2), ("/e/h", 3)] {
        let other = fs.create(Path::new(name)).unwrap();
        write(&*other, 0, &[byte; 4096]).unwrap();
        other.sync().unwrap();
    }
    for dir in ["/", DIR, "/e"] {
        fs.sync_dir(Path::new(dir)).unwrap();
    }
    for name in ["/d/g", "/e/h"] {
        fs.remove(Path::new(name)).unwrap();
    }
    fs.sync_dir(Path::new(DIR)).unwrap();
    fs.sync_dir(Path::new("/e")).unwrap();
    file.set_len(100).unwrap();
    file.sync().unwrap();
    write(&*file, 100, &[9; 8092]).unwrap();
    let mut held = BTreeSet::new();
    for seed in 0..300 {
        let image = after(&fs, Crash::Stale, seed).unwrap();
        assert_eq!(image[..100], [1; 100]);
        let old = &image[100..image.len().min(4096)];
        assert!(old.iter().all(|byte| [0, 9].contains(byte)));
        held.extend(image.get(4096..).unwrap_or_default());
    }
    assert_eq!(held, BTreeSet::from([0, 1, 2, 9]));
    let zeros = |seed| after(&fs, Crash::Lengths, seed).unwrap()[100..].to_vec();
    assert!((0..300).flat_map(zeros).all(|byte| [0, 9].contains(&byte)));
}

/// C5: a name without its data, and synced data without its name.
#[test]
fn names_and_data_go_different_ways() {
    let (fs, _) = disk(b"old");
    let file = fs.create(Path::new("/d/new")).unwrap();
    write(&*file, 0, b"data").unwrap();
    file.sync().unwrap();
    let unsynced = fs.create(Path::new("/d/tmp")).unwrap();
    write(&*unsynced, 0, b"data").unwrap();
    fs.rename(Path::new("/d/tmp"), Path::new(FILE)).unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let image = fs.image(Crash::Names, &mut Rng::new(seed));
        let content = |path| image.content(Path::new(path));
        if let Some(bytes) = content("/d/new") {
            assert_eq!(bytes, b"data", "it was synced");
        }
        seen.insert((content("/d/new").is_some(), content(FILE)));
    }
    for is_named in [false, true] {
        for bytes in [&b"old"[..], b"", b"data"] {
            let expected = (is_named, Some(bytes.to_vec()));
            assert!(seen.contains(&expected), "{expected:?} in {seen:?}");
        }
    }
}

/// C5: two renames in either order, and each alone.
#[test]
fn two_renames_land_in_either_order() {
    let (fs, _) = disk(b"0");
    for name in ["/d/a", "/d/b"] {
        let file = fs.create(Path::new(name)).unwrap();
        write(&*file, 0, name.as_bytes()).unwrap();
        file.sync().unwrap();
    }
    fs.sync_dir(Path::new(DIR)).unwrap();
    fs.rename(Path::new("/d/a"), Path::new(FILE)).unwrap();
    fs.rename(Path::new("/d/b"), Path::new(FILE)).unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let image = fs.image(Crash::Names, &mut Rng::new(seed));
        let bytes = image.content(Path::new(FILE)).unwrap();
        seen.insert((String::from_utf8(bytes).unwrap(), image.files().len()));
    }
    let outcomes = [("0", 3), ("/d/a", 2), ("/d/a", 1), ("/d/b", 2), ("/d/b", 1)];
    let expected = outcomes.map(|(bytes, files)| (bytes.to_owned(), files));
    assert_eq!(seen, BTreeSet::from(expected));
}

#[test]
fn each_answer_is_the_kernels() {
    use io::ErrorKind;

    let kinds = Errno::ALL.map(|errno| errno.error().kind());
    let (process, system) = (Errno::FilesOfProcess.error(), Errno::FilesOfSystem.error());
    assert_eq!(
        (process.raw_os_error(), system.raw_os_error()),
        (Some(24), Some(23))
    );
    assert_eq!(kinds[0], ErrorKind::Other);
    assert_eq!(
        kinds[1..4],
        [
            ErrorKind::StorageFull,
            ErrorKind::QuotaExceeded,
            ErrorKind::ReadOnlyFilesystem,
        ]
    );
    assert_eq!(
        kinds[6..],
        [ErrorKind::Interrupted, ErrorKind::PermissionDenied]
    );
}

#[test]
fn calls_that_only_look_fail_too() {
    let (fs, file) = disk(b"abc");
    let dir = Path::new(DIR);
    let calls: [(Op, &dyn Fn() -> bool); 6] = [
        (Op::Open, &|| {
            fs.open(Path::new(FILE), OpenMode::Read).is_ok()
        }),
        (Op::Read, &|| file.read_at(0, 1).is_ok()),
        (Op::Len, &|| file.len().is_ok()),
        (Op::List, &|| fs.list(dir).is_ok()),
        (Op::FreeBytes, &|| fs.free_bytes(dir).is_ok()),
        (Op::Lock, &|| fs.lock(dir).is_ok()),
    ];
    for (on, call) in calls {
        fs.inject(Fault {
            on,
            nth: 1,
            sticky: false,
            errno: Errno::FilesOfProcess,
            after_sync: AfterFailedSync::default(),
        });
        assert_eq!([call(), call()], [false, true], "{on:?}");
    }
}

#[test]
fn a_full_disk_takes_what_fits() {
    let (fs, file) = disk(b"abc");
    fs.limit_room(5, Errno::Quota);
    assert_eq!(fs.free_bytes(Path::new(DIR)).unwrap(), 5);
    write(&*file, 0, b"ABC").expect("what is there has its room");
    let refused = write(&*file, 3, b"1234567").expect_err("two bytes too many");
    assert_eq!(refused.kind(), io::ErrorKind::QuotaExceeded);
    assert_eq!(file.read_at(0, 99).unwrap(), "ABC12345");
    fs.create(Path::new("/d/g"))
        .expect_err("no room for a name");
    fs.rename(Path::new(FILE), Path::new("/d/g"))
        .expect_err("nor for a moment");
    assert_eq!(fs.fired(), 3);
    file.set_len(1).unwrap();
    write(&*file, 1, b"1234567").expect("there is room again");
    fs.unlimit_room();
    fs.create(Path::new("/d/g")).unwrap();
}

#[test]
fn a_disk_that_lies_keeps_nothing_and_shows_it_until_the_power_fails() {
    let (fs, file) = disk(b"old");
    fs.lie_about_syncs(true);
    write(&*file, 0, b"new").unwrap();
    file.sync().unwrap();
    fs.create(Path::new("/d/g")).unwrap();
    fs.sync_dir(Path::new(DIR)).unwrap();
    let recovered = fs.open(Path::new(FILE), OpenMode::Recover).unwrap();
    assert_eq!(recovered.read_at(0, 9).unwrap(), "new");
    assert_eq!(after(&fs, Crash::Nothing, 0).unwrap(), b"old");
    fs.lie_about_syncs(false);
    file.sync().unwrap();
    assert_eq!(after(&fs, Crash::Nothing, 0).unwrap(), b"new");
}

#[test]
fn a_call_that_hangs_lets_others_go_on() {
    let (fs, file) = disk(b"old");
    let other = Arc::clone(&file);
    write(&*file, 0, b"1st").unwrap();
    fs.stall(Op::Sync, 2, move || write(&*other, 3, b"2nd").unwrap());
    file.sync().unwrap();
    assert_eq!(file.len().unwrap(), 3, "it is the second one that hangs");
    file.sync().unwrap();
    assert_eq!(after(&fs, Crash::Nothing, 0).unwrap(), b"1st2nd");
}

#[test]
fn a_write_of_others_hits_the_disk_and_the_cache_inside_the_file() {
    let (fs, file) = disk(b"abcdef");
    fs.overwrite(Path::new(FILE), 4, b"XYZ");
    fs.overwrite(Path::new(FILE), 9, b"beyond");
    assert_eq!(file.read_at(0, 9).unwrap(), "abcdXY");
    assert_eq!(after(&fs, Crash::Nothing, 0).unwrap(), b"abcdXY");
}
