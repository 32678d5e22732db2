//! What the tests share: a broker with a listener, a client that sends whatever it is told, and
//! batches.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use highwater_broker::Broker;
use highwater_broker::clock::VirtualClock;
use highwater_broker::config::BrokerConfig;
use highwater_broker::service::Service;
use highwater_log::fs::Fs;
use highwater_log::fs::mem::MemFs;
use highwater_proto::batch_builder::BatchBuilder;
use highwater_proto::clock::{Clock, Mono, Wall};
use highwater_proto::compress::Codec;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::create_topics::{CreateTopic, CreateTopicsRequest};
use highwater_proto::kafka::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use highwater_proto::kafka::messages::produce::{ProducePartition, ProduceRequest, ProduceTopic};
use highwater_proto::kafka::{ApiRequest, Request, Response, SIZE_BYTES};

use crate::logs;

/// Where every broker of these tests starts: 2023-11-14.
pub(crate) const START: Wall = Wall(1_700_000_000_000);
/// The versions that the tests speak where the version does not matter.
pub(crate) const PRODUCE: i16 = 9;
pub(crate) const FETCH: i16 = 12;

/// A broker with a listener, its disk and its clock.
pub(crate) struct Rig {
    pub(crate) broker: Broker,
    pub(crate) service: Service,
    pub(crate) clock: VirtualClock,
    pub(crate) address: SocketAddr,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(BrokerConfig::default())
    }

    pub(crate) fn with(config: BrokerConfig) -> Self {
        Self::over(Arc::new(MemFs::new()), config)
    }

    pub(crate) fn over(fs: Arc<dyn Fs>, config: BrokerConfig) -> Self {
        logs::collect();
        let clock = VirtualClock::new(START);
        let broker = Broker::builder()
            .fs(fs, "/data")
            .config(config)
            .clock(Arc::new(clock.clone()))
            .listen_kafka("127.0.0.1:0".parse().unwrap())
            .start()
            .unwrap();
        let address = broker.bootstrap_servers().parse().unwrap();
        Self {
            service: broker.service().clone(),
            broker,
            clock,
            address,
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Creates a topic over a connection of its own.
    pub(crate) fn topic(&self, name: &'static str, partition_count: i32) {
        let topic = CreateTopic {
            name: Str::from_static(name),
            num_partitions: partition_count,
            replication_factor: 1,
            ..CreateTopic::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            ..Default::default()
        };
        assert_eq!(self.client().call(5, request).topics[0].error_code, 0);
    }

    pub(crate) fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
    }

    /// How far the clock was moved.
    pub(crate) fn clock_since_start(&self) -> Duration {
        self.clock.now().mono.since(Mono::default())
    }

    /// Waits until so many fetches wait for records.
    pub(crate) fn until_parked(&self, count: usize) {
        until(|| self.service.parked_count() == count);
    }
}

