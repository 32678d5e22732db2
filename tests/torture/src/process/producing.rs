//! A producer of a life.
//!
//! Invariants
//! - It never sends a value twice; what its client repeats is the client's.
//! - When it ends, each of its sends has its outcome.

use highwater_client::{Acks, Codec, ProducerConfig, Record};
use highwater_kit::history::{Operation, Outcome, Role, Step};
use highwater_kit::rng::Rng;
use tokio::task::JoinSet;

use super::scene::{Scene, failed, payload, value};

/// Sends until it is over, and waits for all answers.
pub(super) async fn produce(
    scene: Scene,
    process: u32,
    role: Role,
    mut rng: Rng,
) -> Vec<Operation> {
    let client = scene.client(&format!("producer-{process}")).await;
    let producer = match client.producer(config(role, &mut rng)) {
        Ok(producer) => producer,
        Err(error) => {
            scene.wrong(format!("producer {process}: {error}"));
            return Vec::new();
        }
    };
    let places = scene.places();
    let (burst, rest_ms) = (1 + rng.below(40), rng.pick(&[1, 2, 5, 15]));
    let mut answers = JoinSet::new();
    let mut done = Vec::new();
    let mut count = 0;
    while !scene.is_over() {
        count += 1;
        let place = rng.below(places.len());
        let (topic, partition) = places[place];
        let send = Step::Send {
            partition: u32::try_from(place).unwrap_or(u32::MAX),
            value: value(process, count),
            offset: None,
        };
        let bytes = payload(value(process, count));
        let record = Record::to(topic).partition(partition).value(bytes);
        let start_us = scene.now_us();
        match producer.send(record).await {
            Ok(delivery) => {
                let scene = scene.clone();
                answers.spawn(async move {
                    let result = delivery.await;
                    let end_us = scene.now_us();
                    let (outcome, send) = match result {
                        Ok(stored) => {
                            scene.acked();
                            (Outcome::Ok, at(send, stored.offset))
                        }
                        Err(error) => (failed(&error), send),
                    };
                    Operation::new(process, [start_us, end_us], outcome, vec![send])
                });
            }
            // A record that was not accepted is never sent.
            Err(_) => {
                let during = [start_us, scene.now_us()];
                done.push(Operation::new(process, during, Outcome::Fail, vec![send]));
                scene.pause(20).await;
            }
        }
        while answers.len() >= WAITING_MAX {
            done.extend(answers.join_next().await.and_then(Result::ok));
        }
        while let Some(answer) = answers.try_join_next() {
            done.extend(answer.ok());
        }
        if count % burst as u64 == 0 {
            scene.pause(rest_ms).await;
        }
    }
    while let Some(answer) = answers.join_next().await {
        done.extend(answer.ok());
    }
    done
}

fn at(send: Step, offset: i64) -> Step {
    match send {
        Step::Send {
            partition, value, ..
        } => Step::Send {
            partition,
            value,
            offset: u64::try_from(offset).ok(),
        },
        other => other,
    }
}

fn config(role: Role, rng: &mut Rng) -> ProducerConfig {
    ProducerConfig {
        acks: match role {
            Role::One => Acks::Leader,
            _ => Acks::All,
        },
        enable_idempotence: Some(role == Role::Idempotent),
        linger_ms: rng.pick(&[0, 1, 5]),
        batch_size: rng.pick(&[200, 2_000, 16_384]),
        max_in_flight: rng.pick(&[1, 5]),
        compression_type: rng.pick(&[Codec::None, Codec::None, Codec::Lz4, Codec::Zstd]),
        retry_backoff_ms: 20,
        request_timeout_ms: 5_000,
        delivery_timeout_ms: 60_000,
        ..ProducerConfig::default()
    }
}

/// Sends of one producer that wait for their answers.
const WAITING_MAX: usize = 200;
