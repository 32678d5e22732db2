//! `expect_event`, and the story that it tells.

use std::time::Duration;

use highwater::Record;
use highwater::testing::{ApiKey, ErrorCode, Fault, TestBroker};

use crate::store;

#[tokio::test]
async fn it_waits_for_the_record_that_fits() {
    let broker = TestBroker::start().await.unwrap();
    let client = broker.client();
    store(&client, Record::to("orders").key("order-41").value("{}")).await;
    let later = tokio::spawn(async move {
        let record = Record::to("orders").key("order-42").header("trace", "7");
        store(&client, record.value(r#"{"items":[{"price":5}]}"#)).await
    });
    let record = broker
        .expect_event("orders")
        .key("order-42")
        .header("trace", "7")
        .json_pointer("/items/0/price", 5)
        .partition(0)
        .within(Duration::from_secs(60))
        .await;
    assert_eq!(record.offset, later.await.unwrap());
}

#[tokio::test]
async fn what_is_looked_at_meets_no_fault_and_creates_no_topic() {
    let broker = TestBroker::builder().frozen_clock().start().await.unwrap();
    store(&broker.client(), Record::to("orders").value("v")).await;
    let fault = broker
        .faults()
        .add(Fault::fail(ErrorCode::UnknownServerError));
    let record = broker.expect_event("orders").value("v");
    assert_eq!(record.within(Duration::ZERO).await.offset, 0);
    let missing = broker
        .expect_event("invoices")
        .try_within(Duration::ZERO)
        .await;
    assert!(missing.is_err());
    assert_eq!(fault.hits(), 0);
    assert_eq!(
        broker.broker().unwrap().service().topic_id("invoices"),
        None
    );
}

#[tokio::test]
async fn the_story_says_what_each_record_lacks() {
    let broker = TestBroker::builder().frozen_clock().start().await.unwrap();
    let client = broker.client();
    let order = |key: &'static str| Record::to("orders").key(key);
    store(&client, order("order-41").value(r#"{"status":"paid"}"#)).await;
    broker.advance(Duration::from_secs(90)).await;
    store(
        &client,
        order("order-42")
            .header("trace", "8")
            .value(r#"{"status":"open"}"#),
    )
    .await;
    store(&client, order("order-42").value([0xff, 0x00].to_vec())).await;
    store(&client, order("order-42")).await;
    let fault = Fault::delay(Duration::from_secs(1))
        .on(ApiKey::Produce)
        .topic("orders");
    broker.faults().add(fault.skip(2).times(3));
    let expected = broker
        .expect_event("orders")
        .key("order-42")
        .header("trace", "7")
        .json_pointer("/status", "paid");
    let story = expected.try_within(Duration::ZERO).await.unwrap_err();
    let told = "\
no record of \"orders\" fits (key is order-42, header trace is 7, /status is \"paid\") within 0ns
The topic holds 4:
  partition  offset  age  key       value              what it lacks
          0       0  90s  order-41  {\"status\":\"paid\"}  another key, no header trace
          0       1   0s  order-42  {\"status\":\"open\"}  header trace is 8, /status is \"open\"
          0       2   0s  order-42  2 bytes 0xff00     no header trace, no JSON
          0       3   0s  order-42  -                  no header trace, no JSON
Scripted fault: delay by 1s, on Produce, topic \"orders\", but for the first 2, 3 times (0 met it)";
    assert_eq!(story.to_string(), told);
}

#[tokio::test]
async fn the_story_of_a_missing_topic_names_those_that_are_there() {
    let broker = TestBroker::start().await.unwrap();
    let story = broker
        .expect_event("ordres")
        .try_within(Duration::ZERO)
        .await;
    let told =
        "no record came to \"ordres\" within 0ns\nThere is no topic \"ordres\", and no other.";
    assert_eq!(story.unwrap_err().to_string(), told);
    store(&broker.client(), Record::to("orders").value("v")).await;
    let story = broker
        .expect_event("ordres")
        .try_within(Duration::ZERO)
        .await;
    let story = story.unwrap_err().to_string();
    assert!(
        story.ends_with("There is no topic \"ordres\"; there are [\"orders\"]."),
        "{story}"
    );
}

#[tokio::test]
async fn a_long_story_tells_its_end() {
    let broker = TestBroker::start().await.unwrap();
    let client = broker.client();
    for number in 0..60 {
        let text = format!("{number}{}", "x".repeat(100));
        store(&client, Record::to("orders").value(text)).await;
    }
    let expected = broker.expect_event("orders").key("order-42");
    let story = expected
        .try_within(Duration::ZERO)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        story.contains("The topic holds 10 more, and then:"),
        "{story}"
    );
    assert_eq!(story.lines().count(), 2 + 1 + 50, "{story}");
    assert!(
        story.lines().all(|line| line.chars().count() < 160),
        "{story}"
    );
}

#[tokio::test]
async fn a_panic_tells_the_story() {
    let broker = TestBroker::start().await.unwrap();
    let waiting = tokio::spawn(async move {
        broker.expect_event("orders").within(Duration::ZERO).await;
    });
    let panic = waiting.await.unwrap_err().into_panic();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("tests/testing/expect.rs"), "{text}");
    assert!(text.contains("There is no topic \"orders\""), "{text}");
}
