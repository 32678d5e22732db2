//! A relay: how many rows a second it publishes, and how soon after its commit a row is visible.
//!
//! The rate is that of a backlog, held against the same records sent from memory, as many at a time
//! and as durable: what a relay cannot pass. The delay is that of single rows, from the end of the
//! commit to the answer of a consumer's poll, held against the syncs of the disk that lie between:
//! the broker's, and the database's that keeps a row from being published before it is durable,
//! where the relay does not know that the row's own commit has waited for the disk.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use highwater::sql::{Database, Isolation, OwnedTx, Postgres, Sqlite};
use highwater::{
    Acks, ConsumerConfig, Event, Outbox, OutboxError, ProducerConfig, Relay, RelaySummary, StartAt,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::kit::raw;
use super::kit::run::{Run, Target, Unit, median};
use super::rig::{self, Rig};

type Failure = Box<dyn Error>;

/// A backlog.
pub(crate) fn rates(run: &mut Run) -> Result<(), Failure> {
    let rig = Rig::new(run, "outbox")?;
    let databases = Databases::new(&rig)?;
    databases.sqlite(run).rate(run, 100_000.0)?;
    match databases.postgres(run) {
        Some(postgres) => postgres.rate(run, 30_000.0),
        None => Ok(()),
    }
}

/// Single rows.
pub(crate) fn delays(run: &mut Run) -> Result<(), Failure> {
    let rig = Rig::new(run, "delay")?;
    let databases = Databases::new(&rig)?;
    databases.sqlite(run).delay(run, 0.001)?;
    match databases.postgres(run) {
        Some(postgres) => postgres.delay(run, 0.010),
        None => Ok(()),
    }
}

struct Databases<'a> {
    rig: &'a Rig,
    sqlite: Sqlite,
    /// The relay's, and a writer's that is as another process: of its commits the relay hears
    /// nothing.
    postgres: Option<[Postgres; 2]>,
}

impl<'a> Databases<'a> {
    fn new(rig: &'a Rig) -> Result<Self, Failure> {
        let file = rig.folder.path().join("shop.db");
        let postgres = match rig::postgres() {
            Some(cluster) => {
                let url = cluster.database();
                let connect = || rig.runtime.block_on(Postgres::connect(&url));
                Some([connect()?, connect()?])
            }
            None => None,
        };
        Ok(Self {
            rig,
            sqlite: rig.runtime.block_on(Sqlite::open(&file))?,
            postgres,
        })
    }

    /// In one process with its writer, so that the relay hears of each commit.
    fn sqlite(&self, run: &Run) -> Bench<'_, Sqlite> {
        Bench {
            rig: self.rig,
            database: &self.sqlite,
            writer: &self.sqlite,
            name: "SQLite",
            rows: run.scale(50_000, 100),
            share: 0.3,
            gap: Duration::from_millis(5),
            syncs: 1,
        }
    }

    fn postgres(&self, run: &Run) -> Option<Bench<'_, Postgres>> {
        let [database, writer] = self.postgres.as_ref()?;
        Some(Bench {
            rig: self.rig,
            database,
            writer,
            name: "PostgreSQL",
            rows: run.scale(10_000, 100),
            share: 0.15,
            gap: Duration::from_millis(25),
            syncs: 2,
        })
    }
}

struct Bench<'a, D> {
    rig: &'a Rig,
    database: &'a D,
    writer: &'a D,
    name: &'a str,
    /// Of a turn.
    rows: usize,
    /// Of the rate without a database, at least.
    share: f64,
    /// Between two rows of which the delay is measured.
    gap: Duration,
    /// Syncs of the disk that lie between a commit and its record.
    syncs: u8,
}

