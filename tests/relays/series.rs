//! The series: who is killed over which broker, who loses its power, and the controls of both.

use std::path::PathBuf;
use std::sync::Arc;

use highwater::Client;
use highwater::sql::{Database, Postgres, Sqlite};
use highwater_kit::postgres::Postgres as Cluster;

use crate::cuts::{self, Acks, Publisher};
use crate::judge;
use crate::kills::{self, Scene, Seen};
use crate::matrix::{End, Matrix};
use crate::relaying::{Capture, Place, said};
use crate::shop;
use crate::tools;

/// A broker of the matrix.
pub(crate) struct Backend<'a> {
    pub(crate) name: &'a str,
    pub(crate) address: &'a str,
    pub(crate) client: Client,
    /// What a topic needs there to be safe.
    pub(crate) topic: &'a [(&'a str, &'a str)],
}

impl Matrix {
    pub(crate) async fn kills_on_kafka(&self) -> Result<(), String> {
        let Some(address) = &self.asked.kafka else {
            if std::env::var("REQUIRE_CLIENTS").is_ok_and(|it| it == "1") {
                return Err("REQUIRE_CLIENTS=1, but HIGHWATER_KAFKA names no broker".to_owned());
            }
            println!("relays: Apache Kafka SKIPPED: run tests/relays/run");
            return Ok(());
        };
        let kafka = Backend {
            name: "kafka",
            address,
            client: Client::connect(address).await.map_err(said)?,
            // One broker has to flush what it acknowledges.
            topic: &[("flush.messages", "1")],
        };
        self.kills_on(&kafka).await
    }

    /// The kills over a broker: both databases, each capture; and the tools.
    pub(crate) async fn kills_on(&self, backend: &Backend<'_>) -> Result<(), String> {
        self.kills_over_sqlite(backend).await?;
        self.kills_over_postgres(backend).await
    }

    async fn kills_over_sqlite(&self, backend: &Backend<'_>) -> Result<(), String> {
        let name = |what: &str| format!("{what}, {}", backend.name);
        let end = End::Lived {
            stride: KILLS_STRIDE,
        };
        let names = [
            "kills, sqlite",
            "control, deletes first",
            "control, no inbox",
        ]
        .map(name);
        let [relays, poller, careless] = &names;
        if !self.asked.wants_any(&names.each_ref().map(String::as_str)) {
            return Ok(());
        }
        let path = self.path(backend.name)?.with_extension("db");
        let database = Sqlite::open(&path).await.map_err(said)?;
        shop::prepare(&database).await?;
        let scene = backend.scene(database, Place::Sqlite(path), Capture::Cursor, "cursor");
        let kill = async |step| kills::relay_and_consumer(&scene, step).await;
        self.series(relays, end, kill).await?;
        let scene = Scene {
            name: format!("poller_{}", std::process::id()),
            ..scene
        };
        let poll = async |step| kills::poller(&scene, step).await;
        let end = End::Control {
            stride: POLLS_STRIDE,
        };
        self.series(poller, end, poll).await?;
        let scene = Scene {
            name: format!("careless_{}", std::process::id()),
            ..scene
        };
        let handle = async |step| kills::careless(&scene, step).await;
        self.series(careless, end, handle).await
    }

    async fn kills_over_postgres(&self, backend: &Backend<'_>) -> Result<(), String> {
        let name = |what: &str| format!("{what}, {}", backend.name);
        let end = End::Lived {
            stride: KILLS_STRIDE,
        };
        let captures = [
            (
                name("kills, postgres snapshot"),
                Capture::Snapshot,
                "snapshot",
            ),
            (name("kills, postgres queue"), Capture::Queue, "queue"),
        ];
        let others = [name("tools, outbox"), name("tools, dlq")];
        let names = captures.iter().map(|(name, ..)| name).chain(&others);
        let names: Vec<&str> = names.map(String::as_str).collect();
        if !self.asked.wants_any(&names) {
            return Ok(());
        }
        let Some(cluster) = Cluster::start() else {
            return Ok(());
        };
        let url = cluster.database();
        let database = Postgres::connect(&url).await.map_err(said)?;
        shop::prepare(&database).await?;
        for (name, capture, prefix) in captures {
            let place = Place::Postgres(url.clone());
            let scene = backend.scene(database.clone(), place, capture, prefix);
            let kill = async |step| kills::relay_and_consumer(&scene, step).await;
            self.series(&name, end, kill).await?;
        }
        let place = Place::Postgres(url.clone());
        let scene = backend.scene(database, place, Capture::Snapshot, "tools");
        let (kills, seed) = (if self.asked.is_full { 30 } else { 2 }, self.asked.seed);
        let outbox = async |_| tools::outbox(&scene, (kills, seed)).await;
        self.series(&others[0], End::Count(1), outbox).await?;
        let letters = async |_| {
            let rows = tools::dead_letters(&scene).await?;
            Ok(Seen {
                rows,
                ..Seen::default()
            })
        };
        self.series(&others[1], End::Count(1), letters).await
    }

