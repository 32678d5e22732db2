//! `t14_native` for cargo-fuzz; built without it, its driver on the stable toolchain.

#![cfg_attr(fuzzing, no_main)]

highwater_fuzz::target!("t14_native", highwater_fuzz::t14_native);
