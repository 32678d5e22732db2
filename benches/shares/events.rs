//! Event streams, embedded: what an expectation costs an append, how long it takes to read the
//! twenty events of one key among many, what millions of keys take of memory, and how long a year
//! of flights takes to be replayed.
//!
//! Invariants
//! - The plain append does all that the conditional one does, but for the expectation and the
//!   index: it builds the same batch and waits for the same durability.

mod keys;
mod replay;

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use highwater::Broker;
use highwater::broker::service::Service;
use highwater::broker::service::events::{AppendCall, AsOf, NewEvent, ReadStreamCall, StreamCheck};
use highwater::broker::service::produce::{Acks, ProduceCall, ProduceTopic, ZstdAllowed};
use highwater::broker::service::topics::{CreateTopicsCall, NewTopic};
use highwater_log::keys::Expect;
use highwater_proto::batch_builder::BatchBuilder;
use highwater_proto::compress::Codec;
use tokio::runtime::Runtime;

use super::kit::run::{Run, Target, Unit, median};

type Failure = Box<dyn Error + Send + Sync>;

pub(crate) fn measure(run: &mut Run) -> Result<(), Box<dyn Error>> {
    let folder = run.folder("events")?;
    let broker = Broker::open(folder.path())?;
    let runtime = Runtime::new()?;
    let service = broker.service().clone();
    for (durability, count, what) in [
        (
            "fsync",
            200,
            "an append that expects a revision, 64 writers, fsync",
        ),
        ("page-cache", 2_000, "the same, page-cache"),
    ] {
        let topics = [
            format!("plain-{durability}"),
            format!("streams-{durability}"),
        ];
        for (name, is_conditional) in topics.iter().zip([false, true]) {
            runtime
                .block_on(topic(&service, name, durability, is_conditional))
                .map_err(told)?;
        }
        let count = run.scale(count, 2);
        let mut turn = 0;
        let turns = run.turns(
            || {
                turn += 1;
                let each = conditional(&service, &topics[1], turn, count);
                timed(run, &runtime, each, count)
            },
            || timed(run, &runtime, plain(&service, &topics[0], count), count),
        )?;
        run.share(
            what,
            Unit::Time,
            turns,
            "a plain append",
            Target::AtMost(1.15),
        );
    }
    loads(run, &runtime, &service)?;
    drop(broker);
    keys::measure(run)?;
    replay::measure(run)
}

/// Seconds for each append, if 64 writers do so many each.
fn timed(
    run: &Run,
    runtime: &Runtime,
    writers: Vec<impl Future<Output = Result<(), Failure>> + Send + 'static>,
    count: usize,
) -> Result<f64, Box<dyn Error>> {
    let all = writers.len() * count;
    let (seconds, done) = run.seconds(|| {
        runtime.block_on(async {
            let tasks: Vec<_> = writers.into_iter().map(tokio::spawn).collect();
            for task in tasks {
                task.await??;
            }
            Ok::<(), Failure>(())
        })
    });
    done.map_err(told)?;
    Ok(seconds / all as f64)
}

/// Each writer has a stream of its own, and says where it stands.
fn conditional(
    service: &Service,
    topic: &str,
    turn: usize,
    count: usize,
) -> Vec<impl Future<Output = Result<(), Failure>> + Send + 'static> {
    let writer = |number: usize| {
        let (service, topic) = (service.clone(), topic.to_owned());
        async move {
            let key = Bytes::from(format!("turn-{turn}-writer-{number}"));
            for revision in 0..count as u64 {
                let expect = match revision.checked_sub(1) {
                    Some(before) => Expect::Revision(before),
                    None => Expect::NoStream {
                        allow_recreate: false,
                    },
                };
                service.append_events(call(&topic, &key, expect)).await?;
            }
            Ok(())
        }
    };
    (0..WRITERS).map(writer).collect()
}

