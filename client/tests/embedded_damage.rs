//! A consumer before what the broker's disk has damaged.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use highwater_broker::Broker;
use highwater_client::{
    Client, ClientError, Consumer, ConsumerConfig, NewTopic, ProducerConfig, Record, StartAt,
};
use highwater_log::fs::mem::MemFs;
use highwater_log::fs::{Fs, OpenMode};

/// Changes a byte of the file that holds these bytes.
fn rot(fs: &MemFs, bytes: &[u8]) {
    let mut dirs = vec![PathBuf::from("/data/logs")];
    while let Some(dir) = dirs.pop() {
        for name in fs.list(&dir).unwrap() {
            let path = dir.join(name);
            let Ok(file) = fs.open(&path, OpenMode::Append) else {
                dirs.push(path);
                continue;
            };
            let content = file.read_at(0, usize::MAX).unwrap();
            let at = content.windows(bytes.len()).position(|it| it == bytes);
            if let Some(at) = at {
                let rotten = [content[at] ^ 1];
                file.write_at(at as u64, &[IoSlice::new(&rotten)]).unwrap();
                return;
            }
        }
    }
    unreachable!("no file holds the bytes");
}

#[test]
fn a_batch_that_the_broker_cannot_read_stops_its_partition_with_a_word() {
    let fs = MemFs::new();
    let start = || {
        let builder = Broker::builder().fs(Arc::new(fs.clone()), "/data");
        let broker = Arc::new(builder.start().unwrap());
        let client = Client::in_process({
            let broker = Arc::clone(&broker);
            move || broker.exchange()
        });
        (broker, client)
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (broker, client) = start();
    runtime.block_on(async {
        let topic = NewTopic {
            name: "t".to_owned(),
            ..NewTopic::default()
        };
        client.admin().create_topic(&topic).await.unwrap();
        let producer = client.producer(ProducerConfig::default()).unwrap();
        for value in ["first", "second", "third"] {
            let sent = producer.send(Record::to("t").value(value)).await.unwrap();
            sent.await.unwrap();
        }
    });
    broker.shutdown_blocking().unwrap();
    rot(&fs, b"second");
    let (_broker, client) = start();
    runtime.block_on(async {
        let mut consumer = client.consumer(ConsumerConfig::default());
        consumer.assign("t", 0, StartAt::Earliest).await.unwrap();
        assert_eq!(next(&mut consumer).await, "first");
        let error = consumer.poll(Duration::from_secs(20)).await.unwrap_err();
        assert!(
            matches!(error, ClientError::Corrupt { offset: 1, .. }),
            "{error}"
        );
        consumer.seek("t", 0, StartAt::Offset(2)).await.unwrap();
        assert_eq!(next(&mut consumer).await, "third");
    });
}

/// The value of the one record that the next poll gives.
async fn next(consumer: &mut Consumer) -> Bytes {
    let records = consumer.poll(Duration::from_secs(60)).await.unwrap();
    assert_eq!(records.len(), 1);
    records[0].value.clone().unwrap()
}
