//! ApiVersions (key 18), v0 to v4.
//!
//! Floor 5 of broker.
//!
//! - Answers the advertised versions of the table of APIs, ascending by key.
//! - Keeps name and version of the client's software, if they are well formed; else error 42.
//! - An unknown version is answered in the layout of v0, with error 35 and this API alone, so that
//!   the client can ask again in a version that both know.

use highwater_proto::code::ErrorCode;
use highwater_proto::kafka::messages::api_versions::{
    ApiVersionsRange, ApiVersionsRequest, ApiVersionsResponse,
};
use highwater_proto::kafka::{APIS, ApiInfo, ApiKey};

use super::Call;

pub(in crate::kafka) fn handle(
    call: Call<'_>,
    request: &ApiVersionsRequest,
) -> ApiVersionsResponse {
    let (name, version) = (
        &request.client_software_name,
        &request.client_software_version,
    );
    if call.version >= SOFTWARE_SINCE {
        if !is_well_formed(name) || !is_well_formed(version) {
            return ApiVersionsResponse {
                error_code: ErrorCode::InvalidRequest.code(),
                ..ApiVersionsResponse::default()
            };
        }
        call.session.set_software(name, version);
    }
    ApiVersionsResponse {
        api_keys: APIS.iter().map(range).collect(),
        ..ApiVersionsResponse::default()
    }
}

/// The answer to a version that does not exist here, to be written as v0.
pub(in crate::kafka) fn unsupported() -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: vec![range(&ApiKey::ApiVersions.info())],
        ..ApiVersionsResponse::default()
    }
}

fn range(api: &ApiInfo) -> ApiVersionsRange {
    ApiVersionsRange {
        api_key: api.key.number(),
        min_version: api.advertised.min,
        max_version: api.advertised.max,
    }
}

/// Letters and digits, with `-` and `.` between.
fn is_well_formed(text: &str) -> bool {
    let is_edge = |byte: &u8| byte.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(is_edge)
        && bytes.last().is_some_and(is_edge)
        && bytes
            .iter()
            .all(|byte| is_edge(byte) || b"-.".contains(byte))
}

/// The first version that names the client's software.
const SOFTWARE_SINCE: i16 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_is_named_as_kafka_demands() {
        for good in ["a", "apache-kafka-java", "librdkafka", "2.0.2", "A-.b9"] {
            assert!(is_well_formed(good), "{good}");
        }
        for bad in ["", "-a", "a.", "a b", "a_b", "\u{e4}"] {
            assert!(!is_well_formed(bad), "{bad}");
        }
    }
}
