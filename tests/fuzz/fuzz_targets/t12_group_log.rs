//! `t12_group_log` for cargo-fuzz; built without it, its driver on the stable toolchain.

#![cfg_attr(fuzzing, no_main)]

highwater_fuzz::target!("t12_group_log", highwater_fuzz::t12_group_log);
