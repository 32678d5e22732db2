//! The disk that forgets: what is seen while it runs, and what is left when it is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use super::*;
use crate::conformance;
use crate::rng::{Rng, seeds};
use crate::sim_fs::{Crash, SimFs};

#[test]
fn it_conforms_with_and_without_a_seed() {
    for seed in [None, Some(1), Some(2), Some(3), Some(4), Some(5)] {
        let dir = tempfile::tempdir().unwrap();
        conformance::check(&VolatileFs::new(dir.path(), seed), dir.path());
    }
}

/// The same calls on the simulated disk and on this one.
struct Pair {
    sim: SimFs,
    volatile: VolatileFs,
    root: tempfile::TempDir,
    files: Vec<(Arc<dyn File>, Arc<dyn File>)>,
    rng: Rng,
    /// Whether a name may move to another directory.
    crosses: bool,
}

const PATHS: &[&str] = &["a", "b", "c", "d", "d/a", "d/b", "e", "e/a", "e/d", "e/d/a"];
const DIRS: &[&str] = &["", "d", "e", "e/d"];

impl Pair {
    fn new(seed: u64, evicts: bool, crosses: bool) -> Self {
        let root = tempfile::tempdir().unwrap();
        let volatile = VolatileFs::new(root.path(), evicts.then_some(seed));
        Self {
            sim: SimFs::new(seed),
            volatile,
            root,
            files: Vec::new(),
            rng: Rng::new(seed),
            crosses,
        }
    }

    fn real(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn names(&self, call: impl Fn(&dyn Fs, &dyn Fn(&str) -> PathBuf) -> String) {
        let here = call(&self.volatile, &|path| self.real(path));
        let there = call(&self.sim, &|path| Path::new("/").join(path));
        assert_eq!(here, there);
    }

    fn step(&mut self) {
        let path = self.rng.pick(PATHS);
        let other = self.rng.pick(PATHS);
        let dir = self.rng.pick(DIRS);
        match self.rng.below(16) {
            0 => self.names(|fs, at| told(fs.create_dir(&at(path)))),
            1..=3 => self.open(path, |fs, path| fs.create(path)),
            4 => self.open(path, |fs, path| fs.open(path, OpenMode::Append)),
            5 => self.names(|fs, at| told(fs.remove(&at(path)))),
            6 | 7 => {
                let is_inside = other.starts_with(path) || path.starts_with(other);
                let same = Path::new(path).parent() == Path::new(other).parent();
                if !is_inside && (same || self.crosses) {
                    self.names(|fs, at| told(fs.rename(&at(path), &at(other))));
                }
            }
            8 | 9 => self.names(|fs, at| told(fs.sync_dir(&at(dir)))),
            _ => self.file_step(),
        }
        self.names(|fs, at| {
            let mut names = fs.list(&at(dir)).map_err(|error| error.kind());
            names.iter_mut().for_each(|names| names.sort());
            format!("{names:?}")
        });
    }

    fn open(&mut self, path: &str, call: fn(&dyn Fs, &Path) -> io::Result<Arc<dyn File>>) {
        let here = call(&self.volatile, &self.real(path));
        let there = call(&self.sim, &Path::new("/").join(path));
        match (here, there) {
            (Ok(here), Ok(there)) => self.files.push((here, there)),
            (here, there) => assert_eq!(told(here.map(|_| ())), told(there.map(|_| ()))),
        }
    }

    fn file_step(&mut self) {
        if self.files.is_empty() {
            return;
        }
        let (here, there) = self.files[self.rng.below(self.files.len())].clone();
        let len = usize::try_from(there.len().unwrap()).unwrap();
        let bytes = vec![u8::try_from(self.rng.below(256)).unwrap(); self.rng.below(1500)];
        let position = match self.rng.below(3) {
            0 => self.rng.below(len + 1) as u64,
            1 => self.rng.below(len + 700) as u64,
            _ => len as u64,
        };
        let parts = [IoSlice::new(&bytes), IoSlice::new(b""), IoSlice::new(b"!")];
        match self.rng.below(8) {
            0..=3 => both(&*here, &*there, |file| {
                told(file.write_at(position, &parts))
            }),
            4 => both(&*here, &*there, |file| told(file.set_len(position))),
            5 => both(&*here, &*there, |file| told(file.sync())),
            _ => {}
        }
        let wanted = self.rng.below(len + 100);
        both(&*here, &*there, |file| told(file.len()));
        both(&*here, &*there, |file| told(file.read_at(position, wanted)));
        both(&*here, &*there, |file| told(file.read_at(0, usize::MAX)));
    }

    /// What the next life finds.
    fn after_the_cut(&self, seed: Option<u64>) -> Seen {
        tree(&VolatileFs::new(self.root.path(), seed), self.root.path())
    }
}

fn both(here: &dyn File, there: &dyn File, call: impl Fn(&dyn File) -> String) {
    assert_eq!(call(here), call(there));
}

fn told<T: Debug>(result: io::Result<T>) -> String {
    format!("{:?}", result.map_err(|error| error.kind()))
}

/// All paths below a directory, with the bytes of the files.
#[derive(Debug, PartialEq, Eq)]
struct Seen(BTreeMap<PathBuf, Option<Vec<u8>>>);

fn tree(fs: &dyn Fs, root: &Path) -> Seen {
    let mut found = BTreeMap::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for name in fs.list(&dir).unwrap() {
            let path = dir.join(name);
            let below = path.strip_prefix(root).unwrap().to_owned();
            match fs.open(&path, OpenMode::Read) {
                Ok(file) => {
                    let bytes = file.read_at(0, usize::MAX).unwrap();
                    found.insert(below, Some(bytes.to_vec()));
                }
                Err(_) => {
                    found.insert(below, None);
                    dirs.push(path);
                }
            }
        }
    }
    Seen(found)
}

