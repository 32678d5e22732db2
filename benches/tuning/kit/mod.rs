//! What is shared with the bench of the shares: the run, the disk, raw loops.

#[path = "../../shares/kit/disk.rs"]
#[expect(dead_code, reason = "the bench of the shares uses more of it")]
pub(crate) mod disk;
#[path = "../../shares/kit/raw.rs"]
#[expect(dead_code, reason = "the bench of the shares uses more of it")]
pub(crate) mod raw;
#[path = "../../shares/kit/run.rs"]
#[expect(dead_code, reason = "the bench of the shares uses more of it")]
pub(crate) mod run;
