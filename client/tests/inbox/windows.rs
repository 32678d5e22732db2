//! Windows against what topics keep.

use std::time::Duration;

use highwater_client::inbox::Inbox;
use highwater_client::sql::Database;
use highwater_client::{NewTopic, Order};

use crate::Pay;
use crate::World;
use crate::ended_well;
use crate::error_of;
use crate::on_both;

on_both!(a_window_that_is_shorter_than_what_a_topic_keeps_is_refused);

const DAY: Duration = Duration::from_secs(24 * 3_600);

async fn a_window_that_is_shorter_than_what_a_topic_keeps_is_refused<D: Database>(world: World<D>) {
    let create = async |name: &str, config: &str, value: &str| {
        let topic = NewTopic::named(name).partitions(1).config(config, value);
        world.client.admin().create_topic(&topic).await.unwrap();
        world.orders(name, &[name]).await;
    };
    let days = |days: u32| (days * DAY).as_millis().to_string();
    create("eight", "retention.ms", &days(8)).await;
    create("seven", "retention.ms", &days(7)).await;
    create("ever", "retention.ms", "-1").await;
    let refused = async |topic: &str, inbox: Inbox| {
        let handling = world.group(topic);
        let handling = handling.transactional(world.database.clone(), inbox);
        error_of(handling.run(Pay, std::future::pending()).await)
    };
    let error = refused("eight", Inbox::new()).await;
    let why = "the inbox of the group g keeps ids for 604800 s, and the topic eight keeps its \
               records for 691200 s: what is read again from so far back would have its effects \
               again; set Inbox::window to that, handle records by Order::Partition, or take it \
               on with Inbox::allow_short_window";
    assert_eq!(error, why);
    let error = refused("ever", Inbox::new().window(365 * DAY)).await;
    assert!(error.contains("keeps its records for ever"), "{error}");

    ended_well(&world.pay("seven", Inbox::new(), 1).await);
    ended_well(&world.pay("eight", Inbox::new().window(8 * DAY), 1).await);
    ended_well(&world.pay("ever", Inbox::new().without_window(), 1).await);
    assert_eq!(world.paid().await, [0, 0, 0]);
    world.orders("eight", &["more"]).await;
    let inbox = Inbox::new().allow_short_window();
    ended_well(&world.pay("eight", inbox, 2).await);
    // In order, the position recognises what comes again.
    world.orders("ever", &["even more"]).await;
    let handling = world.group("ever").order(Order::Partition);
    let handling = handling.transactional(world.database.clone(), Inbox::new());
    ended_well(&handling.run(Pay, world.committed("ever", 2)).await);
    assert_eq!(world.paid().await, [0, 0, 0, 1, 1]);
}
