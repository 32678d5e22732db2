//! The data directory on a disk in memory: what opens it, what does not, and what belongs to whom.
//!
//! Floor 5 of log-core.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};

use super::*;
use crate::fs::mem::MemFs;
use crate::fs::{DirLock, File};

const ROOT: &str = "/deep/er/data";

fn open(fs: &MemFs) -> Result<DataDir, LogError> {
    DataDir::open(Arc::new(fs.clone()), Path::new(ROOT))
}

fn write(fs: &MemFs, name: &str, bytes: &[u8]) {
    let path = Path::new(ROOT).join(name);
    let _it_may_be_missing = fs.remove(&path);
    fs.create(&path)
        .unwrap()
        .write_at(0, &[IoSlice::new(bytes)])
        .unwrap();
}

fn id(topic: u8, partition: u32) -> LogId {
    LogId {
        topic: [topic; 16],
        partition,
    }
}

/// A directory that looks like a log's.
fn make_log(fs: &MemFs, id: LogId) {
    let topic = Path::new(ROOT).join(LOGS).join(id.topic_dir());
    fs.create_dir(&topic).unwrap();
    fs.create_dir(&topic.join(id.partition.to_string()))
        .unwrap();
}

#[test]
fn a_new_directory_is_made_with_those_above_it() {
    let fs = MemFs::new();
    let dir = open(&fs).unwrap();
    assert!(dir.is_new() && !dir.is_clean());
    assert_eq!(dir.logs().unwrap(), []);
    let mut names = fs.list(Path::new(ROOT)).unwrap();
    names.sort();
    assert_eq!(names, ["LOCK", "VERSION", "logs"]);
    drop(dir);
    assert!(!open(&fs).unwrap().is_new());
}

#[test]
fn a_second_handle_is_refused_in_one_sentence() {
    let fs = MemFs::new();
    let _held = open(&fs).unwrap();
    let error = open(&fs).unwrap_err();
    assert!(matches!(error, LogError::Locked { .. }));
    assert_eq!(
        error.to_string(),
        "the data directory /deep/er/data is in use: this process holds its lock"
    );
}

#[test]
fn a_newer_format_is_refused_and_an_unknown_compatible_feature_is_kept() {
    let fs = MemFs::new();
    drop(open(&fs).unwrap());
    for newer in [
        Features {
            incompatible: OURS.incompatible | 1 << 9,
            ..OURS
        },
        Features {
            read_only: 1 << 9,
            ..OURS
        },
    ] {
        write(&fs, VERSION, &newer.encode());
        let error = open(&fs).unwrap_err();
        assert!(matches!(error, LogError::TooNew { .. }), "{error}");
        assert!(
            error
                .to_string()
                .contains("needs a newer version of Highwater"),
            "{error}"
        );
        let looker: Arc<dyn Fs> = Arc::new(fs.clone());
        let may_look = newer.incompatible == OURS.incompatible;
        assert_eq!(Peek::new(&looker, Path::new(ROOT)).is_ok(), may_look);
    }
    let ours = OURS.encode();
    let body = &ours[crate::envelope::ENVELOPE_BYTES..];
    write(&fs, VERSION, &crate::envelope::wrap(b"HWVERSN\0", 2, body));
    assert!(matches!(open(&fs), Err(LogError::TooNew { .. })));

    let tolerated = Features {
        compatible: 1 << 9,
        ..OURS
    };
    write(&fs, VERSION, &tolerated.encode());
    drop(open(&fs).unwrap());
    let file = fs
        .open(&Path::new(ROOT).join(VERSION), OpenMode::Read)
        .unwrap();
    assert_eq!(
        Features::decode(file.read_at(0, 100).unwrap()),
        Ok(tolerated)
    );
}

#[test]
fn an_older_format_is_marked_before_it_is_written_to() {
    let fs = MemFs::new();
    drop(open(&fs).unwrap());
    write(&fs, VERSION, &Features::default().encode());
    drop(open(&fs).unwrap());
    let file = fs
        .open(&Path::new(ROOT).join(VERSION), OpenMode::Read)
        .unwrap();
    assert_eq!(Features::decode(file.read_at(0, 100).unwrap()), Ok(OURS));
}

#[test]
fn logs_without_a_version_are_not_taken_for_new() {
    let fs = MemFs::new();
    drop(open(&fs).unwrap());
    let version = Path::new(ROOT).join(VERSION);
    fs.remove(&version).unwrap();
    let error = open(&fs).unwrap_err();
    assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
    write(&fs, VERSION, b"garbage that is not a version");
    assert!(matches!(open(&fs), Err(LogError::Corrupt { .. })));
}

#[test]
fn the_mark_of_a_clean_stop_is_read_once_and_damage_is_no_mark() {
    let fs = MemFs::new();
    let ends = BTreeMap::from([(id(1, 0), Offset(7))]);
    open(&fs).unwrap().mark_clean(&ends).unwrap();
    let dir = open(&fs).unwrap();
    assert!(dir.is_clean());
    assert_eq!(dir.stopped_at(id(1, 0)), Some(Offset(7)));
    assert_eq!(dir.stopped_at(id(1, 1)), None);
    dir.mark_in_use().unwrap();
    drop(dir);
    assert!(!open(&fs).unwrap().is_clean());

    let mut damaged = clean::encode(&ends).to_vec();
    damaged[30] ^= 1;
    write(&fs, CLEAN, &damaged);
    assert!(!open(&fs).unwrap().is_clean());
}

