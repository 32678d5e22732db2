//! DescribeCluster (key 60), v0 to v1.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Flexible from the start.
//!
//! v1 endpoint types.

use crate::cursor::Str;
use crate::kafka::message::message;

message! {
    /// Asks who the cluster is.
    DescribeClusterRequest {
        include_cluster_authorized_operations: bool,
        /// 1: brokers; 2: controllers.
        endpoint_type: i8 [1..] = 1,
    }

    /// The cluster and its brokers.
    DescribeClusterResponse {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<Str>,
        endpoint_type: i8 [1..] = 1,
        cluster_id: Str,
        controller_id: i32 = -1,
        brokers: Vec<DescribeClusterBroker>,
        /// Bit n is ACL operation n.
        cluster_authorized_operations: i32 = i32::MIN,
    }

    /// A broker and where it can be reached.
    DescribeClusterBroker {
        broker_id: i32,
        host: Str,
        port: i32,
        rack: Option<Str>,
    }
}
