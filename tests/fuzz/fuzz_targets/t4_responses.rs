//! `t4_responses` for cargo-fuzz; built without it, its driver on the stable toolchain.

#![cfg_attr(fuzzing, no_main)]

highwater_fuzz::target!("t4_responses", highwater_fuzz::t4_responses);
