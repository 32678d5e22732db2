//! File descriptors are a limit that a broker lives with.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use highwater_client::{Client, ProducerConfig, Record};

use super::records::create;
use super::{Scenarios, block_on, failed};
use crate::part::{Finding, Notes};
use crate::process::pause;

/// Most systems start programs with a soft limit of 1,024 and a far higher hard one: the broker
/// takes what it may have.
pub(super) fn soft_limit_is_raised(place: &Scenarios, notes: &Notes) -> Result<(), Finding> {
    let plan = place.plan("soft-limit")?;
    let words = [place.prlimit.as_os_str().to_owned(), "--nofile=256:".into()];
    let server = plan.under(words).start()?;
    block_on(async {
        let client = Client::connect(&server.bootstrap)
            .await
            .map_err(failed("no connection"))?;
        create(&client, "wide", 500, &[]).await?;
        send_to_all(&client, 500).await
    })?;
    notes.row(
        "soft limit of 256 descriptors",
        "500 partitions are written",
    );
    server.stop().map(|_| ())
}

async fn send_to_all(client: &Client, partitions: i32) -> Result<(), Finding> {
    let producer = client
        .producer(ProducerConfig::default())
        .map_err(failed("no producer"))?;
    let mut sent = Vec::new();
    for partition in 0..partitions {
        let record = Record::to("wide").partition(partition).value("one");
        sent.push(
            producer
                .send(record)
                .await
                .map_err(failed("a record is refused"))?,
        );
    }
    producer.flush().await;
    for delivery in sent {
        delivery
            .await
            .map_err(failed("a record is not delivered"))?;
    }
    Ok(())
}

/// A thousand clients come to a broker that has room for fewer: who is there is served, nobody
/// spins, and once they are gone everybody is served again.
pub(super) fn more_clients_than_descriptors(
    place: &Scenarios,
    notes: &Notes,
) -> Result<(), Finding> {
    let plan = place.plan("hard-limit")?;
    let words = [
        place.prlimit.as_os_str().to_owned(),
        "--nofile=256:256".into(),
    ];
    let server = plan.under(words).start()?;
    let bootstrap = server.bootstrap.clone();
    block_on(async {
        let client = Client::connect(&bootstrap)
            .await
            .map_err(failed("no connection"))?;
        create(&client, "wide", 3, &[]).await?;
        send_to_all(&client, 3).await?;
        let crowd: Vec<TcpStream> = (0..1_000)
            .filter_map(|_| TcpStream::connect(&bootstrap).ok())
            .collect();
        let before = cpu_ticks(server.pid())?;
        let since = Instant::now();
        pause(SATURATED);
        let busy = (cpu_ticks(server.pid())? - before) as f64 / TICKS_PER_SECOND;
        let share = busy / since.elapsed().as_secs_f64();
        notes.row(
            "out of descriptors: processor of the broker",
            format!("{:.1} %", share * 100.0),
        );
        if share > 0.5 {
            return Err(Finding::new(format!(
                "out of descriptors, it spins: {share:.2} of a core"
            )));
        }
        send_to_all(&client, 3).await?;
        drop(crowd);
        let since = Instant::now();
        let again = Client::connect(&bootstrap)
            .await
            .map_err(failed("nobody is let in again"))?;
        send_to_all(&again, 3).await?;
        let took = since.elapsed();
        notes.row(
            "out of descriptors: served again after",
            format!("{} ms", took.as_millis()),
        );
        if took > Duration::from_secs(10) {
            return Err(Finding::new(format!("served again only after {took:?}")));
        }
        Ok(())
    })?;
    server.stop().map(|_| ())
}

const SATURATED: Duration = Duration::from_secs(2);
/// What `/proc` counts in; the same on every Linux that programs can see.
const TICKS_PER_SECOND: f64 = 100.0;

/// The processor time of a process, user and system.
fn cpu_ticks(pid: u32) -> Result<u64, Finding> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|error| Finding::new(format!("{path}: {error}")))?;
    // The name, in brackets, may hold anything; the fields behind it are numbers.
    let fields = text.rsplit(") ").next().unwrap_or_default();
    // The state is the first of them, user and system time are the twelfth and thirteenth.
    let at = |field: usize| {
        fields
            .split(' ')
            .nth(field)
            .and_then(|text| text.parse().ok())
    };
    let ticks = at(11)
        .zip(at(12))
        .map(|(user, system): (u64, u64)| user + system);
    ticks.ok_or_else(|| Finding::new(format!("{path} cannot be read")))
}
