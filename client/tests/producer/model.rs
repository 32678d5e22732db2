//! A model of a broker's partitions and of a bad network, on tokio's paused clock, which jumps
//! whenever all tasks wait.
//!
//! Appends follow Kafka's rules for idempotent producers: sequence numbers without a gap, and a
//! window of five batches in which repetitions are recognised. What happens to each request is
//! taken from a script; when that is over, all goes well.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use highwater_client::{ClientError, Dial, ErrorCode, SystemClock};
use highwater_proto::batch::{BatchHeader, check_crc, sequence_add};
use highwater_proto::clock::Clock;
use highwater_proto::exchange::{BoxFuture, Exchange, ExchangeError};
use highwater_proto::kafka::messages::init_producer_id::InitProducerIdResponse;
use highwater_proto::kafka::messages::metadata::{
    MetadataBroker, MetadataPartition, MetadataRequest, MetadataResponse, MetadataTopicResponse,
};
use highwater_proto::kafka::messages::produce::{
    ProducePartitionResponse, ProduceRequest, ProduceResponse, ProduceTopicResponse,
};
use highwater_proto::kafka::{ApiKey, Request, Response};
use highwater_proto::record::RecordIter;

/// What happens to one Produce request, after so many milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// All goes well.
    Ok(u64),
    /// It does not leave.
    NotSent,
    /// It is lost on its way.
    LostRequest(u64),
    /// It is executed, its answer lost.
    LostReply(u64),
    /// It is executed, and the answer never comes.
    Silence,
    /// The partitions are led by somebody else: refused.
    NotLeader(u64),
    /// Refused for good.
    TooLarge(u64),
}

/// The state of the model.
#[derive(Debug, Default)]
pub(crate) struct Model {
    state: Mutex<State>,
    pub(crate) partitions: i32,
}

#[derive(Debug, Default)]
struct State {
    faults: VecDeque<Fault>,
    logs: HashMap<i32, Log>,
    last_producer_id: i64,
    requests_count: usize,
    /// Larger batches are refused.
    batch_bytes_max: Option<usize>,
}

#[derive(Debug, Default)]
struct Log {
    values: Vec<String>,
    /// By producer id: the newest epoch, and its last batches.
    producers: HashMap<i64, (i16, VecDeque<Window>)>,
}

/// A batch of the window in which repetitions are recognised.
#[derive(Clone, Copy, Debug)]
struct Window {
    first: i32,
    last: i32,
    base_offset: i64,
}

impl Model {
    pub(crate) fn new(partitions: i32, faults: impl IntoIterator<Item = Fault>) -> Arc<Self> {
        let state = State {
            faults: faults.into_iter().collect(),
            ..State::default()
        };
        Arc::new(Self {
            state: Mutex::new(state),
            partitions,
        })
    }

    /// Adds to the script.
    pub(crate) fn then(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.lock().unwrap().faults.extend(faults);
    }

    /// Refuses larger batches from now on.
    pub(crate) fn refuse_above(&self, bytes: usize) {
        self.state.lock().unwrap().batch_bytes_max = Some(bytes);
    }

    /// The values of a partition in their order.
    pub(crate) fn values(&self, partition: i32) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state
            .logs
            .get(&partition)
            .map(|log| log.values.clone())
            .unwrap_or_default()
    }

    /// Produce requests that arrived here.
    pub(crate) fn requests_count(&self) -> usize {
        self.state.lock().unwrap().requests_count
    }

    /// Epochs of producer ids that batches were stored under.
    pub(crate) fn epochs_count(&self, partition: i32) -> usize {
        let state = self.state.lock().unwrap();
        let log = state.logs.get(&partition);
        let epochs = log.into_iter().flat_map(|log| log.producers.values());
        epochs
            .map(|(epoch, _)| usize::try_from(*epoch).unwrap() + 1)
            .sum()
    }

    /// Producer ids that were given out.
    pub(crate) fn producer_ids_count(&self) -> i64 {
        self.state.lock().unwrap().last_producer_id
    }

    fn produce(&self, request: &ProduceRequest, fault: Fault) -> ProduceResponse {
        let mut state = self.state.lock().unwrap();
        let refused = match fault {
            Fault::NotLeader(_) => Some(ErrorCode::NotLeaderOrFollower),
            Fault::TooLarge(_) => Some(ErrorCode::MessageTooLarge),
            _ => None,
        };
        let topic = |topic: &highwater_proto::kafka::messages::produce::ProduceTopic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let batch = partition
                    .records
                    .clone()
                    .expect("a batch for each partition");
                let is_too_large = state.batch_bytes_max.is_some_and(|max| batch.len() > max);
                let result = match refused {
                    Some(code) => Err(code),
                    None if is_too_large => Err(ErrorCode::MessageTooLarge),
                    None => state.logs.entry(partition.index).or_default().append(batch),
                };
                ProducePartitionResponse {
                    index: partition.index,
                    error_code: result.err().map_or(0, ErrorCode::code),
                    base_offset: result.unwrap_or(-1),
                    ..Default::default()
                }
            });
            ProduceTopicResponse {
                name: topic.name.clone(),
                partitions: partitions.collect(),
            }
        };
        ProduceResponse {
            topics: request.topics.iter().map(topic).collect(),
            ..Default::default()
        }
    }

    fn metadata(&self, request: &MetadataRequest) -> MetadataResponse {
        let partition = |index| MetadataPartition {
            index,
            leader_id: 1,
            ..Default::default()
        };
        let topics = request
            .topics
            .iter()
            .flatten()
            .map(|topic| MetadataTopicResponse {
                name: topic.name.clone(),
                partitions: (0..self.partitions).map(partition).collect(),
                ..Default::default()
            });
        MetadataResponse {
            brokers: vec![MetadataBroker {
                node_id: 1,
                host: "model".into(),
                port: 1,
                rack: None,
            }],
            topics: topics.collect(),
            ..Default::default()
        }
    }
}

