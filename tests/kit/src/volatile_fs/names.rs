//! The names below one directory: what programs see, and what the real directory has.
//!
//! Invariants
//! - Each file and directory has one real place: under its own name once that was made durable,
//!   else under a hidden one, which no program sees and the next start wipes.
//! - The real directories change only by [`Names::sync`] and [`Names::evict`].
//! - A node that is neither seen nor on the disk is forgotten.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use highwater_log::fs::os::OsFs;
use highwater_log::fs::{Fs, OpenMode};

use super::content::Content;
use super::evictor::Evictor;

/// The number of a file or directory. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(u64);

/// The directory that everything lies in.
pub(super) const ROOT: Id = Id(0);

#[derive(Debug)]
pub(super) struct Names {
    root: PathBuf,
    nodes: BTreeMap<Id, Node>,
    count: u64,
}

#[derive(Debug)]
struct Node {
    /// Where it really stands.
    real: (Id, String),
    /// Where programs see it; nowhere once it was removed.
    seen: Option<(Id, String)>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// With its bytes once it was opened.
    File(Option<Arc<Content>>),
    Dir(Dir),
}

#[derive(Debug, Default)]
struct Dir {
    is_loaded: bool,
    seen: BTreeMap<String, Id>,
    /// What the next start will find.
    durable: BTreeMap<String, Id>,
}

impl Names {
    /// The names below a real directory.
    pub(super) fn new(root: PathBuf) -> Self {
        let node = Node {
            real: (ROOT, String::new()),
            seen: Some((ROOT, String::new())),
            kind: Kind::Dir(Dir::default()),
        };
        Self {
            root,
            nodes: BTreeMap::from([(ROOT, node)]),
            count: 1,
        }
    }

    /// The node that a path leads to; nothing if the path lies elsewhere.
    pub(super) fn find(&mut self, path: &Path) -> Option<io::Result<Id>> {
        let below = path.strip_prefix(&self.root).ok()?.to_owned();
        Some(self.walk(&below).map_err(|kind| error(kind, path)))
    }

    fn walk(&mut self, below: &Path) -> Result<Id, ErrorKind> {
        let mut at = ROOT;
        for component in below.components() {
            let Component::Normal(name) = component else {
                continue;
            };
            let dir = self.dir(at)?;
            let name = name.to_str().ok_or(ErrorKind::InvalidInput)?;
            at = *dir.seen.get(name).ok_or(ErrorKind::NotFound)?;
        }
        Ok(at)
    }

    /// The directory and the last name of a path, whether or not that name is taken.
    pub(super) fn split(&mut self, path: &Path) -> Option<io::Result<(Id, String)>> {
        let name = path.file_name()?.to_str()?.to_owned();
        let dir = self.find(path.parent()?)?;
        Some(dir.and_then(|dir| {
            self.dir(dir).map_err(|kind| error(kind, path))?;
            Ok((dir, name))
        }))
    }

    pub(super) fn list(&mut self, id: Id) -> Result<Vec<String>, ErrorKind> {
        Ok(self.dir(id)?.seen.keys().cloned().collect())
    }

    pub(super) fn is_dir(&self, id: Id) -> bool {
        matches!(self.nodes[&id].kind, Kind::Dir(_))
    }

    pub(super) fn is_empty(&mut self, id: Id) -> bool {
        self.dir(id).map_or(true, |dir| dir.seen.is_empty())
    }

    pub(super) fn get(&mut self, dir: Id, name: &str) -> Option<Id> {
        self.dir(dir).ok()?.seen.get(name).copied()
    }

    /// Where a node really stands.
    pub(super) fn real_path(&self, id: Id) -> PathBuf {
        if id == ROOT {
            return self.root.clone();
        }
        let (dir, name) = &self.nodes[&id].real;
        self.real_path(*dir).join(name)
    }

    /// The bytes of a file.
    pub(super) fn content(&mut self, id: Id, evictor: &Arc<Evictor>) -> io::Result<Arc<Content>> {
        let path = self.real_path(id);
        let node = self.nodes.get_mut(&id).expect("it was found");
        match &mut node.kind {
            Kind::Dir(_) => Err(error(ErrorKind::IsADirectory, &path)),
            Kind::File(Some(content)) => Ok(Arc::clone(content)),
            Kind::File(none) => {
                let real = OsFs::new().open(&path, OpenMode::Append)?;
                let content = Arc::new(Content::new(real, Arc::clone(evictor))?);
                *none = Some(Arc::clone(&content));
                Ok(content)
            }
        }
    }

