//! `t11_primitives` for cargo-fuzz; built without it, its driver on the stable toolchain.

#![cfg_attr(fuzzing, no_main)]

highwater_fuzz::target!("t11_primitives", highwater_fuzz::t11_primitives);
