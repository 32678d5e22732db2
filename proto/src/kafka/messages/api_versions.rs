//! ApiVersions (key 18), v0 to v4.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - The response has a header of version 0 in every version, so that any client can read it.
//! - An unknown version is answered in the layout of version 0, with error 35.
//!
//! v3 flexible, name and version of the client's software, features.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Who asks for the APIs that this broker has.
    ApiVersionsRequest {
        client_software_name: Str [3..] ignorable,
        client_software_version: Str [3..] ignorable,
    }

    /// The APIs that this broker has.
    ApiVersionsResponse {
        error_code: i16,
        api_keys: Vec<ApiVersionsRange>,
        throttle_time_ms: i32 [1..] ignorable,
        @tag 0 supported_features: Vec<ApiVersionsSupportedFeature> [3..] ignorable,
        @tag 1 finalized_features_epoch: i64 [3..] ignorable = -1,
        @tag 2 finalized_features: Vec<ApiVersionsFinalizedFeature> [3..] ignorable,
        @tag 3 zk_migration_ready: bool [3..] ignorable,
    }

    /// One API and its versions.
    ApiVersionsRange {
        api_key: i16,
        min_version: i16,
        max_version: i16,
    }

    /// A feature that the cluster could switch on.
    ApiVersionsSupportedFeature {
        name: Str,
        min_version: i16,
        max_version: i16,
    }

    /// A feature that is switched on.
    ApiVersionsFinalizedFeature {
        name: Str,
        max_version_level: i16,
        min_version_level: i16,
    }
}