    /// A new, empty file under a free name, seen and not durable.
    pub(super) fn create(
        &mut self,
        dir: Id,
        name: String,
        evictor: &Arc<Evictor>,
    ) -> io::Result<Arc<Content>> {
        let id = self.add(dir, name, Kind::File(None));
        let real = OsFs::new().create(&self.real_path(id))?;
        let content = Arc::new(Content::new(real, Arc::clone(evictor))?);
        self.node(id).kind = Kind::File(Some(Arc::clone(&content)));
        Ok(content)
    }

    /// A new, empty directory under a free name, seen and not durable.
    pub(super) fn create_dir(&mut self, dir: Id, name: String) -> io::Result<()> {
        let new = Dir {
            is_loaded: true,
            ..Dir::default()
        };
        let id = self.add(dir, name, Kind::Dir(new));
        OsFs::new().create_dir(&self.real_path(id))
    }

    /// A file that somebody else has just made in the real directory.
    pub(super) fn appeared(&mut self, dir: Id, name: &str) {
        if self.get(dir, name).is_none() {
            self.load_one(dir, name.to_owned(), Kind::File(None));
        }
    }

    /// Another name for a node, which replaces whatever had it.
    pub(super) fn rename(&mut self, id: Id, to: (Id, String)) {
        let from = self.nodes[&id].seen.clone().expect("it was found");
        if from == to {
            return;
        }
        self.loaded(from.0).seen.remove(&from.1);
        let replaced = self.loaded(to.0).seen.insert(to.1.clone(), id);
        self.node(id).seen = Some(to);
        if let Some(replaced) = replaced {
            self.node(replaced).seen = None;
            self.forget_unless_durable(replaced);
        }
    }

    /// The node is no longer seen.
    pub(super) fn remove(&mut self, id: Id) {
        let (dir, name) = self.node(id).seen.take().expect("it was found");
        self.loaded(dir).seen.remove(&name);
        self.forget_unless_durable(id);
    }

    /// The real directory becomes what is seen of it.
    pub(super) fn sync(&mut self, dir: Id) -> io::Result<()> {
        for name in self.differences(dir) {
            self.settle(dir, name)?;
        }
        Ok(())
    }

    /// One name becomes durable early.
    pub(super) fn evict(&mut self, evictor: &Evictor) -> io::Result<()> {
        let dirs: Vec<Id> = self.nodes.keys().copied().collect();
        let waiting = dirs.into_iter().filter(|id| self.is_dir(*id));
        let waiting: Vec<(Id, String)> = waiting
            .flat_map(|id| self.differences(id).into_iter().map(move |name| (id, name)))
            .collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let index = usize::try_from(evictor.below(waiting.len() as u64)).unwrap_or(0);
        let (dir, name) = waiting[index].clone();
        self.settle(dir, name)
    }

    /// The names that are seen otherwise than they are on the disk; those that come first.
    fn differences(&self, id: Id) -> Vec<String> {
        let Kind::Dir(dir) = &self.nodes[&id].kind else {
            return Vec::new();
        };
        let come = dir.seen.iter();
        let come = come.filter(|(name, id)| dir.durable.get(*name) != Some(*id));
        let go = dir.durable.keys();
        let go = go.filter(|name| !dir.seen.contains_key(*name));
        let come = come.map(|(name, _)| name);
        come.chain(go).cloned().collect()
    }

    /// One name becomes on the disk what it is seen as.
    fn settle(&mut self, dir: Id, name: String) -> io::Result<()> {
        let seen = self.loaded(dir).seen.get(&name).copied();
        let old = self.loaded(dir).durable.get(&name).copied();
        if seen == old {
            return Ok(());
        }
        if let Some(old) = old {
            let is_seen = self.nodes[&old].seen.is_some();
            let are_files = seen.is_some_and(|id| !self.is_dir(id)) && !self.is_dir(old);
            match (is_seen, seen) {
                // It went elsewhere: until that is durable, the old name is.
                (true, None) => return Ok(()),
                (true, Some(_)) => self.hide(old)?,
                // A file replaces a file in one step.
                (false, _) if are_files => self.forget(old),
                (false, _) => self.erase(old)?,
            }
        }
        if let Some(id) = seen {
            self.stand(id, (dir, name.clone()))?;
            self.loaded(dir).durable.insert(name, id);
        }
        Ok(())
    }

    /// Moves a node to another real place.
    fn stand(&mut self, id: Id, at: (Id, String)) -> io::Result<()> {
        let source = self.real_path(id);
        let target = self.real_path(at.0).join(&at.1);
        OsFs::new().rename(&source, &target)?;
        let (dir, name) = std::mem::replace(&mut self.node(id).real, at);
        let durable = &mut self.loaded(dir).durable;
        if durable.get(&name) == Some(&id) {
            durable.remove(&name);
        }
        Ok(())
    }

