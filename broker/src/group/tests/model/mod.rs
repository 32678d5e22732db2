//! The model: random histories of clients that work, crash and come back, of answers that are
//! lost, writes that fail and processes that end, through the machine and through one that reads
//! its log. See `World` for what holds after every step, and [`history`] for how each ends.

mod client;
mod world;

use std::collections::BTreeSet;

use client::{Client, Next, PARTITIONS};
use world::World;

use crate::group::{Ask, Commit, GroupConfig, GroupState, Member};

const GROUPS: [&str; 2] = ["g", "h"];

#[test]
fn histories_keep_offsets_owners_and_the_log() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..HISTORIES,
    };
    let is_whole = seeds.end - seeds.start == HISTORIES;
    let mut reached = BTreeSet::new();
    for seed in seeds {
        match std::panic::catch_unwind(|| history(seed)) {
            Ok(of) => reached.extend(of),
            Err(_) => panic!("SEED={seed}"),
        }
    }
    if is_whole {
        let missing: Vec<_> = REACHED
            .iter()
            .filter(|what| !reached.contains(*what))
            .collect();
        assert!(
            missing.is_empty(),
            "the histories never have {missing:?}: {reached:?}"
        );
    }
}

/// One history: trouble, then peace in which all must come to work, then the end, in which
/// everyone must have been answered. Says what happened in it.
fn history(seed: u64) -> BTreeSet<&'static str> {
    let mut rng = Rng(seed);
    let delay_ms = [0, 0, 3_000][rng.below(3)];
    let config = GroupConfig {
        session_timeout_ms_min: 6_000,
        session_timeout_ms_max: 1_800_000,
        initial_rebalance_delay_ms: delay_ms,
        members_max: 100,
        groups_max: 100,
        offsets_retention_ms: 1_000_000_000,
    };
    let mut clients = Vec::new();
    for group in GROUPS {
        for number in 0..=rng.below(4) {
            let is_static = rng.one_in(3);
            // Now and then two clients are given the same instance id.
            let instance = is_static.then(|| format!("i{}", number / 2 * 2 + rng.below(2)));
            clients.push(Client::new(group, instance, rng.one_in(2)));
        }
    }
    let mut world = World::new(config, clients);
    for _ in 0..STEPS {
        trouble(&mut world, &mut rng);
    }
    peace(&mut world, &mut rng);
    end(&mut world, &mut rng);
    world.reached
}

fn trouble(world: &mut World, rng: &mut Rng) {
    let at = rng.below(world.clients.len());
    let group = GROUPS[rng.below(GROUPS.len())];
    match rng.below(100) {
        0..30 => {
            let ms = [10, 300, 2_000, 9_000][rng.below(4)];
            pass(world, rng, ms, Luck::Bad);
        }
        30..50 if !world.under_way.is_empty() => {
            let write = rng.below(world.under_way.len());
            let result = match rng.one_in(8) {
                true => Err("the disk is full".to_owned()),
                false => Ok(()),
            };
            world.finish(write, result);
        }
        50..62 if !world.clients[at].is_running() => {
            let now_ms = world.now_ms;
            world.clients[at].start(now_ms);
        }
        62..66 => world.clients[at].crash(),
        66..69 => leave(world, at),
        69..85 => commit(world, rng, at),
        85..88 => {
            let client = &mut world.clients[at];
            client.wish += 1;
            if client.next == Next::Heartbeat {
                let now_ms = world.now_ms;
                client.plan(Next::Join, now_ms);
            }
        }
        88..90 => {
            let member = Member {
                generation: -1,
                ..Member::default()
            };
            let offset = rng.offset();
            let commit = Commit {
                member,
                ..world.clients[at].commit("u", 0, offset)
            };
            world.ask(group, None, Ask::Commit(commit));
        }
        90 => _ = world.ask(group, None, Ask::Delete),
        91 => {
            let of = vec![
                ("t".to_owned(), 1),
                ("u".to_owned(), 0),
                ("none".to_owned(), 0),
            ];
            world.ask(group, None, Ask::DeleteOffsets(of));
        }
        92 => _ = world.ask(group, None, Ask::ForgetTopics(vec!["u".to_owned()])),
        93 => _ = world.ask(group, None, Ask::Expire),
        94..96 => world.rewrite(),
        96 => world.restart(|| rng.one_in(2)),
        97 => world.stall([3_000, 40_000][rng.below(2)]),
        _ => pass(world, rng, 1, Luck::Bad),
    }
}

/// A member commits: mostly what it works on, sometimes as the zombie of an older generation.
fn commit(world: &mut World, rng: &mut Rng, at: usize) {
    let client = &world.clients[at];
    let mut commit = match &client.work {
        Some(work) if !work.is_empty() => {
            let partition = work[rng.below(work.len())];
            client.commit("t", partition, rng.offset())
        }
        _ if client.member_id.is_empty() => return,
        _ => client.commit("t", 0, rng.offset()),
    };
    if rng.one_in(6) {
        commit.member.generation = (client.generation - 1).max(0);
    }
    let group = client.group;
    world.ask(group, Some(at), Ask::Commit(commit));
}

