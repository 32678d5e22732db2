//! The binary's own tools over a broker: `highwater outbox` killed while rows are written, and
//! `highwater dlq` over dead letters.

use std::time::Duration;

use highwater::sql::{Database, SqlStatement};
use highwater::{
    Attempt, Backoff, ConsumerConfig, Event, HandlerError, NewTopic, OffsetReset, ProducerConfig,
    handler_fn,
};
use serde_json::{Value, json};

use crate::judge;
use crate::kills::{Scene, Seen};
use crate::process::{Process, highwater};
use crate::relaying::{self, Place, rows, said};
use crate::shop::Shop;

/// Kills the process `kills` times while rows are written; the last one publishes the rest.
///
/// # Errors
/// What was lost, made up or overtaken, or what went wrong.
pub(crate) async fn outbox<D: Database>(
    scene: &Scene<'_, D>,
    (kills, seed): (u64, u64),
) -> Result<Seen, String> {
    let name = format!("{}_process", scene.name);
    let shop = Shop::found(scene.client, scene.database.clone(), name.clone()).await?;
    shop.open(scene.topic).await?;
    let Place::Postgres(url) = &scene.place else {
        return Err("a lease of ten seconds is too long for a test over SQLite".to_owned());
    };
    let words = ["outbox", "--database", url, "--to", scene.broker];
    let words = [&words[..], &["--table", &name, "--mode", "cloudevents"]].concat();
    let start = || -> Result<Process, String> {
        let mut process = Process::highwater(&words)?;
        let line = process.line()?;
        match line.starts_with("highwater outbox: rows of ") {
            true => Ok(process),
            false => Err(format!("the process says {line:?}")),
        }
    };
    let mut committed = Vec::new();
    let mut number = 0;
    for kill in 0..kills {
        let process = start()?;
        let rows = 1 + seed.wrapping_add(kill).wrapping_mul(0x9E37_79B9) % 12;
        for _ in 0..rows {
            number += 1;
            let key = if number % 2 == 0 { "a" } else { "b" };
            committed.extend(shop.sold(&[(key, number)]).await?);
            shop.undone(&[(key, -number)]).await?;
            relaying::pause().await;
        }
        process.kill();
    }
    let last = start()?;
    relaying::until(|| async {
        let count = SqlStatement::new(format!("select count(*) from {name}"));
        let rows = rows(&shop.database, count).await;
        rows.is_ok_and(|rows| rows[0].integer(0) == Ok(0))
    })
    .await;
    last.kill();
    let again = judge::whole(&committed, &shop.published().await?)?;
    shop.close().await?;
    Ok(Seen {
        kills: kills + 1,
        rows: judge::count(committed.len()),
        again,
        ..Seen::default()
    })
}

/// Makes dead letters, lists them, shows one, and sends them back; answers how many.
///
/// # Errors
/// What was not as it should be.
pub(crate) async fn dead_letters<D: Database>(scene: &Scene<'_, D>) -> Result<u64, String> {
    let topic = format!("{}_orders", scene.name);
    bury(scene, &topic).await?;
    let letters = format!("{topic}-dlt");
    let run = |words: &[&str]| {
        let words = [&["dlq"], words, &["--bootstrap", scene.broker]].concat();
        let output = highwater(&words).output().map_err(said)?;
        let text = String::from_utf8(output.stdout).map_err(said)?;
        match output.status.success() {
            true => Ok(text),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    };
    let lines = |text: String| -> Result<Vec<Value>, String> {
        let lines = text
            .lines()
            .map(|line| serde_json::from_str(line).map_err(said));
        lines.collect()
    };
    let of = |found: &[Value], field: &str| -> Vec<Value> {
        found.iter().map(|line| line[field].clone()).collect()
    };
    let same = |what: &str, found: Vec<Value>, wanted: Vec<Value>| match found == wanted {
        true => Ok(()),
        false => Err(format!("{what}: {found:?} instead of {wanted:?}")),
    };
    let listed = lines(run(&["list", &letters, "--json"])?)?;
    same(
        "listed",
        of(&listed, "key"),
        vec![json!("o-1"), json!("o-2")],
    )?;
    let shown = run(&["show", &letters, "0@1"])?;
    if !shown.contains("no answer") || !shown.contains(&format!("{topic}-0@1")) {
        return Err(format!("shown: {shown}"));
    }
    let sent = run(&["redrive", &letters, "--all", "--execute", "--json"])?;
    same(
        "sent",
        of(&lines(sent)?, "stored_offset"),
        vec![json!(2), json!(3)],
    )?;
    let back = ["consume", &topic, "--json", "--bootstrap", scene.broker];
    let back = highwater(&back).output().map_err(said)?;
    let back = lines(String::from_utf8(back.stdout).map_err(said)?)?;
    let keys = ["o-1", "o-2", "o-1", "o-2"].map(|it| json!(it));
    same("sent back", of(&back, "key"), keys.to_vec())?;
    same(
        "unchanged",
        of(&back[2..], "value"),
        of(&back[..2], "value"),
    )?;
    Ok(judge::count(listed.len()))
}

/// Two events that nobody can handle.
async fn bury<D: Database>(scene: &Scene<'_, D>, topic: &str) -> Result<(), String> {
    let admin = scene.client.admin();
    for name in [topic, &format!("{topic}-dlt")] {
        let topic = NewTopic::named(name).partitions(1);
        admin.create_topic(&topic).await.map_err(said)?;
    }
    let producer = scene.client.producer(ProducerConfig::default());
    let producer = producer.map_err(said)?;
    for key in ["o-1", "o-2"] {
        let event = Event::new("/shop/orders", "order.created.v1")
            .key(key)
            .data(key);
        let record = event.to(topic).map_err(said)?;
        let delivery = producer.send(record).await.map_err(said)?;
        delivery.await.map_err(said)?;
    }
    let config = ConsumerConfig::new().auto_commit_interval_ms(20);
    let handling = scene
        .client
        .handler("payments")
        .topics([topic])
        .consumer(config)
        .auto_offset_reset(OffsetReset::Earliest)
        .retry(Backoff::fixed(Duration::ZERO).max_attempts(2));
    let handler = handler_fn(|attempt: Attempt| async move {
        match attempt.record.key.as_deref() {
            Some(b"o-1") => Err(HandlerError::dead("the card is stolen")),
            _ => Err(HandlerError::retry("no answer")),
        }
    });
    let committed = relaying::until(|| async {
        let offsets = admin.group_offsets("payments", Some(&[(topic, 0)])).await;
        offsets.is_ok_and(|found| found.first().is_some_and(|it| it.offset == 2))
    });
    handling
        .run(handler, committed)
        .await
        .result()
        .map_err(said)
}
