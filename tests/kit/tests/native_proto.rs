//! The messages of the native protocol are what prost makes of `proto/native.proto`, so that the
//! published contract is the one that is spoken.

#![expect(clippy::disallowed_methods, reason = "a test reads the sources")]

use std::error::Error;
use std::fs;
use std::path::Path;

/// How to make them anew: run this test, and put what it names in the place of the old file.
#[test]
fn the_messages_are_generated_from_the_contract() -> Result<(), Box<dyn Error>> {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let mut compiler = protox::Compiler::new([&proto])?;
    compiler
        .include_source_info(true)
        .open_file("native.proto")?;
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("native_proto");
    fs::create_dir_all(&out)?;
    let mut config = prost_build::Config::new();
    config.bytes(["."]).out_dir(&out);
    config.compile_fds(compiler.file_descriptor_set())?;
    let made = out.join("highwater.native.v1.rs");
    let is_same = fs::read(&made)? == fs::read(proto.join("src/native/v1.rs"))?;
    let made = made.display();
    assert!(is_same, "proto/src/native/v1.rs is not what {made} is");
    Ok(())
}
