//! A machine that sleeps: the broker stands still for longer than a session, and wakes up.

use std::time::Duration;

use highwater_client::{Client, Consumer, ConsumerConfig};

use super::records::create;
use super::{Scenarios, block_on, failed};
use crate::part::{Finding, Notes};
use crate::process::pause;

/// The members of a group do not expire all at once because the broker stood still: the
/// generation is the same afterwards.
pub(super) fn members_stay(place: &Scenarios, notes: &Notes) -> Result<(), Finding> {
    let server = place.plan("suspend")?.start()?;
    block_on(async {
        let client = Client::connect(&server.bootstrap)
            .await
            .map_err(failed("no connection"))?;
        create(&client, "events", 2, &[]).await?;
        let (mut one, mut two) = (member(&client)?, member(&client)?);
        let generation = settled(&mut one, &mut two).await?;
        server.signal("STOP")?;
        pause(ASLEEP);
        server.signal("CONT")?;
        let until = AWAKE;
        let mut polls = 0;
        while polls < until {
            polls += 1;
            poll(&mut one, &mut two).await?;
        }
        let after = (generation_of(&one), generation_of(&two));
        notes.row(
            "suspended for 8 s, session 6 s: generation",
            format!("{generation}, {after:?}"),
        );
        if after != (Some(generation), Some(generation)) {
            return Err(Finding::new(format!(
                "both members were there when the broker slept; the generation was {generation}, \
                 now it is {after:?}"
            )));
        }
        Ok(())
    })?;
    server.stop().map(|_| ())
}

const SESSION_MS: i32 = 6_000;
const ASLEEP: Duration = Duration::from_secs(8);
/// Polls of 100 ms each side, 4 s in all: every timer that was due has fired.
const AWAKE: u32 = 20;

fn member(client: &Client) -> Result<Consumer, Finding> {
    let config = ConsumerConfig {
        group_id: Some("sleepers".to_owned()),
        session_timeout_ms: SESSION_MS,
        heartbeat_interval_ms: 1_000,
        ..ConsumerConfig::default()
    };
    let mut consumer = client.consumer(config);
    consumer
        .subscribe(["events"])
        .map_err(failed("no subscription"))?;
    Ok(consumer)
}

fn generation_of(consumer: &Consumer) -> Option<i32> {
    consumer
        .group_metadata()
        .map(|metadata| metadata.generation)
}

async fn poll(one: &mut Consumer, two: &mut Consumer) -> Result<(), Finding> {
    let wait = Duration::from_millis(100);
    let (first, second) = tokio::join!(one.poll(wait), two.poll(wait));
    first
        .and(second)
        .map(|_| ())
        .map_err(failed("a member cannot poll"))
}

/// Both are in one generation, each with a partition.
async fn settled(one: &mut Consumer, two: &mut Consumer) -> Result<i32, Finding> {
    for _ in 0..100 {
        poll(one, two).await?;
        let generations = (generation_of(one), generation_of(two));
        if let (Some(a), Some(b)) = generations
            && a == b
            && one.assignment().len() == 1
            && two.assignment().len() == 1
        {
            return Ok(a);
        }
    }
    Err(Finding::new("two members did not come together in 20 s"))
}