impl<D: Database> Bench<'_, D> {
    fn rate(&self, run: &mut Run, least: f64) -> Result<(), Failure> {
        let topic = format!("{}-rate", self.name);
        let (memory, outbox) = (format!("{topic}-memory"), Outbox::to(&*topic));
        let runtime = &self.rig.runtime;
        runtime.block_on(async {
            self.rig.topic(&topic, PARTITIONS).await?;
            self.rig.topic(&memory, PARTITIONS).await?;
            outbox.migrate(self.database).await?;
            Ok::<_, Failure>(())
        })?;
        let mut count = 0;
        let turns = run.turns(
            || {
                runtime.block_on(self.fill(&outbox))?;
                count += self.rows;
                runtime.block_on(self.drain(&topic, count))
            },
            || runtime.block_on(self.without_database(&memory)),
        )?;
        let what = format!("{}: rows of a backlog, relayed", self.name);
        let from_memory = "from memory, 1,000 at a time";
        let share = Target::AtLeast(self.share);
        run.share(&what, Unit::PerSecond, turns, from_memory, share);
        let what = "- or, whatever the limit";
        run.at_least(what, turns.value, Unit::PerSecond, least);
        Ok(())
    }

    async fn fill(&self, outbox: &Outbox) -> Result<(), Failure> {
        for from in (0..self.rows).step_by(BATCH) {
            let (writer, outbox) = (self.writer.clone(), outbox.clone());
            let to = self.rows.min(from + BATCH);
            let filled = self.writer.work(async move {
                let mut tx = writer.begin(Isolation::Write).await?;
                for number in from..to {
                    outbox.enqueue(&mut tx, &event(number)).await?;
                }
                tx.commit().await?;
                Ok::<_, OutboxError>(())
            });
            filled.await?;
        }
        Ok(())
    }

    /// Publishes all that is there; `count` is what the topic has thereafter.
    async fn drain(&self, topic: &str, count: usize) -> Result<f64, Failure> {
        let relay = self.rig.client.relay(self.database.clone());
        let metrics = relay.metrics();
        let start = self.rig.now();
        let running = Running::start(relay);
        let all = u64::try_from(self.rows)?;
        while metrics.snapshot().published.values().sum::<u64>() < all {
            self.rig.pause(Duration::from_millis(1)).await;
        }
        let seconds = self.rig.since(start);
        let summary = running.stop().await?;
        summary.result()?;
        self.rig.expect_stored(topic, count).await?;
        Ok(self.rows as f64 / seconds)
    }

    async fn without_database(&self, topic: &str) -> Result<f64, Failure> {
        let config = ProducerConfig::new().acks(Acks::All).linger_ms(0);
        let producer = self.rig.client.producer(config.batch_size(256 << 10))?;
        let events: Vec<Event> = (0..self.rows).map(event).collect();
        let start = self.rig.now();
        for events in events.chunks(BATCH) {
            let mut deliveries = Vec::with_capacity(BATCH);
            for event in events {
                deliveries.push(producer.send(event.to(topic)?).await?);
            }
            for delivery in deliveries {
                delivery.await?;
            }
        }
        Ok(self.rows as f64 / self.rig.since(start))
    }

    fn delay(&self, run: &mut Run, most: f64) -> Result<(), Failure> {
        let topic = format!("{}-delay", self.name);
        let delays = self.rig.runtime.block_on(self.delays(run, &topic))?;
        let folder = run.folder("outbox-raw")?;
        let mut files = [raw::create(&folder.path().join("written"))?];
        let page = [7; 4 << 10];
        let syncs = (0..run.scale(200, 2)).map(|_| raw::commit(run, &mut files, &page));
        let syncs = f64::from(self.syncs) * median(syncs.collect::<Result<_, _>>()?);
        let what = format!("{}: from commit to visible, p50", self.name);
        run.at_most(&what, percentile(&delays, 50), Unit::Time, most);
        let what = format!("- of which the disk takes (syncs: {})", self.syncs);
        run.row(&what, syncs, Unit::Time);
        run.row("- p99", percentile(&delays, 99), Unit::Time);
        Ok(())
    }

    /// Seconds, sorted.
    async fn delays(&self, run: &Run, topic: &str) -> Result<Vec<f64>, Failure> {
        let rig = self.rig;
        rig.topic(topic, PARTITIONS).await?;
        let outbox = Outbox::to(topic);
        outbox.migrate(self.database).await?;
        let running = Running::start(rig.client.relay(self.database.clone()));
        let mut consumer = rig.client.consumer(ConsumerConfig::default());
        consumer.assign_topic(topic, StartAt::Earliest).await?;
        let count = run.scale(600, 5);
        let clock = Arc::clone(&rig.clock);
        let seen = tokio::spawn(async move {
            use highwater_proto::clock::Clock as _;
            let mut seen = Vec::with_capacity(count);
            while seen.len() < count {
                let records = consumer.poll(Duration::from_secs(10)).await?;
                let now = clock.now().mono;
                for record in records {
                    let value = record.value.as_deref().unwrap_or_default();
                    let number: usize = String::from_utf8_lossy(value).parse().unwrap_or(count);
                    seen.push((number, now));
                }
            }
            Ok::<_, highwater::ClientError>(seen)
        });
        let mut committed = Vec::with_capacity(count);
        for number in 0..count {
            // Not always at the same place of whatever repeats itself.
            rig.pause(self.gap + self.gap * u32::try_from(number % 7)? / 7)
                .await;
            let mut tx = self.writer.begin(Isolation::Write).await?;
            let event = Event::new("/shop/orders", "order.changed.v1");
            let event = event.key(format!("o-{number}")).data(number.to_string());
            outbox.enqueue(&mut tx, &event).await?;
            tx.commit().await?;
            committed.push(rig.now());
        }
        let seen = seen.await??;
        running.stop().await?.result()?;
        rig.expect_stored(topic, count).await?;
        let delay = |(number, at): (usize, highwater_proto::clock::Mono)| {
            let since = committed.get(number).map(|from| at.since(*from));
            since.unwrap_or_default().as_secs_f64()
        };
        let mut delays: Vec<f64> = seen.into_iter().map(delay).collect();
        delays.sort_by(f64::total_cmp);
        Ok(delays)
    }
}

/// A relay that runs until it is stopped.
struct Running {
    stop: oneshot::Sender<()>,
    relay: JoinHandle<RelaySummary>,
}

impl Running {
    fn start<D: Database>(relay: Relay<D>) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let relay = relay.run(async { stopped.await.unwrap_or_default() });
        Self {
            stop,
            relay: tokio::spawn(relay),
        }
    }

    async fn stop(self) -> Result<RelaySummary, Failure> {
        drop(self.stop);
        Ok(self.relay.await?)
    }
}

/// An order as a shop would tell of it.
fn event(number: usize) -> Event {
    let order = number % ORDERS;
    let data = format!(
        r#"{{"order":"o-{order}","customer":"c-{}","cents":{},"state":"paid","items":[1,2,3]}}"#,
        order % 100,
        number * 7 % 10_000
    );
    Event::new("/shop/orders", "order.changed.v1")
        .key(format!("o-{order}"))
        .content_type("application/json")
        .data(data)
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let at = sorted.len() * percent / 100;
    let last = sorted.len().saturating_sub(1);
    sorted.get(at.min(last)).copied().unwrap_or(f64::INFINITY)
}

/// Rows that a relay sends at a time.
const BATCH: usize = 1_000;

/// Of a topic of orders.
const PARTITIONS: i32 = 12;
const ORDERS: usize = 1_000;
