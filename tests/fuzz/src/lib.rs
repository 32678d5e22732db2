//! Highwater's fuzz targets.
//!
//! cargo-fuzz drives them with coverage (`fuzz_targets/`); [`cli`] drives them by seed on the
//! stable toolchain; the project's test suite takes a few thousand inputs of the same driver.

pub mod cli;
pub mod targets;

pub use targets::*;

/// The entry of a file in `fuzz_targets/`.
#[macro_export]
macro_rules! target {
    ($name:literal, $run:path) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| { $run(data) });

        #[cfg(not(fuzzing))]
        fn main() -> std::process::ExitCode {
            $crate::cli::main(Some($name))
        }
    };
}
