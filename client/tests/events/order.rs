//! The seed's order.

use highwater_client::events::{Aggregate, JsonEvents};
use serde::{Deserialize, Serialize};
use thiserror::Error;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) items: Vec<String>,
    pub(crate) status: Status,
    pub(crate) cents: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum Status {
    #[default]
    None,
    Open,
    Paid,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum OrderEvent {
    #[serde(rename = "order.created.v1")]
    Created,
    #[serde(rename = "order.item-added.v1")]
    ItemAdded { item: String },
    #[serde(rename = "order.paid.v1")]
    Paid { cents: u64 },
}

impl JsonEvents for OrderEvent {}

impl Aggregate for Order {
    type Event = OrderEvent;

    fn apply(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::Created => self.status = Status::Open,
            OrderEvent::ItemAdded { item } => self.items.push(item.clone()),
            OrderEvent::Paid { cents } => {
                self.status = Status::Paid;
                self.cents = *cents;
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the order is not open")]
pub(crate) struct NotOpen;

impl Order {
    pub(crate) fn pay(&self, cents: u64) -> Result<Vec<OrderEvent>, NotOpen> {
        match self.status {
            Status::Open => Ok(vec![OrderEvent::Paid { cents }]),
            Status::None | Status::Paid => Err(NotOpen),
        }
    }
}

pub(crate) fn added(item: &str) -> OrderEvent {
    OrderEvent::ItemAdded {
        item: item.to_owned(),
    }
}

/// OrderCreated, ItemAdded, ItemAdded, OrderPaid.
pub(crate) fn seed() -> [OrderEvent; 4] {
    let paid = OrderEvent::Paid { cents: 15_000 };
    [OrderEvent::Created, added("item1"), added("item2"), paid]
}
