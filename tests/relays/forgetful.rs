//! SQLite on a disk that forgets: beside a database, the folder `synced` has each of its files as
//! it was when it was synced last. After a power cut that folder is the database.
//!
//! It is SQLite's own access to files, but for what is done to those beside such a folder: a sync
//! copies a file there, and a removal counts there once the directory is synced. That is done for a
//! removal that asks for it, and when a journal or a write-ahead log is new and synced first.
//!
//! Invariants
//! - A copy appears under its name whole: whoever is killed while making it leaves the one before.
//! - A file is read through SQLite's own descriptor: closing another one would give up its locks.

#![expect(
    unsafe_code,
    reason = "the only way to SQLite's files is its table of C functions"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the copies stand beside the database, not in a broker's directory"
)]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rusqlite::ffi::{
    SQLITE_IOERR_FSYNC, SQLITE_OK, sqlite3_file, sqlite3_filename, sqlite3_io_methods, sqlite3_vfs,
    sqlite3_vfs_find, sqlite3_vfs_register,
};

/// The folder beside a database that has what was synced of it.
pub(crate) const SYNCED: &str = "synced";

/// From now on every database of this process forgets that is opened beside such a folder.
pub(crate) fn everywhere() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        // SAFETY: the table that is found lives as long as the process, and so does its leaked
        // copy, which differs in two functions of the same types.
        unsafe {
            let real = sqlite3_vfs_find(std::ptr::null());
            assert!(!real.is_null(), "SQLite has a default");
            let ours = sqlite3_vfs {
                zName: c"forgetful".as_ptr(),
                xOpen: Some(open),
                xDelete: Some(delete),
                ..*real
            };
            state().real = real as usize;
            let code = sqlite3_vfs_register(Box::leak(Box::new(ours)), 1);
            assert_eq!(code, SQLITE_OK, "it becomes the default");
        }
    });
}

/// What stands behind the tables of C: addresses as numbers, since pointers belong to one thread.
#[derive(Default)]
struct State {
    /// The table of files that was the default.
    real: usize,
    /// Of each open file: its copy, and its own functions.
    files: BTreeMap<usize, (PathBuf, usize)>,
    /// Our functions for each table of functions.
    methods: BTreeMap<usize, usize>,
    /// Copies of files that are removed, in a directory that is not synced yet.
    removed: Vec<PathBuf>,
}

fn state() -> MutexGuard<'static, State> {
    static STATE: Mutex<State> = Mutex::new(State {
        real: 0,
        files: BTreeMap::new(),
        methods: BTreeMap::new(),
        removed: Vec::new(),
    });
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls it as it would call the function of the real table, which has set the
    // functions of the file when it answers that it is open.
    unsafe {
        let real = state().real as *mut sqlite3_vfs;
        let open = (*real).xOpen.expect("every table has it");
        let code = open(real, name, file, flags, out);
        if code == SQLITE_OK
            && let Some(copy) = copy_of(name)
        {
            let theirs = (*file).pMethods;
            let mut state = state();
            let ours = *state.methods.entry(theirs as usize).or_insert_with(|| {
                let ours = sqlite3_io_methods {
                    xSync: Some(sync),
                    xClose: Some(close),
                    ..*theirs
                };
                std::ptr::from_ref(Box::leak(Box::new(ours))) as usize
            });
            state.files.insert(file as usize, (copy, theirs as usize));
            (*file).pMethods = ours as *const sqlite3_io_methods;
        }
        code
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    let Some((copy, theirs)) = state().files.get(&(file as usize)).cloned() else {
        return SQLITE_IOERR_FSYNC;
    };
    // SAFETY: the functions are those that the file was opened with.
    unsafe {
        let theirs = theirs as *const sqlite3_io_methods;
        let sync = (*theirs).xSync.expect("every table has it");
        let code = sync(file, flags);
        if code != SQLITE_OK {
            return code;
        }
        if is_journal(&copy) && !copy.exists() {
            sync_directory(&copy);
        }
        let bytes = whole(file, theirs);
        match bytes.and_then(|bytes| keep(&copy, &bytes).ok()) {
            Some(()) => SQLITE_OK,
            None => SQLITE_IOERR_FSYNC,
        }
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let Some((_, theirs)) = state().files.remove(&(file as usize)) else {
        return SQLITE_OK;
    };
    // SAFETY: as above; the file is given back with the functions that it was opened with.
    unsafe {
        let theirs = theirs as *const sqlite3_io_methods;
        (*file).pMethods = theirs;
        (*theirs).xClose.expect("every table has it")(file)
    }
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, syncs: c_int) -> c_int {
    // SAFETY: SQLite calls it as it would call the function of the real table.
    unsafe {
        let real = state().real as *mut sqlite3_vfs;
        let code = (*real).xDelete.expect("every table has it")(real, name, syncs);
        if code == SQLITE_OK
            && let Some(copy) = copy_of(name)
        {
            state().removed.push(copy.clone());
            if syncs != 0 {
                sync_directory(&copy);
            }
        }
        code
    }
}

/// Makes the removals in a copy's directory last.
fn sync_directory(copy: &Path) {
    let folder = copy.parent();
    state().removed.retain(|removed| {
        let stays = removed.parent() != folder;
        if !stays {
            // It may never have been synced.
            let _ = fs::remove_file(removed);
        }
        stays
    });
}

/// All of a file.
///
/// # Safety
/// The file is open, with these functions.
unsafe fn whole(file: *mut sqlite3_file, theirs: *const sqlite3_io_methods) -> Option<Vec<u8>> {
    // SAFETY: the buffer has as many bytes as are asked for.
    unsafe {
        let mut size = 0;
        let code = (*theirs).xFileSize?(file, &raw mut size);
        let mut bytes = vec![0; usize::try_from(size).ok()?];
        let count = c_int::try_from(size).ok()?;
        let read = match code {
            SQLITE_OK if count > 0 => (*theirs).xRead?(file, bytes.as_mut_ptr().cast(), count, 0),
            code => code,
        };
        (read == SQLITE_OK).then_some(bytes)
    }
}

/// SQLite syncs the directory of such a file together with its first bytes.
fn is_journal(copy: &Path) -> bool {
    let name = copy.to_string_lossy();
    name.ends_with("-journal") || name.ends_with("-wal")
}

fn keep(copy: &Path, bytes: &[u8]) -> io::Result<()> {
    // A file that was removed may be there again.
    state().removed.retain(|it| it != copy);
    let made = copy.with_extension(format!("{}.made", std::process::id()));
    fs::write(&made, bytes)?;
    fs::rename(made, copy)
}

/// Where a file's copy is, if it stands beside a folder for it.
///
/// # Safety
/// The name is null, or a text of C.
unsafe fn copy_of(name: *const c_char) -> Option<PathBuf> {
    if name.is_null() {
        return None;
    }
    // SAFETY: it is a text of C.
    let name = unsafe { CStr::from_ptr(name) };
    let path = Path::new(name.to_str().ok()?);
    let folder = path.parent()?.join(SYNCED);
    folder
        .is_dir()
        .then(|| folder.join(path.file_name().unwrap_or_default()))
}
