//! DescribeConfigs (key 32), v1 to v4.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - `configuration_keys` null asks for every setting.
//!
//! v3 types and documentation; v4 flexible.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Which settings to describe.
    DescribeConfigsRequest {
        resources: Vec<DescribeConfigsResource>,
        include_synonyms: bool,
        include_documentation: bool [3..],
    }

    /// The settings of one topic or broker.
    DescribeConfigsResource {
        /// 2: topic; 4: broker.
        resource_type: i8,
        resource_name: Str,
        configuration_keys: Option<Vec<Str>>,
    }

    /// The settings found.
    DescribeConfigsResponse {
        throttle_time_ms: i32,
        results: Vec<DescribeConfigsResult>,
    }

    /// The settings of one resource.
    DescribeConfigsResult {
        error_code: i16,
        error_message: Option<Str>,
        resource_type: i8,
        resource_name: Str,
        configs: Vec<DescribeConfigsEntry>,
    }

    /// One setting.
    DescribeConfigsEntry {
        name: Str,
        value: Option<Str>,
        read_only: bool,
        /// 1: topic; 2: one broker, 3: all brokers, at run time; 4: a broker's file; 5: default.
        config_source: i8 = -1,
        is_sensitive: bool,
        synonyms: Vec<DescribeConfigsSynonym>,
        /// 1 bool, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password.
        config_type: i8 [3..] ignorable,
        documentation: Option<Str> [3..] ignorable = Some(Str::default()),
    }

    /// Another place that the value could come from, in the order of precedence.
    DescribeConfigsSynonym {
        name: Str,
        value: Option<Str>,
        source: i8,
    }
}
