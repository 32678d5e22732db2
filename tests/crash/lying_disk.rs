//! A disk that answers syncs without doing them, and a power cut (D3): records may be gone, and a
//! start may refuse; what is served was sent, to this log, in this order, and stays.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use highwater_kit::client::{A, B, Client, DATA_DIR, P, Shape, Size, durability};
use highwater_kit::model::Contents;
use highwater_kit::rng::Rng;
use highwater_kit::sim_fs::{Crash, SimFs};
use highwater_kit::workload::random_word;
use highwater_kit::world::World;
use highwater_log::data_dir::DataDir;
use highwater_log::error::LogError;
use highwater_log::reader::{Minimum, UpTo};
use highwater_log::shard::{AckAt, Shard, ShardConfig};
use highwater_log::types::{LeaderEpoch, LogId, Offset};
use highwater_proto::batch::{ProduceLimits, validate_produced};
use highwater_proto::clock::Now;

#[test]
fn a_disk_that_lies_loses_and_never_invents() {
    let (mut started, mut lost) = (0, 0);
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let mut world = lied_to(seed, &mut rng);
        let crash = rng.pick(&[Crash::Nothing, Crash::Subset, Crash::Lengths, Crash::Names]);
        let disk = world.disk.image(crash, &mut rng);
        let shard = match open(&disk, &world.client) {
            Ok(shard) => shard,
            // It says what is wrong, and nothing is served.
            Err(error) => {
                assert!(!error.to_string().is_empty());
                continue;
            }
        };
        started += 1;
        let served = all_served(&shard, &world.client);
        for (id, batches) in &served {
            let log = &world.client.model.logs[id];
            lost += log.expected().len().saturating_sub(batches.len());
            for (base, bytes) in batches {
                let place = format!("seed {seed}, {crash:?}, {id} at {base}");
                let contents = Contents::parse(*base, *base, bytes)
                    .unwrap_or_else(|broken| panic!("{place}: {broken}"));
                for stored in &contents.batches {
                    log.was_sent(stored)
                        .unwrap_or_else(|broken| panic!("{place}: {broken}"));
                }
            }
        }
        go_on(&shard, &mut world.client);
        drop(shard);
        // The disk tells the truth by now.
        let again = disk.image(Crash::Nothing, &mut rng);
        let shard = open(&again, &world.client)
            .unwrap_or_else(|error| panic!("seed {seed}: a start behind a start: {error}"));
        let later = all_served(&shard, &world.client);
        for ((id, before), (_, after)) in served.iter().zip(&later) {
            assert!(
                after.starts_with(before),
                "seed {seed}, {crash:?}, {id} changed"
            );
        }
    }
    println!("{started} of {SEEDS} starts, {lost} batches lost");
    assert!(started > SEEDS / 3 && lost > 0, "the disk did not lie");
}

/// A world that was used on a good disk, and then on one that lies.
fn lied_to(seed: u64, rng: &mut Rng) -> World {
    let mut world = World::new(SimFs::new(seed), Client::new(), None);
    world.start().unwrap();
    for is_lie in [false, true] {
        world.disk.lie_about_syncs(is_lie);
        for step in random_word(1 + rng.below(8), rng) {
            world.step(step).unwrap();
        }
    }
    world
}

fn open(disk: &SimFs, client: &Client) -> Result<Arc<Shard>, LogError> {
    let policies = known(client)
        .into_iter()
        .map(|id| (id, Shape::SMALL.config(id, durability(id))))
        .collect();
    let limits = ShardConfig {
        journal_bytes: Shape::SMALL.journal_bytes,
        ..ShardConfig::default()
    };
    let dir = DataDir::open(Arc::new(disk.clone()), Path::new(DATA_DIR))?;
    Shard::open(dir, policies, limits, client.now).map(|(shard, _)| shard)
}

fn known(client: &Client) -> Vec<LogId> {
    let mut known = client.ids();
    known.extend([A, B, P]);
    known.sort_unstable();
    known.dedup();
    known
}

/// What each log serves, by the offset that was asked for; what is refused is left out.
fn all_served(shard: &Shard, client: &Client) -> Vec<(LogId, Vec<(i64, Bytes)>)> {
    let ids = client.ids().into_iter();
    ids.map(|id| (id, served(shard, id))).collect()
}

fn served(shard: &Shard, id: LogId) -> Vec<(i64, Bytes)> {
    let Some(reader) = shard.reader(id) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let (mut next, end) = (reader.start(), reader.durable());
    while next < end {
        let base = next;
        match reader.read(base, 1, UpTo::Durable, Minimum::OneBatch) {
            Ok(slice) => {
                assert!(
                    slice.next_offset > base,
                    "{id}: a read at {base} stands still"
                );
                found.push((base.0, slice.parts.concat().into()));
                next = slice.next_offset;
            }
            Err(_) => next = Offset(base.0 + 1),
        }
    }
    found
}

/// A producer without an id goes on.
fn go_on(shard: &Shard, client: &mut Client) {
    let now: Now = client.now;
    for id in [B, P] {
        shard
            .add_log(
                id,
                Shape::SMALL.config(id, durability(id)),
                LeaderEpoch(0),
                now,
            )
            .unwrap();
        let batch = client.batch(id, Size::SMALL);
        let now_ms = client.mono_ms();
        client.log(id).send(&batch, now_ms);
        let produced = validate_produced(&batch, &ProduceLimits::default()).unwrap();
        shard
            .append_wait(id, produced, AckAt::Durable, now)
            .unwrap_or_else(|error| panic!("{id}: {error}"));
        shard.sync_once();
    }
}

const SEEDS: u64 = 200;
