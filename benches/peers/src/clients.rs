//! The same work through Highwater's client and through librdkafka, against one Highwater broker.
//!
//! Invariants
//! - Both clients get the same records, the same settings and a topic of their own in each turn;
//!   both verify checksums and wait for every answer.

use crate::Call;
use crate::Failure;
use crate::Ran;
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
use crate::server::Program;
use crate::server::Server;
use crate::theirs::Theirs;

pub(crate) fn measure(figures: &mut Figures, call: &Call) -> Result<Ran, Failure> {
    let (_, version) = rdkafka::util::get_rdkafka_version();
    figures.note(format!(
        "librdkafka {version}; both over one Highwater broker"
    ));
    let server = Server::start(Program::Own)?;
    let rig = Rig {
        ours: Ours::new(server.address())?,
        theirs: Theirs::new(server.address()),
        server,
        meter: Meter::new(),
    };
    let load = Load {
        records: call.scale(2_000_000, 2_000),
        record_bytes: 100,
        partitions: 1,
        batch_size: 16_384,
        linger_ms: 5,
    };
    for (batch_size, linger_ms) in [(16_384, 5), (32_768, 20), (1_000_000, 5)] {
        let load = Load {
            batch_size,
            linger_ms,
            ..load
        };
        let what = format!("produce, batch.size {batch_size}, linger.ms {linger_ms}");
        rig.compare(figures, what, |peer| {
            rig.server.pass(peer, Class::Cached, &load, Way::Flood)
        })?;
    }
    let topic = rig.server.topic(load.partitions, Class::Cached)?;
    rig.ours.produce(&topic, &load)?.go()?;
    rig.server.expect_stored(&topic, &load)?;
    rig.compare(figures, "consume".to_owned(), |peer| {
        let id = Some(rig.server.id());
        rig.meter
            .pass(load.size(), id, || peer.consume(&topic, &load))
    })?;
    Ok(Ran::Yes)
}

struct Rig {
    ours: Ours,
    theirs: Theirs,
    server: Server,
    meter: Meter,
}

impl Rig {
    fn compare(
        &self,
        figures: &mut Figures,
        what: String,
        run: impl Fn(&dyn Peer) -> Result<Pass, Failure>,
    ) -> Result<(), Failure> {
        let work = Work {
            what,
            unit: Unit::Records,
        };
        let peers: [&dyn Peer; 2] = [&self.ours, &self.theirs];
        let mut sides = peers.map(|peer| Side {
            name: peer.name().to_owned(),
            class: Class::Cached,
            target: Target::MoreIsBetter,
            run: Box::new(|| run(peer)),
        });
        figures.compare(&work, &mut sides)
    }
}
