//! DescribeLogDirs (key 35), v1 to v4.
//!
//! Floor 5 of broker.
//!
//! - One directory, with the size of every partition that was asked for and exists; null topics
//!   ask for all.
//! - A directory that failed is error 56 and tells nothing else.

use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};

use super::Call;
use crate::kafka::errors::WireError;
use crate::service::placement::{LogDir, LogDirTopic};

pub(in crate::kafka) async fn handle(
    call: Call<'_>,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let asked = request.topics.map(|topics| {
        let topics = topics.into_iter();
        topics
            .map(|topic| (String::from(topic.topic), topic.partitions))
            .collect()
    });
    DescribeLogDirsResponse {
        results: vec![answer(call.service.log_dir(asked).await)],
        ..DescribeLogDirsResponse::default()
    }
}

fn answer(dir: LogDir) -> DescribeLogDirsResult {
    let log_dir = Str::from(dir.path);
    match dir.result {
        Ok(content) => DescribeLogDirsResult {
            log_dir,
            topics: content.topics.into_iter().map(topic).collect(),
            total_bytes: content.total_bytes.map_or(UNKNOWN, number),
            usable_bytes: content.free_bytes.map_or(UNKNOWN, number),
            ..DescribeLogDirsResult::default()
        },
        Err(error) => DescribeLogDirsResult {
            log_dir,
            error_code: error.error_code().code(),
            ..DescribeLogDirsResult::default()
        },
    }
}

fn topic(topic: LogDirTopic) -> DescribeLogDirsTopic {
    let partition = |(index, bytes)| DescribeLogDirsPartition {
        index,
        partition_size: number(bytes),
        ..DescribeLogDirsPartition::default()
    };
    DescribeLogDirsTopic {
        name: Str::from(topic.name),
        partitions: topic.partitions.into_iter().map(partition).collect(),
    }
}

fn number(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

const UNKNOWN: i64 = -1;
