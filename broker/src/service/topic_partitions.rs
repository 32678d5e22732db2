//! The partitions of topics, page by page.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - Topics come by name, each once; partitions by number. A page that ends within them says where
//!   the next one begins, and the pages together have every partition once.
//! - A page is never empty where there is more, so that whoever follows the cursor comes to an end.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::error::TopicError;
use crate::ids::TopicRef;
use crate::meta::{MetaState, check_name};
use crate::service::Service;
use crate::service::topics::{TopicDescription, description};

/// Which partitions to describe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPartitionsCall {
    /// The topics' names; none for all topics.
    pub topics: Vec<String>,
    /// Where the page begins; none for the beginning.
    pub cursor: Option<PartitionCursor>,
    /// At most so many partitions, and no more than `max.request.partition.size.limit`.
    pub partitions_max: i32,
}

/// The first partition of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionCursor {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
}

/// Some topics with some of their partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionsPage {
    /// The topics by name.
    pub topics: Vec<PagedTopic>,
    /// Where the next page begins; none when this is the last one.
    pub next: Option<PartitionCursor>,
}

/// One topic of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagedTopic {
    /// Its name.
    pub name: String,
    /// The topic and those of its partitions that stand on the page, or why there is none.
    pub result: Result<(TopicDescription, Range<i32>), TopicError>,
}

impl Service {
    /// A page of topics and their partitions. A cursor that fits to no page of the call is an
    /// error.
    pub fn topic_partitions(
        &self,
        call: &TopicPartitionsCall,
    ) -> Result<PartitionsPage, TopicError> {
        let limit = self.config().max_request_partition_size_limit;
        let limit = call.partitions_max.min(limit).max(1);
        self.inner.meta.read(|meta| page(meta.state(), call, limit))
    }
}

fn page(
    state: &MetaState,
    call: &TopicPartitionsCall,
    limit: i32,
) -> Result<PartitionsPage, TopicError> {
    let from = call.cursor.as_ref();
    check_cursor(call)?;
    let mut names: BTreeSet<&str> = if call.topics.is_empty() {
        state.topics().map(|topic| topic.name.as_str()).collect()
    } else {
        call.topics.iter().map(String::as_str).collect()
    };
    if let Some(from) = from {
        names = names.split_off(from.topic.as_str());
    }
    let mut page = PartitionsPage::default();
    let mut left = limit;
    for name in names {
        let first = from
            .filter(|from| from.topic == name)
            .map_or(0, |from| from.partition);
        let cursor = |partition| {
            Some(PartitionCursor {
                topic: name.to_owned(),
                partition,
            })
        };
        if left == 0 {
            page.next = cursor(0);
            break;
        }
        let Some(topic) = state.topic(&TopicRef::from(name)) else {
            let error = check_name(name).err().unwrap_or(TopicError::Unknown);
            page.topics.push(PagedTopic {
                name: name.to_owned(),
                result: Err(error),
            });
            continue;
        };
        // A cursor beyond the last partition finds none of them.
        let end = first
            .saturating_add(left)
            .min(topic.partition_count)
            .max(first);
        page.topics.push(PagedTopic {
            name: name.to_owned(),
            result: Ok((description(topic, state.leader_epoch()), first..end)),
        });
        if end < topic.partition_count {
            page.next = cursor(end);
            break;
        }
        left -= end - first;
    }
    Ok(page)
}

