//! The producer's promises against the real broker, on sessions that lose requests and answers.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use highwater_broker::Broker;
use highwater_client::{
    Client, ConsumerConfig, InProcess, NewTopic, ProducerConfig, Record, StartAt,
};
use highwater_proto::exchange::{BoxFuture, Exchange, ExchangeError};
use highwater_proto::kafka::{ApiKey, Request, Response};
use proptest::prelude::*;

/// What happens to one Produce request.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Ok,
    NotSent,
    LostRequest,
    LostReply,
    /// The answer comes after so many turns of the other tasks, behind later ones.
    Late(u32),
}

/// A session with the real broker, with a script of faults that all sessions share.
#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn Exchange>,
    faults: Arc<Mutex<VecDeque<Fault>>>,
}

impl Exchange for Faulty {
    fn versions(&self, key: ApiKey) -> Option<(i16, i16)> {
        self.inner.versions(key)
    }

    fn send(
        &self,
        version: i16,
        request: Request,
    ) -> BoxFuture<'static, Result<Option<Response>, ExchangeError>> {
        let fault = match request.key() {
            ApiKey::Produce => self.faults.lock().unwrap().pop_front().unwrap_or(Fault::Ok),
            _ => Fault::Ok,
        };
        let why = "the test drops it".to_owned();
        match fault {
            Fault::Ok => self.inner.send(version, request),
            Fault::NotSent => Box::pin(std::future::ready(Err(ExchangeError::NotSent { why }))),
            Fault::LostRequest => Box::pin(std::future::ready(Err(ExchangeError::Unknown { why }))),
            Fault::LostReply => {
                let answer = self.inner.send(version, request);
                Box::pin(async move { answer.await.and(Err(ExchangeError::Unknown { why })) })
            }
            Fault::Late(turns) => {
                let answer = self.inner.send(version, request);
                Box::pin(async move {
                    let answer = answer.await;
                    for _ in 0..turns {
                        tokio::task::yield_now().await;
                    }
                    answer
                })
            }
        }
    }
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::Ok),
        1 => Just(Fault::NotSent),
        2 => Just(Fault::LostRequest),
        2 => Just(Fault::LostReply),
        2 => (1..200_u32).prop_map(Fault::Late),
    ]
}

async fn every_record_is_stored_once(
    client: Client,
    partitions: i32,
    count: i32,
) -> Result<(), TestCaseError> {
    let topic = NewTopic {
        name: "t".to_owned(),
        partitions: Some(partitions),
        ..Default::default()
    };
    client.admin().create_topic(&topic).await.unwrap();
    let config = ProducerConfig {
        batch_size: 150,
        linger_ms: 0,
        retry_backoff_ms: 1,
        ..ProducerConfig::default()
    };
    let producer = client.producer(config).unwrap();
    let mut deliveries = Vec::new();
    for number in 0..count {
        let record = Record::to("t")
            .partition(number % partitions)
            .value(number.to_string());
        deliveries.push(producer.send(record).await.unwrap());
        tokio::task::yield_now().await;
    }
    for (number, delivery) in (0..).zip(deliveries) {
        let metadata = delivery.await.unwrap();
        prop_assert_eq!(metadata.offset, i64::from(number / partitions));
    }
    let mut consumer = client.consumer(ConsumerConfig::default());
    consumer.assign_topic("t", StartAt::Earliest).await.unwrap();
    let mut read_count = 0;
    while read_count < count {
        for record in consumer.poll(Duration::from_secs(60)).await.unwrap() {
            let number = i32::try_from(record.offset).unwrap() * partitions + record.partition;
            prop_assert_eq!(record.value.unwrap(), number.to_string());
            read_count += 1;
        }
    }
    let ends: i64 = consumer.end_offsets("t").await.unwrap().iter().sum();
    prop_assert_eq!(ends, i64::from(count));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_interleaving_of_sends_and_faults_stores_each_record_once_and_in_order(
        faults in prop::collection::vec(fault(), 0..40),
        partitions in 1..4_i32,
        count in 1..200_i32,
    ) {
        let broker = Broker::in_memory().unwrap();
        let faults = Arc::new(Mutex::new(VecDeque::from(faults)));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let session = move || {
            let (inner, faults) = (broker.exchange(), Arc::clone(&faults));
            Arc::new(Faulty { inner, faults }) as Arc<dyn Exchange>
        };
        let clock = Arc::new(highwater_client::SystemClock::new());
        let client = Client::over("in-process", Arc::new(InProcess::new(session)), clock).unwrap();
        runtime.block_on(every_record_is_stored_once(client, partitions, count))?;
    }
}
