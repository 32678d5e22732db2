//! `highwater serve` beside Apache Kafka on one node: the same clients, the same records, class by
//! class; CPU time and memory of both brokers, and their starts.
//!
//! Invariants
//! - Both brokers live through the whole group; passes take turns, each with a topic of its own.
//! - Nothing is measured before both brokers have run all kinds of passes: Kafka's JVM is warm.

use std::process::{Command, Stdio};

use crate::Call;
use crate::Failure;
use crate::Ran;
use crate::disk;
use crate::figures::Class;
use crate::figures::Figures;
use crate::figures::Side;
use crate::figures::Target;
use crate::figures::Unit;
use crate::figures::Work;
use crate::load::Load;
use crate::load::Peer;
use crate::load::Way;
use crate::meter::Meter;
use crate::meter::Pass;
use crate::ours::Ours;
use crate::root;
use crate::server::Program;
use crate::server::Server;
use crate::theirs::Theirs;

pub(crate) fn measure(figures: &mut Figures, call: &Call) -> Result<Ran, Failure> {
    let Some(binary) = &call.binary else {
        return Ok(Ran::Skipped(
            "no binary: `cargo build --release --locked` in the project's root makes \
             target/release/highwater, or give --broker-bin FILE"
                .to_owned(),
        ));
    };
    let Some(version) = kafka_version()? else {
        return Ok(Ran::Skipped(
            "no Apache Kafka: `tests/interop/install java` gets it (Java 17 and mvn)".to_owned(),
        ));
    };
    let kafka = Program::Kafka(root().join("tests/interop/reference_broker"));
    let programs = [Program::Highwater(binary.clone()), kafka];
    let peer = format!("Kafka {version}");
    figures.note(format!("{peer} against {}", binary.display()));
    starts(figures, call, &peer, &programs)?;

    let [ours, theirs] = programs;
    let rig = Rig {
        brokers: [Broker::start(ours)?, Broker::start(theirs)?],
        meter: Meter::new(),
        peer,
    };
    rig.warm_up(figures, call)?;
    for (record_bytes, records) in [(100, call.scale(2_000_000, 2_000)), (1024, kib(call))] {
        for partitions in PARTITIONS {
            let load = Load {
                records,
                record_bytes,
                partitions,
                ..LOAD
            };
            rig.produce(figures, Class::Cached, &load)?;
            rig.consume(figures, &load)?;
        }
    }
    for partitions in PARTITIONS {
        let load = Load {
            records: call.scale(40_000, 200),
            partitions,
            ..LOAD
        };
        rig.produce(figures, Class::Synced, &load)?;
        rig.callers(figures, call, partitions)?;
    }
    rig.memory(figures)?;
    Ok(Ran::Yes)
}

/// The version of the jars that are there; none without them or without Java.
fn kafka_version() -> Result<Option<String>, Failure> {
    let jars = root().join("tests/interop/.cache/java/lib");
    let java = Command::new("java")
        .arg("-version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !jars.is_dir() || !java.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    for jar in std::fs::read_dir(jars)? {
        let name = jar?.file_name().to_string_lossy().into_owned();
        let version = name
            .strip_prefix("kafka_2.13-")
            .and_then(|rest| rest.strip_suffix(".jar"));
        if let Some(version) = version {
            return Ok(Some(version.to_owned()));
        }
    }
    Ok(None)
}

/// From the start of the process to its first answer, over what a stop in order has left of an
/// empty broker.
fn starts(
    figures: &mut Figures,
    call: &Call,
    peer: &str,
    programs: &[Program; 2],
) -> Result<(), Failure> {
    let mut times = [const { Vec::new() }; 2];
    let start = |program: &Program| Server::start(program.clone());
    let mut servers = programs.iter().map(start).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..call.scale(STARTS, 1) {
        let mut restarted = Vec::new();
        for (server, times) in servers.into_iter().zip(&mut times) {
            let (seconds, server) = server.restart()?;
            times.push(seconds);
            restarted.push(server);
        }
        servers = restarted;
    }
    let idle = |server: &Server| Ok::<_, Failure>(vec![disk::anonymous_bytes(server.id())? as f64]);
    let idle = (idle(&servers[0])?, idle(&servers[1])?);
    let work = |what: &str, unit| Work {
        what: what.to_owned(),
        unit,
    };
    let what = "start to the first answer to Metadata";
    let [ours, theirs] = times;
    let target = Target::AtMost(0.02);
    figures.pair(&work(what, Unit::Time), (peer, target), (ours, theirs));
    let work = work("anonymous resident memory, idle", Unit::Size);
    figures.pair(&work, (peer, Target::AtMost(0.1)), idle);
    Ok(())
}

/// A broker and the clients that it has.
struct Broker {
    clients: [Box<dyn Peer>; 2],
    server: Server,
}

impl Broker {
    fn start(program: Program) -> Result<Self, Failure> {
        let server = Server::start(program)?;
        let ours = Box::new(Ours::new(server.address())?);
        let theirs = Box::new(Theirs::new(server.address()));
        Ok(Self {
            clients: [ours, theirs],
            server,
        })
    }
}

/// Highwater and Kafka.
struct Rig {
    brokers: [Broker; 2],
    meter: Meter,
    peer: String,
}