#[test]
fn it_answers_as_the_simulated_disk_does() {
    for seed in seeds(60) {
        let mut pair = Pair::new(seed, seed % 2 == 0, true);
        (0..150).for_each(|_| pair.step());
        let seen = tree(&pair.volatile, pair.root.path());
        assert_eq!(seen, tree(&pair.sim, Path::new("/")), "seed {seed}");
    }
}

#[test]
fn without_a_seed_the_next_life_finds_exactly_what_was_synced() {
    let mut synced = 0;
    for seed in seeds(60) {
        let mut pair = Pair::new(seed, false, false);
        for _ in 0..5 {
            (0..30).for_each(|_| pair.step());
            let cut = pair.sim.image(Crash::Nothing, &mut Rng::new(0));
            let found = pair.after_the_cut(None);
            synced += found.0.len();
            assert_eq!(found, tree(&cut, Path::new("/")), "seed {seed}");
            // Looking wiped what the old life had hidden.
            pair = Pair {
                sim: cut,
                volatile: VolatileFs::new(pair.root.path(), None),
                files: Vec::new(),
                ..pair
            };
        }
    }
    assert!(synced > 300, "{synced}");
}

/// What the disk may hold of one file: for each position the bytes that it may have.
#[derive(Default)]
struct Legal {
    synced: Vec<u8>,
    now: Vec<u8>,
    /// Lengths and bytes since the last sync.
    lens: BTreeSet<usize>,
    bytes: Vec<BTreeSet<u8>>,
}

impl Legal {
    fn write(&mut self, position: usize, bytes: &[u8]) {
        let end = self.now.len().max(position + bytes.len());
        self.now.resize(end, 0);
        self.now[position..position + bytes.len()].copy_from_slice(bytes);
        self.note();
    }

    fn note(&mut self) {
        self.lens.insert(self.now.len());
        self.bytes
            .resize(self.bytes.len().max(self.now.len()), BTreeSet::new());
        for (known, byte) in self.bytes.iter_mut().zip(&self.now) {
            known.insert(*byte);
        }
    }

    fn sync(&mut self) {
        self.synced = self.now.clone();
        (self.lens, self.bytes) = (BTreeSet::new(), Vec::new());
        self.note();
    }

    fn check(&self, found: &[u8]) -> Result<(), String> {
        let low = self
            .lens
            .first()
            .copied()
            .unwrap_or(0)
            .min(self.synced.len());
        let high = self
            .lens
            .last()
            .copied()
            .unwrap_or(0)
            .max(self.synced.len());
        if !(low..=high).contains(&found.len()) {
            return Err(format!("{} bytes, not {low} to {high}", found.len()));
        }
        for (at, byte) in found.iter().enumerate() {
            let known = self.bytes.get(at).is_some_and(|known| known.contains(byte));
            let synced = self.synced.get(at) == Some(byte);
            // Behind what was synced, or was cut off since, a length may come without its bytes.
            let hole = *byte == 0 && at >= low;
            if !known && !synced && !hole {
                return Err(format!("byte {at} is {byte}, which nobody wrote"));
            }
        }
        Ok(())
    }
}