fn leave(world: &mut World, at: usize) {
    let client = &mut world.clients[at];
    if client.member_id.is_empty() && client.instance.is_none() {
        return;
    }
    let (group, leaving) = (client.group, client.leaving());
    client.crash();
    world.ask(group, None, Ask::Leave(vec![leaving]));
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Luck {
    /// Writes stay under way, answers may be lost.
    Bad,
    Good,
}

/// Time passes. The machine is woken when it says so and not otherwise.
fn pass(world: &mut World, rng: &mut Rng, ms: u64, luck: Luck) {
    let end_ms = world.now_ms + ms;
    loop {
        deliver(world, rng, luck);
        let wake_ms = world.machine.wake_at().0.div_ceil(1_000_000);
        let clients = world.clients.iter().map(|client| client.next_at_ms);
        let next_ms = clients.min().unwrap_or(u64::MAX).min(wake_ms);
        if next_ms > end_ms {
            break;
        }
        world.now_ms = world.now_ms.max(next_ms);
        if wake_ms <= world.now_ms {
            world.wake();
            continue;
        }
        for at in 0..world.clients.len() {
            let now_ms = world.now_ms;
            if world.clients[at].next_at_ms <= now_ms {
                let id = format!("m{:x}", rng.next());
                let group = world.clients[at].group;
                if let Some(ask) = world.clients[at].act(now_ms, id) {
                    world.ask(group, Some(at), ask);
                }
            }
        }
    }
    world.now_ms = end_ms;
}

/// Answers reach their clients, unless they are lost; with luck all writes are done before.
fn deliver(world: &mut World, rng: &mut Rng, luck: Luck) {
    while luck == Luck::Good && !world.under_way.is_empty() {
        world.finish(0, Ok(()));
    }
    for (client, reply) in std::mem::take(&mut world.answers) {
        let is_lost = luck == Luck::Bad && rng.one_in(15);
        if !is_lost {
            world.clients[client].take(world.now_ms, reply);
        }
    }
}

/// Nothing fails any more: within some minutes all members work, each on its own part, on all of
/// it together.
fn peace(world: &mut World, rng: &mut Rng) {
    let before = world.now_ms;
    while world.now_ms < before + 150_000 {
        pass(world, rng, 5_000, Luck::Good);
    }
    for group in GROUPS {
        let clients = world.clients.iter().filter(|client| client.group == group);
        let running: Vec<_> = clients.filter(|client| client.is_running()).collect();
        let described = world.machine.describe(group);
        assert_eq!(
            described.members.len(),
            running.len(),
            "{described:?} {running:?}"
        );
        if running.is_empty() {
            continue;
        }
        assert_eq!(described.state, GroupState::Stable);
        let mut work: Vec<u8> = running
            .iter()
            .flat_map(|of| of.work.clone().unwrap())
            .collect();
        work.sort_unstable();
        assert_eq!(work, Vec::from_iter(0..PARTITIONS), "{running:?}");
        let generation = running[0].generation;
        assert!(running.iter().all(|client| client.generation == generation));
    }
}

/// All fall silent: the groups run empty, and nobody is left without an answer.
fn end(world: &mut World, rng: &mut Rng) {
    for at in 0..world.clients.len() {
        match rng.one_in(2) {
            true => leave(world, at),
            false => world.clients[at].crash(),
        }
    }
    pass(world, rng, 100_000, Luck::Good);
    assert_eq!(world.open(), Vec::<String>::new());
    for group in GROUPS {
        let state = world.machine.describe(group).state;
        assert!(
            matches!(state, GroupState::Empty | GroupState::Dead),
            "{state:?}"
        );
    }
    for group in GROUPS {
        world.ask(group, None, Ask::Delete);
    }
    deliver(world, rng, Luck::Good);
    assert_eq!(world.machine.list(), []);
    assert_eq!(world.machine.wake_at(), highwater_proto::clock::Mono::NEVER);
}

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn offset(&mut self) -> i64 {
        i64::try_from(self.next() >> 2).unwrap()
    }
}

/// What the histories must have had among them.
const REACHED: [&str; 14] = [
    "members that outlive a stall",
    "a write that fails",
    "a restart that loses a write",
    "a restart after a write that nobody heard of",
    "commits that are written together",
    "a log that is written anew",
    "a deleted group that comes again",
    "a leader that skips assigning",
    "a tenth generation",
    "a static member",
    "a dynamic member",
    "a fenced member",
    "an unknown member",
    "another refusal",
];

const HISTORIES: u64 = 2_000;
const STEPS: usize = 200;
