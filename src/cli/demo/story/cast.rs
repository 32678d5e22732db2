//! Who takes part beside the shop: the relay, the payment service, and somebody who reads along.
//!
//! Floor 6 of cli.

use std::sync::Arc;
use std::time::Duration;

use highwater_client::{Client, ConsumerConfig, ErrorCode, LetterFilter};
use highwater_proto::clock::Clock;
use tokio::sync::watch;

use super::crew::{Running, asked};
use super::payments::{GROUP, Payments};
use super::plan::Plan;
use super::report::Report;
use super::shop::Shop;
use super::watcher::{Seen, Watcher};
use super::{LETTERS, TOPIC};
use crate::cli::failure::Failure;

/// All of them.
pub(super) struct Cast<'a> {
    client: &'a Client,
    clock: &'a Arc<dyn Clock>,
    payments: &'a Payments,
    relay: Running<()>,
    service: Running<()>,
    watcher: Running<Seen>,
    /// How many events the watcher has seen.
    events: watch::Receiver<usize>,
}

impl<'a> Cast<'a> {
    /// Begins.
    pub(super) fn start(
        client: &'a Client,
        clock: &'a Arc<dyn Clock>,
        plan: Plan,
        shop: &Shop,
        payments: &'a Payments,
    ) -> Self {
        let (counter, events) = watch::channel(0);
        let watching = client.clone();
        let watcher = Running::start(move |stop| {
            let (client, counter) = (watching.clone(), counter.clone());
            async move {
                let watcher = Watcher::new(&client, plan, TOPIC, counter).await?;
                watcher.run(asked(stop)).await
            }
        });
        let (relaying, database) = (client.clone(), shop.database.clone());
        let relay = Running::start(move |stop| {
            // Whoever comes after a crash waits until the dead one has been silent for so long.
            let relay = relaying.relay(database.clone()).lease(LEASE);
            async move {
                relay
                    .run(asked(stop))
                    .await
                    .result()
                    .map_err(Failure::failed)
            }
        });
        Self {
            client,
            clock,
            payments,
            relay,
            service: serve(client, payments),
            watcher,
            events,
        }
    }

    /// Lets somebody crash, now that so many eighths of the changes are made.
    pub(super) async fn crash_at(&mut self, eighths: usize) {
        match eighths {
            2 | 5 => self.relay.crash().await,
            3 | 6 => self.service.crash().await,
            _ => {}
        }
    }

    /// Waits for everything to have its effect, also for what was a dead letter first.
    pub(super) async fn finish(self, events: usize, report: &mut Report) -> Result<Seen, Failure> {
        let Self {
            client,
            clock,
            payments,
            relay,
            service,
            watcher,
            events: seen,
        } = self;
        let is_over = || relay.is_over() || service.is_over() || watcher.is_over();
        until(clock, is_over, async || Ok(*seen.borrow() >= events)).await?;
        until(clock, is_over, async || has_caught_up(client).await).await?;
        (report.relay_crashes, report.service_crashes) = (relay.crashes, service.crashes);
        relay.stop().await?;
        service.stop().await?;

        payments.mend();
        let letters = client.dead_letters(LETTERS).redrive(LetterFilter::all());
        let back = letters.run().await;
        report.sent_back = back.sent() as u64;
        report.dead_letters = back.audit.len() as u64;
        match back.error {
            // Where nothing was poison, there is no such topic.
            Some(error) if error.code() != Some(ErrorCode::UnknownTopicOrPartition) => {
                return Err(error.into());
            }
            _ => {}
        }
        let service = serve(client, payments);
        let is_over = || service.is_over() || watcher.is_over();
        until(clock, is_over, async || has_caught_up(client).await).await?;
        service.stop().await?;
        watcher.stop().await
    }
}

fn serve(client: &Client, payments: &Payments) -> Running<()> {
    let (client, payments) = (client.clone(), payments.clone());
    Running::start(move |stop| {
        let (client, payments) = (client.clone(), payments.clone());
        async move { Ok(payments.run(&client, TOPIC, asked(stop)).await.result()?) }
    })
}

/// Waits until something is so, or somebody has ended before it was.
async fn until(
    clock: &Arc<dyn Clock>,
    is_over: impl Fn() -> bool,
    is_so: impl AsyncFn() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let ends_at = clock.now().mono.plus(WAIT_MAX);
    while !is_over() && !is_so().await? {
        let now = clock.now().mono;
        if now >= ends_at {
            let limit = WAIT_MAX.as_secs();
            return Err(Failure::Failed(format!(
                "after {limit} s not every event is handled: --data-dir keeps what is there"
            )));
        }
        clock.sleep_until(now.plus(PAUSE)).await;
    }
    Ok(())
}

/// Whether the payment service is through with all that is in the topic.
async fn has_caught_up(client: &Client) -> Result<bool, Failure> {
    let consumer = client.consumer(ConsumerConfig::default());
    let ends = consumer.end_offsets(TOPIC).await?;
    let committed = client.admin().group_offsets(GROUP, None).await?;
    let committed: i64 = committed.iter().map(|it| it.offset).sum();
    Ok(committed == ends.iter().sum::<i64>())
}

/// How long the rest may take when the shop is done.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// Between two looks at how far things are.
const PAUSE: Duration = Duration::from_millis(10);

/// Of the relay.
const LEASE: Duration = Duration::from_millis(500);
