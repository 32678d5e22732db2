//! One side of a comparison: its connections, and what it answered.
//!
//! Invariants
//! - Only versions that both sides have are asked for.
//! - An answer that does not come within twenty seconds is recorded as a closed connection.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::api_versions::ApiVersionsRequest;
use highwater_proto::kafka::messages::create_topics::{CreateTopic, CreateTopicsRequest};
use highwater_proto::kafka::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use highwater_proto::kafka::messages::metadata::{MetadataRequest, MetadataTopic};
use highwater_proto::kafka::{APIS, ApiKey, ApiRequest, Response, SIZE_BYTES, Versions};

use crate::facts::{Facts, Masks};

/// One answer.
#[derive(Debug)]
pub(crate) struct Step {
    /// What was asked, in words, with API and version.
    pub(crate) label: String,
    /// What was answered.
    pub(crate) facts: Facts,
}

/// The versions of each API that both sides have.
#[derive(Clone, Debug)]
pub(crate) struct Common(BTreeMap<ApiKey, Versions>);

impl Common {
    pub(crate) fn of(subject: SocketAddr, reference: SocketAddr) -> Self {
        let [ours, theirs] = [subject, reference].map(advertised);
        let both = APIS.iter().filter_map(|api| {
            let (a, b) = (ours.get(&api.key.number())?, theirs.get(&api.key.number())?);
            let versions = Versions {
                min: a.0.max(b.0).max(api.implemented.min),
                max: a.1.min(b.1).min(api.implemented.max),
            };
            (versions.min <= versions.max).then_some((api.key, versions))
        });
        Self(both.collect())
    }
}

fn advertised(address: SocketAddr) -> BTreeMap<i16, (i16, i16)> {
    let mut connection = Connection::open(address, "probe");
    let request = ApiVersionsRequest {
        client_software_name: Str::from_static("differential"),
        client_software_version: Str::from_static("1"),
    };
    let answer = connection
        .call(3, request)
        .expect("the broker says what it can do");
    let rows = answer.api_keys.iter();
    rows.map(|row| (row.api_key, (row.min_version, row.max_version)))
        .collect()
}

/// One side.
#[derive(Debug)]
pub(crate) struct Peer {
    address: SocketAddr,
    common: Common,
    connections: BTreeMap<&'static str, Connection>,
    masks: Masks,
    steps: Vec<Step>,
    /// In every name that a scenario makes, so that no two runs meet.
    pub(crate) run: String,
}

impl Peer {
    pub(crate) fn new(address: SocketAddr, common: Common) -> Self {
        Self {
            address,
            common,
            connections: BTreeMap::new(),
            masks: Masks::default(),
            steps: Vec::new(),
            run: std::env::var("HW_RUN").unwrap_or_default(),
        }
    }

    pub(crate) fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    /// The versions of an API that both sides have.
    pub(crate) fn versions(&self, key: ApiKey) -> impl Iterator<Item = i16> + use<> {
        let versions = self.common.0.get(&key).copied();
        versions
            .into_iter()
            .flat_map(|versions| versions.min..=versions.max)
    }

    /// The newest of them.
    pub(crate) fn newest(&self, key: ApiKey) -> i16 {
        self.versions(key)
            .last()
            .unwrap_or_else(|| panic!("{key} is missing on a side"))
    }

    /// Asks on a connection of this name and records the answer.
    pub(crate) fn ask<R: ApiRequest>(
        &mut self,
        who: &'static str,
        what: &str,
        version: i16,
        request: R,
    ) -> Option<R::Response>
    where
        R::Response: std::fmt::Debug,
    {
        self.begin(who, version, request);
        self.end::<R>(who, what, version)
    }

    /// Asks on a connection of this name in the newest version and records the answer.
    pub(crate) fn ask_newest<R: ApiRequest>(&mut self, what: &str, request: R) -> R::Response
    where
        R::Response: std::fmt::Debug,
    {
        let version = self.newest(R::KEY);
        self.ask("main", what, version, request)
            .unwrap_or_else(|| panic!("{what}: the connection was closed"))
    }

    /// Sends a request whose answer [`Self::end`] takes.
    pub(crate) fn begin<R: ApiRequest>(&mut self, who: &'static str, version: i16, request: R) {
        self.connection(who).send(version, request);
    }

    /// Takes and records an answer; `None` if the connection was closed instead.
    pub(crate) fn end<R: ApiRequest>(
        &mut self,
        who: &'static str,
        what: &str,
        version: i16,
    ) -> Option<R::Response>
    where
        R::Response: std::fmt::Debug,
    {
        self.end_sorted::<R>(who, what, version, |_| ())
    }

    /// [`Self::end`] for an answer with a list whose order nobody promises: `sort` gives it one.
    pub(crate) fn end_sorted<R: ApiRequest>(
        &mut self,
        who: &'static str,
        what: &str,
        version: i16,
        sort: impl FnOnce(&mut R::Response),
    ) -> Option<R::Response>
    where
        R::Response: std::fmt::Debug,
    {
        let mut answer = self.connection(who).receive::<R>(version);
        answer.as_mut().map(sort);
        let facts = match &answer {
            Some(answer) => self.masks.facts(answer),
            None => Facts::from([("connection".to_owned(), "closed".to_owned())]),
        };
        if answer.is_none() {
            self.connections.remove(who);
        }
        let label = format!("{who}: {what} ({} v{version})", R::KEY);
        self.steps.push(Step { label, facts });
        answer
    }

