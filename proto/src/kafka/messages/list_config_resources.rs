//! ListConfigResources (key 74), v0 to v1.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Version 0 lists client metrics only; an empty list of types asks for all.
//!
//! v1 types.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Which resources with settings to list.
    ListConfigResourcesRequest {
        /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        resource_types: Vec<i8> [1..],
    }

    /// The resources.
    ListConfigResourcesResponse {
        throttle_time_ms: i32,
        error_code: i16,
        config_resources: Vec<ListedConfigResource>,
    }

    /// One resource.
    ListedConfigResource {
        resource_name: Str,
        resource_type: i8 [1..] ignorable = 16,
    }
}
