//! `t3_requests` for cargo-fuzz; built without it, its driver on the stable toolchain.

#![cfg_attr(fuzzing, no_main)]

highwater_fuzz::target!("t3_requests", highwater_fuzz::t3_requests);
