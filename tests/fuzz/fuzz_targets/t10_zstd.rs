//! `t10_zstd` for cargo-fuzz; built without it, its driver on the stable toolchain.

#![cfg_attr(fuzzing, no_main)]

highwater_fuzz::target!("t10_zstd", highwater_fuzz::t10_zstd);
