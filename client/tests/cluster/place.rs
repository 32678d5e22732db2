//! What a broker answers by its place in the cluster: it serves what it leads, refuses the rest,
//! and tells what it knows of the others.

use std::sync::Arc;

use highwater_client::ErrorCode;
use highwater_proto::exchange::{BoxFuture, Exchange, ExchangeError};
use highwater_proto::kafka::messages::fetch::{
    FetchLeader, FetchPartitionResponse, FetchRequest, FetchTopicResponse,
};
use highwater_proto::kafka::messages::find_coordinator::FindCoordinatorResult;
use highwater_proto::kafka::messages::heartbeat::HeartbeatResponse;
use highwater_proto::kafka::messages::join_group::JoinGroupResponse;
use highwater_proto::kafka::messages::leave_group::LeaveGroupResponse;
use highwater_proto::kafka::messages::metadata::MetadataBroker;
use highwater_proto::kafka::messages::offset_commit::{
    OffsetCommitPartitionResult, OffsetCommitResponse, OffsetCommitTopicResult,
};
use highwater_proto::kafka::messages::offset_fetch::{OffsetFetchGroupResult, OffsetFetchResponse};
use highwater_proto::kafka::messages::produce::{
    ProduceLeader, ProducePartitionResponse, ProduceRequest, ProduceTopicResponse,
};
use highwater_proto::kafka::messages::sync_group::SyncGroupResponse;
use highwater_proto::kafka::{Request, Response};

use crate::fake::{Fake, TOPIC, address};

type Answer = BoxFuture<'static, Result<Option<Response>, ExchangeError>>;

/// Takes effect before it returns.
pub(crate) fn answer(
    fake: &Arc<Fake>,
    id: i32,
    inner: &Arc<dyn Exchange>,
    version: i16,
    request: Request,
) -> Answer {
    let is_coordinator = fake.view().coordinator == id;
    if !is_coordinator && let Some(refusal) = not_coordinator(&request) {
        return Box::pin(async move { Ok(Some(refusal)) });
    }
    let fake = Arc::clone(fake);
    match request {
        Request::Produce(request) => produce(fake, id, inner, version, request),
        Request::Fetch(request) => fetch(fake, id, inner, version, request),
        Request::ListOffsets(request) => {
            let answered = inner.send(version, request.into());
            Box::pin(async move {
                let mut response = answered.await?;
                if let Some(Response::ListOffsets(response)) = &mut response {
                    for partition in response.topics.iter_mut().flat_map(|it| &mut it.partitions) {
                        if !leads(&fake, id, partition.index) {
                            partition.error_code = ErrorCode::NotLeaderOrFollower.code();
                        }
                    }
                }
                Ok(response)
            })
        }
        request => {
            let answered = inner.send(version, request);
            Box::pin(async move {
                let mut response = answered.await?;
                rewrite(&fake, id, &mut response);
                Ok(response)
            })
        }
    }
}

fn leads(fake: &Fake, id: i32, partition: i32) -> bool {
    let leaders = fake.view().leaders;
    let leader = leaders.get(usize::try_from(partition).unwrap());
    leader.is_some_and(|(leader, _)| *leader == id)
}

/// The new leader, if the broker tells it.
fn told(fake: &Fake, partition: i32) -> (i32, i32) {
    match fake.tells_leaders {
        true => fake.view().leaders[usize::try_from(partition).unwrap()],
        false => (-1, -1),
    }
}

fn refused_batch(fake: &Fake, index: i32) -> ProducePartitionResponse {
    let (leader_id, leader_epoch) = told(fake, index);
    ProducePartitionResponse {
        index,
        error_code: ErrorCode::NotLeaderOrFollower.code(),
        base_offset: -1,
        current_leader: ProduceLeader {
            leader_id,
            leader_epoch,
        },
        ..Default::default()
    }
}

/// What it leads is stored. As in Kafka, a broker that has lost a partition meanwhile says that it
/// is not its leader, although the batch is stored.
fn produce(
    fake: Arc<Fake>,
    id: i32,
    inner: &Arc<dyn Exchange>,
    version: i16,
    mut request: ProduceRequest,
) -> Answer {
    let mut refused = Vec::new();
    for topic in &mut request.topics {
        let mine = |index: i32| leads(&fake, id, index);
        let others = topic.partitions.extract_if(.., |it| !mine(it.index));
        refused.extend(others.map(|it| (topic.name.clone(), it.index)));
    }
    request.topics.retain(|topic| !topic.partitions.is_empty());
    let is_answered = request.acks != 0;
    let is_left = !request.topics.is_empty();
    let answered = is_left.then(|| inner.send(version, request.into()));
    Box::pin(async move {
        let mut response = match answered {
            Some(answered) => match answered.await? {
                Some(Response::Produce(response)) => response,
                other => return Ok(other),
            },
            None if is_answered => Default::default(),
            None => return Ok(None),
        };
        // The replicas take as long.
        let lag_ms = fake.health(id).borrow().lag_ms;
        fake.sleep(lag_ms).await;
        for partition in response.topics.iter_mut().flat_map(|it| &mut it.partitions) {
            if !leads(&fake, id, partition.index) {
                *partition = refused_batch(&fake, partition.index);
            }
        }
        let refused = refused
            .into_iter()
            .map(|(name, index)| ProduceTopicResponse {
                name,
                partitions: vec![refused_batch(&fake, index)],
            });
        response.topics.extend(refused);
        Ok(Some(response.into()))
    })
}

