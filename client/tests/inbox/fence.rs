//! A member that does not know yet that its partitions belong to another one.

use std::sync::Arc;
use std::sync::Mutex;

use highwater_client::inbox::Inbox;
use highwater_client::sql::Database;
use highwater_client::{Client, ConsumerConfig, HandlerError, Order, ProducerConfig, Record};
use highwater_proto::exchange::{BoxFuture, Exchange, ExchangeError};
use highwater_proto::kafka::{ApiKey, Request, Response};
use tokio::sync::watch;

use crate::Answer;
use crate::Pay;
use crate::World;
use crate::ended_well;
use crate::error_of;
use crate::faulty::Gate;
use crate::group;
use crate::much_later;
use crate::on_both;
use crate::order;
use crate::until;

on_both!(
    a_zombie_changes_nothing,
    a_partition_goes_over_in_good_order_with_what_became_a_dead_letter,
    a_group_that_was_made_anew_is_told_so,
);

/// Requests wait while the gate is closed.
#[derive(Debug)]
struct Stopped {
    inner: Arc<dyn Exchange>,
    is_open: Arc<watch::Sender<bool>>,
}

impl Exchange for Stopped {
    fn versions(&self, key: ApiKey) -> Option<(i16, i16)> {
        self.inner.versions(key)
    }

    fn send(
        &self,
        version: i16,
        request: Request,
    ) -> BoxFuture<'static, Result<Option<Response>, ExchangeError>> {
        if *self.is_open.borrow() {
            return self.inner.send(version, request);
        }
        let (inner, is_open) = (Arc::clone(&self.inner), Arc::clone(&self.is_open));
        Box::pin(async move {
            drop(is_open.subscribe().wait_for(|it| *it).await);
            inner.send(version, request).await
        })
    }
}

/// Its process stands still with a record at hand; another member takes the partition over; then
/// the process goes on. Once by its claims, once by its position.
async fn a_zombie_changes_nothing<D: Database>(world: World<D>) {
    for order in [Order::Key, Order::Partition] {
        let topic = format!("{order:?}");
        zombie(&world, &topic, order).await;
        world.sql("delete from payments").await;
        world.sql("delete from inbox").await;
    }
}

async fn zombie<D: Database>(world: &World<D>, topic: &str, by: Order) {
    world.topic(topic, 1).await;
    world.orders(topic, &["a"]).await;
    let is_open = Arc::new(watch::Sender::new(true));
    let (sessions, gate) = (world.broker.sessions(), Arc::clone(&is_open));
    let stopped = Client::in_process(move || {
        Arc::new(Stopped {
            inner: sessions(),
            is_open: Arc::clone(&gate),
        })
    });
    let config = ConsumerConfig::new()
        .heartbeat_interval_ms(20)
        .session_timeout_ms(150)
        .auto_commit_interval_ms(20);
    let database = Gate::around(world.database.clone());
    let inbox = Inbox::new();
    let handling = group(&stopped, topic).order(by).consumer(config);
    let handling = handling.transactional(database.clone(), inbox.clone());
    let is_over = watch::Sender::new(false);
    let first = handling.run(Pay, until(&is_over));

    let is_refused = Arc::new(watch::Sender::new(false));
    let refused = Arc::clone(&is_refused);
    // The new owner has the partition and leaves the record for later: only the fence speaks.
    let second = Answer(move |offset, _| match offset {
        1 => {
            refused.send_replace(true);
            Err(much_later())
        }
        _ => Ok(()),
    });
    let story = async {
        world.paid_count(1).await;
        database.close();
        world.orders(topic, &["b"]).await;
        database.waits().await;
        is_open.send_replace(false);
        let handling = world.group(topic).order(by);
        let handling = handling.transactional(world.database.clone(), Inbox::new());
        let wakes = async {
            until(&is_refused).await;
            assert_eq!(world.paid().await, [0]);
            database.open();
            while inbox.counts().fenced == 0 {
                tokio::task::yield_now().await;
            }
            assert_eq!(world.paid().await, [0], "the zombie has paid");
            is_open.send_replace(true);
        };
        ended_well(&handling.run(second, wakes).await);
        is_over.send_replace(true);
    };
    let (summary, ()) = tokio::join!(first, story);
    assert_eq!(
        (summary.handled, summary.dead_letters),
        (1, 0),
        "{summary:?}"
    );
    // The second one gave it back unfinished; whoever has it now handles it.
    ended_well(&world.pay(topic, Inbox::new(), 2).await);
    assert_eq!(world.paid().await, [0, 1], "{by:?}");
}

