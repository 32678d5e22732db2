//! A model of a cluster with a group, on tokio's paused clock, which jumps whenever all tasks wait.
//!
//! Two brokers: one leads all partitions, the other one coordinates the group, until it moves.
//! What happens to each request of a member is taken from a script; when that is over, all goes
//! well.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use highwater_client::{Client, ErrorCode, SystemClock};
use highwater_proto::clock::{Clock, Mono};
use highwater_proto::exchange::{BoxFuture, ExchangeError};
use highwater_proto::kafka::messages::fetch::{
    FetchPartition, FetchPartitionResponse, FetchRequest, FetchResponse, FetchTopicResponse,
};
use highwater_proto::kafka::messages::find_coordinator::{
    FindCoordinatorResponse, FindCoordinatorResult,
};
use highwater_proto::kafka::messages::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use highwater_proto::kafka::messages::metadata::{
    MetadataBroker, MetadataPartition, MetadataRequest, MetadataResponse, MetadataTopic,
    MetadataTopicResponse,
};
use highwater_proto::kafka::messages::offset_fetch::{
    OffsetFetchGroupResult, OffsetFetchPartitionResult, OffsetFetchRequest, OffsetFetchResponse,
    OffsetFetchTopicResult,
};
use highwater_proto::kafka::{ApiKey, Request, Response};
use tokio::sync::oneshot;

use crate::answers::{self, batch, refusal};
use crate::coordinator::{Answer, Coordinator};
use crate::session::ModelDial;

/// What happens to one request of a member.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// All goes well, and the answer takes so many milliseconds.
    Ok(u64),
    /// It takes so many milliseconds to arrive.
    Late(u64),
    /// It does not leave.
    NotSent,
    /// It is lost on its way.
    LostRequest,
    /// It is executed, its answer lost.
    LostReply,
    /// It is lost, and nobody ever says so.
    Silence,
    /// The group is coordinated by the other broker from now on.
    Moved,
    /// The coordinator is not ready.
    Loading,
}

#[derive(Debug)]
pub(crate) struct Model {
    state: Mutex<State>,
    clock: SystemClock,
}

#[derive(Debug)]
struct State {
    coordinator: Coordinator,
    coordinator_id: i32,
    /// How many records each partition of each topic has.
    topics: BTreeMap<String, Vec<i64>>,
    faults: VecDeque<Fault>,
    /// Clients that nobody hears any more.
    dead: HashSet<usize>,
}

impl Model {
    /// A cluster with these partitions, each with so many records.
    pub(crate) fn new(
        topics: &[(&str, i32, i64)],
        faults: impl IntoIterator<Item = Fault>,
    ) -> Arc<Self> {
        let partitions = |count| vec![count; 0];
        let mut all = BTreeMap::new();
        for (topic, count, records) in topics {
            let mut logs: Vec<i64> = partitions(*records);
            logs.resize(usize::try_from(*count).unwrap(), *records);
            all.insert((*topic).to_owned(), logs);
        }
        let model = Arc::new(Self {
            state: Mutex::new(State {
                coordinator: Coordinator::default(),
                coordinator_id: 2,
                topics: all,
                faults: faults.into_iter().collect(),
                dead: HashSet::new(),
            }),
            clock: SystemClock::new(),
        });
        let ticking = Arc::downgrade(&model);
        tokio::spawn(async move {
            while let Some(model) = ticking.upgrade() {
                let now = model.clock.now().mono;
                model.lock().coordinator.tick(now);
                model.clock.sleep_until(now.plus(TICK)).await;
            }
        });
        model
    }

    /// A client of its own, by a number to kill it by.
    pub(crate) fn client(self: &Arc<Self>, number: usize) -> Client {
        let dial = Arc::new(ModelDial::new(self, number));
        Client::over("model:1", dial, Arc::new(SystemClock::new())).unwrap()
    }

    /// From now on nothing of this client is heard, and it hears nothing.
    pub(crate) fn kill(&self, number: usize) {
        self.lock().dead.insert(number);
    }

    pub(crate) fn is_dead(&self, number: usize) -> bool {
        self.lock().dead.contains(&number)
    }

    pub(crate) fn add_partition(&self, topic: &str, records: i64) {
        let mut state = self.lock();
        state
            .topics
            .entry(topic.to_owned())
            .or_default()
            .push(records);
    }

    /// From now on a partition has so many records.
    pub(crate) fn fill(&self, topic: &str, partition: usize, records: i64) {
        self.lock().topics.get_mut(topic).unwrap()[partition] = records;
    }

