//! `t1_frames` for cargo-fuzz; built without it, its driver on the stable toolchain.

#![cfg_attr(fuzzing, no_main)]

highwater_fuzz::target!("t1_frames", highwater_fuzz::t1_frames);
