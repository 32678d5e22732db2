//! Subscriptions: those that are there, then those that happen; without a gap and without a repeat,
//! pushed by Highwater and fetched as from any Kafka.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use highwater_broker::Broker;
use highwater_broker::clock::VirtualClock;
use highwater_client::events::{self, EventReader, EventStore, EventsError, Expect, Seen, Start};
use highwater_client::{Client, ErrorCode, OffsetSpec, ProducerConfig, Record};
use highwater_proto::clock::Wall;
use highwater_proto::exchange::{BoxFuture, ExchangeError};
use highwater_proto::native::v1;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;
use highwater_proto::native::{NativeExchange, Subscribed};

use crate::order::Order;
use crate::order::OrderEvent;
use crate::order::added;

pub(crate) struct Shop {
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) broker: Broker,
    pub(crate) client: Client,
    pub(crate) orders: EventStore<Order>,
}

/// A topic of so many partitions, on a broker whose clock stands still.
pub(crate) async fn shop(partitions: i32) -> Shop {
    let clock = Arc::new(VirtualClock::new(Wall(NOON)));
    let builder = Broker::builder().in_memory().clock(clock.clone());
    let broker = builder.start().unwrap();
    let client = Client::in_process(broker.sessions());
    let topic = events::new_topic("orders").partitions(partitions);
    client.admin().create_topic(&topic).await.unwrap();
    let orders = EventStore::over(broker.native(), &client, "orders");
    Shop {
        orders: orders.build().await.unwrap(),
        clock,
        broker,
        client,
    }
}

impl Shop {
    /// Appends an event to each of these orders.
    pub(crate) async fn append(&self, names: std::ops::Range<usize>) {
        for at in names {
            let (key, event) = (format!("o-{}", at % 7), added(&at.to_string()));
            let _ = self.orders.append(key, Expect::Any, [event]).await.unwrap();
        }
    }

    /// The two ways to read: pushed, and fetched.
    pub(crate) fn readers(&self) -> [EventReader<Order>; 2] {
        let kafka = self.client.event_store("orders").reader().unwrap();
        [self.orders.reader(), kafka]
    }

    async fn over(&self, native: impl NativeExchange + 'static) -> EventStore<Order> {
        let store = EventStore::over(Arc::new(native), &self.client, "orders");
        store.build().await.unwrap()
    }
}

/// Which items, sorted; the offsets of each partition are those from 0 on, one after the other.
#[derive(Default)]
pub(crate) struct Ledger {
    next: BTreeMap<i32, i64>,
    items: Vec<usize>,
}

impl Ledger {
    pub(crate) fn take(&mut self, seen: Seen<OrderEvent>) {
        let next = self.next.entry(seen.partition).or_default();
        assert_eq!(seen.offset, *next, "of partition {}", seen.partition);
        *next += 1;
        let Some(OrderEvent::ItemAdded { item }) = seen.event else {
            unreachable!("{seen:?}");
        };
        self.items.push(item.parse().unwrap());
    }

    pub(crate) fn items(mut self) -> Vec<usize> {
        self.items.sort_unstable();
        self.items
    }
}

pub(crate) const NOON: i64 = 1_700_000_000_000;

#[tokio::test]
async fn what_was_there_and_what_happens_come_once_each_and_in_order() {
    let shop = shop(3).await;
    shop.append(0..40).await;
    for (at, reader) in shop.readers().into_iter().enumerate() {
        let so_far = 40 + 20 * at;
        let mut events = reader.subscribe(Start::Beginning).await.unwrap();
        let mut ledger = Ledger::default();
        assert!(!events.is_live());
        for _ in 0..10 {
            ledger.take(events.catch_up().await.unwrap().unwrap());
        }
        // Somebody appends while it catches up.
        shop.append(so_far..so_far + 10).await;
        while let Some(event) = events.catch_up().await.unwrap() {
            ledger.take(event);
        }
        assert!(events.is_live() && ledger.items.len() >= so_far);
        while ledger.items.len() < so_far + 10 {
            ledger.take(events.next().await.unwrap());
        }
        let follow = async {
            for _ in 0..10 {
                ledger.take(events.next().await.unwrap());
            }
        };
        tokio::join!(follow, shop.append(so_far + 10..so_far + 20));
        assert_eq!(ledger.items(), Vec::from_iter(0..so_far + 20));
    }
}

#[tokio::test]
async fn it_begins_where_it_is_told_to() {
    let shop = shop(1).await;
    shop.append(0..3).await;
    shop.clock.advance(std::time::Duration::from_secs(60));
    shop.append(3..6).await;
    for reader in shop.readers() {
        let token = "orders:0:1".parse().unwrap();
        for (start, first) in [
            (Start::Beginning, 0),
            (Start::Offset(2), 2),
            (Start::TimeMs(NOON + 1), 3),
            (Start::After(token), 2),
        ] {
            let mut events = reader.subscribe(start).await.unwrap();
            assert!(!events.is_live());
            assert_eq!(events.next().await.unwrap().offset, first);
            assert_eq!(events.token().to_string(), format!("orders:0:{first}"));
        }
        let mut events = reader.subscribe(Start::End).await.unwrap();
        assert!(events.is_live());
        assert_eq!(events.catch_up().await.unwrap(), None);
        let admin = shop.client.admin();
        let latest = [("orders", 0, OffsetSpec::Latest)];
        let end = admin.offsets(&latest);
        let end = end.await.unwrap()[0].offset.unwrap();
        shop.append(9..10).await;
        let event = events.next().await.unwrap();
        assert_eq!((event.offset, event.key.as_ref()), (end, &b"o-2"[..]));
        let error = reader.subscribe(Start::Offset(1_000)).await.unwrap();
        let error = { error }.next().await.unwrap_err();
        let EventsError::Client(error) = error else {
            panic!("{error}");
        };
        assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange));
    }
}

