//! Event sourcing: an order is what happened to it, now and at any moment before.

use std::error::Error;

use highwater::events::{self, Aggregate, AsOf, EventStore, Expect, JsonEvents};
use highwater::{Broker, Client, EmbeddedClient};
use serde::{Deserialize, Serialize};

/// What happens to an order.
#[derive(Debug, Serialize, Deserialize)]
enum OrderEvent {
    #[serde(rename = "order.created.v1")]
    OrderCreated { customer: String },
    #[serde(rename = "order.item-added.v1")]
    ItemAdded { item: String },
    #[serde(rename = "order.paid.v1")]
    OrderPaid { cents: u64 },
}

impl JsonEvents for OrderEvent {}

/// What it is.
#[derive(Debug, Default)]
struct Order {
    customer: Option<String>,
    items: Vec<String>,
    paid_cents: Option<u64>,
}

impl Aggregate for Order {
    type Event = OrderEvent;

    fn apply(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::OrderCreated { customer } => self.customer = Some(customer.clone()),
            OrderEvent::ItemAdded { item } => self.items.push(item.clone()),
            OrderEvent::OrderPaid { cents } => self.paid_cents = Some(*cents),
        }
    }
}

impl Order {
    /// An order is paid once, and only if there is something in it.
    fn pay(&self, cents: u64) -> Result<Vec<OrderEvent>, std::io::Error> {
        match self.paid_cents {
            None if !self.items.is_empty() => Ok(vec![OrderEvent::OrderPaid { cents }]),
            _ => Err(std::io::Error::other("the order cannot be paid")),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let broker = Broker::in_memory()?;
    let client = Client::embedded(&broker);
    client
        .admin()
        .create_topic(&events::new_topic("order-events"))
        .await?;
    let orders = EventStore::<Order>::over(broker.native(), &client, "order-events");
    let orders = orders.build().await?;

    let added = |item: &str| OrderEvent::ItemAdded {
        item: item.to_owned(),
    };
    let customer = "c-7".to_owned();
    let begun = [
        OrderEvent::OrderCreated { customer },
        added("item1"),
        added("item2"),
    ];
    let third = orders.append("o-42", Expect::NoStream, begun).await?;
    let paid = orders
        .update("o-42", |order| order.pay(15_000))
        .retry_conflicts(3)
        .await?;
    assert_eq!((third.revision, paid.revision), (2, Some(3)));

    let order = orders.load("o-42").await?.state;
    assert_eq!(order.items, ["item1", "item2"]);
    println!("PAID: {:?} for {:?} cents", order.items, order.paid_cents);
    assert_eq!(order.paid_cents, Some(15_000));
    let then = orders
        .load_as_of("o-42", AsOf::revision(third.revision))
        .await?
        .state;
    println!("as of the third event: {then:?}");
    assert_eq!((then.items.len(), then.paid_cents), (2, None));

    // Whoever has seen the third event alone is refused: the order has changed since.
    let late = orders
        .append("o-42", Expect::Revision(2), [added("item3")])
        .await;
    let conflict = late.expect_err("somebody else was faster");
    println!("{conflict}");
    assert!(conflict.is_conflict());
    // And who pays twice is refused by the order itself.
    assert!(orders.update("o-42", |order| order.pay(1)).await.is_err());
    Ok(())
}

#[test]
fn it_runs() -> Result<(), Box<dyn Error>> {
    main()
}
