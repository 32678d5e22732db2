//! What a power cut leaves, against a model that copies everything at each sync.
//!
//! Floor 1 of log-core; compiled for its tests only.

use proptest::prelude::*;

use super::*;
use std::io::IoSlice;

/// A step in the life of a disk with two directories and a few names.
#[derive(Clone, Debug)]
enum Step {
    Create(usize),
    Write(usize, u64, u8, usize),
    Cut(usize, u64),
    Sync(usize),
    Rename(usize, usize),
    Remove(usize),
    SyncDir(usize),
    PowerCut,
}

/// The model: files by number, names by place; what is, and what was at the last sync.
#[derive(Clone, Debug, Default)]
struct Model {
    files: Vec<(Vec<u8>, Vec<u8>)>,
    names: BTreeMap<usize, usize>,
    synced: BTreeMap<usize, usize>,
}

const DIRS: [&str; 2] = ["/a", "/b"];
const PLACES: usize = 6;
/// The positions of a write are about the ends of chunks.
const CHUNK: u64 = 64 << 10;

fn path(place: usize) -> String {
    format!("{}/{}", DIRS[dir_of(place)], place)
}

const fn dir_of(place: usize) -> usize {
    place % 2
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = 0..PLACES;
    let near_chunks =
        (0..3_u64, -40..40_i64).prop_map(|(chunk, off)| (chunk * CHUNK).saturating_add_signed(off));
    let step = prop_oneof![
        3 => place.clone().prop_map(Step::Create),
        8 => (place.clone(), near_chunks.clone(), any::<u8>(), 1..100_usize)
            .prop_map(|(place, at, byte, len)| Step::Write(place, at, byte, len)),
        2 => (place.clone(), near_chunks).prop_map(|(place, len)| Step::Cut(place, len)),
        4 => place.clone().prop_map(Step::Sync),
        2 => (place.clone(), place.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => place.prop_map(Step::Remove),
        3 => (0..2_usize).prop_map(Step::SyncDir),
        1 => Just(Step::PowerCut),
    ];
    prop::collection::vec(step, 1..60)
}

impl Model {
    /// Does a step on the disk and on the model; both must agree on whether it can be done.
    fn step(&mut self, fs: &mut MemFs, step: Step) {
        let file = |fs: &MemFs, place| fs.open(Path::new(&path(place)), OpenMode::Append);
        match step {
            Step::Create(place) => {
                let created = fs.create(Path::new(&path(place)));
                assert_eq!(created.is_ok(), !self.names.contains_key(&place));
                if created.is_ok() {
                    self.names.insert(place, self.files.len());
                    self.files.push(<(Vec<u8>, Vec<u8>)>::default());
                }
            }
            Step::Write(place, at, byte, len) => {
                let Some(number) = self.names.get(&place) else {
                    return;
                };
                let bytes = vec![byte; len];
                let written = file(fs, place)
                    .unwrap()
                    .write_at(at, &[IoSlice::new(&bytes)]);
                written.unwrap();
                let (live, at) = (&mut self.files[*number].0, usize::try_from(at).unwrap());
                live.resize(live.len().max(at + len), 0);
                live[at..at + len].copy_from_slice(&bytes);
            }
            Step::Cut(place, len) => {
                let Some(number) = self.names.get(&place) else {
                    return;
                };
                let live = &mut self.files[*number].0;
                let len = len.min(live.len() as u64);
                file(fs, place).unwrap().set_len(len).unwrap();
                live.truncate(usize::try_from(len).unwrap());
            }
            Step::Sync(place) => {
                if let Some(number) = self.names.get(&place) {
                    file(fs, place).unwrap().sync().unwrap();
                    let (live, synced) = &mut self.files[*number];
                    synced.clone_from(live);
                }
            }
            Step::Rename(from, to) => {
                let renamed = fs.rename(Path::new(&path(from)), Path::new(&path(to)));
                assert_eq!(renamed.is_ok(), self.names.contains_key(&from));
                if let Some(number) = self.names.remove(&from) {
                    self.names.insert(to, number);
                }
            }
            Step::Remove(place) => {
                let removed = fs.remove(Path::new(&path(place)));
                assert_eq!(removed.is_ok(), self.names.remove(&place).is_some());
            }
            Step::SyncDir(dir) => {
                fs.sync_dir(Path::new(DIRS[dir])).unwrap();
                self.synced.retain(|place, _| dir_of(*place) != dir);
                let live = self
                    .names
                    .iter()
                    .filter(|(place, _)| dir_of(**place) == dir);
                self.synced
                    .extend(live.map(|(place, number)| (*place, *number)));
            }
            Step::PowerCut => {
                *fs = fs.after_power_cut();
                self.names = self.synced.clone();
                for (live, synced) in &mut self.files {
                    live.clone_from(synced);
                }
            }
        }
    }

    fn check(&self, fs: &MemFs) {
        for (dir, name) in DIRS.iter().enumerate() {
            let names = self.names.keys().filter(|place| dir_of(**place) == dir);
            let names: Vec<String> = names.map(ToString::to_string).collect();
            assert_eq!(fs.list(Path::new(name)).unwrap(), names);
        }
        for (place, number) in &self.names {
            let file = fs.open(Path::new(&path(*place)), OpenMode::Read).unwrap();
            let bytes = file.read_at(0, usize::MAX).unwrap();
            assert!(
                bytes == self.files[*number].0,
                "the bytes of {}",
                path(*place)
            );
        }
    }
}

proptest! {
    #[test]
    fn a_power_cut_leaves_what_was_synced(steps in steps()) {
        let mut fs = MemFs::new();
        for dir in DIRS {
            fs.create_dir(Path::new(dir)).unwrap();
        }
        fs.sync_dir(Path::new("/")).unwrap();
        let mut model = Model::default();
        for step in steps {
            model.step(&mut fs, step);
        }
        model.check(&fs);
        model.step(&mut fs, Step::PowerCut);
        model.check(&fs);
    }
}

fn put(fs: &MemFs, path: &str, bytes: &[u8]) {
    let file = fs.create(Path::new(path)).unwrap();
    file.write_at(0, &[IoSlice::new(bytes)]).unwrap();
    file.sync().unwrap();
}

#[test]
fn a_directory_goes_with_its_name_and_comes_back_with_what_it_had() {
    let fs = MemFs::new();
    fs.create_dir(Path::new("/old")).unwrap();
    put(&fs, "/old/file", b"bytes");
    fs.sync_dir(Path::new("/old")).unwrap();
    assert_eq!(fs.after_power_cut().list(Path::new("/")).unwrap(), [""; 0]);
    fs.sync_dir(Path::new("/")).unwrap();
    fs.rename(Path::new("/old"), Path::new("/new")).unwrap();
    fs.remove(Path::new("/new/file")).unwrap();
    fs.remove(Path::new("/new")).unwrap();

    let left = fs.after_power_cut();
    assert_eq!(left.list(Path::new("/")).unwrap(), ["old"]);
    let file = left.open(Path::new("/old/file"), OpenMode::Read).unwrap();
    assert_eq!(file.read_at(0, 99).unwrap(), "bytes");

    fs.sync_dir(Path::new("/")).unwrap();
    assert_eq!(fs.after_power_cut().list(Path::new("/")).unwrap(), [""; 0]);
    assert_eq!(
        fs.names().dirs.len(),
        2,
        "nothing is kept of what cannot come back"
    );
}

#[test]
fn a_directory_does_not_move_below_itself() {
    let fs = MemFs::new();
    fs.create_dir(Path::new("/a")).unwrap();
    let refused = fs.rename(Path::new("/a"), Path::new("/a/b")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert_eq!(fs.list(Path::new("/")).unwrap(), ["a"]);
}

#[test]
fn another_disk_after_a_power_cut_is_not_locked() {
    let fs = MemFs::new();
    let _lock = fs.lock(Path::new("/")).unwrap();
    assert!(fs.lock(Path::new("/")).is_err());
    assert!(fs.after_power_cut().lock(Path::new("/")).is_ok());
}
