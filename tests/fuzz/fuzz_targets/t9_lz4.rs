//! `t9_lz4` for cargo-fuzz; built without it, its driver on the stable toolchain.

#![cfg_attr(fuzzing, no_main)]

highwater_fuzz::target!("t9_lz4", highwater_fuzz::t9_lz4);
