//! Producer ids: given out once each, from blocks that are taken durably.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - No id is given twice; a crash skips at most the rest of a block.

use std::ops::Range;

use tokio::sync::Mutex;

use crate::error::ProducerIdError;
use crate::meta::MetaMachine;
use crate::service::{MetaKey, Service};

/// A request for a producer id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitProducerId {
    /// The transactional id, if the producer has one.
    pub transactional_id: Option<String>,
    /// The id that the producer has already; -1 for none.
    pub producer_id: i64,
    /// Its epoch; -1 for none.
    pub epoch: i16,
}

/// An id of an idempotent producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerId {
    /// The id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
}

/// Ids that are taken and not yet given out.
#[derive(Debug, Default)]
pub(super) struct Block {
    free: Mutex<Range<i64>>,
}

impl Service {
    /// Gives a fresh producer id.
    pub async fn init_producer_id(
        &self,
        call: InitProducerId,
    ) -> Result<ProducerId, ProducerIdError> {
        let InitProducerId {
            transactional_id,
            producer_id,
            epoch,
        } = call;
        if (producer_id == -1) != (epoch == -1) {
            return Err(ProducerIdError::HalfGiven { producer_id, epoch });
        }
        if transactional_id.is_some() {
            return Err(ProducerIdError::TransactionsUnsupported);
        }
        let mut free = self.inner.producer_ids.free.lock().await;
        if free.is_empty() {
            let taken = self
                .inner
                .meta
                .write(MetaKey::ProducerIds, |meta: &MetaMachine| {
                    meta.take_producer_ids(BLOCK_IDS)
                });
            let first = taken.await.map_err(|error| ProducerIdError::Storage {
                why: error.to_string(),
            })?;
            *free = first..first.saturating_add(BLOCK_IDS);
        }
        let id = free.next().expect("the block was just filled");
        Ok(ProducerId { id, epoch: 0 })
    }
}

/// As in Kafka.
const BLOCK_IDS: i64 = 1000;