fn plain(
    service: &Service,
    topic: &str,
    count: usize,
) -> Vec<impl Future<Output = Result<(), Failure>> + Send + 'static> {
    let writer = |number: usize| {
        let (service, topic) = (service.clone(), topic.to_owned());
        async move {
            let key = format!("writer-{number}");
            for _ in 0..count {
                let mut builder = BatchBuilder::new(Codec::None);
                builder.append(1_700_000_000_000, Some(key.as_bytes()), Some(&VALUE), &[])?;
                produce(&service, &topic, builder.build()?).await?;
            }
            Ok(())
        }
    };
    (0..WRITERS).map(writer).collect()
}

async fn produce(service: &Service, topic: &str, batch: Bytes) -> Result<(), Failure> {
    let call = ProduceCall {
        acks: Acks::All,
        transactional_id: None,
        zstd: ZstdAllowed::Yes,
        topics: vec![ProduceTopic {
            topic: topic.to_owned(),
            partitions: vec![(0, Some(batch))],
        }],
    };
    service.produce(call).await.await.remove(0).result?;
    Ok(())
}

/// One stream after another is read whole; their events lie far apart.
fn loads(run: &mut Run, runtime: &Runtime, service: &Service) -> Result<(), Box<dyn Error>> {
    const TOPIC: &str = "aggregates";
    let keys = run.scale(10_000, 20);
    runtime
        .block_on(topic(service, TOPIC, "page-cache", true))
        .map_err(told)?;
    let names: Arc<Vec<Bytes>> = Arc::new((0..keys).map(|n| format!("order-{n}").into()).collect());
    runtime
        .block_on(async {
            for _ in 0..EVENTS {
                let appends = names.chunks(keys.div_ceil(WRITERS)).map(|part| {
                    let (service, part) = (service.clone(), part.to_vec());
                    tokio::spawn(async move {
                        for key in &part {
                            service.append_events(call(TOPIC, key, Expect::Any)).await?;
                        }
                        Ok::<(), Failure>(())
                    })
                });
                let appends: Vec<_> = appends.collect();
                for append in appends {
                    append.await??;
                }
            }
            Ok::<(), Failure>(())
        })
        .map_err(told)?;
    let mut times = Vec::new();
    // The first time over all of them warms what can be warm.
    for is_warm in [false, true] {
        for key in names.iter() {
            let read = read(TOPIC, key.clone());
            let (seconds, read) = run.seconds(|| runtime.block_on(service.read_stream(read)));
            assert_eq!(read?.events.len(), EVENTS);
            if is_warm {
                times.push(seconds);
            }
        }
    }
    let what = format!("the {EVENTS} events of one of {keys} keys, read warm");
    run.at_most(&what, median(times), Unit::Time, LOAD_MAX);
    Ok(())
}

/// All events of a key.
fn read(topic: &str, key: Bytes) -> ReadStreamCall {
    ReadStreamCall {
        topic: topic.to_owned(),
        partition: None,
        key,
        from_revision: 0,
        as_of: AsOf::Now,
        bytes_max: usize::MAX,
    }
}

fn call(topic: &str, key: &Bytes, expect: Expect) -> AppendCall {
    AppendCall {
        topic: topic.to_owned(),
        partition: None,
        checks: vec![StreamCheck {
            key: key.clone(),
            expect,
        }],
        events: vec![NewEvent {
            key: key.clone(),
            value: Some(Bytes::from_static(&VALUE)),
            headers: Vec::new(),
        }],
    }
}

async fn topic(
    service: &Service,
    name: &str,
    durability: &str,
    is_conditional: bool,
) -> Result<(), Failure> {
    let mut configs = vec![("durability", durability)];
    if is_conditional {
        configs.extend([("append.conditional", "true"), ("retention.ms", "-1")]);
    }
    let topic = NewTopic {
        name: name.to_owned(),
        configs: configs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Some(value.to_owned())))
            .collect(),
        ..NewTopic::default()
    };
    let call = CreateTopicsCall {
        topics: vec![topic],
        validate_only: false,
    };
    service.create_topics(call).await.remove(0).result?;
    Ok(())
}

fn told(error: Failure) -> Box<dyn Error> {
    error
}

const WRITERS: usize = 64;
const EVENTS: usize = 20;
/// What an event weighs.
const VALUE: [u8; 256] = [b'v'; 256];
/// The specification's: 150 microseconds.
const LOAD_MAX: f64 = 150e-6;