    /// From now on this is what happens to requests of members.
    pub(crate) fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().faults = faults.into_iter().collect();
    }

    pub(crate) fn committed(&self, topic: &str, partition: i32) -> Option<i64> {
        let key = (topic.to_owned(), partition);
        self.lock().coordinator.offsets.get(&key).copied()
    }

    pub(crate) fn generation(&self) -> i32 {
        self.lock().coordinator.generation()
    }

    pub(crate) fn protocol(&self) -> String {
        self.lock().coordinator.protocol().to_owned()
    }

    pub(crate) fn members_count(&self) -> usize {
        self.lock().coordinator.members_count()
    }

    pub(crate) fn parked_count(&self) -> usize {
        self.lock().coordinator.parked_count
    }

    pub(crate) fn now(&self) -> Mono {
        self.clock.now().mono
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        self.clock.sleep_until(self.now().plus(time)).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// So often the coordinator looks at the time.
pub(crate) const TICK: Duration = Duration::from_millis(50);

pub(crate) fn execute(
    model: &Arc<Model>,
    node: i32,
    request: Request,
) -> BoxFuture<'static, Result<Option<Response>, ExchangeError>> {
    match request.key() {
        ApiKey::JoinGroup
        | ApiKey::SyncGroup
        | ApiKey::Heartbeat
        | ApiKey::LeaveGroup
        | ApiKey::OffsetCommit
        | ApiKey::OffsetFetch
        | ApiKey::ListGroups => Box::pin(member_request(Arc::clone(model), node, request)),
        _ => model.lock().data_request(model, request),
    }
}

async fn member_request(
    model: Arc<Model>,
    node: i32,
    request: Request,
) -> Result<Option<Response>, ExchangeError> {
    let fault = model.lock().faults.pop_front().unwrap_or(Fault::Ok(0));
    let why = "the model drops it".to_owned();
    match fault {
        Fault::NotSent => return Err(ExchangeError::NotSent { why }),
        Fault::LostRequest => return Err(ExchangeError::Unknown { why }),
        Fault::Silence => return std::future::pending().await,
        Fault::Late(ms) => model.sleep(Duration::from_millis(ms)).await,
        _ => {}
    }
    let answer = model.lock().answer(model.now(), (node, fault), request);
    let response = match answer {
        Answer::Now(response) => response,
        Answer::Later(later) => later.await.map_err(|_| ExchangeError::Closed)?,
    };
    match fault {
        Fault::Ok(ms) if ms > 0 => model.sleep(Duration::from_millis(ms)).await,
        Fault::LostReply => return Err(ExchangeError::Unknown { why }),
        _ => {}
    }
    Ok(Some(response))
}

/// An answer of one API as an answer of any.
fn any<T: Into<Response> + Send + 'static>(answer: Answer<T>) -> Answer<Response> {
    match answer {
        Answer::Now(response) => Answer::Now(response.into()),
        Answer::Later(later) => {
            let (send, any) = oneshot::channel();
            tokio::spawn(async move {
                if let Ok(response) = later.await {
                    let _ = send.send(response.into());
                }
            });
            Answer::Later(any)
        }
    }
}

impl State {
    fn answer(
        &mut self,
        now: Mono,
        (node, fault): (i32, Fault),
        request: Request,
    ) -> Answer<Response> {
        if matches!(fault, Fault::Moved) {
            self.coordinator_id = 3 - self.coordinator_id;
        }
        let refused = match fault {
            Fault::Loading => ErrorCode::CoordinatorLoadInProgress,
            _ if request.key() == ApiKey::ListGroups => {
                let response = answers::groups(self.coordinator_id == node);
                return Answer::Now(response.into());
            }
            _ if self.coordinator_id != node => ErrorCode::NotCoordinator,
            _ => return self.execute(now, request),
        };
        Answer::Now(refusal(&request, refused))
    }

    fn execute(&mut self, now: Mono, request: Request) -> Answer<Response> {
        let coordinator = &mut self.coordinator;
        match request {
            Request::JoinGroup(request) => any(coordinator.join(now, &request)),
            Request::SyncGroup(request) => any(coordinator.sync(now, &request)),
            Request::Heartbeat(request) => {
                let (id, generation) = (&request.member_id, request.generation_id);
                Answer::Now(coordinator.beat(now, id, generation).into())
            }
            Request::LeaveGroup(request) => Answer::Now(coordinator.leave(now, &request).into()),
            Request::OffsetCommit(request) => Answer::Now(coordinator.commit(now, &request).into()),
            Request::OffsetFetch(request) => Answer::Now(self.committed(&request).into()),
            other => unreachable!("{:?} is no request of a member", other.key()),
        }
    }

