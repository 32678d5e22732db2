//! `t5_batch` for cargo-fuzz; built without it, its driver on the stable toolchain.

#![cfg_attr(fuzzing, no_main)]

highwater_fuzz::target!("t5_batch", highwater_fuzz::t5_batch);
