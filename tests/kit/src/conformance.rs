//! What every implementation of the I/O seam does alike.
//!
//! One body, run over the real disk, the one in memory and the simulated one: a simulator that
//! differs from the disk proves nothing.

use std::io::{ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;

use highwater_log::fs::{File, Fs, LOCK_FILE, OpenMode};

/// Every check, in an empty directory of the file system.
///
/// # Panics
/// On the first difference.
pub fn check(fs: &dyn Fs, dir: &Path) {
    let run = |name: &str, check: fn(&dyn Fs, &Path)| {
        let place = dir.join(name);
        fs.create_dir(&place)
            .expect("the directory of the check can be created");
        check(fs, &place);
    };
    run("bytes", bytes);
    run("many_slices", many_slices);
    run("set_len_only_cuts", set_len_only_cuts);
    run("modes", modes);
    run("names", names);
    run("directories", directories);
    run("renames", renames);
    run("removed_files_stay_readable", removed_files_stay_readable);
    run("locks", locks);
    assert_eq!(sorted(fs, dir).len(), 9);
}

fn bytes(fs: &dyn Fs, dir: &Path) {
    let file = new_file(fs, &dir.join("f"), b"");
    assert!(file.is_empty().expect("len"));
    write(&*file, 0, &[b"hello ", b"", b"world"]);
    assert_eq!(file.len().expect("len"), 11);
    write(&*file, 6, &[b"there!"]);
    assert_eq!(read(&*file, 0, 99), b"hello there!");
    assert_eq!(read(&*file, 6, 5), b"there");
    assert_eq!(read(&*file, 12, 5), b"");
    assert_eq!(read(&*file, 99, 5), b"");
    assert_eq!(read(&*file, 3, 0), b"");
    // What is skipped reads as zeros.
    write(&*file, 14, &[b"x"]);
    assert_eq!(read(&*file, 11, 9), b"!\0\0x");
    write(&*file, 3, &[]);
    assert_eq!(file.len().expect("len"), 15);
    file.sync().expect("sync");
}

/// More slices than one system call takes, over more than one chunk of the disk in memory.
fn many_slices(fs: &dyn Fs, dir: &Path) {
    let slices: Vec<Vec<u8>> = (0..2500_u16).map(|i| i.to_be_bytes().repeat(40)).collect();
    let parts: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
    let file = new_file(fs, &dir.join("f"), b"12345");
    file.write_at(5, &parts).expect("write");
    let mut expected = b"12345".to_vec();
    expected.extend(slices.concat());
    assert_eq!(read(&*file, 0, expected.len() + 1), expected);
    assert_eq!(read(&*file, 65_530, 20), expected[65_530..65_550]);
    // Over a border, and past the end.
    write(&*file, 131_070, &[b"over a border"]);
    expected[131_070..131_083].copy_from_slice(b"over a border");
    write(&*file, 200_000, &[&[7; 70_000]]);
    expected.truncate(200_000);
    expected.extend([7; 70_000]);
    assert_eq!(read(&*file, 0, usize::MAX / 2), expected);
}

fn set_len_only_cuts(fs: &dyn Fs, dir: &Path) {
    let file = new_file(fs, &dir.join("f"), &[5; 140_000]);
    for len in [139_999, 131_072, 65_537, 65_536, 65_536, 3, 0] {
        file.set_len(len).expect("cut");
        assert_eq!(file.len().expect("len"), len);
    }
    assert_eq!(kind(file.set_len(1)), ErrorKind::InvalidInput);
    write(&*file, 0, &[b"ab"]);
    file.set_len(1).expect("cut");
    // What was cut off does not come back.
    write(&*file, 3, &[b"d"]);
    assert_eq!(read(&*file, 0, 9), b"a\0\0d");
}

fn modes(fs: &dyn Fs, dir: &Path) {
    let path = dir.join("f");
    let content: Vec<u8> = (0..=255_u8).cycle().take(300_000).collect();
    new_file(fs, &path, &content);
    let modes = [
        OpenMode::Read,
        OpenMode::Mapped,
        OpenMode::Append,
        OpenMode::Recover,
    ];
    for mode in modes {
        let file = fs.open(&path, mode).expect("open");
        assert_eq!(file.len().expect("len"), 300_000);
        assert_eq!(read(&*file, 0, 400_000), content, "{mode:?}");
        assert_eq!(
            read(&*file, 262_140, 9),
            content[262_140..262_149],
            "{mode:?}"
        );
        assert_eq!(read(&*file, 300_000, 1), b"");
        assert_eq!(read(&*file, 299_999, usize::MAX), content[299_999..]);
        let held = file.read_at(1000, 2000).expect("read");
        drop(file);
        assert_eq!(held, content[1000..3000]);
    }
    for mode in [OpenMode::Append, OpenMode::Recover] {
        let file = fs.open(&path, mode).expect("open");
        write(&*file, 0, &[b"changed"]);
        file.sync().expect("sync");
    }
    let empty = dir.join("empty");
    new_file(fs, &empty, b"");
    for mode in modes {
        assert_eq!(
            read(&*fs.open(&empty, mode).expect("open"), 0, 9),
            b"",
            "{mode:?}"
        );
        assert_eq!(kind(fs.open(&dir.join("none"), mode)), ErrorKind::NotFound);
    }
}

fn names(fs: &dyn Fs, dir: &Path) {
    new_file(fs, &dir.join("b"), b"");
    new_file(fs, &dir.join("a"), b"kept");
    fs.create_dir(&dir.join("d")).expect("create_dir");
    new_file(fs, &dir.join("d/inner"), b"");
    assert_eq!(sorted(fs, dir), ["a", "b", "d"]);
    assert_eq!(kind(fs.create(&dir.join("a"))), ErrorKind::AlreadyExists);
    assert_eq!(kind(fs.create(&dir.join("d"))), ErrorKind::AlreadyExists);
    assert_eq!(
        read(
            &*fs.open(&dir.join("a"), OpenMode::Read).expect("open"),
            0,
            9
        ),
        b"kept"
    );
    assert_eq!(kind(fs.create(&dir.join("none/a"))), ErrorKind::NotFound);
    fs.remove(&dir.join("b")).expect("remove");
    assert_eq!(kind(fs.remove(&dir.join("b"))), ErrorKind::NotFound);
    assert_eq!(sorted(fs, dir), ["a", "d"]);
    fs.sync_dir(dir).expect("sync_dir");
}

fn directories(fs: &dyn Fs, dir: &Path) {
    let sub = dir.join("sub");
    fs.create_dir(&sub).expect("create_dir");
    fs.create_dir(&sub)
        .expect("a directory that is there is fine");
    assert!(fs.list(&sub).expect("list").is_empty());
    new_file(fs, &dir.join("f"), b"");
    assert_eq!(
        kind(fs.create_dir(&dir.join("f"))),
        ErrorKind::AlreadyExists
    );
    assert_eq!(
        kind(fs.create_dir(&dir.join("none/sub"))),
        ErrorKind::NotFound
    );
    assert_eq!(kind(fs.list(&dir.join("none"))), ErrorKind::NotFound);
    assert_eq!(kind(fs.sync_dir(&dir.join("none"))), ErrorKind::NotFound);
    assert_eq!(kind(fs.list(&dir.join("f"))), ErrorKind::NotADirectory);
    new_file(fs, &sub.join("f"), b"");
    assert_eq!(kind(fs.remove(&sub)), ErrorKind::DirectoryNotEmpty);
    fs.remove(&sub.join("f")).expect("remove");
    fs.remove(&sub).expect("an empty directory can be removed");
    assert_eq!(sorted(fs, dir), ["f"]);
    let free_bytes = fs.free_bytes(dir).expect("free_bytes");
    assert!(free_bytes > 0);
    let total_bytes = fs.total_bytes(dir).expect("total_bytes");
    assert!(total_bytes.is_none_or(|total| total >= free_bytes));
    assert_eq!(kind(fs.free_bytes(&dir.join("none"))), ErrorKind::NotFound);
}

fn renames(fs: &dyn Fs, dir: &Path) {
    let (a, b, sub) = (dir.join("a"), dir.join("b"), dir.join("sub"));
    let file = new_file(fs, &a, b"new");
    new_file(fs, &b, b"old");
    let replaced = fs.open(&b, OpenMode::Read).expect("open");
    fs.rename(&a, &b).expect("a file replaces a file");
    assert_eq!(sorted(fs, dir), ["b"]);
    assert_eq!(
        read(&*fs.open(&b, OpenMode::Read).expect("open"), 0, 9),
        b"new"
    );
    assert_eq!(read(&*replaced, 0, 9), b"old");
    // The handle follows the file, not the name.
    write(&*file, 3, &[b"er"]);
    fs.create_dir(&sub).expect("create_dir");
    fs.rename(&b, &sub.join("c"))
        .expect("rename into another directory");
    assert_eq!(sorted(fs, dir), ["sub"]);
    fs.rename(&sub, &dir.join("moved"))
        .expect("a directory moves with what is in it");
    assert_eq!(sorted(fs, dir), ["moved"]);
    let path = dir.join("moved/c");
    assert_eq!(
        read(&*fs.open(&path, OpenMode::Read).expect("open"), 0, 9),
        b"newer"
    );
    assert_eq!(kind(fs.rename(&a, &b)), ErrorKind::NotFound);
    assert_eq!(
        kind(fs.rename(&path, &dir.join("none/c"))),
        ErrorKind::NotFound
    );
}

fn removed_files_stay_readable(fs: &dyn Fs, dir: &Path) {
    let path = dir.join("f");
    new_file(fs, &path, &[9; 5000]);
    let mapped = fs.open(&path, OpenMode::Mapped).expect("open");
    let held = mapped.read_at(0, 5000).expect("read");
    fs.remove(&path).expect("remove");
    new_file(fs, &path, &[1; 5000]);
    assert_eq!(held, vec![9; 5000]);
    assert_eq!(read(&*mapped, 4000, 5000), vec![9; 1000]);
}

fn locks(fs: &dyn Fs, dir: &Path) {
    let lock = fs.lock(dir).expect("the first lock is granted");
    let refused = fs.lock(dir).expect_err("the second is not");
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    assert!(refused.to_string().contains("process"), "{refused}");
    assert_eq!(sorted(fs, dir), [LOCK_FILE]);
    drop(lock);
    let _lock = fs.lock(dir).expect("a lock that was dropped is free");
    assert_eq!(kind(fs.lock(&dir.join("none"))), ErrorKind::NotFound);
}

fn new_file(fs: &dyn Fs, path: &Path, content: &[u8]) -> Arc<dyn File> {
    let file = fs.create(path).expect("create");
    write(&*file, 0, &[content]);
    file
}

fn write(file: &dyn File, position: u64, parts: &[&[u8]]) {
    let parts: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    file.write_at(position, &parts).expect("write");
}

fn read(file: &dyn File, position: u64, len: usize) -> Vec<u8> {
    file.read_at(position, len).expect("read").to_vec()
}

fn kind<T>(result: std::io::Result<T>) -> ErrorKind {
    result.err().expect("the call is refused").kind()
}

fn sorted(fs: &dyn Fs, dir: &Path) -> Vec<String> {
    let mut names = fs.list(dir).expect("list");
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use highwater_log::fs::mem::MemFs;
    use highwater_log::fs::os::OsFs;

    use super::*;
    use crate::sim_fs::SimFs;

    #[test]
    fn the_real_disk_conforms() {
        let dir = tempfile::tempdir().unwrap();
        check(&OsFs::new(), dir.path());
    }

    #[test]
    fn the_disk_in_memory_conforms() {
        check(&MemFs::new(), Path::new("/"));
        check(&MemFs::new(), Path::new(""));
    }

    #[test]
    fn the_simulated_disk_conforms() {
        check(&SimFs::new(0), Path::new("/"));
    }

    #[cfg(unix)]
    #[test]
    fn real_files_are_private_and_links_are_refused() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let fs = OsFs::new();
        let (sub, file) = (dir.path().join("sub"), dir.path().join("sub/file"));
        fs.create_dir(&sub).unwrap();
        new_file(&fs, &file, b"");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&sub), mode(&file)), (0o700, 0o600));

        let (link, dir_link) = (sub.join("link"), dir.path().join("dir"));
        std::os::unix::fs::symlink(&file, &link).unwrap();
        std::os::unix::fs::symlink(&sub, &dir_link).unwrap();
        fs.open(&link, OpenMode::Read)
            .expect_err("a link is not followed");
        let refused = fs
            .lock(&dir_link)
            .expect_err("a linked directory is refused");
        assert!(refused.to_string().contains("symbolic link"), "{refused}");
        fs.remove(&dir_link).expect("a link is removed as a file");
        assert_eq!(sorted(&fs, &sub), ["file", "link"]);

        std::fs::set_permissions(&sub, PermissionsExt::from_mode(0o777)).unwrap();
        let refused = fs
            .lock(&sub)
            .expect_err("a directory that all may write to is refused");
        assert!(refused.to_string().contains("chmod"), "{refused}");
    }
}
