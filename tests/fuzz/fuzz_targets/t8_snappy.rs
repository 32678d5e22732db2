//! `t8_snappy` for cargo-fuzz; built without it, its driver on the stable toolchain.

#![cfg_attr(fuzzing, no_main)]

highwater_fuzz::target!("t8_snappy", highwater_fuzz::t8_snappy);
