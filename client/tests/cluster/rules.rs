//! One rule each: who is asked, how often, and what is told when the cluster changes.

use highwater_client::{ClientConfig, ConsumerConfig, Outcome, ProducerConfig, Record, StartAt};

use crate::fake::{Event, Fake, TOPIC};
use crate::ms;
use crate::paused;

#[test]
fn records_go_to_the_leader_of_their_partition_and_come_from_it() {
    paused(async {
        let fake = Fake::start(3, 3, false).await;
        let client = fake.client(ClientConfig::new());
        let producer = client.producer(ProducerConfig::new()).unwrap();
        let mut consumer = client.consumer(ConsumerConfig::new());
        consumer
            .assign_topic(TOPIC, StartAt::Earliest)
            .await
            .unwrap();
        for partition in 0..3 {
            let record = Record::to(TOPIC).partition(partition).value("v");
            let delivery = producer.send(record).await.unwrap();
            assert_eq!(delivery.await.unwrap().offset, 0);
        }
        let mut count = 0;
        while count < 3 {
            let records = consumer.poll(ms(10_000)).await.unwrap();
            assert!(!records.is_empty());
            count += records.len();
        }
        // Of each broker one session for what is sent and asked, one for long polls.
        assert_eq!([1, 2, 3].map(|id| fake.dials(id)), [2, 2, 2]);
    });
}

#[test]
fn what_a_leader_stored_before_it_lost_its_place_is_not_called_unwritten() {
    paused(async {
        let fake = Fake::start(2, 1, false).await;
        fake.apply(Event::Slow(0, 300));
        let config = ProducerConfig {
            request_timeout_ms: 1_000,
            delivery_timeout_ms: 3_000,
            ..ProducerConfig::default()
        };
        let producer = fake.client(ClientConfig::new()).producer(config).unwrap();
        // Its topic and its producer id are known before.
        let first = producer
            .send(Record::to(TOPIC).value("first"))
            .await
            .unwrap();
        assert_eq!(first.await.unwrap().offset, 0);
        let second = producer
            .send(Record::to(TOPIC).value("second"))
            .await
            .unwrap();
        // Stored after 300 ms, answered after 600 ms: in between another broker takes over, and
        // then none leads.
        fake.sleep(450).await;
        fake.apply(Event::Orphan(0));
        let error = second.await.unwrap_err();
        assert_eq!(fake.stored(1).await[0], ["first", "second"]);
        assert_eq!(error.outcome(), Outcome::MayBeWritten, "{error}");
    });
}

#[test]
fn metadata_is_asked_for_once_for_all_who_wait() {
    paused(async {
        let fake = Fake::start(3, 3, false).await;
        for broker in 0..3 {
            fake.apply(Event::Slow(broker, 100));
        }
        let client = fake.client(ClientConfig::new());
        let admins: Vec<_> = (0..50)
            .map(|number| {
                let producer = client.producer(ProducerConfig::new()).unwrap();
                tokio::spawn(async move {
                    let record = Record::to(TOPIC).partition(number % 3).value("v");
                    producer.send(record).await.unwrap().await.unwrap()
                })
            })
            .collect();
        for admin in admins {
            admin.await.unwrap();
        }
        // Those who came while the first question was under way share the second.
        assert!(
            fake.metadata_count() <= 2,
            "{} questions",
            fake.metadata_count()
        );
    });
}

#[test]
fn metadata_is_asked_for_again_when_it_is_old() {
    paused(async {
        let fake = Fake::start(2, 1, false).await;
        let config = ClientConfig::new().metadata_max_age_ms(10_000);
        let producer = fake.client(config).producer(ProducerConfig::new()).unwrap();
        let send = async || {
            let delivery = producer.send(Record::to(TOPIC).value("v")).await.unwrap();
            delivery.await.unwrap();
        };
        send().await;
        let asked = fake.metadata_count();
        fake.sleep(9_000).await;
        send().await;
        assert_eq!(fake.metadata_count(), asked);
        for _ in 0..2 {
            fake.sleep(10_000).await;
            let before = fake.now();
            send().await;
            // What is old is used until the news is there.
            assert!(fake.now().since(before) < ms(50));
        }
        assert_eq!(fake.metadata_count(), asked + 2);
    });
}

#[test]
fn an_idle_session_is_closed_and_a_used_one_is_not() {
    paused(async {
        let fake = Fake::start(1, 1, false).await;
        let config = ClientConfig::new().connections_max_idle_ms(60_000);
        let producer = fake.client(config).producer(ProducerConfig::new()).unwrap();
        let send = async || {
            let delivery = producer.send(Record::to(TOPIC).value("v")).await.unwrap();
            delivery.await.unwrap();
        };
        for _ in 0..10 {
            send().await;
            fake.sleep(40_000).await;
        }
        assert_eq!((fake.dials(1), fake.sessions()), (1, 1), "used every 40 s");
        fake.sleep(30_000).await;
        assert_eq!(fake.sessions(), 0, "idle for 70 s");
        send().await;
        assert_eq!((fake.dials(1), fake.sessions()), (2, 1));
    });
}

