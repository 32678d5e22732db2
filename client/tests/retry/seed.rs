//! The seed's defects S10 and S11: shown with its logic, then absent with ours.

use std::time::Duration;

use highwater_client::{Backoff, Client, ConsumerConfig, DeadLetters, HandlerError, OffsetReset};

use crate::Seen;
use crate::both;
use crate::committed;
use crate::committed_up_to;
use crate::ended_well;
use crate::fill;
use crate::group;
use crate::letters;
use crate::topic;

/// Members may be silent for so long.
const POLL_INTERVAL_MS: i32 = 300;

fn short_patience() -> ConsumerConfig {
    ConsumerConfig::new()
        .auto_offset_reset(OffsetReset::Earliest)
        .max_poll_interval_ms(POLL_INTERVAL_MS)
        .heartbeat_interval_ms(20)
        .auto_commit_interval_ms(20)
}

async fn members(client: &Client, group: &str) -> usize {
    client
        .admin()
        .describe_group(group)
        .await
        .unwrap()
        .members
        .len()
}

#[test]
fn seed_s10_a_retry_that_blocks_the_poll_loop_loses_the_membership_and_ours_does_not() {
    both(|client| async move {
        topic(&client, "t", 1).await;
        fill(&client, "t", 0, &["poison", "a", "b"]).await;

        // The seed's logic: the listener retries where it stands, and polls no more meanwhile.
        let mut seed = client.consumer(short_patience().group_id("seed"));
        seed.subscribe(["t"]).unwrap();
        let records = seed.poll(Duration::from_secs(60)).await.unwrap();
        assert_eq!((records.len(), members(&client, "seed").await), (3, 1));
        // The pauses take longer than a member may be silent: it is thrown out, and everything
        // that it has polled comes again, to fail again.
        while members(&client, "seed").await > 0 {
            tokio::task::yield_now().await;
        }
        drop(seed);
        let mut next = client.consumer(short_patience().group_id("seed"));
        next.subscribe(["t"]).unwrap();
        let again = next.poll(Duration::from_secs(60)).await.unwrap();
        assert_eq!(again[0].offset, records[0].offset, "the rebalance loop");

        // Ours: the pauses together are as long, the key waits by itself, and the member stays.
        let seen = Seen::default();
        let handler = seen.handler(|attempt| match attempt.record.offset {
            0 => Err(HandlerError::retry("poison")),
            _ => Ok(()),
        });
        let pause = Duration::from_millis(POLL_INTERVAL_MS.unsigned_abs().into());
        let handling = group(&client, "t").consumer(short_patience());
        let handling = handling.retry(Backoff::fixed(pause).max_attempts(4));
        let summary = handling
            .run(handler, committed_up_to(&client, "t", 3))
            .await;
        ended_well(&summary);
        assert_eq!(
            (summary.handled, summary.failures, summary.dead_letters),
            (2, 4, 1)
        );
        let mut offsets = seen.offsets(0);
        offsets.sort_unstable();
        assert_eq!(offsets, [0, 0, 0, 0, 1, 2], "no record came again");
    });
}

#[test]
fn seed_s11_nothing_of_a_key_is_handled_behind_a_record_that_was_not() {
    both(|client| async move {
        topic(&client, "t", 2).await;
        fill(&client, "t", 0, &["a", "b", "a", "c"]).await;
        let declines = |offset: i64| match offset {
            0 => Err(HandlerError::dead("declined")),
            _ => Ok(()),
        };

        // The seed's logic: a dead letter, and on with the key.
        let seen = Seen::default();
        let handler = seen.handler(move |attempt| declines(attempt.record.offset));
        let summary = group(&client, "t")
            .run(handler, committed_up_to(&client, "t", 4))
            .await;
        ended_well(&summary);
        assert!(
            seen.offsets(0).contains(&2),
            "handled although 0 is missing"
        );
        assert_eq!(letters(&client, "t-dlt", 1).await[0].1.offset, 0);

        // Ours, where order is asked for.
        topic(&client, "strict", 2).await;
        fill(&client, "strict", 0, &["a", "b", "a", "c"]).await;
        let seen = Seen::default();
        let handler = seen.handler(move |attempt| match attempt.record.partition {
            0 => declines(attempt.record.offset),
            _ => Ok(()),
        });
        let handling = group(&client, "strict").dead_letters(DeadLetters::stop());
        let other_partition = async {
            seen.until(|calls| calls.iter().any(|call| call.offset == 0))
                .await;
            // The other partition goes on, long after this one has stopped.
            for number in 0..20 {
                fill(&client, "strict", 1, &["a"]).await;
                seen.until(|calls| calls.iter().filter(|it| it.partition == 1).count() > number)
                    .await;
            }
        };
        let summary = handling.run(handler, other_partition).await;
        ended_well(&summary);
        let [halted] = &summary.halted[..] else {
            panic!("{summary:?}");
        };
        assert_eq!(
            (&*halted.topic, halted.partition, halted.offset),
            ("strict", 0, 0)
        );
        assert_eq!(halted.error, "declined");
        assert!(
            !seen.offsets(0).contains(&2),
            "nothing overtakes: {:?}",
            seen.offsets(0)
        );
        assert_eq!(seen.offsets(1).len(), 20);
        assert_eq!(
            committed(&client, "strict").await,
            Some(0),
            "it comes again"
        );
        assert!(client.admin().describe_topic("strict-dlt").await.is_err());
    });
}
