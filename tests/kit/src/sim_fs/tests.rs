//! What the simulated disk promises to the tests that stand on it.

use std::io::IoSlice;

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
