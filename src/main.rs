//! The `highwater` binary: everything stands in [`cli`].

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
