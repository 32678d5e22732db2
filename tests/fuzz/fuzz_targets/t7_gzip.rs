//! `t7_gzip` for cargo-fuzz; built without it, its driver on the stable toolchain.

#![cfg_attr(fuzzing, no_main)]

highwater_fuzz::target!("t7_gzip", highwater_fuzz::t7_gzip);
