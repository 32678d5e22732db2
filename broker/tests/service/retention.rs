//! Retention under a clock that is moved by hand.

use highwater_broker::config::BrokerConfig;
use highwater_broker::error::FetchError;
use highwater_log::types::Offset;
use highwater_proto::clock::Wall;
use highwater_proto::compress::Codec;

use crate::kit::{Rig, START, batch, batch_of, until};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const SMALL_SEGMENTS: (&str, &str) = ("segment.bytes", "300");

/// Produces so many batches of one record each, all stamped now.
async fn fill(rig: &Rig, count: usize) {
    let now = highwater_proto::clock::Clock::now(&rig.clock).wall.0;
    for _ in 0..count {
        let bytes = batch_of(Codec::None, None, &[(now, Some("key"), "value")]);
        rig.produce("t", bytes).await.unwrap();
    }
}

#[tokio::test]
async fn after_seven_days_sealed_segments_go() {
    let rig = Rig::new();
    rig.topic("t", 1, &[SMALL_SEGMENTS]).await;
    fill(&rig, 20).await;
    rig.advance_ms(7 * DAY_MS - 1);
    rig.service.apply_retention().await.unwrap();
    assert_eq!(rig.start("t").await, 0, "not a millisecond early");
    rig.advance_ms(2);
    rig.service.apply_retention().await.unwrap();
    let start = rig.start("t").await;
    assert!(start > 0, "sealed segments are gone");
    assert_eq!(rig.end("t").await, 20, "the end stays");
    let error = rig.fetch("t", start - 1).await.unwrap_err();
    let (asked, end) = (Offset(start - 1), Offset(20));
    assert_eq!(
        error,
        FetchError::OffsetOutOfRange {
            asked,
            start: Offset(start),
            end
        }
    );
    assert_eq!(
        i64::try_from(rig.values("t", start).await.len()).unwrap(),
        20 - start
    );
}

#[tokio::test]
async fn the_broker_checks_by_itself() {
    let rig = Rig::new();
    rig.topic("t", 1, &[SMALL_SEGMENTS]).await;
    fill(&rig, 20).await;
    // The check sleeps; it must be asleep before the clock moves.
    until(|| rig.clock.sleepers_count() >= 3).await;
    rig.advance_ms(8 * DAY_MS);
    let service = rig.service.clone();
    until(|| service.metrics().retention_checks.value() >= 1).await;
    // The counter moves when the check begins; a second one, in turn, begins after the first.
    rig.service.apply_retention().await.unwrap();
    assert!(rig.start("t").await > 0);
}

#[tokio::test]
async fn retention_bytes_holds_within_a_segment() {
    let rig = Rig::new();
    rig.topic("t", 1, &[SMALL_SEGMENTS, ("retention.bytes", "1000")])
        .await;
    let bytes = batch(&["value"]).len();
    for _ in 0..10 {
        fill(&rig, 7).await;
        rig.service.apply_retention().await.unwrap();
        let kept = usize::try_from(rig.end("t").await - rig.start("t").await).unwrap() * bytes;
        let largest_segment = 300;
        assert!(kept <= 1000 + largest_segment, "{kept} bytes are kept");
    }
    assert!(rig.start("t").await > 0);
}

#[tokio::test]
async fn a_clock_of_1970_at_the_start_deletes_nothing() {
    let rig = Rig::new();
    rig.topic(
        "t",
        1,
        &[
            SMALL_SEGMENTS,
            ("message.timestamp.after.max.ms", "9223372036854775807"),
        ],
    )
    .await;
    fill(&rig, 20).await;
    rig.clock.set_wall(Wall(0));
    let rig = rig.restart().await;
    rig.service.apply_retention().await.unwrap();
    assert_eq!(rig.start("t").await, 0);
    rig.produce("t", batch(&["more"])).await.unwrap();
    rig.service.apply_retention().await.unwrap();
    assert_eq!((rig.start("t").await, rig.end("t").await), (0, 21));
    // The time server sets the clock right: still nothing is older than the policy.
    rig.clock.set_wall(START);
    rig.service.apply_retention().await.unwrap();
    assert_eq!(rig.start("t").await, 0);
}

#[tokio::test]
async fn a_jump_of_fifty_years_deletes_nothing_and_days_that_pass_do() {
    let rig = Rig::new();
    rig.topic("t", 1, &[SMALL_SEGMENTS]).await;
    fill(&rig, 20).await;
    let fifty_years = i64::try_from(50 * 365 * DAY_MS).unwrap();
    for wall in [START.0 + fifty_years, 0, START.0] {
        rig.clock.set_wall(Wall(wall));
        rig.service.apply_retention().await.unwrap();
        assert_eq!(rig.start("t").await, 0, "the wall clock says {wall}");
    }
    rig.clock.set_wall(Wall(START.0 + fifty_years));
    let rig = rig.restart().await;
    rig.service.apply_retention().await.unwrap();
    assert_eq!(rig.start("t").await, 0, "nor over a restart");
    rig.advance_ms(8 * DAY_MS);
    rig.service.apply_retention().await.unwrap();
    assert!(rig.start("t").await > 0);
}

#[tokio::test]
async fn a_record_of_the_far_future_does_not_stay_for_ever_nor_delete_others() {
    let rig = Rig::new();
    let unbounded = ("message.timestamp.after.max.ms", "9223372036854775807");
    rig.topic("t", 1, &[SMALL_SEGMENTS, unbounded]).await;
    let fifty_years = i64::try_from(50 * 365 * DAY_MS).unwrap();
    let future = batch_of(
        Codec::None,
        None,
        &[(START.0 + fifty_years, Some("k"), "value")],
    );
    rig.produce("t", future).await.unwrap();
    fill(&rig, 20).await;
    rig.service.apply_retention().await.unwrap();
    assert_eq!(rig.start("t").await, 0);
    rig.advance_ms(8 * DAY_MS);
    rig.service.apply_retention().await.unwrap();
    assert!(
        rig.start("t").await > 0,
        "a time in the future counts as the time of the sealing"
    );
}

#[tokio::test]
async fn a_compacted_topic_keeps_everything() {
    let rig = Rig::new();
    let configs = [
        SMALL_SEGMENTS,
        ("cleanup.policy", "compact"),
        ("retention.bytes", "1"),
        ("retention.ms", "1"),
    ];
    rig.topic("t", 1, &configs).await;
    fill(&rig, 20).await;
    rig.advance_ms(400 * DAY_MS);
    rig.service.apply_retention().await.unwrap();
    assert_eq!(rig.start("t").await, 0);
}

#[tokio::test]
async fn the_brokers_default_is_the_topics() {
    let mut config = BrokerConfig::default();
    config.set("log.retention.ms", "1000").unwrap();
    config.set("log.segment.bytes", "300").unwrap();
    let rig = Rig::with(config);
    rig.topic("t", 1, &[]).await;
    fill(&rig, 20).await;
    rig.advance_ms(1001);
    rig.service.apply_retention().await.unwrap();
    assert!(rig.start("t").await > 0);
}
