//! Topics of dead letters: looked at, and sent back.

use std::ops::ControlFlow;
use std::time::Duration;

use highwater_client::{
    Client, ConsumerConfig, DeadLetter, ErrorCode, HandlerError, LetterFilter, ProducerConfig,
    Record, Redriven, StartAt, SystemClock,
};
use highwater_proto::clock::{Clock as _, Mono};

use crate::Seen;
use crate::both;
use crate::committed_up_to;
use crate::ended_well;
use crate::fill;
use crate::group;
use crate::topic;

/// Makes each record of `t` a dead letter: of the key `a` by the class `dead`, else by `retry`.
async fn bury(client: &Client, keys: &[&'static str]) {
    topic(client, "t", 1).await;
    fill(client, "t", 0, keys).await;
    bury_up_to(client, i64::try_from(keys.len()).unwrap()).await;
}

async fn bury_up_to(client: &Client, offset: i64) {
    let handler = Seen::default().handler(|attempt| match attempt.record.key.as_deref() {
        Some(b"a") => Err(HandlerError::dead("no")),
        _ => Err(HandlerError::retry("not yet")),
    });
    let summary = group(client, "t")
        .run(handler, committed_up_to(client, "t", offset))
        .await;
    ended_well(&summary);
}

#[test]
fn letters_are_listed_by_key_class_time_and_place() {
    both(|client| async move {
        bury(&client, &["a", "b", "a", "b"]).await;
        let letters = client.dead_letters("t-dlt");
        let all = letters.list(&LetterFilter::all(), 100).await.unwrap();
        assert_eq!(
            (all.letters.len(), all.has_more, all.unreadable.len()),
            (4, false, 0)
        );
        let list = async |filter: LetterFilter| {
            let found = letters.list(&filter, 100).await.unwrap().letters;
            let mut offsets: Vec<i64> = found.iter().map(|it| it.letter.offset).collect();
            offsets.sort_unstable();
            offsets
        };
        assert_eq!(list(LetterFilter::all().key("a")).await, [0, 2]);
        assert_eq!(list(LetterFilter::all().class("retry")).await, [1, 3]);
        assert!(
            list(LetterFilter::all().key("a").class("retry"))
                .await
                .is_empty()
        );
        let third = &all.letters[2];
        assert_eq!(
            list(LetterFilter::all().at(0, 2)).await,
            [third.letter.offset]
        );
        assert!(
            list(LetterFilter::all().until(all.letters[0].stored_at))
                .await
                .is_empty()
        );
        assert_eq!(
            list(LetterFilter::all().since(all.letters[0].stored_at)).await,
            [0, 1, 2, 3]
        );
        let some = letters.list(&LetterFilter::all(), 3).await.unwrap();
        assert_eq!((some.letters.len(), some.has_more), (3, true));
        assert_eq!(letters.show(0, 2).await.unwrap().as_ref(), Some(third));
        assert_eq!(letters.show(0, 4).await.unwrap(), None);
        assert_eq!(letters.show(7, 0).await.unwrap(), None);
    });
}

#[test]
fn what_is_no_dead_letter_is_told_and_passed_over() {
    both(|client| async move {
        bury(&client, &["a"]).await;
        let producer = client.producer(ProducerConfig::default()).unwrap();
        let stray = Record::to("t-dlt").partition(0).value("stray");
        producer.send(stray).await.unwrap().await.unwrap();
        let letters = client.dead_letters("t-dlt");
        let found = letters.list(&LetterFilter::all(), 100).await.unwrap();
        let [(0, 1, why)] = &found.unreadable[..] else {
            panic!("{found:?}");
        };
        assert!(why.contains("kafka_dlt-original-topic is missing"), "{why}");
        let summary = letters.redrive(LetterFilter::all()).run().await;
        assert_eq!(
            (summary.sent(), summary.unreadable, summary.error),
            (1, 1, None)
        );
        let error = client
            .dead_letters("none-dlt")
            .list(&LetterFilter::all(), 1)
            .await;
        let code = error.unwrap_err().code();
        assert_eq!(code, Some(ErrorCode::UnknownTopicOrPartition));
        let described = client.admin().describe_topic("none-dlt").await;
        assert!(described.is_err(), "looking has created it");
    });
}

#[test]
fn a_redrive_sends_records_as_they_were_and_refuses_what_goes_in_circles() {
    both(|client| async move {
        bury(&client, &["a", "b"]).await;
        let letters = client.dead_letters("t-dlt");
        let of_a = || LetterFilter::all().key("a");
        let dry = letters.redrive(of_a()).dry_run().run().await;
        assert_eq!((dry.error.as_ref(), dry.audit.len()), (None, 1));
        assert_eq!(dry.audit[0].outcome, Redriven::WouldBeSent);
        assert_eq!(
            client.admin().describe_topic("t").await.unwrap().partitions,
            1
        );

        let done = letters.redrive(of_a()).run().await;
        let Redriven::Sent(at) = done.audit[0].outcome else {
            panic!("{done:?}");
        };
        assert_eq!(
            (at.partition, at.offset),
            (0, 2),
            "a dry run has sent nothing"
        );
        let entry = &done.audit[0];
        assert_eq!(
            (&*entry.source, entry.source_partition, entry.source_offset),
            ("t", 0, 0)
        );
        let mut consumer = client.consumer(ConsumerConfig::default());
        consumer.assign("t", 0, StartAt::Earliest).await.unwrap();
        let mut records = Vec::new();
        while records.len() < 3 {
            records.extend(consumer.poll(Duration::from_secs(60)).await.unwrap());
        }
        let [first, _, again] = &records[..] else {
            panic!("{records:?}");
        };
        assert_eq!((&again.key, &again.value), (&first.key, &first.value));
        let [count] = &again.headers[..] else {
            panic!("only the count is added: {again:?}");
        };
        assert_eq!(
            (&*count.key, count.value.as_deref()),
            ("hw-dlt-redrives", Some(&b"1"[..]))
        );

        // It fails again, and its letter knows that it was sent back.
        bury_up_to(&client, 3).await;
        let found = letters.list(&of_a(), 100).await.unwrap().letters;
        let counts: Vec<u32> = found.iter().map(|it| it.letter.redrives).collect();
        assert_eq!(counts, [0, 1]);
        let newest = LetterFilter::all().at(found[1].partition, found[1].offset);
        let refused = letters.redrive(newest.clone()).max_redrives(1).run().await;
        let Redriven::Refused(why) = &refused.audit[0].outcome else {
            panic!("{refused:?}");
        };
        assert!(why.starts_with("it has been sent back 1 times"), "{why}");
        assert_eq!(
            letters.redrive(newest).max_redrives(2).run().await.sent(),
            1
        );
    });
}

#[test]
fn a_redrive_tells_each_letter_and_goes_on_behind_it() {
    both(|client| async move {
        bury(&client, &["a", "b", "a"]).await;
        let letters = client.dead_letters("t-dlt");
        let mut told = Vec::new();
        let of_g = || LetterFilter::all().group("g");
        let first = letters.redrive(of_g()).run_each(|entry| {
            told.push((entry.partition, entry.offset));
            ControlFlow::Break(())
        });
        let first = first.await;
        assert_eq!((first.sent(), &first.error), (1, &None));
        assert_eq!(told, [(first.audit[0].partition, first.audit[0].offset)]);
        let (partition, offset) = told[0];
        let rest = letters
            .redrive(of_g().behind(partition, offset))
            .run()
            .await;
        assert_eq!((rest.sent(), rest.error), (2, None), "each once");
        assert_eq!(letters.redrive(of_g().group("h")).run().await.audit, []);
        let error = letters.show(partition, offset).await.unwrap().unwrap();
        let of_error = LetterFilter::all().error(error.letter.error);
        assert_eq!(letters.list(&of_error, 9).await.unwrap().letters.len(), 3);
    });
}

#[test]
fn a_redrive_brings_no_topic_back() {
    both(|client| async move {
        bury(&client, &["a"]).await;
        client.admin().delete_topic("t").await.unwrap();
        let done = client
            .dead_letters("t-dlt")
            .redrive(LetterFilter::all())
            .run()
            .await;
        let why = Redriven::Refused("there is no topic t any more".to_owned());
        assert_eq!((&done.audit[0].outcome, done.error), (&why, None));
        let gone = client.admin().describe_topic("t").await.unwrap_err();
        assert_eq!(gone.code(), Some(ErrorCode::UnknownTopicOrPartition));
    });
}

#[test]
fn a_redrive_keeps_to_its_rate_and_its_number() {
    both(|client| async move {
        bury(&client, &["a", "a", "a", "a"]).await;
        let redrive = client.dead_letters("t-dlt").redrive(LetterFilter::all());
        let clock = SystemClock::new();
        let done = redrive.max_letters(3).per_second(50).run().await;
        assert!(
            clock.now().mono >= Mono(40_000_000),
            "three letters, two pauses"
        );
        assert_eq!((done.sent(), done.has_more, done.error), (3, true, None));
    });
}

#[test]
fn a_letter_without_its_record_is_refused_with_its_origin() {
    both(|client| async move {
        topic(&client, "t", 1).await;
        let dlt = highwater_client::NewTopic::named("t-dlt").partitions(1);
        let dlt = dlt.config("max.message.bytes", "2000");
        client.admin().create_topic(&dlt).await.unwrap();
        let producer = client.producer(ProducerConfig::default()).unwrap();
        let large = Record::to("t").key("a").value(vec![7; 5_000]);
        producer.send(large).await.unwrap().await.unwrap();
        bury_up_to(&client, 1).await;
        let done = client
            .dead_letters("t-dlt")
            .redrive(LetterFilter::all())
            .run()
            .await;
        let Redriven::Refused(why) = &done.audit[0].outcome else {
            panic!("{done:?}");
        };
        assert_eq!(
            why,
            "the record was too large for a dead letter: it is at t-0@0 only"
        );
    });
}

#[test]
fn a_letter_can_be_read_by_a_plain_consumer() {
    both(|client| async move {
        bury(&client, &["a"]).await;
        let mut consumer = client.consumer(ConsumerConfig::default());
        consumer
            .assign_topic("t-dlt", StartAt::Earliest)
            .await
            .unwrap();
        let records = consumer.poll(Duration::from_secs(60)).await.unwrap();
        let shown = client
            .dead_letters("t-dlt")
            .show(0, 0)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(DeadLetter::read(&records[0]).unwrap(), shown.letter);
    });
}