fn check_cursor(call: &TopicPartitionsCall) -> Result<(), TopicError> {
    let Some(cursor) = &call.cursor else {
        return Ok(());
    };
    let topic = cursor.topic.escape_debug();
    let why = if cursor.partition < 0 {
        format!("the cursor stands at partition {}", cursor.partition)
    } else if !call.topics.is_empty() && !call.topics.contains(&cursor.topic) {
        format!("the cursor stands at {topic}, which is none of the request's topics")
    } else {
        return Ok(());
    };
    Err(TopicError::InvalidRequest { why })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::config::BrokerConfig;
    use crate::machine::Machine;
    use crate::meta::{MetaMachine, MetaRecord};

    fn machine(counts: &[i32]) -> MetaMachine {
        let mut machine = MetaMachine::new(Arc::new(BrokerConfig::default()));
        for (at, partitions) in (0_u8..).zip(counts) {
            machine.apply(&MetaRecord::TopicCreated {
                // Ids do not order topics.
                id: [200 - at; 16],
                name: format!("t{at}"),
                partitions: *partitions,
                configs: BTreeMap::default(),
                created_ms: 0,
            });
        }
        machine
    }

    fn call(topics: &[&str], cursor: Option<(&str, i32)>) -> TopicPartitionsCall {
        TopicPartitionsCall {
            topics: topics.iter().map(|name| (*name).to_owned()).collect(),
            cursor: cursor.map(|(topic, partition)| PartitionCursor {
                topic: topic.to_owned(),
                partition,
            }),
            partitions_max: 0,
        }
    }

    fn found(page: &PartitionsPage) -> Vec<(&str, Result<Range<i32>, TopicError>)> {
        let topics = page.topics.iter();
        let range = |topic: &PagedTopic| topic.result.clone().map(|(_, range)| range);
        topics.map(|t| (t.name.as_str(), range(t))).collect()
    }

    proptest! {
        #[test]
        fn the_pages_together_have_every_partition_once(
            counts in prop::collection::vec(1..6_i32, 0..6),
            limit in 1..8_i32,
            is_named in any::<bool>(),
        ) {
            let machine = machine(&counts);
            let names: Vec<String> = (0..counts.len()).map(|at| format!("t{at}")).collect();
            let mut call = call(&[], None);
            if is_named {
                call.topics = names.iter().rev().chain(&names).cloned().collect();
            }
            let mut seen = Vec::new();
            loop {
                let page = page(machine.state(), &call, limit).unwrap();
                let before = seen.len();
                for topic in &page.topics {
                    let (_, range) = topic.result.clone().unwrap();
                    seen.extend(range.map(|partition| (topic.name.clone(), partition)));
                }
                prop_assert!(seen.len() - before <= usize::try_from(limit).unwrap());
                let Some(next) = page.next else { break };
                prop_assert!(seen.len() > before, "every page goes on");
                call.cursor = Some(next);
            }
            let all = names.iter().zip(&counts);
            let all = all.flat_map(|(name, count)| (0..*count).map(|p| (name.clone(), p)));
            prop_assert_eq!(seen, all.collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_named_and_missing_has_its_error_and_takes_no_room() {
        let machine = machine(&[2, 2]);
        let asked = call(&["t1", "u", "t0", "a b", "t0"], None);
        let page = page(machine.state(), &asked, 4).unwrap();
        assert_eq!(found(&page)[1..], [("t0", Ok(0..2)), ("t1", Ok(0..2)),]);
        assert!(matches!(
            found(&page)[0],
            ("a b", Err(TopicError::InvalidName { .. }))
        ));
        // The page is full; the missing topic stands on the next one.
        assert_eq!(page.next.unwrap().topic, "u");
    }

    #[test]
    fn a_topic_that_is_gone_does_not_end_a_listing() {
        let machine = machine(&[1, 1]);
        let page_from = |cursor| page(machine.state(), &call(&[], Some(cursor)), 9).unwrap();
        assert_eq!(found(&page_from(("t00", 7))), [("t1", Ok(0..1))]);
        assert_eq!(found(&page_from(("t1", 7))), [("t1", Ok(7..7))]);
        assert_eq!(found(&page_from(("u", 0))), []);
    }

    #[test]
    fn a_cursor_that_fits_to_no_page_is_refused() {
        let machine = machine(&[1, 1]);
        for asked in [call(&[], Some(("t0", -1))), call(&["t1"], Some(("t0", 0)))] {
            let refused = page(machine.state(), &asked, 9);
            assert!(matches!(refused, Err(TopicError::InvalidRequest { .. })));
        }
    }
}
