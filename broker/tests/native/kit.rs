//! What the tests share: a broker with a native listener, and a client that sends whatever it is
//! told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use highwater_broker::Broker;
use highwater_broker::clock::VirtualClock;
use highwater_broker::config::BrokerConfig;
use highwater_broker::service::Service;
use highwater_broker::service::topics::{CreateTopicsCall, NewTopic};
use highwater_proto::batch_builder::BatchBuilder;
use highwater_proto::clock::Wall;
use highwater_proto::code::ErrorCode;
use highwater_proto::compress::Codec;
use highwater_proto::native::frame::{self, SIZE_BYTES};
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;
use highwater_proto::native::v1::{self, subscribe};

use crate::logs;

/// Where every broker of these tests starts: 2023-11-14.
const START: Wall = Wall(1_700_000_000_000);

/// A broker with a native listener and its clock.
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
        logs::collect();
        let clock = VirtualClock::new(START);
        let broker = Broker::builder()
            .config(config)
            .clock(Arc::new(clock.clone()))
            .listen_kafka("127.0.0.1:0".parse().unwrap())
            .listen_native("127.0.0.1:0".parse().unwrap())
            .start()
            .unwrap();
        let address = broker.native_addresses()[0].to_string().parse().unwrap();
        Self {
            service: broker.service().clone(),
            broker,
            clock,
            address,
        }
    }

    /// A client that has said hello.
    pub(crate) fn client(&self) -> Client {
        let mut client = Client::connect(self.address);
        client.welcomed();
        client
    }

    pub(crate) fn topic(&self, name: &str, num_partitions: i32) {
        self.topic_with(name, num_partitions, &[]);
    }

    pub(crate) fn topic_with(&self, name: &str, num_partitions: i32, configs: &[(&str, &str)]) {
        let configs = configs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
        let topics = vec![NewTopic {
            name: name.to_owned(),
            partition_count: Some(num_partitions),
            configs: configs.collect(),
            ..NewTopic::default()
        }];
        let service = self.service.clone();
        let call = CreateTopicsCall {
            topics,
            validate_only: false,
        };
        let created = self
            .broker
            .block_on(async move { service.create_topics(call).await });
        let created = created.unwrap().remove(0).result;
        assert!(created.is_ok(), "{created:?}");
    }

    /// Waits until so many fetches wait for records.
    pub(crate) fn until_parked(&self, count: usize) {
        until(|| self.service.parked_count() == count);
    }
}

/// A client that speaks on one connection, and fails rather than wait for ever.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// The next correlation.
    next: u64,
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
            next: 1,
            lines_before,
        }
    }

    pub(crate) fn welcomed(&mut self) -> v1::Welcome {
        let hello = v1::Hello {
            version_max: 1,
            client_id: "test".to_owned(),
        };
        match self.call(Call::Hello(hello), b"") {
            (Answer::Welcome(welcome), _) => welcome,
            other => panic!("{other:?}"),
        }
    }

    /// Sends a request; gives its correlation.
    pub(crate) fn send(&mut self, call: Call, body: &[u8]) -> u64 {
        let (correlation, frame) = self.frame(call, body);
        self.write(&frame);
        correlation
    }

    /// A request as bytes.
    pub(crate) fn frame(&mut self, call: Call, body: &[u8]) -> (u64, Vec<u8>) {
        let correlation = self.next;
        self.next += 1;
        let request = v1::Request {
            correlation,
            call: Some(call),
        };
        let first = frame::encode(&request, body.len()).unwrap();
        (correlation, [&first[..], body].concat())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next frame.
    pub(crate) fn receive(&mut self) -> (u64, Answer, Bytes) {
        let mut prefix = [0; SIZE_BYTES];
        self.stream.read_exact(&mut prefix).unwrap();
        let size = frame::frame_size(prefix, 1 << 30).unwrap();
        let mut frame = vec![0; size];
        self.stream.read_exact(&mut frame).unwrap();
        let (response, body) = frame::decode_response(frame.into()).unwrap();
        (response.correlation, response.answer.unwrap(), body)
    }

    pub(crate) fn call(&mut self, call: Call, body: &[u8]) -> (Answer, Bytes) {
        let sent = self.send(call, body);
        let (correlation, answer, body) = self.receive();
        assert_eq!(correlation, sent);
        (answer, body)
    }

    /// The failure that a call meets.
    pub(crate) fn refused(&mut self, call: Call, body: &[u8]) -> v1::Failure {
        match self.call(call, body) {
            (Answer::Failure(failure), _) => failure,
            other => panic!("{other:?}"),
        }
    }

    /// Produces; gives the base offset.
    pub(crate) fn produced(&mut self, topic: &str, batch: &[u8]) -> i64 {
        match self.call(produce(topic), batch) {
            (Answer::Produced(produced), _) => produced.base_offset,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the broker has closed the connection.
    pub(crate) fn is_closed(&mut self) {
        let mut rest = Vec::new();
        // What was sent to a closed socket may be answered by a reset.
        let _ = self.stream.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{rest:02x?}");
    }

    /// The lines that the broker has logged about this connection.
    pub(crate) fn lines(&self) -> Vec<String> {
        let local = self.stream.local_addr().unwrap().to_string();
        logs::lines_with(&local, self.lines_before)
    }

    /// Waits for the line that says why this connection has ended.
    pub(crate) fn line_with(&self, text: &str) {
        until(|| self.lines().iter().any(|line| line.contains(text)));
    }
}

pub(crate) fn produce(topic: &str) -> Call {
    Call::Produce(v1::Produce {
        topic: topic.to_owned(),
        partition: 0,
        acks: v1::Acks::All.into(),
    })
}

pub(crate) fn fetch(topic: &str, offset: i64, wait_ms_max: u32) -> Call {
    Call::Fetch(v1::Fetch {
        topic: topic.to_owned(),
        partition: 0,
        offset,
        bytes_max: 1 << 20,
        wait_ms_max,
    })
}

pub(crate) fn subscribe(topic: &str, start: subscribe::Start, credit_bytes: u32) -> Call {
    Call::Subscribe(v1::Subscribe {
        topic: topic.to_owned(),
        partition: 0,
        start: Some(start),
        credit_bytes,
    })
}

/// A batch of these values.
pub(crate) fn batch(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    for (timestamp, value) in (START.0..).zip(values) {
        builder
            .append(timestamp, Some(b"key"), Some(value.as_bytes()), &[])
            .unwrap();
    }
    builder.build().unwrap()
}

/// A batch as the broker stores it at an offset.
pub(crate) fn stored(batch: &[u8], offset: i64) -> Vec<u8> {
    // Offset, and the leader epoch, which a broker that was started once counts from 0.
    let epoch = 0_i32.to_be_bytes();
    [
        &offset.to_be_bytes()[..],
        &batch[8..12],
        &epoch,
        &batch[16..],
    ]
    .concat()
}

pub(crate) fn code(error: ErrorCode) -> i32 {
    error.code().into()
}

pub(crate) fn until(is_so: impl Fn() -> bool) {
    for _ in 0..20_000_000_u64 {
        if is_so() {
            return;
        }
        std::thread::yield_now();
    }
    panic!("it never came to be");
}

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
