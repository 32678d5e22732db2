//! The broker on a disk that forgets what was not synced: killing it is a power cut.

fn main() -> std::process::ExitCode {
    highwater::cli::run_on(None)
}
