//! The broker on a disk that forgets what was not synced: killing it is a power cut.
//!
//! `VOLATILE_ROOT` is the folder that forgets, `VOLATILE_SEED` what the disk does early.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use highwater_kit::volatile_fs::VolatileFs;
use highwater_tests::process::{VOLATILE_ROOT, VOLATILE_SEED, pause};

fn main() -> ExitCode {
    let Some(root) = std::env::var_os(VOLATILE_ROOT).map(PathBuf::from) else {
        eprintln!("highwater-volatile: {VOLATILE_ROOT} is the folder that forgets: it is not set");
        return ExitCode::from(2);
    };
    let seed = std::env::var(VOLATILE_SEED).ok();
    let seed = match seed.map(|seed| seed.parse()).transpose() {
        Ok(seed) => seed,
        Err(error) => {
            eprintln!("highwater-volatile: {VOLATILE_SEED} is not a number: {error}");
            return ExitCode::from(2);
        }
    };
    highwater::cli::run_on(Some(Arc::new(VolatileFs::pausing(root, seed, pause))))
}
