//! How much one request may name: topics, and partitions.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - Every API of the table is counted: a new one does not compile until it is.

use highwater_proto::kafka::Request;

use super::dispatch::Refusal;
use crate::config::BrokerConfig;

/// Refuses a request that names too much.
pub(super) fn check(request: &Request, config: &BrokerConfig) -> Result<(), Refusal> {
    let (topics, partitions) = count(request);
    let over = |what, count, setting, max| {
        if count > max {
            Err(Refusal::FanOut {
                what,
                count,
                setting,
                max,
            })
        } else {
            Ok(())
        }
    };
    over(
        "topics",
        topics,
        "request.topics.max",
        config.request_topics_max,
    )?;
    over(
        "partitions",
        partitions,
        "request.partitions.max",
        config.request_partitions_max,
    )
}

/// Topics (or what stands for them) and partitions of a request.
fn count(request: &Request) -> (usize, usize) {
    /// Topics with partitions below them.
    macro_rules! nested {
        ($request:ident) => {
            (
                $request.topics.len(),
                $request
                    .topics
                    .iter()
                    .map(|topic| topic.partitions.len())
                    .sum(),
            )
        };
    }
    match request {
        Request::Produce(request) => nested!(request),
        Request::Fetch(request) => nested!(request),
        Request::ListOffsets(request) => nested!(request),
        Request::DeleteRecords(request) => nested!(request),
        Request::OffsetForLeaderEpoch(request) => nested!(request),
        Request::Metadata(request) => (request.topics.as_ref().map_or(0, Vec::len), 0),
        Request::FindCoordinator(request) => (request.coordinator_keys.len(), 0),
        // The service bounds the partitions of all topics together.
        Request::CreateTopics(request) => (request.topics.len(), 0),
        Request::DeleteTopics(request) => (request.topics.len() + request.topic_names.len(), 0),
        Request::CreatePartitions(request) => (request.topics.len(), 0),
        Request::DescribeConfigs(request) => (request.resources.len(), 0),
        Request::IncrementalAlterConfigs(request) => (request.resources.len(), 0),
        Request::ApiVersions(_) | Request::InitProducerId(_) | Request::DescribeCluster(_) => {
            (0, 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use highwater_proto::kafka::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
    use highwater_proto::kafka::messages::metadata::{MetadataRequest, MetadataTopic};

    use super::*;

    #[test]
    fn a_request_may_name_as_much_as_the_settings_say_and_no_more() {
        let config = BrokerConfig {
            request_topics_max: 2,
            request_partitions_max: 3,
            ..BrokerConfig::default()
        };
        let metadata = |count| {
            let topics = Some(vec![MetadataTopic::default(); count]);
            MetadataRequest {
                topics,
                ..MetadataRequest::default()
            }
            .into()
        };
        assert_eq!(check(&metadata(2), &config), Ok(()));
        let error = check(&metadata(3), &config).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a request names 3 topics, request.topics.max is 2: ask in several requests"
        );
        let fetch = |count| {
            let partitions = vec![FetchPartition::default(); count];
            let topics = vec![FetchTopic {
                partitions,
                ..FetchTopic::default()
            }];
            FetchRequest {
                topics,
                ..FetchRequest::default()
            }
            .into()
        };
        assert_eq!(check(&fetch(3), &config), Ok(()));
        assert!(check(&fetch(4), &config).is_err());
    }
}