#[tokio::test]
async fn a_record_that_is_no_event_is_told_and_passed() {
    let shop = shop(1).await;
    let producer = shop.client.producer(ProducerConfig::default()).unwrap();
    let record = Record::to("orders")
        .key("o-1")
        .value("{}")
        .header("ce_id", "1");
    producer.send(record).await.unwrap().await.unwrap();
    shop.append(1..2).await;
    for reader in shop.readers() {
        let mut events = reader.subscribe(Start::Beginning).await.unwrap();
        let error = events.next().await.unwrap_err();
        assert!(
            matches!(error, EventsError::Unreadable { offset: 0, .. }),
            "{error}"
        );
        assert_eq!(events.next().await.unwrap().offset, 1);
    }
}

/// A session whose subscriptions are lost after each delivery, and that counts credit and bytes.
#[derive(Debug, Default)]
struct Counts {
    subscribed: AtomicU64,
    given: AtomicU64,
    delivered: AtomicU64,
}

#[derive(Debug)]
struct Watched {
    native: Arc<dyn NativeExchange>,
    counts: Arc<Counts>,
    is_cut: bool,
}

impl NativeExchange for Watched {
    fn call(
        &self,
        call: Call,
        body: Bytes,
    ) -> BoxFuture<'static, Result<(Answer, Bytes), ExchangeError>> {
        self.native.call(call, body)
    }

    fn subscribe(
        &self,
        call: v1::Subscribe,
    ) -> BoxFuture<'static, Result<Box<dyn Subscribed>, ExchangeError>> {
        self.counts.subscribed.fetch_add(1, Ordering::Relaxed);
        let credit_bytes = match self.is_cut {
            true => 1,
            false => call.credit_bytes,
        };
        let subscribed = self.native.subscribe(v1::Subscribe {
            credit_bytes,
            ..call
        });
        let (counts, is_cut) = (Arc::clone(&self.counts), self.is_cut);
        Box::pin(async move {
            Ok(Box::new(Watching {
                subscribed: subscribed.await?,
                counts,
                is_cut,
                has_delivered: false,
            }) as Box<dyn Subscribed>)
        })
    }
}

#[derive(Debug)]
struct Watching {
    subscribed: Box<dyn Subscribed>,
    counts: Arc<Counts>,
    is_cut: bool,
    has_delivered: bool,
}

impl Subscribed for Watching {
    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(Answer, Bytes), ExchangeError>> {
        if self.is_cut && self.has_delivered {
            let why = "as told".to_owned();
            return Poll::Ready(Err(ExchangeError::Unknown { why }));
        }
        let next = self.subscribed.poll_next(context);
        if let Poll::Ready(Ok((_, body))) = &next {
            self.has_delivered = true;
            let bytes = body.len() as u64;
            self.counts.delivered.fetch_add(bytes, Ordering::Relaxed);
        }
        next
    }

    fn give(&mut self, bytes: u32) {
        let given = self.counts.given.fetch_add(bytes.into(), Ordering::Relaxed);
        let delivered = self.counts.delivered.load(Ordering::Relaxed);
        // Never for what was not delivered, and worked off.
        assert!(given + u64::from(bytes) <= delivered);
        self.subscribed.give(bytes);
    }
}

#[tokio::test]
async fn a_session_that_is_lost_again_and_again_leaves_no_gap_and_repeats_nothing() {
    let shop = shop(2).await;
    shop.append(0..12).await;
    let counts = Arc::new(Counts::default());
    let store = shop.over(Watched {
        native: shop.broker.native(),
        counts: Arc::clone(&counts),
        is_cut: true,
    });
    let store = store.await;
    let mut events = store.subscribe(Start::Beginning).await.unwrap();
    let mut ledger = Ledger::default();
    for _ in 0..12 {
        ledger.take(events.next().await.unwrap());
    }
    assert_eq!(ledger.items(), Vec::from_iter(0..12));
    assert!(counts.subscribed.load(Ordering::Relaxed) >= 12);
}

#[tokio::test]
async fn who_reads_slowly_is_sent_no_more_than_the_window() {
    let shop = shop(1).await;
    let large = "x".repeat(200_000);
    for _ in 0..20 {
        let event = added(&large);
        let _ = shop
            .orders
            .append("o-1", Expect::Any, [event])
            .await
            .unwrap();
    }
    let counts = Arc::new(Counts::default());
    let store = shop.over(Watched {
        native: shop.broker.native(),
        counts: Arc::clone(&counts),
        is_cut: false,
    });
    let store = store.await;
    let mut events = store.subscribe(Start::Beginning).await.unwrap();
    for offset in 0..20 {
        assert_eq!(events.next().await.unwrap().offset, offset);
        let read = u64::try_from(offset + 1).unwrap() * 200_000;
        let ahead = counts
            .delivered
            .load(Ordering::Relaxed)
            .saturating_sub(read);
        assert!(ahead <= (1 << 20) + 200_000, "{ahead} bytes ahead");
    }
    assert_eq!(counts.subscribed.load(Ordering::Relaxed), 1);
    assert!(counts.given.load(Ordering::Relaxed) > 2_000_000);
}
