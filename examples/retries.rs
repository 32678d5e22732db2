//! Retries and dead letters: one payment comes through at the third attempt, one cannot be booked
//! and is sent back once its account is there.

use std::{error::Error, future::ready, sync::Arc, time::Duration};

use highwater::{Attempt, Backoff, Broker, Client, EmbeddedClient, HandlerError, HandlerSummary};
use highwater::{LetterFilter, ProducerConfig, Record, handler_fn};
use tokio::sync::Semaphore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let broker = Broker::in_memory()?;
    let client = Client::embedded(&broker);
    let producer = client.producer(ProducerConfig::default())?;
    for order in ["o-1", "o-2", "o-3"] {
        let payment = Record::to("payments").key(order).value("12 euros");
        producer.send(payment).await?.await?;
    }
    let first = book(&client, false, 2).await;
    assert_eq!((first.handled, first.dead_letters), (2, 1));

    let letters = client.dead_letters("payments-dlt");
    for it in letters.list(&LetterFilter::all(), 100).await?.letters {
        println!("{:?} was not booked: {}", it.letter.key, it.letter.message);
    }
    let back = letters.redrive(LetterFilter::all().key("o-3"));
    assert_eq!(back.run().await.sent(), 1);
    assert_eq!(book(&client, true, 1).await.handled, 1);
    Ok(())
}

/// Handles payments until so many are booked.
async fn book(client: &Client, has_account: bool, count: u32) -> HandlerSummary {
    let booked = Arc::new(Semaphore::new(0));
    let done = Arc::clone(&booked);
    let handler = handler_fn(move |attempt: Attempt| {
        ready(match attempt.record.key.as_deref() {
            Some(b"o-2") if attempt.number < 3 => Err(HandlerError::retry("no answer")),
            Some(b"o-3") if !has_account => Err(HandlerError::dead("no account")),
            _ => {
                booked.add_permits(1);
                Ok(())
            }
        })
    });
    // Three retries are four attempts: at 0, 10, 20 and 30 ms.
    let backoff = Backoff::fixed(Duration::from_millis(10)).max_attempts(4);
    let handling = client.handler("accounting").topics(["payments"]);
    let all_booked = async move { drop(done.acquire_many(count).await) };
    handling.retry(backoff).run(handler, all_booked).await
}

#[test]
fn it_runs() -> Result<(), Box<dyn Error>> {
    main()
}
