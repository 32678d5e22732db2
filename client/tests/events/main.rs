//! Event sourcing against streams in memory that keep the table of conditions, and that lose
//! requests and answers when told to.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod appending;
mod broker;
mod conditions;
mod fake;
mod following;
mod kit;
mod loading;
mod order;
mod replays;
mod snapshots;
mod tcp;
mod updating;

use std::sync::Arc;

use highwater_client::events::EventStore;
use highwater_client::{Client, ClientError, Dial, SystemClock};
use highwater_proto::exchange::{BoxFuture, Exchange};

use crate::fake::Streams;
use crate::order::Order;

/// Streams, and the orders in them.
struct World {
    streams: Arc<Streams>,
    orders: EventStore<Order>,
}

async fn world() -> World {
    let streams = Arc::new(Streams::default());
    let orders = EventStore::over(streams.clone(), &client(), "orders");
    World {
        orders: orders.source("/shop/orders").build().await.unwrap(),
        streams,
    }
}

/// A client that reaches nothing: what it does goes through the streams.
fn client() -> Client {
    Client::over("nowhere:1", Arc::new(Nowhere), Arc::new(SystemClock::new())).unwrap()
}

#[derive(Debug)]
struct Nowhere;

impl Dial for Nowhere {
    fn dial(&self, _: &str) -> BoxFuture<'static, Result<Arc<dyn Exchange>, ClientError>> {
        Box::pin(async { Err(ClientError::NotSent("there is nobody".to_owned())) })
    }
}
