//! A broker that nobody talks to writes nothing: flash wears out by writing.

use std::time::Duration;

use highwater_client::{Client, CommittedOffset, ProducerConfig, Record};

use super::records::create;
use super::{Scenarios, block_on, failed};
use crate::part::{Finding, Notes};
use crate::process::{Server, pause};

/// Topics, records and a group are there; then all is quiet.
pub(super) fn nothing_is_written(place: &Scenarios, notes: &Notes) -> Result<(), Finding> {
    let server = place.plan("idle")?.start()?;
    block_on(use_once(server.bootstrap.clone()))?;
    pause(SETTLE);
    let before = io(&server, "write_bytes")?;
    pause(QUIET);
    let written = io(&server, "write_bytes")? - before;
    notes.row("idle, bytes written in 5 s", written.to_string());
    if written > 0 {
        return Err(Finding::new(format!(
            "an idle broker wrote {written} bytes in 5 s"
        )));
    }
    server.stop().map(|_| ())
}

/// What is behind has been made durable: the recovery points are written every second.
const SETTLE: Duration = Duration::from_millis(2_500);
const QUIET: Duration = Duration::from_secs(5);

async fn use_once(bootstrap: String) -> Result<(), Finding> {
    let client = Client::connect(&bootstrap)
        .await
        .map_err(failed("no connection"))?;
    create(&client, "kept", 1, &[]).await?;
    create(&client, "cached", 1, &[("durability", "page-cache")]).await?;
    let producer = client
        .producer(ProducerConfig::default())
        .map_err(failed("no producer"))?;
    for topic in ["kept", "cached"] {
        let sent = producer
            .send(Record::to(topic).partition(0).value("once"))
            .await;
        let delivery = sent.map_err(failed("a record is refused"))?;
        delivery
            .await
            .map_err(failed("a record is not delivered"))?;
    }
    let offset = CommittedOffset {
        topic: "kept".to_owned(),
        offset: 1,
        ..CommittedOffset::default()
    };
    let committed = client.admin().alter_group_offsets("group", &[offset]).await;
    committed.map_err(failed("an offset is not committed"))
}

/// A counter of the process, as the kernel keeps it.
pub(super) fn io(server: &Server, name: &str) -> Result<u64, Finding> {
    let path = format!("/proc/{}/io", server.pid());
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|error| Finding::new(format!("{path}: {error}")))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let number = line.and_then(|number| number.trim().parse().ok());
    number.ok_or_else(|| Finding::new(format!("{path} has no `{name}`")))
}
