//! The `highwater` binary: everything stands in [`highwater::cli`].

fn main() -> std::process::ExitCode {
    highwater::cli::run()
}
