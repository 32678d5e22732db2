//! Drives all targets on the stable toolchain; see `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    highwater_fuzz::cli::main(None)
}