#[test]
fn a_broker_that_is_gone_is_dialled_less_and_less() {
    paused(async {
        let fake = Fake::start(1, 1, false).await;
        let client = fake.client(ClientConfig::new());
        fake.apply(Event::Kill(0));
        let before = fake.now();
        let admin = client.admin();
        while fake.now().since(before) < ms(20_000) {
            admin.list_topics().await.unwrap_err();
        }
        // 50, 100, 200, 400, 800 ms, then a second, each off by a fifth at most.
        let dials = fake.dials(1);
        assert!((20..=30).contains(&dials), "{dials} in 20 s");
        fake.apply(Event::Start(0));
        let before = fake.now();
        admin.list_topics().await.unwrap();
        assert!(
            fake.now().since(before) <= ms(1_200),
            "a second and a fifth at most"
        );
    });
}

#[test]
fn a_silent_broker_is_given_up_after_the_request_timeout() {
    paused(async {
        let fake = Fake::start(2, 2, true).await;
        let config = ProducerConfig {
            request_timeout_ms: 2_000,
            ..ProducerConfig::default()
        };
        let limits = ClientConfig::new()
            .request_timeout_ms(2_000)
            .socket_connection_setup_timeout_ms(1_000);
        let producer = fake.client(limits).producer(config).unwrap();
        let send = async || {
            let record = Record::to(TOPIC).partition(0).value("v");
            producer.send(record).await.unwrap().await.unwrap()
        };
        send().await;
        // Its connections stay open, but nothing comes; another one takes over.
        fake.apply(Event::Freeze(0));
        fake.apply(Event::Move(0, 1));
        let before = fake.now();
        assert_eq!(send().await.offset, 1);
        let took = fake.now().since(before);
        assert!(took >= ms(2_000) && took < ms(6_000), "{took:?}");
        fake.heal();
        fake.sleep(10_000).await;
        // What it was sent before it stopped is refused when it goes on.
        assert_eq!(fake.stored(2).await[0], ["v", "v"]);
    });
}

#[test]
fn a_broker_with_old_news_does_not_bring_an_old_leader_back() {
    paused(async {
        let fake = Fake::start(2, 1, true).await;
        let client = fake.client(ClientConfig::new());
        let producer = client.producer(ProducerConfig::new()).unwrap();
        let send = async || {
            let delivery = producer.send(Record::to(TOPIC).value("v")).await.unwrap();
            delivery.await.unwrap();
        };
        send().await;
        fake.apply(Event::Stale(0));
        fake.apply(Event::Move(0, 1));
        let before = fake.now();
        send().await;
        assert!(
            fake.now().since(before) < ms(1_000),
            "{:?}",
            fake.now().since(before)
        );
        // Both brokers are asked in turn; once the new leader is known, it stays.
        let asked = fake.metadata_count();
        for _ in 0..20 {
            send().await;
        }
        assert_eq!(fake.metadata_count(), asked);
    });
}

#[test]
fn what_a_stopped_broker_does_late_is_not_stored_twice() {
    paused(async {
        let fake = Fake::start(2, 1, false).await;
        let config = ProducerConfig {
            linger_ms: 0,
            request_timeout_ms: 500,
            delivery_timeout_ms: 2_000,
            retry_backoff_ms: 10,
            retry_backoff_max_ms: 50,
            ..ProducerConfig::default()
        };
        let limits = ClientConfig::new()
            .request_timeout_ms(300)
            .socket_connection_setup_timeout_ms(300);
        let producer = fake.client(limits).producer(config).unwrap();
        let send = |value: &'static str| producer.send(Record::to(TOPIC).value(value));
        let stored = send("first").await.unwrap().await;
        assert_eq!(stored.unwrap().offset, 0);
        fake.apply(Event::Freeze(0));
        // Both are sent to the stopped broker, and stay there.
        let early = send("early").await.unwrap();
        fake.sleep(400).await;
        let late = send("late").await.unwrap();
        fake.sleep(1_700).await;
        // The first of them is given up; the other one is refused by the new leader, because the
        // one before it is missing.
        fake.apply(Event::Move(0, 1));
        assert_eq!(early.await.unwrap_err().outcome(), Outcome::MayBeWritten);
        assert_eq!(late.await.unwrap_err().outcome(), Outcome::MayBeWritten);
        let stored = send("next").await.unwrap().await;
        assert_eq!(stored.unwrap().offset, 1);
        // The old leader goes on with what it was sent, and may store it again.
        fake.apply(Event::Move(0, 0));
        fake.apply(Event::Thaw(0));
        fake.sleep(10_000).await;
        assert_eq!(fake.stored(1).await[0], ["first", "next"]);
        let stored = send("last").await.unwrap().await;
        assert_eq!(stored.unwrap().offset, 2);
    });
}