#[test]
fn with_a_seed_the_next_life_finds_what_was_synced_and_a_part_of_the_rest() {
    let (mut early, mut lost) = (0, 0);
    for seed in seeds(200) {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("f");
        let fs = VolatileFs::new(root.path(), Some(seed));
        let mut rng = Rng::new(seed);
        let mut legal = Legal::default();
        let file = fs.create(&path).unwrap();
        fs.sync_dir(root.path()).unwrap();
        for _ in 0..rng.below(40) {
            match rng.below(10) {
                0 => {
                    file.sync().unwrap();
                    legal.sync();
                }
                1 => {
                    legal.now.truncate(rng.below(legal.now.len() + 1));
                    file.set_len(legal.now.len() as u64).unwrap();
                    legal.note();
                }
                _ => {
                    let byte = u8::try_from(1 + rng.below(255)).unwrap();
                    let bytes = vec![byte; 1 + rng.below(2000)];
                    let at = legal.now.len() - rng.below(legal.now.len().min(600) + 1);
                    file.write_at(at as u64, &[IoSlice::new(&bytes)]).unwrap();
                    legal.write(at, &bytes);
                }
            }
        }
        let next = VolatileFs::new(root.path(), None);
        let found = next
            .open(&path, OpenMode::Read)
            .unwrap()
            .read_at(0, usize::MAX)
            .unwrap();
        if let Err(why) = legal.check(&found) {
            panic!("seed {seed}: {why}");
        }
        early += usize::from(found != legal.synced);
        lost += usize::from(found != legal.now);
    }
    // Both happen, or the test shows nothing.
    assert!(early > 30 && lost > 30, "{early} early, {lost} lost");
}

#[test]
fn names_come_early_and_whole() {
    let mut seen = BTreeSet::new();
    for seed in seeds(200) {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let fs = VolatileFs::new(root.path(), Some(seed));
        for (name, bytes) in [("target", b"old"), ("other", b"yes")] {
            let file = fs.create(&at(name)).unwrap();
            file.write_at(0, &[IoSlice::new(bytes)]).unwrap();
            file.sync().unwrap();
        }
        fs.sync_dir(root.path()).unwrap();
        // As a checkpoint is written.
        let file = fs.create(&at("temporary")).unwrap();
        file.write_at(0, &[IoSlice::new(b"new")]).unwrap();
        file.sync().unwrap();
        fs.rename(&at("temporary"), &at("target")).unwrap();
        fs.remove(&at("other")).unwrap();
        let next = tree(&VolatileFs::new(root.path(), None), root.path());
        let target = next.0.get(Path::new("target")).cloned().flatten().unwrap();
        assert!(
            target == b"old" || target == b"new",
            "seed {seed}: {next:?}"
        );
        seen.insert((target, next.0.len()));
    }
    // Old or new, with and without what was removed, with and without the temporary name.
    assert!(seen.len() >= 4, "{seen:?}");
}

#[test]
fn a_directory_that_moves_keeps_what_is_in_it() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let fs = VolatileFs::new(root.path(), None);
    for dir in ["logs", "logs/1", "lost"] {
        fs.create_dir(&at(dir)).unwrap();
    }
    let file = fs.create(&at("logs/1/a")).unwrap();
    file.write_at(0, &[IoSlice::new(b"kept")]).unwrap();
    file.sync().unwrap();
    for dir in ["logs/1", "logs", ""] {
        fs.sync_dir(&at(dir)).unwrap();
    }
    fs.rename(&at("logs/1"), &at("lost/1")).unwrap();
    // The source alone takes nothing away.
    fs.sync_dir(&at("logs")).unwrap();
    let found = |path: &str| {
        let next = tree(&VolatileFs::new(root.path(), None), root.path());
        next.0.get(Path::new(path)).cloned().flatten()
    };
    assert_eq!(found("logs/1/a").as_deref(), Some(&b"kept"[..]));
    fs.sync_dir(&at("lost")).unwrap();
    assert_eq!(found("lost/1/a").as_deref(), Some(&b"kept"[..]));
    assert_eq!(found("logs/1/a"), None);
}

#[test]
fn a_lock_of_the_last_life_is_gone_and_one_of_this_life_holds() {
    let root = tempfile::tempdir().unwrap();
    let fs = VolatileFs::new(root.path(), None);
    fs.create_dir(&root.path().join("data")).unwrap();
    fs.sync_dir(root.path()).unwrap();
    let dir = root.path().join("data");
    let lock = fs.lock(&dir).unwrap();
    let next = VolatileFs::new(root.path(), None);
    assert_eq!(next.lock(&dir).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop((lock, fs));
    let _lock = next.lock(&dir).unwrap();
}
