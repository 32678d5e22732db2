//! `t13_consumer_protocol` for cargo-fuzz; built without it, its driver on the stable toolchain.

#![cfg_attr(fuzzing, no_main)]

highwater_fuzz::target!("t13_consumer_protocol", highwater_fuzz::t13_consumer_protocol);
