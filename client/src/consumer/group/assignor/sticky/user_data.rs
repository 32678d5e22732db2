//! What the sticky strategies tell each other beside the subscription, as Java writes it.
//!
//! Floor 5 of client. Pure.
//!
//! Invariants
//! - `sticky`: the partitions that the member was assigned last, and their generation; members of
//!   the first version leave the generation out.
//! - `cooperative-sticky`: the generation alone, for leaders that do not read it from the
//!   subscription; the partitions are those of the subscription.
//! - Bytes that are none of this are no claim; they never stop a leader.

use bytes::Bytes;
use highwater_proto::consumer_protocol::Subscription;
use highwater_proto::cursor::{EncodeError, Reader, Version, Writer};
use highwater_proto::error::DecodeError;

use crate::config::AssignmentStrategy;
use crate::consumer::group::call::Last;
use crate::error::ClientError;

/// What a member says under a strategy.
pub(in crate::consumer::group) fn user_data(
    strategy: AssignmentStrategy,
    last: Option<&Last>,
) -> Result<Option<Bytes>, ClientError> {
    let mut writer = Writer::new();
    match (strategy, last) {
        (AssignmentStrategy::Sticky, Some(last)) => {
            let written = put_partitions(&mut writer, &last.partitions);
            written.map_err(|error| ClientError::Invalid(error.to_string()))?;
        }
        (AssignmentStrategy::CooperativeSticky, _) => {}
        _ => return Ok(None),
    }
    writer.put_i32(last.map_or(NO_GENERATION, |last| last.generation));
    Ok(Some(writer.finish().into_bytes()))
}

/// What a member claims under a strategy, and since which generation; -1 if that is not known.
pub(in crate::consumer::group) fn owned(
    strategy: AssignmentStrategy,
    subscription: &Subscription,
) -> (Vec<(String, Vec<i32>)>, i32) {
    let user_data = subscription.user_data.clone().unwrap_or_default();
    match strategy {
        AssignmentStrategy::Sticky => {
            let mut reader = Reader::new(user_data);
            match read_partitions(&mut reader) {
                Ok(partitions) => (partitions, reader.i32().unwrap_or(NO_GENERATION)),
                Err(_) => (Vec::new(), NO_GENERATION),
            }
        }
        AssignmentStrategy::CooperativeSticky => {
            let told = || Reader::new(user_data).i32().unwrap_or(NO_GENERATION);
            let generation = match subscription.generation {
                generation @ 0.. => generation,
                _ => told(),
            };
            (subscription.owned_partitions.clone(), generation)
        }
        _ => (Vec::new(), NO_GENERATION),
    }
}

fn put_partitions(writer: &mut Writer, topics: &[(String, Vec<i32>)]) -> Result<(), EncodeError> {
    writer.put_count(Some(topics.len()), PLAIN)?;
    for (topic, partitions) in topics {
        writer.put_nullable_text(Some(topic), PLAIN)?;
        writer.put_count(Some(partitions.len()), PLAIN)?;
        partitions.iter().for_each(|index| writer.put_i32(*index));
    }
    Ok(())
}

fn read_partitions(reader: &mut Reader) -> Result<Vec<(String, Vec<i32>)>, DecodeError> {
    let topic_bytes_min = size_of::<i16>() + size_of::<i32>();
    let topics_count = reader.count(PLAIN, topic_bytes_min, size_of::<(String, Vec<i32>)>())?;
    let mut topics = Vec::new();
    for _ in 0..topics_count.unwrap_or(0) {
        let topic = reader.str(PLAIN)?.into();
        let count = reader.count(PLAIN, size_of::<i32>(), size_of::<i32>())?;
        let partitions: Result<_, _> = (0..count.unwrap_or(0)).map(|_| reader.i32()).collect();
        topics.push((topic, partitions?));
    }
    Ok(topics)
}

/// The layouts of Kafka before its flexible versions.
const PLAIN: Version = Version::new(0, false);

/// In no generation.
const NO_GENERATION: i32 = -1;
