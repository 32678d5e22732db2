//! Groups of consumers over loopback: the CPU of a heartbeat, commits of offsets at `fsync`, the
//! first record of a new group, and how soon a group is whole again when a member dies.
//!
//! Invariants
//! - The broker listens on TCP and its data lies on the disk; nothing is answered in process but
//!   the joins that come before a measurement.
//! - Each connection has one request under way, as that of a member has: no frame shares its
//!   system calls with another one.

mod gang;

use std::error::Error;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use highwater::broker::config::BrokerConfig;
use highwater::{Broker, Client, ConsumerConfig, NewTopic, OffsetReset, ProducerConfig, Record};
use highwater_proto::cursor::Str;
use highwater_proto::exchange::call;
use highwater_proto::kafka::messages::heartbeat::HeartbeatRequest;
use highwater_proto::kafka::messages::join_group::{
    JoinGroupProtocol, JoinGroupRequest, JoinGroupResponse,
};
use highwater_proto::kafka::messages::offset_commit::{
    OffsetCommitPartition, OffsetCommitRequest, OffsetCommitTopic,
};
use highwater_proto::kafka::messages::sync_group::{SyncGroupAssignment, SyncGroupRequest};
use highwater_proto::kafka::{self, ApiKey, Request, Response};
use tokio::runtime::Runtime;

use super::kit::disk::{self, Folder};
use super::kit::raw;
use super::kit::run::{Run, Target, Unit, median};

type Failure = Box<dyn Error>;

pub(crate) fn measure(run: &mut Run) -> Result<(), Failure> {
    heartbeats(run)?;
    commits(run)?;
    let rig = Rig::new(run, "groups", 0)?;
    first_poll(run, &rig)?;
    gang::measure(run, &rig)
}

/// A member after another sends its heartbeat, each connection one at a time.
fn heartbeats(run: &mut Run) -> Result<(), Failure> {
    let rig = Rig::new(run, "heartbeats", JOIN_DELAY_MS)?;
    let seats = rig.seats(run.scale(1000, 10), GROUP_MEMBERS)?;
    let frames = seats.iter().map(Seat::heartbeat);
    let frames: Vec<Bytes> = frames.collect::<Result<_, _>>()?;
    let mut links = rig.links(CONNECTIONS)?;
    let passes = run.scale(5, 1);
    let (mut both, mut own) = (Vec::new(), Vec::new());
    for _ in 0..run.scale(11, 1) {
        let (all, client) = (disk::cpu("self")?, disk::cpu("thread-self")?);
        for _ in 0..passes {
            beat(&frames, &mut links)?;
        }
        let count = (passes * frames.len()) as f64;
        let (all, client) = (disk::cpu("self")? - all, disk::cpu("thread-self")? - client);
        both.push(all / count);
        own.push((all - client) / count);
    }
    let what = "CPU of a heartbeat, 1,000 groups of 10, the broker's";
    run.at_most(what, median(own), Unit::Time, HEARTBEAT_CPU_MAX);
    let what = "the same, with the bare sockets that send it";
    run.at_most(what, median(both), Unit::Time, HEARTBEAT_CPU_MAX);
    Ok(())
}

fn beat(frames: &[Bytes], links: &mut [Link]) -> io::Result<()> {
    for frames in frames.chunks(links.len()) {
        for (link, frame) in links.iter_mut().zip(frames) {
            link.stream.write_all(frame)?;
        }
        for (link, _) in links.iter_mut().zip(frames) {
            link.expect(ApiKey::Heartbeat, HEARTBEAT_VERSION)?;
        }
    }
    Ok(())
}

/// Twelve members commit an offset each, side by side, against syncs of a file one by one.
fn commits(run: &mut Run) -> Result<(), Failure> {
    let rig = Rig::new(run, "offsets", JOIN_DELAY_MS)?;
    rig.topic(COMMITTED_TOPIC)?;
    let seats = rig.seats(1, MEMBERS)?;
    let frames = seats
        .iter()
        .zip(0..)
        .map(|(seat, index)| seat.commit(index));
    let frames: Vec<Bytes> = frames.collect::<Result<_, _>>()?;
    let mut links = rig.links(MEMBERS)?;
    let folder = run.folder("offsets-raw")?;
    let mut files = [raw::create(&folder.path().join("written"))?];
    let count = run.scale(200, 2);
    let turns = run.turns(
        || commit_rate(run, &frames, &mut links, count),
        || sync_rate(run, &mut files, count),
    )?;
    run.share(
        "commits of offsets, 12 members side by side, fsync",
        Unit::PerSecond,
        turns,
        "write + fdatasync, growing",
        // A commit that came during a sync waits for the next one: two syncs for twelve.
        Target::AtLeast(6.0),
    );
    Ok(())
}

