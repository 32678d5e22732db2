//! DescribeCluster (key 60), v0 to v1.
//!
//! Floor 5 of broker.
//!
//! - The only broker has the address of the listener that the client came by.
//! - Controllers (endpoint type 2) cannot be asked for here: error 114; other types: error 115.

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};

use super::Call;
use super::metadata::CLUSTER_OPERATIONS;

pub(in crate::kafka) fn handle(
    call: Call<'_>,
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    let refused = match request.endpoint_type {
        BROKERS => None,
        CONTROLLERS => Some(ErrorCode::MismatchedEndpointType),
        _ => Some(ErrorCode::UnsupportedEndpointType),
    };
    if let Some(error) = refused {
        return DescribeClusterResponse {
            error_code: error.code(),
            error_message: Some(Str::from_static(error.message())),
            endpoint_type: request.endpoint_type,
            ..DescribeClusterResponse::default()
        };
    }
    let cluster = call.service.cluster();
    let address = call.session.advertised();
    DescribeClusterResponse {
        cluster_id: Str::from(cluster.id),
        controller_id: cluster.node_id,
        brokers: vec![DescribeClusterBroker {
            broker_id: cluster.node_id,
            host: Str::from(address.host.clone()),
            port: i32::from(address.port),
            rack: None,
        }],
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            CLUSTER_OPERATIONS
        } else {
            i32::MIN
        },
        ..DescribeClusterResponse::default()
    }
}

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;