impl Rig {
    /// Runs all kinds of passes on both.
    fn warm_up(&self, figures: &mut Figures, call: &Call) -> Result<(), Failure> {
        let load = Load {
            records: call.scale(200_000, 200),
            ..LOAD
        };
        let awaited = Load {
            records: call.scale(2_000, 20),
            linger_ms: 0,
            ..LOAD
        };
        let passes = call.scale(WARM_PASSES, 1);
        for broker in &self.brokers {
            for _ in 0..passes {
                for (at, partitions) in PARTITIONS.iter().enumerate() {
                    let client = &*broker.clients[at];
                    let topic = broker.server.topic(*partitions, Class::Cached)?;
                    let load = Load {
                        partitions: *partitions,
                        ..load
                    };
                    client.produce(&topic, &load)?.go()?;
                    client.consume(&topic, &load)?.go()?;
                    broker.server.remove(&topic)?;
                    let topic = broker.server.topic(1, Class::Synced)?;
                    client.await_each(&topic, &awaited, CALLERS)?.go()?;
                    broker.server.remove(&topic)?;
                }
            }
        }
        let (all, small) = (2 * passes * load.records, 2 * passes * awaited.records);
        figures.note(format!(
            "warmed up, both brokers alike: {all} records produced and consumed, {small} awaited"
        ));
        Ok(())
    }

    /// A row for each client: Highwater and Kafka in turns.
    fn rows<'a>(
        &'a self,
        figures: &mut Figures,
        work: &Work,
        (class, target): (Class, Target),
        run: &'a dyn Fn(&'a Broker, &'a dyn Peer) -> Result<Pass, Failure>,
    ) -> Result<(), Failure> {
        for client in 0..2 {
            let names = ["highwater", &self.peer];
            let sides = self.brokers.iter().zip(names).map(|(broker, name)| Side {
                name: name.to_owned(),
                class,
                target,
                run: Box::new(move || run(broker, &*broker.clients[client])),
            });
            let work = Work {
                what: format!("{}, {}", work.what, self.brokers[0].clients[client].name()),
                unit: work.unit,
            };
            figures.compare(&work, &mut sides.collect::<Vec<_>>())?;
        }
        Ok(())
    }

    fn produce(&self, figures: &mut Figures, class: Class, load: &Load) -> Result<(), Failure> {
        let target = match class {
            Class::Synced => Target::AtLeast(5.0),
            _ => CLASS_1,
        };
        let run = |broker: &Broker, client: &dyn Peer| {
            broker.server.pass(client, class, load, Way::Flood)
        };
        self.rows(figures, &work("produce", load), (class, target), &run)
    }

    /// Callers who each wait for their own durable record.
    fn callers(&self, figures: &mut Figures, call: &Call, partitions: i32) -> Result<(), Failure> {
        let load = Load {
            records: call.scale(10_000, 100),
            partitions,
            linger_ms: 0,
            ..LOAD
        };
        let run = |broker: &Broker, client: &dyn Peer| {
            let way = Way::Callers(CALLERS);
            broker.server.pass(client, Class::Synced, &load, way)
        };
        let work = Work {
            what: work(&format!("{CALLERS} callers"), &load).what,
            unit: Unit::Records,
        };
        self.rows(figures, &work, (Class::Synced, Target::AtLeast(5.0)), &run)
    }

    fn consume(&self, figures: &mut Figures, load: &Load) -> Result<(), Failure> {
        let mut topics = Vec::new();
        for Broker { clients, server } in &self.brokers {
            let topic = server.topic(load.partitions, Class::Cached)?;
            clients[0].produce(&topic, load)?.go()?;
            server.expect_stored(&topic, load)?;
            topics.push(topic);
        }
        let topic_of = |broker: &Broker| match broker.server.id() == self.brokers[0].server.id() {
            true => topics[0].as_str(),
            false => topics[1].as_str(),
        };
        let run = |broker: &Broker, client: &dyn Peer| {
            let id = Some(broker.server.id());
            let topic = topic_of(broker);
            self.meter
                .pass(load.size(), id, || client.consume(topic, load))
        };
        let by = (Class::Cached, CLASS_1);
        self.rows(figures, &work("consume", load), by, &run)?;
        for (broker, topic) in self.brokers.iter().zip(&topics) {
            broker.server.remove(topic)?;
        }
        Ok(())
    }

    fn memory(&self, figures: &mut Figures) -> Result<(), Failure> {
        let work = Work {
            what: "anonymous resident memory after all of it".to_owned(),
            unit: Unit::Size,
        };
        let [ours, theirs] = &self.brokers;
        let bytes = |broker: &Broker| disk::anonymous_bytes(broker.server.id());
        let values = (vec![bytes(ours)? as f64], vec![bytes(theirs)? as f64]);
        figures.pair(&work, (&self.peer, Target::AtMost(0.1)), values);
        Ok(())
    }
}

fn work(verb: &str, load: &Load) -> Work {
    let Load {
        record_bytes,
        partitions,
        ..
    } = load;
    Work {
        what: format!("{verb} {record_bytes} B x {partitions}"),
        unit: Unit::Bytes,
    }
}

fn kib(call: &Call) -> usize {
    call.scale(400_000, 500)
}

/// What is the same in all passes: what docs and both clients advise for throughput.
const LOAD: Load = Load {
    records: 0,
    record_bytes: 1024,
    partitions: 1,
    batch_size: 32_768,
    linger_ms: 20,
};
const CLASS_1: Target = Target::OrClientBound {
    rate: 1.5,
    server_cpu: 0.5,
};
const PARTITIONS: [i32; 2] = [1, 12];
const CALLERS: usize = 64;
/// Of each client, on each broker.
const WARM_PASSES: usize = 8;
const STARTS: usize = 5;
