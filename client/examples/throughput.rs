//! tmp
use highwater_broker::Broker;
use highwater_client::*;
use std::sync::Arc;
fn main() {
    let tcp = std::env::args().nth(1).is_some_and(|a| a == "tcp");
    let n: u64 = std::env::args()
        .nth(2)
        .map_or(3_000_000, |a| a.parse().unwrap());
    let size: usize = std::env::args().nth(3).map_or(10, |a| a.parse().unwrap());
    let bs: usize = std::env::args()
        .nth(4)
        .map_or(16384, |a| a.parse().unwrap());
    let parts: i32 = std::env::args().nth(5).map_or(1, |a| a.parse().unwrap());
    let broker = Arc::new(Broker::in_memory().unwrap());
    broker.listen_kafka("127.0.0.1:0").unwrap();
    let rt = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    rt.block_on(async {
        let b = broker.clone();
        let client = if tcp {
            Client::connect(&broker.bootstrap_servers()).await.unwrap()
        } else {
            Client::in_process(move || b.exchange())
        };
        client
            .admin()
            .create_topic(&NewTopic {
                name: "t".into(),
                partitions: Some(parts),
                ..Default::default()
            })
            .await
            .unwrap();
        let p = client
            .producer(ProducerConfig {
                batch_size: bs,
                ..Default::default()
            })
            .unwrap();
        let value = bytes::Bytes::from(vec![7u8; size]);
        let c2 = client.clone();
        let t = std::time::Instant::now();
        tokio::spawn(async move {
            for i in 0..n {
                let _ = p
                    .send(
                        Record::to("t")
                            .key((i).to_be_bytes().to_vec())
                            .value(value.clone()),
                    )
                    .await
                    .unwrap();
            }
            p.flush().await;
        })
        .await
        .unwrap();
        let e = t.elapsed();
        println!("produce {:.2} M rec/s", n as f64 / e.as_secs_f64() / 1e6);
        tokio::spawn(async move {
            let mut c = c2.consumer(ConsumerConfig {
                max_poll_records: 5000,
                ..Default::default()
            });
            c.assign_topic("t", StartAt::Earliest).await.unwrap();
            let t = std::time::Instant::now();
            let mut got = 0u64;
            while got < n {
                got += c
                    .poll(std::time::Duration::from_secs(5))
                    .await
                    .unwrap()
                    .len() as u64;
            }
            println!(
                "consume {:.2} M rec/s",
                n as f64 / t.elapsed().as_secs_f64() / 1e6
            );
        })
        .await
        .unwrap();
    });
}