fn commit_rate(
    run: &Run,
    frames: &[Bytes],
    links: &mut [Link],
    count: usize,
) -> Result<f64, Failure> {
    let (seconds, done) = run.seconds(|| {
        thread::scope(|scope| {
            let members = links.iter_mut().zip(frames).map(|(link, frame)| {
                scope.spawn(move || {
                    (0..count).try_for_each(|_| {
                        link.stream.write_all(frame)?;
                        link.expect(ApiKey::OffsetCommit, COMMIT_VERSION)
                    })
                })
            });
            let members: Vec<_> = members.collect();
            members.into_iter().try_for_each(|member| {
                member
                    .join()
                    .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
            })
        })
    });
    done?;
    Ok((count * frames.len()) as f64 / seconds)
}

fn sync_rate(run: &Run, files: &mut [File], count: usize) -> Result<f64, Failure> {
    let piece = [7; 4096];
    let times = (0..count).map(|_| raw::commit(run, files, &piece));
    Ok(1.0 / median(times.collect::<Result<_, _>>()?))
}

/// From `subscribe` to the first record that `poll` gives, each time of a group that is new.
fn first_poll(run: &mut Run, rig: &Rig) -> Result<(), Failure> {
    const TOPIC: &str = "first";
    rig.topic(TOPIC)?;
    rig.runtime.block_on(async {
        let producer = rig.client.producer(ProducerConfig::default())?;
        let sent = producer.send(Record::to(TOPIC).value("here")).await?;
        sent.await.map(drop)
    })?;
    let times = (0..run.scale(21, 2)).map(|turn| {
        rig.runtime.block_on(async {
            let client = Client::connect(&rig.broker.bootstrap_servers()).await?;
            let mut consumer = client.consumer(ConsumerConfig {
                group_id: Some(format!("first-{turn}")),
                auto_offset_reset: OffsetReset::Earliest,
                ..ConsumerConfig::default()
            });
            let start = run.now().mono;
            consumer.subscribe([TOPIC])?;
            let records = consumer.poll(PATIENCE).await?;
            let seconds = run.now().mono.since(start).as_secs_f64();
            consumer.close(PATIENCE).await.result()?;
            match records.is_empty() {
                true => Err(Failure::from("a new group is given no record")),
                false => Ok(seconds),
            }
        })
    });
    let time = median(times.collect::<Result<_, _>>()?);
    let what = "subscribe to the first record, new group, no delay";
    run.at_most(what, time, Unit::Time, 50e-3);
    Ok(())
}

/// A broker that listens, and the members' runtime beside it.
struct Rig {
    // The client goes first: it holds connections to the broker.
    client: Client,
    runtime: Runtime,
    broker: Broker,
    // Goes last: the broker holds files in it.
    _folder: Folder,
}

impl Rig {
    fn new(run: &Run, name: &str, delay_ms: i32) -> Result<Self, Failure> {
        let folder = run.folder(name)?;
        let config = BrokerConfig {
            group_initial_rebalance_delay_ms: delay_ms,
            group_min_session_timeout_ms: gang::session_ms(run),
            ..BrokerConfig::default()
        };
        let broker = Broker::builder().data_dir(folder.path()).config(config);
        let broker = broker.start()?;
        broker.listen_kafka("127.0.0.1:0")?;
        let runtime = runtime()?;
        let client = runtime.block_on(Client::connect(&broker.bootstrap_servers()))?;
        Ok(Self {
            client,
            runtime,
            broker,
            _folder: folder,
        })
    }

    /// A new topic of twelve partitions.
    fn topic(&self, name: &str) -> Result<(), Failure> {
        let topic = NewTopic {
            name: name.to_owned(),
            partitions: Some(PARTITIONS),
            ..NewTopic::default()
        };
        let admin = self.client.admin();
        self.runtime.block_on(admin.create_topic(&topic))?;
        Ok(())
    }

    fn links(&self, count: usize) -> Result<Vec<Link>, Failure> {
        let links = (0..count).map(|_| Link::new(&self.broker.bootstrap_servers()));
        Ok(links.collect::<Result<_, _>>()?)
    }

    /// Groups of as many members each, all of which have joined and have their assignments.
    fn seats(&self, groups: usize, members: usize) -> Result<Vec<Seat>, Failure> {
        let work = self.seated(groups, members);
        let seats = self.runtime.block_on(work)?;
        match seats.len() == groups * members {
            true => Ok(seats),
            false => Err("not every member has joined".into()),
        }
    }

