//! Members that keep their partitions, against a real broker.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use futures_core::Stream;
use highwater_client::{AssignmentStrategy, ConsumerConfig, OffsetReset};

use crate::both;
use crate::fill;
use crate::settle;
use crate::topic;

#[test]
fn cooperative_members_keep_what_stays_and_read_a_pattern_as_a_stream() {
    both(|client| async move {
        topic(&client, "orders.eu", 3).await;
        topic(&client, "other", 1).await;
        fill(&client, "orders.eu", 3, 20).await;
        let cooperative = || ConsumerConfig {
            group_id: Some("g".to_owned()),
            heartbeat_interval_ms: 20,
            metadata_max_age_ms: 100,
            auto_offset_reset: OffsetReset::Earliest,
            partition_assignment_strategy: vec![AssignmentStrategy::CooperativeSticky],
            ..ConsumerConfig::default()
        };
        let mut members = vec![client.consumer(cooperative())];
        members[0].subscribe_pattern(r"orders\..*").unwrap();
        let mut read = settle(&mut members, &[3]).await;
        let kept = members[0].assignment();
        members.push(client.consumer(cooperative()));
        members[1].subscribe_pattern(r"orders\..*").unwrap();
        read.extend(settle(&mut members, &[2, 1]).await);
        let stayed = members[0].assignment();
        assert!(stayed.iter().all(|place| kept.contains(place)));
        let described = client.admin().describe_group("g").await.unwrap();
        assert_eq!(described.protocol, "cooperative-sticky");
        topic(&client, "orders.us", 1).await;
        fill(&client, "orders.us", 1, 20).await;
        read.extend(settle(&mut members, &[2, 2]).await);

        let left = members.remove(1).close(Duration::from_secs(60)).await;
        assert_eq!((left.error, left.uncommitted), (None, vec![]));
        let mut records = pin!(members[0].stream());
        while read.len() < 80 {
            let next = poll_fn(|cx| records.as_mut().poll_next(cx)).await;
            let record = next.unwrap().unwrap();
            read.push((record.partition, record.offset));
        }
        // Each record once: four partitions, two of which have the same number.
        read.sort_unstable();
        let expected = [0, 0, 1, 2].into_iter();
        let mut expected: Vec<_> = expected
            .flat_map(|it| (0..20).map(move |at| (it, at)))
            .collect();
        expected.sort_unstable();
        assert_eq!(read, expected);
    });
}
