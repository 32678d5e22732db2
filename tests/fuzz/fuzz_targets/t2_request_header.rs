//! `t2_request_header` for cargo-fuzz; built without it, its driver on the stable toolchain.

#![cfg_attr(fuzzing, no_main)]

highwater_fuzz::target!("t2_request_header", highwater_fuzz::t2_request_header);
