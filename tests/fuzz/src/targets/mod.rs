//! The targets: what any bytes do to a decoder, as plain functions.
//!
//! Invariants
//! - A target panics if and only if the code under it breaks a promise.
//! - What a target does follows from its input alone.

mod codecs;
pub mod driver;
mod groups;
mod native;
mod records;
mod wire;

pub use codecs::{t7_gzip, t8_snappy, t9_lz4, t10_zstd};
pub use groups::{t12_group_log, t13_consumer_protocol};
pub use native::t14_native;
pub use records::{t5_batch, t6_legacy};
pub use wire::{t1_frames, t2_request_header, t3_requests, t4_responses, t11_primitives};

/// A decoder under test.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As in `fuzz_targets/`.
    pub name: &'static str,
    /// What is done with an input.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "t1_frames",
        run: t1_frames,
    },
    Target {
        name: "t2_request_header",
        run: t2_request_header,
    },
    Target {
        name: "t3_requests",
        run: t3_requests,
    },
    Target {
        name: "t4_responses",
        run: t4_responses,
    },
    Target {
        name: "t5_batch",
        run: t5_batch,
    },
    Target {
        name: "t6_legacy",
        run: t6_legacy,
    },
    Target {
        name: "t7_gzip",
        run: t7_gzip,
    },
    Target {
        name: "t8_snappy",
        run: t8_snappy,
    },
    Target {
        name: "t9_lz4",
        run: t9_lz4,
    },
    Target {
        name: "t10_zstd",
        run: t10_zstd,
    },
    Target {
        name: "t11_primitives",
        run: t11_primitives,
    },
    Target {
        name: "t12_group_log",
        run: t12_group_log,
    },
    Target {
        name: "t13_consumer_protocol",
        run: t13_consumer_protocol,
    },
    Target {
        name: "t14_native",
        run: t14_native,
    },
];
