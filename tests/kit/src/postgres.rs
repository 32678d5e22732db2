//! A PostgreSQL of a test's own: a new cluster in a temporary folder, on a unix socket.
//!
//! Invariants
//! - It ends with the process that started it, however that ends: a guard waits at the other end of
//!   a pipe, stops the server and removes the folder.
//! - No TCP, no password, no database but those of the test.

use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A running cluster. A test binary has one, in a `OnceLock`, and each test a database in it.
///
/// ```
/// use highwater_kit::postgres::Postgres;
///
/// if let Some(postgres) = Postgres::start() {
///     let url = postgres.database();
///     assert_eq!(postgres.psql(&url, "select 6 * 7"), "42");
/// }
/// ```
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    /// Who the server runs as, if not as we do: PostgreSQL refuses to run as root.
    user: Option<(u32, u32)>,
    databases: AtomicU32,
    guard: Child,
}

impl Postgres {
    /// Starts a cluster that does not sync; `None` where no PostgreSQL is installed, said aloud.
    ///
    /// # Panics
    /// If it does not start; and if there is none although `REQUIRE_POSTGRES=1` asks for it.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_with("fsync = off")
    }

    /// As [`Self::start`], with lines of `postgresql.conf` of your own: without `fsync = off` it
    /// syncs.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_with(settings: &str) -> Option<Self> {
        let Some(programs) = programs() else {
            let is_required = std::env::var("REQUIRE_POSTGRES").is_ok_and(|it| it == "1");
            assert!(
                !is_required,
                "REQUIRE_POSTGRES=1, but there is no PostgreSQL"
            );
            eprintln!("SKIPPED: no PostgreSQL is installed (Debian: apt install postgresql)");
            return None;
        };
        Some(Self::new(programs, settings).expect("a PostgreSQL in a temporary folder"))
    }

    fn new(programs: PathBuf, settings: &str) -> io::Result<Self> {
        // From here on the guard removes it.
        let folder = tempfile::Builder::new().prefix("hw-pg-").tempdir()?.keep();
        let user = (folder.metadata()?.uid() == 0).then(unprivileged);
        if let Some((user, group)) = user {
            chown(&folder, Some(user), Some(group))?;
        }
        let guard = run_as(Command::new("sh"), user)
            .args(["-c", GUARD, "sh"])
            .args([programs.join("pg_ctl"), folder.clone()])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let postgres = Self {
            programs,
            folder,
            user,
            databases: AtomicU32::new(0),
            guard,
        };
        let init = "--auth=trust --username=postgres --encoding=UTF8 --locale=C --no-sync";
        let data = postgres.data();
        postgres.run("initdb", |it| it.args(init.split(' ')).arg("-D").arg(&data));
        let path = data.join("postgresql.conf");
        let standard = read(&path)?;
        let folder = postgres.folder.display();
        let ours = format!(
            "listen_addresses = ''\nunix_socket_directories = '{folder}'\nmax_connections = 200\n\
             shared_buffers = 16MB\n{settings}\n"
        );
        write(&path, &(standard + &ours))?;
        postgres.launch();
        Ok(postgres)
    }

    /// Makes a new, empty database, and gives its URL.
    #[must_use]
    pub fn database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql(&self.url("postgres"), &format!("create database {name}"));
        self.url(&name)
    }

    /// The URL of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let host = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{host}/{database}")
    }

    /// Runs statements by `psql`, and gives their rows: values separated by `|`.
    ///
    /// # Panics
    /// If one of them fails.
    pub fn psql(&self, url: &str, statements: &str) -> String {
        let output = self.run("psql", |it| it.args(QUIET).args(["-c", statements, url]));
        output.trim_end().to_owned()
    }

    /// `psql` as a session of its own, to be started: it runs what it reads line by line, and ends
    /// at the first statement that fails.
    #[must_use]
    pub fn session(&self, url: &str) -> Command {
        let mut command = self.command("psql");
        command.args(QUIET).arg(url);
        command
    }

    /// Kills the server with all its connections (`kill -9`), as a crash does.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&self) {
        let lines = read(&self.data().join("postmaster.pid")).expect("the pid of the server");
        let pid = lines.lines().next().expect("the file begins with the pid");
        let children = Command::new("ps")
            .args(["-o", "pid=", "--ppid", pid])
            .output();
        let children = String::from_utf8(children.expect("ps").stdout).expect("numbers");
        let pids: Vec<&str> = children.split_whitespace().chain([pid]).collect();
        let killed = Command::new("kill")
            .args(["-9", pid])
            .args(children.split_whitespace())
            .stderr(Stdio::null())
            .status();
        // A child may have ended by itself.
        killed.expect("kill");
        if pids.iter().all(|pid| is_dead(pid)) {
            // Until somebody collects the dead, a server that starts would take them for alive.
            for lock in [self.data().join("postmaster.pid"), self.folder.join(LOCK)] {
                remove(&lock);
            }
        }
    }

    /// Starts the server again after [`Self::kill`]: it recovers what was committed.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&self) {
        self.launch();
    }

    /// Starts the server and waits until it answers.
    fn launch(&self) {
        let (data, log) = (self.data(), self.folder.join("log"));
        let mut said = String::new();
        // What is left of a killed server is in the way for a moment.
        for _ in 0..STARTS_MAX {
            let output = self
                .command("pg_ctl")
                .args(["start", "-w", "-s", "-t", "60", "-D"])
                .arg(&data)
                .arg("-l")
                .arg(&log)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if output.is_ok_and(|status| status.success()) {
                return;
            }
            said = read(&log).unwrap_or_default();
        }
        panic!("PostgreSQL does not start: {said}");
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn run(&self, program: &str, with: impl FnOnce(&mut Command) -> &mut Command) -> String {
        let mut command = self.command(program);
        let output = with(&mut command).output().expect("it was found");
        assert!(
            output.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = run_as(Command::new(self.programs.join(program)), self.user);
        command.current_dir("/").stdin(Stdio::null());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // It is the guard that ends; the server did before.
        let _ = self.guard.wait();
    }
}

fn run_as(mut command: Command, user: Option<(u32, u32)>) -> Command {
    if let Some((user, group)) = user {
        command.uid(user).gid(group);
    }
    command
}

/// Waits until a killed process has ended, collected or not; `false` where nobody can tell.
fn is_dead(pid: &str) -> bool {
    let state = || {
        let stat = read(&Path::new("/proc").join(pid).join("stat")).ok()?;
        stat.rsplit(") ").next()?.chars().next()
    };
    while state().is_some_and(|state| state != 'Z') {
        std::thread::yield_now();
    }
    Path::new("/proc/self/stat").exists()
}

/// The folder of the newest PostgreSQL.
fn programs() -> Option<PathBuf> {
    let is_whole = |folder: &PathBuf| {
        let has = |name: &&str| folder.join(name).is_file();
        ["initdb", "pg_ctl", "postgres", "psql"].iter().all(has)
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut versions: Vec<(u32, PathBuf)> = Path::new("/usr/lib/postgresql")
        .read_dir()
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .collect();
    versions.sort();
    let installed = versions.into_iter().rev().map(|(_, path)| path.join("bin"));
    std::env::split_paths(&path).chain(installed).find(is_whole)
}

/// The numbers of the user and the group `postgres`, or of `nobody`.
fn unprivileged() -> (u32, u32) {
    let users = read(Path::new("/etc/passwd")).unwrap_or_default();
    let of = |name: &str| {
        let line = users
            .lines()
            .find(|it| it.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map_while(|it| it.parse().ok());
        Some((numbers.next()?, numbers.next()?))
    };
    of("postgres")
        .or_else(|| of("nobody"))
        .unwrap_or((65534, 65534))
}

#[expect(clippy::disallowed_methods, reason = "the files of another program")]
fn read(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}

#[expect(clippy::disallowed_methods, reason = "the files of another program")]
fn write(path: &Path, text: &str) -> io::Result<()> {
    std::fs::write(path, text)
}

#[expect(clippy::disallowed_methods, reason = "the files of another program")]
fn remove(path: &Path) {
    // It may not be there.
    let _ = std::fs::remove_file(path);
}

/// Waits for the end of its input, which is the end of the test; a Ctrl-C is not for it.
const GUARD: &str = "trap '' INT TERM HUP
read -r _
\"$1\" stop -m immediate -D \"$2/data\"
rm -rf \"$2\"";
const STARTS_MAX: usize = 50;
/// The lock of the server's socket.
const LOCK: &str = ".s.PGSQL.5432.lock";
/// Without settings of whoever runs the tests; rows alone, values separated by `|`.
const QUIET: [&str; 6] = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_outlives_a_kill_and_the_folder_goes_with_the_cluster() {
        let Some(postgres) = Postgres::start() else {
            return;
        };
        let url = postgres.database();
        postgres.psql(&url, "create table t (n int); insert into t values (7)");
        postgres.kill();
        postgres.restart();
        assert_eq!(postgres.psql(&url, "select n, n + 1 from t"), "7|8");

        let folder = postgres.folder.clone();
        assert!(folder.exists());
        drop(postgres);
        assert!(!folder.exists());
    }
}
