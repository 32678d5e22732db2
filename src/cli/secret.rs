//! Passwords: out of a file, from a terminal that does not show them, or from the standard input.
//!
//! Floor 3 of cli.
//!
//! Invariants
//! - A password is no argument: others on the machine can read those.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use highwater_client::Password;

use crate::cli::failure::Failure;
use crate::cli::files;

/// The first line of a file.
pub(crate) fn from_file(path: &Path) -> Result<Password, Failure> {
    let text = files::read_text(path, FILE_BYTES_MAX)?;
    let line = text.lines().next().unwrap_or_default();
    checked(line, &path.display().to_string())
}

/// What somebody types twice, or the first line of the standard input.
pub(crate) fn asked(user: &str) -> Result<Password, Failure> {
    if !io::stdin().is_terminal() {
        return checked(&line()?, "the standard input");
    }
    let first = typed(&format!("password of {user}: "))?;
    if typed("again: ")? != first {
        return Err(Failure::Usage("the two are not the same".to_owned()));
    }
    checked(&first, "what was typed")
}

fn checked(line: &str, place: &str) -> Result<Password, Failure> {
    match line {
        "" => Err(Failure::Usage(format!(
            "{place} has no password: it is empty"
        ))),
        line => Ok(Password::from(line)),
    }
}

fn line() -> Result<String, Failure> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::failed(format!("cannot read the password: {error}")))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

fn typed(prompt: &str) -> Result<String, Failure> {
    let mut terminal = io::stderr();
    // Without a prompt it can be typed all the same.
    let _ = write!(terminal, "{prompt}").and_then(|()| terminal.flush());
    let hidden = Hidden::begin();
    let line = line();
    drop(hidden);
    let _ = writeln!(terminal);
    line
}

/// As long as it lives, the terminal does not show what is typed.
struct Hidden {
    #[cfg(unix)]
    before: Option<rustix::termios::Termios>,
}

impl Hidden {
    #[cfg(unix)]
    fn begin() -> Self {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut hiding = before.clone();
            hiding.local_modes.remove(LocalModes::ECHO);
            // One that cannot hide it shows it.
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &hiding);
        }
        Self { before }
    }

    #[cfg(not(unix))]
    fn begin() -> Self {
        Self {}
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(before) = &self.before {
            let now = rustix::termios::OptionalActions::Now;
            let _ = rustix::termios::tcsetattr(io::stdin(), now, before);
        }
    }
}

const FILE_BYTES_MAX: u64 = 64 * 1024;
