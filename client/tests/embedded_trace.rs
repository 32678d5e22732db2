//! A trace goes through the broker: what is sent in a scope is read with its context.

use std::time::Duration;

use highwater_broker::Broker;
use highwater_client::{
    Client, ConsumerConfig, ConsumerRecord, ProducerConfig, Record, StartAt, TraceContext,
};

#[tokio::test]
async fn a_trace_goes_through_the_broker() {
    let broker = Broker::in_memory().unwrap();
    let client = Client::in_process(move || broker.exchange());
    let producer = client.producer(ProducerConfig::new()).unwrap();
    let send = async |record: Record| {
        producer.send(record).await.unwrap().await.unwrap();
    };
    let (scope, own) = (TraceContext::root().with_state("v=1"), TraceContext::root());
    send(Record::to("t").value("outside")).await;
    scope.scope(send(Record::to("t").value("inside"))).await;
    let with_own = Record::to("t").value("its own").trace(&own);
    scope.scope(send(with_own)).await;

    let mut consumer = client.consumer(ConsumerConfig::new());
    consumer.assign("t", 0, StartAt::Earliest).await.unwrap();
    let mut records: Vec<ConsumerRecord> = Vec::new();
    while records.len() < 3 {
        let more = consumer.poll(Duration::from_secs(60)).await.unwrap();
        assert!(!more.is_empty(), "a record is missing: {records:?}");
        records.extend(more);
    }
    let traces: Vec<_> = records.iter().map(ConsumerRecord::trace).collect();
    assert_eq!(traces, [None, Some(scope), Some(own)]);
}
