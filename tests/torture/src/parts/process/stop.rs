//! SIGTERM: nothing of what was acknowledged is lost, whatever its acks and its topic (D12).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use highwater_client::{Acks, Client, ProducerConfig};
use highwater_kit::rng::Rng;

use super::records::{create, expect, producer, send_until};
use super::{Scenarios, block_on, failed};
use crate::part::{Finding, Notes};
use crate::process::{Server, pause};

/// Two producers send; the signal comes at some moment of it. How long the stop took.
pub(super) fn at_a_random_moment(place: &Scenarios, rng: &mut Rng) -> Result<Duration, Finding> {
    let after = Duration::from_millis(20 + rng.below(400) as u64);
    stopped_under_load(place, "stop", after, |server| server.stop())
}

/// The second signal ends it at once, and that loses nothing either.
pub(super) fn twice(place: &Scenarios, notes: &Notes) -> Result<(), Finding> {
    let took = stopped_under_load(
        place,
        "stop-twice",
        Duration::from_millis(200),
        |mut server| {
            let since = Instant::now();
            server.signal("TERM")?;
            // It may be gone already.
            let _ = server.signal("TERM");
            match server.wait(AT_ONCE) {
                Some(status) if matches!(status.code(), Some(0 | 1)) => Ok(since.elapsed()),
                other => Err(Finding::new(format!("two signals: {other:?}"))),
            }
        },
    )?;
    notes.row(
        "SIGTERM twice, to the end",
        format!("{:.3} s", took.as_secs_f64()),
    );
    Ok(())
}

const AT_ONCE: Duration = Duration::from_secs(2);

/// Where the producers send: the topic, its durability, and when they are answered.
const STREAMS: [(&str, &str, Acks); 3] = [
    ("all", "fsync", Acks::All),
    ("leader", "fsync", Acks::Leader),
    ("cached", "page-cache", Acks::Leader),
];

fn stopped_under_load(
    place: &Scenarios,
    name: &str,
    after: Duration,
    stop: impl FnOnce(Server) -> Result<Duration, Finding> + Send + 'static,
) -> Result<Duration, Finding> {
    let mut plan = place.plan(name)?;
    let server = plan.start()?;
    block_on(async {
        let client = Client::connect(&server.bootstrap)
            .await
            .map_err(failed("no connection"))?;
        for (topic, durability, _) in STREAMS {
            create(&client, topic, 1, &[("durability", durability)]).await?;
        }
        let is_over = AtomicBool::new(false);
        let stream = async |(topic, _, acks): (&str, &str, Acks)| {
            let config = ProducerConfig {
                acks,
                enable_idempotence: Some(acks == Acks::All),
                ..ProducerConfig::default()
            };
            Ok((
                topic.to_owned(),
                send_until(&producer(&client, config)?, topic, &is_over).await,
            ))
        };
        let stopping = tokio::task::spawn_blocking(move || {
            pause(after);
            stop(server)
        });
        let [all, leader, cached] = STREAMS;
        let ended = async {
            let took = stopping.await;
            is_over.store(true, Ordering::Relaxed);
            took.map_err(|error| Finding::new(error.to_string()))?
        };
        let (all, leader, cached, took) =
            tokio::join!(stream(all), stream(leader), stream(cached), ended);
        let took = took?;
        let acked: Result<Vec<_>, Finding> = [all, leader, cached].into_iter().collect();
        let again = plan.start()?;
        let client = Client::connect(&again.bootstrap)
            .await
            .map_err(failed("no connection"))?;
        for (topic, acked) in acked? {
            expect(&client, &topic, &acked).await?;
        }
        again.stop()?;
        Ok(took)
    })
}