    async fn seated(&self, groups: usize, members: usize) -> Result<Vec<Seat>, Failure> {
        let mut joins = Vec::new();
        for group in 0..groups {
            for _ in 0..members {
                let group = format!("group-{group}");
                // A session each: a join that waits for others holds up its session.
                let session = (self.broker.sessions())();
                joins.push(self.runtime.spawn(async move {
                    let joined = call(&*session, JOIN_VERSION, join(&group)).await;
                    joined.map(|joined| (session, Str::from(group), joined))
                }));
            }
        }
        let mut syncs = Vec::new();
        for join in joins {
            let (session, group, joined) = join.await??;
            accepted(joined.error_code)?;
            let seat = Seat {
                group,
                generation: joined.generation_id,
                member: joined.member_id.clone(),
            };
            syncs.push(self.runtime.spawn(async move {
                let synced = call(&*session, SYNC_VERSION, seat.sync(&joined)).await;
                synced.map(|synced| (seat, synced))
            }));
        }
        let mut seats = Vec::new();
        for sync in syncs {
            let (seat, synced) = sync.await??;
            accepted(synced.error_code)?;
            seats.push(seat);
        }
        Ok(seats)
    }
}

/// A runtime for members, of one thread.
fn runtime() -> io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build()
}

fn join(group: &str) -> JoinGroupRequest {
    let protocol = JoinGroupProtocol {
        name: Str::from_static("range"),
        metadata: Bytes::new(),
    };
    JoinGroupRequest {
        group_id: group.to_owned().into(),
        session_timeout_ms: 1_800_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: Str::from_static("consumer"),
        protocols: vec![protocol],
        ..Default::default()
    }
}

/// A member of a generation.
struct Seat {
    group: Str,
    generation: i32,
    member: Str,
}

impl Seat {
    fn sync(&self, joined: &JoinGroupResponse) -> SyncGroupRequest {
        // Only the leader is told of members.
        let assignments = joined.members.iter().map(|member| SyncGroupAssignment {
            member_id: member.member_id.clone(),
            assignment: Bytes::new(),
        });
        SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.member.clone(),
            assignments: assignments.collect(),
            ..Default::default()
        }
    }

    fn heartbeat(&self) -> Result<Bytes, Failure> {
        let request = HeartbeatRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.member.clone(),
            ..Default::default()
        };
        frame(request.into(), HEARTBEAT_VERSION)
    }

    fn commit(&self, index: i32) -> Result<Bytes, Failure> {
        let partition = OffsetCommitPartition {
            index,
            committed_offset: 1_000,
            ..Default::default()
        };
        let topic = OffsetCommitTopic {
            name: Str::from_static(COMMITTED_TOPIC),
            partitions: vec![partition],
        };
        let request = OffsetCommitRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.member.clone(),
            topics: vec![topic],
            ..Default::default()
        };
        frame(request.into(), COMMIT_VERSION)
    }
}

fn frame(request: Request, version: i16) -> Result<Bytes, Failure> {
    Ok(request.encode_frame(version, 1, None)?.into_bytes())
}

/// A bare socket.
struct Link {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Link {
    fn new(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let answers = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, answers })
    }

    /// Reads an answer, which must be without an error.
    fn expect(&mut self, key: ApiKey, version: i16) -> io::Result<()> {
        let mut prefix = [0; kafka::SIZE_BYTES];
        self.answers.read_exact(&mut prefix)?;
        let bytes = kafka::response_size(prefix, ANSWER_BYTES_MAX).map_err(io::Error::other)?;
        let mut frame = vec![0; bytes];
        self.answers.read_exact(&mut frame)?;
        let answer = Response::decode_frame(key, version, frame.into());
        match answer.map_err(io::Error::other)? {
            (_, Response::Heartbeat(answer)) => accepted(answer.error_code),
            (_, Response::OffsetCommit(answer)) => {
                let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
                partitions.try_for_each(|partition| accepted(partition.error_code))
            }
            _ => Err(io::Error::other("the answer is of another API")),
        }
    }
}

fn accepted(error_code: i16) -> io::Result<()> {
    match error_code {
        0 => Ok(()),
        code => Err(io::Error::other(format!("refused with error {code}"))),
    }
}

/// What a heartbeat may cost. The kernel does work of the one side in calls of the other, so that
/// the sum is held against it, too.
const HEARTBEAT_CPU_MAX: f64 = 15e-6;
/// Members of each of the many groups.
const GROUP_MEMBERS: usize = 10;
/// As many sockets share the members' heartbeats.
const CONNECTIONS: usize = 100;
/// Members of the one group.
const MEMBERS: usize = 12;
const PARTITIONS: i32 = 12;
/// Bare members do not join twice: the group waits until all of them are there.
const JOIN_DELAY_MS: i32 = 500;
const COMMITTED_TOPIC: &str = "committed";
/// How long something may take before it counts as broken.
const PATIENCE: Duration = Duration::from_secs(60);
/// The last one without a second join for the member's id.
const JOIN_VERSION: i16 = 3;
const SYNC_VERSION: i16 = 2;
const HEARTBEAT_VERSION: i16 = 4;
const COMMIT_VERSION: i16 = 8;
const ANSWER_BYTES_MAX: usize = 1 << 20;