fn refused_read(fake: &Fake, index: i32) -> FetchPartitionResponse {
    let (leader_id, leader_epoch) = told(fake, index);
    FetchPartitionResponse {
        index,
        error_code: ErrorCode::NotLeaderOrFollower.code(),
        current_leader: FetchLeader {
            leader_id,
            leader_epoch,
        },
        ..Default::default()
    }
}

/// What it leads is read; it does not wait for records if it has to refuse something.
fn fetch(
    fake: Arc<Fake>,
    id: i32,
    inner: &Arc<dyn Exchange>,
    version: i16,
    mut request: FetchRequest,
) -> Answer {
    let mut refused = Vec::new();
    for topic in &mut request.topics {
        let others = topic
            .partitions
            .extract_if(.., |it| !leads(&fake, id, it.index));
        refused.extend(others.map(|it| (topic.name.clone(), it.index)));
    }
    request.topics.retain(|topic| !topic.partitions.is_empty());
    if !refused.is_empty() {
        request.max_wait_ms = 0;
    }
    let answered = inner.send(version, request.into());
    Box::pin(async move {
        let mut response = answered.await?;
        let Some(Response::Fetch(read)) = &mut response else {
            return Ok(response);
        };
        for partition in read.topics.iter_mut().flat_map(|it| &mut it.partitions) {
            if !leads(&fake, id, partition.index) {
                *partition = refused_read(&fake, partition.index);
            }
        }
        let refused = refused.into_iter().map(|(name, index)| FetchTopicResponse {
            name,
            partitions: vec![refused_read(&fake, index)],
            ..Default::default()
        });
        read.topics.extend(refused);
        Ok(response)
    })
}

/// The answer of a broker that does not coordinate, if that is what the request needs.
fn not_coordinator(request: &Request) -> Option<Response> {
    let error_code = ErrorCode::NotCoordinator.code();
    Some(match request {
        Request::JoinGroup(_) => Response::from(JoinGroupResponse {
            error_code,
            ..Default::default()
        }),
        Request::SyncGroup(_) => Response::from(SyncGroupResponse {
            error_code,
            ..Default::default()
        }),
        Request::Heartbeat(_) => Response::from(HeartbeatResponse {
            error_code,
            ..Default::default()
        }),
        Request::LeaveGroup(_) => Response::from(LeaveGroupResponse {
            error_code,
            ..Default::default()
        }),
        Request::OffsetCommit(request) => {
            let topics = request.topics.iter().map(|topic| OffsetCommitTopicResult {
                name: topic.name.clone(),
                partitions: topic
                    .partitions
                    .iter()
                    .map(|it| OffsetCommitPartitionResult {
                        index: it.index,
                        error_code,
                    })
                    .collect(),
            });
            Response::from(OffsetCommitResponse {
                topics: topics.collect(),
                ..Default::default()
            })
        }
        Request::OffsetFetch(request) => {
            let groups = request.groups.iter().map(|group| OffsetFetchGroupResult {
                group_id: group.group_id.clone(),
                error_code,
                ..Default::default()
            });
            Response::from(OffsetFetchResponse {
                groups: groups.collect(),
                error_code,
                ..Default::default()
            })
        }
        _ => return None,
    })
}

/// Puts the cluster in the place of the broker that holds the data.
fn rewrite(fake: &Fake, id: i32, response: &mut Option<Response>) {
    match response {
        Some(Response::Metadata(response)) => {
            let view = fake.view_of(id);
            let broker = |id: &i32| MetadataBroker {
                node_id: *id,
                host: format!("b{id}").into(),
                port: 9092,
                rack: None,
            };
            response.brokers = view.alive.iter().map(broker).collect();
            for topic in &mut response.topics {
                assert_eq!(topic.name.as_deref(), Some(TOPIC));
                for partition in &mut topic.partitions {
                    let index = usize::try_from(partition.index).unwrap();
                    (partition.leader_id, partition.leader_epoch) = view.leaders[index];
                    if partition.leader_id < 0 {
                        partition.error_code = ErrorCode::LeaderNotAvailable.code();
                    }
                }
            }
        }
        Some(Response::FindCoordinator(response)) => {
            let coordinator = fake.view_of(id).coordinator;
            for found in &mut response.coordinators {
                *found = match usize::try_from(coordinator) {
                    Ok(number) => FindCoordinatorResult {
                        key: found.key.clone(),
                        node_id: coordinator,
                        host: address(number).split(':').next().unwrap().to_owned().into(),
                        port: 9092,
                        ..Default::default()
                    },
                    Err(_) => FindCoordinatorResult {
                        key: found.key.clone(),
                        error_code: ErrorCode::CoordinatorNotAvailable.code(),
                        ..Default::default()
                    },
                };
            }
        }
        _ => {}
    }
}