    /// Asks in the newest version and records nothing.
    pub(crate) fn quietly<R: ApiRequest>(&mut self, request: R) -> R::Response {
        let version = self.newest(R::KEY);
        let answer = self.connection("quiet").call(version, request);
        answer.expect("the connection stays open")
    }

    /// Creates a topic, and returns when it can be used.
    pub(crate) fn topic(&mut self, name: &str, partition_count: i32, configs: &[(&str, &str)]) {
        let configs = configs.iter().map(|(name, value)| {
            highwater_proto::kafka::messages::create_topics::CreateTopicConfig {
                name: Str::from((*name).to_owned()),
                value: Some(Str::from((*value).to_owned())),
            }
        });
        let topic = CreateTopic {
            name: Str::from(name.to_owned()),
            num_partitions: partition_count,
            replication_factor: 1,
            configs: configs.collect(),
            ..CreateTopic::default()
        };
        let answer = self.quietly(CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: 30_000,
            ..CreateTopicsRequest::default()
        });
        assert_eq!(answer.topics[0].error_code, 0, "{name} is created");
        self.until_led(name, partition_count);
    }

    /// Returns when a topic has so many partitions with a leader: Kafka answers before that.
    pub(crate) fn until_led(&mut self, name: &str, partition_count: i32) {
        for _ in 0..ATTEMPTS_MAX {
            let answer = self.quietly(MetadataRequest {
                topics: Some(vec![MetadataTopic {
                    name: Some(Str::from(name.to_owned())),
                    ..MetadataTopic::default()
                }]),
                ..MetadataRequest::default()
            });
            let topic = &answer.topics[0];
            let led = topic
                .partitions
                .iter()
                .filter(|partition| partition.leader_id >= 0);
            let is_led = i32::try_from(led.count()) == Ok(partition_count);
            if topic.error_code == 0 && is_led && self.are_open(name, partition_count) {
                return;
            }
        }
        panic!("{name} does not get its leaders");
    }

    /// Whether the leaders of a topic answer already: they may know it later than the cluster does.
    fn are_open(&mut self, name: &str, partition_count: i32) -> bool {
        let partitions = (0..partition_count).map(|index| ListOffsetsPartition {
            index,
            timestamp: -1,
            ..ListOffsetsPartition::default()
        });
        let answer = self.quietly(ListOffsetsRequest {
            topics: vec![ListOffsetsTopic {
                name: Str::from(name.to_owned()),
                partitions: partitions.collect(),
            }],
            ..ListOffsetsRequest::default()
        });
        let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.all(|partition| partition.error_code == 0)
    }

    fn connection(&mut self, who: &'static str) -> &mut Connection {
        let address = self.address;
        self.connections
            .entry(who)
            .or_insert_with(|| Connection::open(address, who))
    }
}

#[derive(Debug)]
struct Connection {
    /// The client id of its requests.
    who: &'static str,
    stream: TcpStream,
    sent: i32,
    received: i32,
}

impl Connection {
    fn open(address: SocketAddr, who: &'static str) -> Self {
        let stream = TcpStream::connect(address).expect("the broker listens");
        stream.set_nodelay(true).expect("a socket has options");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket has options");
        Self {
            who,
            stream,
            sent: 0,
            received: 0,
        }
    }

    fn call<R: ApiRequest>(&mut self, version: i16, request: R) -> Option<R::Response> {
        self.send(version, request);
        self.receive::<R>(version)
    }

    fn send<R: ApiRequest>(&mut self, version: i16, request: R) {
        let client = Some(Str::from_static(self.who));
        let frame = request
            .into_request()
            .encode_frame(version, self.sent, client);
        let frame = frame
            .expect("a scenario asks what its version can say")
            .into_bytes();
        self.sent += 1;
        // A broker that has closed the connection is found out when the answer is read.
        drop(self.stream.write_all(&frame));
    }

    fn receive<R: ApiRequest>(&mut self, version: i16) -> Option<R::Response> {
        let mut size = [0; SIZE_BYTES];
        self.read(&mut size)?;
        let size = usize::try_from(i32::from_be_bytes(size)).expect("a size is not negative");
        let mut frame = vec![0; size];
        self.read(&mut frame)?;
        let decoded = Response::decode_frame(R::KEY, version, Bytes::from(frame));
        let (id, response) =
            decoded.unwrap_or_else(|error| panic!("{} v{version}: {error}", R::KEY));
        assert_eq!(id, self.received, "answers come in order");
        self.received += 1;
        R::response(response)
    }

    /// `None` at the end of the connection, or when nothing comes.
    fn read(&mut self, buffer: &mut [u8]) -> Option<()> {
        use ErrorKind::{ConnectionReset, TimedOut, UnexpectedEof, WouldBlock};
        match self.stream.read_exact(buffer) {
            Ok(()) => Some(()),
            Err(error) => {
                let silence = matches!(error.kind(), TimedOut | WouldBlock);
                let ended = matches!(error.kind(), UnexpectedEof | ConnectionReset);
                assert!(silence || ended, "a connection fails: {error}");
                None
            }
        }
    }
}

/// A broker that closes a connection, and one that answers nothing, are the same to a client
/// that has to give up.
const PATIENCE: Duration = Duration::from_secs(20);
const ATTEMPTS_MAX: usize = 100_000;
