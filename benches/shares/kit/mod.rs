//! What the groups share: the run with its table, the disk, raw loops, batches.

pub(crate) mod disk;
pub(crate) mod load;
pub(crate) mod raw;
pub(crate) mod run;
