//! `t6_legacy` for cargo-fuzz; built without it, its driver on the stable toolchain.

#![cfg_attr(fuzzing, no_main)]

highwater_fuzz::target!("t6_legacy", highwater_fuzz::t6_legacy);