async fn a_partition_goes_over_in_good_order_with_what_became_a_dead_letter<D: Database>(
    world: World<D>,
) {
    world.topic("t", 2).await;
    world.topic("t-dlt", 2).await;
    let records = [0, 1].map(|partition| order("t", "bad").partition(partition));
    world.send(records).await;
    // Nothing is committed by time alone: what the database knows comes with the handing over.
    let config = ConsumerConfig::new()
        .heartbeat_interval_ms(20)
        .auto_commit_interval_ms(3_600_000);
    let handling = || group(&world.client, "t").consumer(config.clone());
    let transactional = |inbox: Inbox| handling().transactional(world.database.clone(), inbox);
    let dead = || Answer(|_, _| Err(HandlerError::dead("never")));
    let letters = async |count: usize| {
        loop {
            let topic = world.client.dead_letters("t-dlt");
            let found = topic
                .list(&highwater_client::LetterFilter::all(), 100)
                .await;
            if found.unwrap().letters.len() >= count {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let is_over = watch::Sender::new(false);
    let first = transactional(Inbox::new()).run(dead(), until(&is_over));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let story = async {
        letters(2).await;
        let notes = Arc::clone(&seen);
        let second = Answer(move |offset, _| {
            notes.lock().unwrap().push(offset);
            Ok(())
        });
        let one_more = async {
            // Until the second one has a partition.
            while seen.lock().unwrap().is_empty() {
                let producer = world.client.producer(ProducerConfig::default()).unwrap();
                for partition in [0, 1] {
                    let record = Record::to("t").partition(partition).value("{}");
                    drop(producer.send(record).await.unwrap());
                }
                producer.flush().await;
                tokio::task::yield_now().await;
            }
        };
        ended_well(&transactional(Inbox::new()).run(second, one_more).await);
        is_over.send_replace(true);
    };
    let (summary, ()) = tokio::join!(first, story);
    ended_well(&summary);
    let seen = seen.lock().unwrap().clone();
    assert!(!seen.contains(&0), "a dead letter came again: {seen:?}");
}

async fn a_group_that_was_made_anew_is_told_so<D: Database>(world: World<D>) {
    world.topic("t", 1).await;
    world.orders("t", &["a", "b"]).await;
    ended_well(&world.pay("t", Inbox::new(), 2).await);
    world.sql("update inbox_owners set generation = 40").await;
    world.orders("t", &["c"]).await;

    let admin = world.client.admin();
    let handling = world.group("t");
    let handling = handling.transactional(world.database.clone(), Inbox::new());
    let error = error_of(handling.run(Pay, std::future::pending()).await);
    assert!(
        error.contains("the group was deleted and made anew"),
        "{error}"
    );
    assert!(error.contains("in the database, 40"), "{error}");
    let inbox = Inbox::new();
    let forgotten = inbox.reset_fence(&admin, &world.database, "g").await;
    assert_eq!(forgotten, Ok(1));
    ended_well(&world.pay("t", Inbox::new(), 3).await);
    assert_eq!(world.paid().await, [0, 1, 2]);

    // Not while somebody is there.
    let is_over = watch::Sender::new(false);
    let handling = world.group("t");
    let handling = handling.transactional(world.database.clone(), Inbox::new());
    let refused = async {
        world.orders("t", &["d"]).await;
        world.paid_count(4).await;
        let refused = inbox.reset_fence(&admin, &world.database, "g").await;
        is_over.send_replace(true);
        refused.unwrap_err().to_string()
    };
    let (summary, refused) = tokio::join!(handling.run(Pay, until(&is_over)), refused);
    ended_well(&summary);
    assert_eq!(refused, "the group g has 1 members: stop them first");
}