    fn committed(&self, request: &OffsetFetchRequest) -> OffsetFetchResponse {
        let group = request.groups.first().expect("one group");
        let topic = |topic: &highwater_proto::kafka::messages::offset_fetch::OffsetFetchTopic| {
            let partition = |index: &i32| {
                let key = (topic.name.to_string(), *index);
                OffsetFetchPartitionResult {
                    index: *index,
                    committed_offset: self.coordinator.offsets.get(&key).copied().unwrap_or(-1),
                    ..Default::default()
                }
            };
            OffsetFetchTopicResult {
                name: topic.name.clone(),
                partitions: topic.partition_indexes.iter().map(partition).collect(),
            }
        };
        OffsetFetchResponse {
            groups: vec![OffsetFetchGroupResult {
                group_id: group.group_id.clone(),
                topics: group.topics.iter().flatten().map(topic).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    fn data_request(
        &self,
        model: &Arc<Model>,
        request: Request,
    ) -> BoxFuture<'static, Result<Option<Response>, ExchangeError>> {
        let response: Response = match request {
            Request::Metadata(request) => self.metadata(&request).into(),
            Request::FindCoordinator(request) => FindCoordinatorResponse {
                coordinators: vec![FindCoordinatorResult {
                    key: request.coordinator_keys.first().expect("one key").clone(),
                    node_id: self.coordinator_id,
                    host: "model".into(),
                    port: self.coordinator_id,
                    ..Default::default()
                }],
                ..Default::default()
            }
            .into(),
            Request::ListOffsets(request) => self.list_offsets(&request).into(),
            Request::Fetch(request) => {
                let (response, is_empty) = self.fetch(&request);
                let model = Arc::clone(model);
                let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap());
                return Box::pin(async move {
                    if is_empty {
                        model.sleep(wait).await;
                    }
                    Ok(Some(response.into()))
                });
            }
            other => unreachable!("the model does not know {:?}", other.key()),
        };
        Box::pin(std::future::ready(Ok(Some(response))))
    }

    fn metadata(&self, request: &MetadataRequest) -> MetadataResponse {
        let broker = |node_id| MetadataBroker {
            node_id,
            host: "model".into(),
            port: node_id,
            rack: None,
        };
        let named = |it: &MetadataTopic| it.name.as_ref().map(ToString::to_string);
        let asked: Vec<String> = match &request.topics {
            Some(topics) => topics.iter().filter_map(named).collect(),
            None => self.topics.keys().cloned().collect(),
        };
        let topic = |name: &str| {
            let count = self.topics.get(name).map(Vec::len);
            let partition = |index| MetadataPartition {
                index,
                leader_id: 1,
                ..Default::default()
            };
            MetadataTopicResponse {
                error_code: match count {
                    Some(_) => 0,
                    None => ErrorCode::UnknownTopicOrPartition.code(),
                },
                name: Some(name.to_owned().into()),
                is_internal: name.starts_with("__"),
                partitions: (0..i32::try_from(count.unwrap_or(0)).unwrap())
                    .map(partition)
                    .collect(),
                ..Default::default()
            }
        };
        MetadataResponse {
            brokers: vec![broker(1), broker(2)],
            topics: asked.iter().map(|name| topic(name)).collect(),
            ..Default::default()
        }
    }

    fn end(&self, topic: &str, partition: i32) -> Option<i64> {
        self.topics
            .get(topic)?
            .get(usize::try_from(partition).ok()?)
            .copied()
    }

    fn list_offsets(&self, request: &ListOffsetsRequest) -> ListOffsetsResponse {
        let mut topics = Vec::new();
        for topic in &request.topics {
            let partition =
                |it: &highwater_proto::kafka::messages::list_offsets::ListOffsetsPartition| {
                    let end = self.end(&topic.name, it.index).unwrap_or_default();
                    ListOffsetsPartitionResponse {
                        index: it.index,
                        offset: if it.timestamp == -2 { 0 } else { end },
                        ..Default::default()
                    }
                };
            topics.push(ListOffsetsTopicResponse {
                name: topic.name.clone(),
                partitions: topic.partitions.iter().map(partition).collect(),
            });
        }
        ListOffsetsResponse {
            topics,
            ..Default::default()
        }
    }

    /// The answer, and whether there is nothing in it.
    fn fetch(&self, request: &FetchRequest) -> (FetchResponse, bool) {
        let mut is_empty = true;
        let mut topics = Vec::new();
        for topic in &request.topics {
            let mut partition = |it: &FetchPartition| {
                let end = self.end(&topic.name, it.index).unwrap_or_default();
                is_empty &= it.fetch_offset >= end;
                FetchPartitionResponse {
                    index: it.index,
                    high_watermark: end,
                    records: batch(it.fetch_offset, end),
                    ..Default::default()
                }
            };
            topics.push(FetchTopicResponse {
                name: topic.name.clone(),
                partitions: topic.partitions.iter().map(&mut partition).collect(),
                ..Default::default()
            });
        }
        let response = FetchResponse {
            topics,
            ..Default::default()
        };
        (response, is_empty)
    }
}