impl Log {
    fn append(&mut self, batch: bytes::Bytes) -> Result<i64, ErrorCode> {
        check_crc(&batch).map_err(|_| ErrorCode::CorruptMessage)?;
        let header = BatchHeader::parse(&batch).map_err(|_| ErrorCode::CorruptMessage)?;
        let base_offset = self.values.len() as i64;
        if header.is_idempotent() {
            let (first, last) = (header.base_sequence, header.last_sequence());
            let epoch = header.producer_epoch;
            let fresh = || (epoch, VecDeque::new());
            let producer = self.producers.entry(header.producer_id);
            let (newest, window) = producer.or_insert_with(fresh);
            if epoch < *newest {
                return Err(ErrorCode::InvalidProducerEpoch);
            }
            if epoch > *newest {
                if first != 0 {
                    return Err(ErrorCode::OutOfOrderSequenceNumber);
                }
                (*newest, *window) = fresh();
            }
            let is_it = |it: &&Window| it.first == first && it.last == last;
            if let Some(known) = window.iter().find(is_it) {
                return Ok(known.base_offset);
            }
            // As in Kafka, an id that is not known here may begin with any sequence number.
            let expected = window
                .back()
                .map_or(first, |last| sequence_add(last.last, 1));
            if first != expected {
                return Err(ErrorCode::OutOfOrderSequenceNumber);
            }
            window.push_back(Window {
                first,
                last,
                base_offset,
            });
            if window.len() > 5 {
                window.pop_front();
            }
        }
        let records = RecordIter::new(batch, 1 << 20).map_err(|_| ErrorCode::CorruptMessage)?;
        for record in records {
            let value = record
                .map_err(|_| ErrorCode::CorruptMessage)?
                .value
                .unwrap_or_default();
            self.values
                .push(String::from_utf8_lossy(&value).into_owned());
        }
        Ok(base_offset)
    }
}

/// One session with the model.
#[derive(Debug)]
struct Session(Arc<Model>);

impl Exchange for Session {
    fn versions(&self, _: ApiKey) -> Option<(i16, i16)> {
        Some((0, 9))
    }

    fn send(
        &self,
        _: i16,
        request: Request,
    ) -> BoxFuture<'static, Result<Option<Response>, ExchangeError>> {
        let model = &self.0;
        match request {
            Request::Produce(request) => {
                let fault = {
                    let mut state = model.state.lock().unwrap();
                    state.requests_count += 1;
                    state.faults.pop_front().unwrap_or(Fault::Ok(0))
                };
                let executed = match fault {
                    Fault::NotSent | Fault::LostRequest(_) => None,
                    _ => Some(model.produce(&request, fault)),
                };
                if request.acks == 0 {
                    return Box::pin(std::future::ready(Ok(None)));
                }
                Box::pin(answer(fault, executed))
            }
            Request::InitProducerId(_) => {
                let mut state = model.state.lock().unwrap();
                state.last_producer_id += 1;
                let producer_id = state.last_producer_id;
                let response = InitProducerIdResponse {
                    producer_id,
                    ..Default::default()
                };
                Box::pin(std::future::ready(Ok(Some(response.into()))))
            }
            Request::Metadata(request) => Box::pin(std::future::ready(Ok(Some(
                model.metadata(&request).into(),
            )))),
            other => unreachable!("the model does not know {:?}", other.key()),
        }
    }
}

async fn answer(
    fault: Fault,
    executed: Option<ProduceResponse>,
) -> Result<Option<Response>, ExchangeError> {
    let why = || "the model drops it".to_owned();
    let pause = |ms| {
        let clock = SystemClock::new();
        clock.sleep_until(clock.now().mono.plus(Duration::from_millis(ms)))
    };
    match fault {
        Fault::Ok(ms) | Fault::NotLeader(ms) | Fault::TooLarge(ms) => {
            pause(ms).await;
            Ok(executed.map(Response::from))
        }
        Fault::NotSent => Err(ExchangeError::NotSent { why: why() }),
        Fault::LostRequest(ms) | Fault::LostReply(ms) => {
            pause(ms).await;
            Err(ExchangeError::Unknown { why: why() })
        }
        Fault::Silence => std::future::pending().await,
    }
}

/// Opens sessions with the model.
#[derive(Debug)]
pub(crate) struct ModelDial(pub(crate) Arc<Model>);

impl Dial for ModelDial {
    fn dial(&self, _: &str) -> BoxFuture<'static, Result<Arc<dyn Exchange>, ClientError>> {
        let session = Session(Arc::clone(&self.0));
        Box::pin(async move { Ok(Arc::new(session) as Arc<dyn Exchange>) })
    }
}
