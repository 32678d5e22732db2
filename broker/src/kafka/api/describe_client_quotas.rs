//! DescribeClientQuotas (key 48), v0 to v1.
//!
//! Floor 5 of broker.
//!
//! - There are no quotas: no filter finds one. A way to match that Kafka does not have is error
//!   42.

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::describe_client_quotas::{
    DescribeClientQuotasRequest, DescribeClientQuotasResponse,
};

pub(in crate::kafka) fn handle(
    request: &DescribeClientQuotasRequest,
) -> DescribeClientQuotasResponse {
    let mut components = request.components.iter();
    if components.all(|component| MATCH_TYPES.contains(&component.match_type)) {
        return DescribeClientQuotasResponse {
            error_message: None,
            ..DescribeClientQuotasResponse::default()
        };
    }
    DescribeClientQuotasResponse {
        error_code: ErrorCode::InvalidRequest.code(),
        error_message: Some(Str::from_static(
            "a component matches a name (0), the default (1) or any name (2)",
        )),
        entries: None,
        ..DescribeClientQuotasResponse::default()
    }
}

const MATCH_TYPES: std::ops::RangeInclusive<i8> = 0..=2;