#[test]
fn what_belongs_to_nobody_is_listed_and_moved_under_free_names() {
    let fs = MemFs::new();
    let dir = open(&fs).unwrap();
    for log in [id(1, 0), id(1, 1), id(2, 0)] {
        make_log(&fs, log);
    }
    let strange = [
        "logs/not-a-topic",
        "logs/01010101010101010101010101010101/007",
    ];
    for name in strange {
        fs.create_dir(&Path::new(ROOT).join(name)).unwrap();
    }
    write(&fs, "logs/a-file", b"x");
    assert_eq!(dir.logs().unwrap(), [id(1, 0), id(1, 1), id(2, 0)]);

    let known = BTreeSet::from([id(1, 0), id(3, 0)]);
    let ones = "01".repeat(16);
    let twos = "02".repeat(16);
    let expected = [
        format!("logs/{ones}/007"),
        format!("logs/{ones}/1"),
        format!("logs/{twos}"),
        "logs/a-file".to_owned(),
        "logs/not-a-topic".to_owned(),
    ];
    assert_eq!(dir.unclaimed(&known).unwrap(), expected.map(PathBuf::from));

    create_dir(&*dir.fs, &dir.root, LOST).unwrap();
    create_dir(&*dir.fs, &dir.root.join(LOST), &twos).unwrap();
    let moved = dir.set_aside(&known).unwrap();
    let expected = [
        format!("lost+found/{ones}-007"),
        format!("lost+found/{ones}-1"),
        format!("lost+found/{twos}.2"),
        "lost+found/a-file".to_owned(),
        "lost+found/not-a-topic".to_owned(),
    ];
    assert_eq!(moved, expected.map(PathBuf::from));
    assert_eq!(dir.logs().unwrap(), [id(1, 0)]);
    assert!(
        fs.list(&Path::new(ROOT).join(&moved[2]))
            .unwrap()
            .contains(&"0".to_owned())
    );
    assert!(dir.unclaimed(&known).unwrap().is_empty());
}

#[test]
fn a_new_log_gets_its_topics_directory_and_takes_up_what_an_attempt_has_left() {
    let fs = MemFs::new();
    let dir = open(&fs).unwrap();
    let make = |epoch| {
        let now = Now::default();
        dir.create_log(id(1, 0), LogConfig::default(), LeaderEpoch(epoch), now)
            .unwrap()
    };
    drop(make(0));
    assert_eq!(make(3).reader().current_epoch(), LeaderEpoch(3));
    assert_eq!(dir.logs().unwrap(), [id(1, 0)]);
}

/// Whose first sync fails, and no other.
#[derive(Debug)]
struct FailsOnce {
    fs: MemFs,
}

#[derive(Debug)]
struct FailsOnceFile {
    below: Arc<dyn File>,
    syncs: crate::sync::Mutex<u32>,
}

impl Fs for FailsOnce {
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.fs.list(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.fs.create_dir(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let below = self.fs.create(path)?;
        Ok(Arc::new(FailsOnceFile {
            below,
            syncs: crate::sync::Mutex::new(0),
        }))
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let below = self.fs.open(path, mode)?;
        Ok(Arc::new(FailsOnceFile {
            below,
            syncs: crate::sync::Mutex::new(0),
        }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fs.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.fs.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.fs.sync_dir(dir)
    }
    fn lock(&self, dir: &Path) -> io::Result<DirLock> {
        self.fs.lock(dir)
    }
    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.fs.free_bytes(dir)
    }
}

impl File for FailsOnceFile {
    fn len(&self) -> io::Result<u64> {
        self.below.len()
    }
    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.below.write_at(position, parts)
    }
    fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        self.below.read_at(position, len)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.below.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        let mut syncs = crate::sync::lock(&self.syncs);
        *syncs += 1;
        if *syncs == 1 {
            Err(ErrorKind::Other.into())
        } else {
            Ok(())
        }
    }
}

#[test]
fn the_second_sync_of_a_handle_does_not_succeed_where_the_first_has_failed() {
    let fs = MemFs::new();
    let below: Arc<dyn Fs> = Arc::new(FailsOnce { fs: fs.clone() });
    let bare = below.create(Path::new("/bare")).unwrap();
    assert!(
        bare.sync().is_err() && bare.sync().is_ok(),
        "what a kernel does"
    );

    let disk = FinalSync { below };
    let file = disk.create(Path::new("/file")).unwrap();
    assert!(file.sync().is_err());
    let error = file.sync().unwrap_err();
    assert!(
        error.to_string().contains("an earlier sync failed"),
        "{error}"
    );
    let again = disk.open(Path::new("/file"), OpenMode::Append).unwrap();
    assert!(again.sync().is_err() && again.sync().is_err());
}
