//! Dead letters of every kind, for readers that are not ours.
//!
//! `tests/interop/dead_letters` starts a broker, runs this with its address in
//! `HIGHWATER_LETTERS`, and has Java and Spring read what was written. Without the variable it is a
//! broker in this process. What each letter must hold stands in that script, by the header `case`.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]
#![expect(clippy::panic, reason = "one case is a handler that panics")]

use std::io;
use std::time::Duration;

use highwater::{
    Attempt, Backoff, Broker, Client, ConsumerConfig, EmbeddedClient, HandlerError, LetterFilter,
    NewTopic, OffsetReset, ProducerConfig, Record, handler_fn,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_not_handled_become_letters() {
    let own = Broker::in_memory().unwrap();
    let client = match std::env::var("HIGHWATER_LETTERS") {
        Ok(address) => Client::connect(&address).await.unwrap(),
        Err(_) => Client::embedded(&own),
    };
    let count = produce(&client).await;
    handle(
        &client,
        "payment-service",
        &["payments", "times"],
        count,
        pay,
    )
    .await;
    let found = classes(&client, "payments-dlt").await;
    assert_eq!(found, ["dead", "invalid", "panic", "retry", "retry"]);
    assert_eq!(classes(&client, "times-dlt").await, ["dead"]);

    let again = |attempt: &Attempt| match case(attempt) {
        b"retry" => Err(HandlerError::dead("still no answer")),
        _ => Ok(()),
    };
    handle(&client, "after-care", &["payments-dlt"], found.len(), again).await;
    assert_eq!(classes(&client, "payments-dlt-dlt").await, ["dead"]);
}

/// Makes the topics and fills them: how many records there are.
async fn produce(client: &Client) -> usize {
    let times = NewTopic::named("times").partitions(1);
    let times = times.config("message.timestamp.type", "LogAppendTime");
    for topic in [NewTopic::named("payments").partitions(3), times] {
        client.admin().create_topic(&topic).await.unwrap();
    }
    let payment = |case: &'static str, partition| {
        let record = Record::to("payments").partition(partition);
        record.header("case", case)
    };
    let all_bytes: Vec<u8> = (0..=255).collect();
    let records = [
        payment("fine", 0).key("o-0").value("{}"),
        payment("retry", 0).key("o-1").value("{\"cents\": 1200}"),
        payment("fine", 1).key("o-2").value("{}"),
        payment("dead", 1).value(all_bytes.clone()),
        payment("fine", 2).key("o-3").value("{}"),
        payment("panic", 2).key(vec![0xff, 0x00]),
        payment("fine", 0).key("o-4").value("{}"),
        payment("invalid", 1)
            .key("")
            .value("")
            .header("twice", "1")
            .header("twice", all_bytes)
            .header("empty", ""),
        payment("fine", 1).key("o-5").value("{}"),
        payment("typed", 2).key("o-6").value("6"),
        Record::to("times")
            .header("case", "clock")
            .key("t-1")
            .value("tick"),
    ];
    let count = records.len();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    for record in records {
        producer.send(record).await.unwrap().await.unwrap();
    }
    count
}

fn case(attempt: &Attempt) -> &[u8] {
    let mut headers = attempt.record.headers.iter();
    let case = headers.find(|it| it.key == "case").unwrap();
    case.value.as_deref().unwrap()
}

fn pay(attempt: &Attempt) -> Result<(), HandlerError> {
    match case(attempt) {
        b"fine" => Ok(()),
        b"retry" => Err(HandlerError::retry("no answer")),
        b"dead" => Err(HandlerError::dead("\u{fc}\u{1f600} ".repeat(1_000))),
        b"panic" => panic!("a bug of the handler"),
        b"invalid" => {
            attempt.record.event()?;
            Ok(())
        }
        b"typed" => Err(io::Error::other("the bank is closed"))?,
        b"clock" => Err(HandlerError::dead("it is too late")),
        other => panic!("no case {other:?}"),
    }
}

/// Handles the records of topics until so many are committed.
async fn handle(
    client: &Client,
    group: &str,
    topics: &[&str],
    count: usize,
    handler: fn(&Attempt) -> Result<(), HandlerError>,
) {
    let config = ConsumerConfig::new().auto_offset_reset(OffsetReset::Earliest);
    let handling = client
        .handler(group)
        .topics(topics.iter().copied())
        .consumer(config.auto_commit_interval_ms(20))
        .retry(Backoff::fixed(Duration::from_millis(5)).max_attempts(3));
    let committed = async {
        loop {
            let offsets = client.admin().group_offsets(group, None).await.unwrap();
            let sum: i64 = offsets.iter().map(|it| it.offset).sum();
            if usize::try_from(sum) == Ok(count) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let handler = handler_fn(move |attempt: Attempt| async move { handler(&attempt) });
    handling.run(handler, committed).await.result().unwrap();
}

/// The classes of a topic's letters, in the order of the alphabet.
async fn classes(client: &Client, topic: &str) -> Vec<String> {
    let found = client
        .dead_letters(topic)
        .list(&LetterFilter::all(), 100)
        .await
        .unwrap();
    let classes = found.letters.into_iter().map(|it| it.letter.class.unwrap());
    let mut classes: Vec<String> = classes.collect();
    classes.sort();
    classes
}