/// A client that speaks on one connection, and fails rather than wait for ever.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// Requests that were sent; the next correlation id.
    sent: i32,
    /// Lines of the log before this connection: an earlier one may have had its port.
    lines_before: usize,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let lines_before = logs::count();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            sent: 0,
            lines_before,
        }
    }

    /// The frame of a request with the next correlation id.
    pub(crate) fn frame(&mut self, version: i16, request: impl ApiRequest) -> Bytes {
        let client_id = Some(Str::from_static("test"));
        let frame = request
            .into_request()
            .encode_frame(version, self.sent, client_id);
        self.sent += 1;
        frame.unwrap().into_bytes()
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends a request; gives its correlation id.
    pub(crate) fn send(&mut self, version: i16, request: impl ApiRequest) -> i32 {
        let frame = self.frame(version, request);
        self.write(&frame);
        self.sent - 1
    }

    /// The next answer, without its size.
    pub(crate) fn receive_frame(&mut self) -> Bytes {
        self.try_receive_frame().expect("an answer comes")
    }

    /// The next answer, which is to a request of this type and version.
    pub(crate) fn receive<R: ApiRequest>(&mut self, version: i16) -> (i32, R::Response) {
        let frame = self.receive_frame();
        let (id, response) = Response::decode_frame(R::KEY, version, frame).unwrap();
        (id, R::response(response).unwrap())
    }

    pub(crate) fn call<R: ApiRequest>(&mut self, version: i16, request: R) -> R::Response {
        let sent = self.send(version, request);
        let (received, response) = self.receive::<R>(version);
        assert_eq!(received, sent);
        response
    }

    /// The answer to any request, in the layout of its version; `None` for one without.
    pub(crate) fn call_any(&mut self, version: i16, request: &Request) -> Option<Response> {
        let frame = request
            .encode_frame(version, self.sent, None)
            .unwrap()
            .into_bytes();
        self.write(&frame);
        self.sent += 1;
        request.expects_response().then(|| {
            let frame = self.receive_frame();
            Response::decode_frame(request.key(), version, frame)
                .unwrap()
                .1
        })
    }

    /// Sends a frame and takes an answer, if the connection lives so long.
    pub(crate) fn try_call(&mut self, frame: &[u8]) -> Option<Bytes> {
        self.stream.write_all(frame).ok()?;
        self.try_receive_frame()
    }

    /// Sends frames together; gives how many were answered before the connection ended.
    pub(crate) fn try_call_all(&mut self, frames: &[Bytes]) -> Option<usize> {
        self.stream.write_all(&frames.concat()).ok()?;
        Some(
            frames
                .iter()
                .map_while(|_| self.try_receive_frame())
                .count(),
        )
    }

    fn try_receive_frame(&mut self) -> Option<Bytes> {
        let mut size = [0; SIZE_BYTES];
        self.stream.read_exact(&mut size).ok()?;
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
        self.stream.read_exact(&mut frame).ok()?;
        Some(Bytes::from(frame))
    }

    /// Whether the broker has closed the connection without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.stream.read(&mut [0; 1]) {
            Ok(count) => count == 0,
            // What was sent and not read makes the end a reset.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => true,
            Err(error) => panic!("neither closed nor answered: {error}"),
        }
    }

    /// What the broker has logged about this connection.
    pub(crate) fn lines(&self) -> Vec<String> {
        // With a space at its end: the port may be the beginning of another one.
        let name = format!("client={} ", self.stream.local_addr().unwrap());
        logs::lines_with(&name, self.lines_before)
    }
}

/// Lets other threads run until it is so; gives up after long, so that a defect is a failure.
pub(crate) fn until(is_so: impl Fn() -> bool) {
    for _ in 0..20_000_000_u64 {
        if is_so() {
            return;
        }
        std::thread::yield_now();
    }
    panic!("it never came to be");
}

/// A batch of these values, each one millisecond after the other.
pub(crate) fn batch(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    for (timestamp, value) in (START.0..).zip(values) {
        builder
            .append(timestamp, Some(b"key"), Some(value.as_bytes()), &[])
            .unwrap();
    }
    builder.build().unwrap()
}

pub(crate) fn produce(topic: &'static str, acks: i16, batch: Bytes) -> ProduceRequest {
    let partitions = vec![ProducePartition {
        index: 0,
        records: Some(batch),
    }];
    let topics = vec![ProduceTopic {
        name: Str::from_static(topic),
        partitions,
    }];
    ProduceRequest {
        acks,
        topics,
        ..ProduceRequest::default()
    }
}

/// A fetch of one partition that waits so long for one byte.
pub(crate) fn fetch(topic: &'static str, offset: i64, max_wait_ms: i32) -> FetchRequest {
    let partition = FetchPartition {
        fetch_offset: offset,
        max_bytes: i32::MAX,
        ..FetchPartition::default()
    };
    let topic = FetchTopic {
        name: Str::from_static(topic),
        partitions: vec![partition],
        ..FetchTopic::default()
    };
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        topics: vec![topic],
        ..FetchRequest::default()
    }
}

/// In real time: far more than a test takes, so that it only ends one that fails.
const PATIENCE: Duration = Duration::from_secs(60);