    /// A node that is seen loses its durable name.
    fn hide(&mut self, id: Id) -> io::Result<()> {
        let seen = self.nodes[&id].seen.clone();
        let (dir, _) = seen.expect("only what is seen is hidden");
        self.stand(id, (dir, hidden(id)))
    }

    /// Removes a node that is no longer seen from the disk, with all that is left in it.
    fn erase(&mut self, id: Id) -> io::Result<()> {
        let inside: Vec<Id> = match &self.nodes[&id].kind {
            Kind::Dir(_) => {
                let within = self.nodes.iter().filter(|(_, node)| node.real.0 == id);
                within.map(|(id, _)| *id).collect()
            }
            Kind::File(_) => Vec::new(),
        };
        for inner in inside {
            match self.nodes[&inner].seen {
                Some(_) => self.hide(inner)?,
                None => self.erase(inner)?,
            }
        }
        OsFs::new().remove(&self.real_path(id))?;
        self.forget(id);
        Ok(())
    }

    /// A node that is gone from the real directory, or about to be replaced there.
    fn forget(&mut self, id: Id) {
        let Some(Node { real, .. }) = self.nodes.remove(&id) else {
            return;
        };
        if let Some(Kind::Dir(dir)) = self.nodes.get_mut(&real.0).map(|node| &mut node.kind)
            && dir.durable.get(&real.1) == Some(&id)
        {
            dir.durable.remove(&real.1);
        }
    }

    /// What never had a durable name is gone with its last seen one.
    fn forget_unless_durable(&mut self, id: Id) {
        let (dir, name) = self.nodes[&id].real.clone();
        if self.loaded(dir).durable.get(&name) != Some(&id) {
            // Whatever stays behind is hidden, and wiped at the next start.
            let _ = self.erase(id);
        }
    }

    fn add(&mut self, dir: Id, name: String, kind: Kind) -> Id {
        let id = self.next_id();
        self.loaded(dir).seen.insert(name.clone(), id);
        let node = Node {
            real: (dir, hidden(id)),
            seen: Some((dir, name)),
            kind,
        };
        self.nodes.insert(id, node);
        id
    }

    fn next_id(&mut self) -> Id {
        self.count += 1;
        Id(self.count - 1)
    }

    fn node(&mut self, id: Id) -> &mut Node {
        self.nodes.get_mut(&id).expect("a known id is never stale")
    }

    /// A directory that was looked at before.
    fn loaded(&mut self, id: Id) -> &mut Dir {
        match &mut self.node(id).kind {
            Kind::Dir(dir) => dir,
            Kind::File(_) => panic!("{id:?} is a file"),
        }
    }

    fn dir(&mut self, id: Id) -> Result<&Dir, ErrorKind> {
        match &self.node(id).kind {
            Kind::File(_) => return Err(ErrorKind::NotADirectory),
            Kind::Dir(dir) if dir.is_loaded => {}
            Kind::Dir(_) => self.load(id).map_err(|error| error.kind())?,
        }
        Ok(self.loaded(id))
    }

    /// Reads what the last life left, and wipes what it had hidden.
    fn load(&mut self, id: Id) -> io::Result<()> {
        let path = self.real_path(id);
        for name in OsFs::new().list(&path)? {
            if name.starts_with(HIDDEN) {
                wipe(&path.join(name))?;
                continue;
            }
            let is_dir = OsFs::new().list(&path.join(&name)).is_ok();
            let kind = match is_dir {
                true => Kind::Dir(Dir::default()),
                false => Kind::File(None),
            };
            self.load_one(id, name, kind);
        }
        self.loaded(id).is_loaded = true;
        Ok(())
    }

    fn load_one(&mut self, dir: Id, name: String, kind: Kind) {
        let id = self.next_id();
        let place = (dir, name.clone());
        let node = Node {
            real: place.clone(),
            seen: Some(place),
            kind,
        };
        self.nodes.insert(id, node);
        self.loaded(dir).seen.insert(name.clone(), id);
        self.loaded(dir).durable.insert(name, id);
    }
}

fn wipe(path: &Path) -> io::Result<()> {
    let fs = OsFs::new();
    for name in fs.list(path).unwrap_or_default() {
        wipe(&path.join(name))?;
    }
    fs.remove(path)
}

fn hidden(id: Id) -> String {
    format!("{HIDDEN}{}", id.0)
}

pub(super) fn error(kind: ErrorKind, path: &Path) -> io::Error {
    io::Error::new(kind, format!("{}: {kind}", path.display()))
}

/// How the names begin that are not durable yet.
const HIDDEN: &str = ".volatile-";