    /// SQLite that loses its power at a step of a relay.
    pub(crate) async fn cuts_of_sqlite(&self, backend: &Backend<'_>) -> Result<(), String> {
        let cut = |stride| End::Lived { stride };
        let control = End::Control {
            stride: POLLS_STRIDE,
        };
        let names = [
            "cuts, sqlite",
            "control, ghosts, sqlite",
            "cuts, sqlite within",
        ];
        if self.asked.wants_any(&names) {
            let folder = self.path("cuts")?;
            let database = Sqlite::open(folder.with_extension("db"))
                .await
                .map_err(said)?;
            // Each step has a database of its own.
            let place = Place::Sqlite(PathBuf::new());
            let relay = Publisher::Relay(Capture::Cursor);
            for (name, publisher, end) in [
                (names[0], relay, cut(CUTS_STRIDE)),
                (names[1], Publisher::Poller, control),
            ] {
                let prefix = if publisher == relay { "cut" } else { "ghost" };
                let place = place.clone();
                let scene = backend.scene(database.clone(), place, Capture::Cursor, prefix);
                let each = async |step| cuts::of_sqlite(&scene, &folder, publisher, step).await;
                self.series(name, end, each).await?;
            }
            let scene = backend.scene(database, place, Capture::Cursor, "within");
            let each = async |step| cuts::of_a_shop(&scene, &folder, step).await;
            self.series(names[2], cut(CUTS_STRIDE), each).await?;
        }
        Ok(())
    }

    /// PostgreSQL that does.
    pub(crate) async fn cuts_of_postgres(&self, backend: &Backend<'_>) -> Result<(), String> {
        let cut = |stride| End::Lived { stride };
        let control = End::Control {
            stride: POLLS_STRIDE,
        };
        let names = [
            "cuts, postgres snapshot",
            "cuts, postgres queue",
            "control, ghosts, postgres",
        ];
        if !self.asked.wants_any(&names) {
            return Ok(());
        }
        let Some(cluster) = Cluster::start_with(cuts::LATE_WRITES).map(Arc::new) else {
            return Ok(());
        };
        let url = cluster.database();
        let database = Postgres::connect(&url).await.map_err(said)?;
        shop::prepare(&database).await?;
        cluster.psql(&url, "checkpoint");
        for (name, publisher, capture, prefix) in [
            (
                names[0],
                Publisher::Relay(Capture::Snapshot),
                Capture::Snapshot,
                "cut_s",
            ),
            (
                names[1],
                Publisher::Relay(Capture::Queue),
                Capture::Queue,
                "cut_q",
            ),
            (names[2], Publisher::Poller, Capture::Queue, "ghost_p"),
        ] {
            let place = Place::Postgres(url.clone());
            let scene = backend.scene(database.clone(), place, capture, prefix);
            let of = (&cluster, url.as_str());
            let each = async |step| cuts::of_postgres(&scene, of, publisher, step).await;
            let end = match publisher {
                Publisher::Poller => control,
                _ => cut(CUTS_STRIDE),
            };
            // A PostgreSQL takes a second to start again: a sample has one of the two captures.
            let is_sampled = match publisher {
                Publisher::Poller | Publisher::Shop => true,
                Publisher::Relay(capture) => {
                    (capture == Capture::Queue) == self.asked.seed.is_multiple_of(2)
                }
            };
            if self.asked.is_full || is_sampled {
                self.series(name, end, each).await?;
            }
        }
        Ok(())
    }

    /// Brokers that lose their power under a relay.
    pub(crate) async fn cuts_of_brokers(&self) -> Result<(), String> {
        let (laps, cuts) = if self.asked.is_full { (20, 5) } else { (1, 2) };
        let (folder, seed) = (self.path("brokers")?, self.asked.seed);
        for (name, acks, end) in [
            ("cuts, broker", Acks::Durable, End::Count(laps)),
            ("control, memory acks", Acks::Memory, End::Seen(20)),
        ] {
            let lap = async |step: usize| {
                let folder = folder.join(format!("{acks:?}-{step}"));
                let seed = seed.wrapping_add(judge::count(step));
                cuts::of_broker(&folder, acks, (cuts, seed)).await
            };
            self.series(name, end, lap).await?;
        }
        Ok(())
    }
}

impl Backend<'_> {
    fn scene<'a, D: Database>(
        &'a self,
        database: D,
        place: Place,
        capture: Capture,
        name: &str,
    ) -> Scene<'a, D> {
        Scene {
            client: &self.client,
            broker: self.address,
            topic: self.topic,
            database,
            place,
            capture,
            // A broker may have seen other runs.
            name: format!("{name}_{}", std::process::id()),
        }
    }
}

/// How many steps lie between two of a sample, where a run has about a hundred.
const KILLS_STRIDE: usize = 61;
const CUTS_STRIDE: usize = 41;
/// And of a poller's: less than lie between its first answer and its deletion.
const POLLS_STRIDE: usize = 7;
