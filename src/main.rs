//! The `highwater` binary: everything stands in [`cli`].
//!
//! Floor 3 of highwater.

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
