//! Inputs that follow from a seed: committed bytes first, then mutations of them.
//!
//! Invariants
//! - The same target and seed give the same inputs, as long as the committed bytes are the same.
//! - No input is longer than [`INPUT_BYTES_MAX`].

use std::panic::{AssertUnwindSafe, catch_unwind};

use highwater_kit::rng::Rng;
use highwater_proto::kafka::{ApiKey, Request};

use super::Target;

/// The longest input in bytes.
pub const INPUT_BYTES_MAX: usize = 16 << 10;
/// The inputs of a target, without end.
#[derive(Clone, Debug)]
pub struct Inputs {
    seeds: Vec<Vec<u8>>,
    next: usize,
    rng: Rng,
}

impl Inputs {
    /// Those that follow from a seed.
    #[must_use]
    pub fn new(target: &Target, seed: u64) -> Self {
        Self {
            seeds: seeds(target.name),
            next: 0,
            rng: Rng::new(seed),
        }
    }
}

impl Iterator for Inputs {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        self.next += 1;
        if let Some(seed) = self.seeds.get(self.next - 1) {
            return Some(seed.clone());
        }
        let rng = &mut self.rng;
        let mut input = self.seeds[rng.below(self.seeds.len())].clone();
        for _ in 0..1 << rng.below(5) {
            mutate(&mut input, &self.seeds, rng);
        }
        input.truncate(INPUT_BYTES_MAX);
        Some(input)
    }
}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.below(input.len() + 1);
    let span = 1 + rng.below(16).min(input.len().saturating_sub(at));
    let end = input.len().min(at + span);
    match rng.below(9) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = rng.pick(&[0, 1, 2, 0x7f, 0x80, 0xff]);
            }
        }
        2 => input.truncate(at),
        3 => drop(input.drain(at..end)),
        4 => drop(input.splice(at..at, random(rng, span))),
        5 => drop(input.splice(at..end, random(rng, span))),
        6 => {
            let number = number(rng);
            let width = rng.pick(&[2, 4, 8]);
            let end = input.len().min(at + width);
            input.splice(at..end, number[8 - width..].iter().copied());
        }
        7 => {
            let copied = input[at..end].to_vec();
            let times = 1 + rng.below(8);
            input.splice(at..at, copied.repeat(times));
        }
        _ => {
            let other = &seeds[rng.below(seeds.len())];
            let from = rng.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
    }
}

fn random(rng: &mut Rng, count: usize) -> Vec<u8> {
    (0..count).map(|_| rng.bits().to_be_bytes()[0]).collect()
}

/// An integer at an edge or near one, big-endian.
fn number(rng: &mut Rng) -> [u8; 8] {
    let edge = rng.pick(&[
        0,
        1,
        0x7f,
        0x80,
        0xff,
        0x7fff,
        0xffff,
        1 << 20,
        0x7fff_ffff,
        -1,
        -2,
    ]);
    (edge + i64::from(rng.percent(20))).to_be_bytes()
}

/// The committed bytes of a target; never none.
#[must_use]
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let own = SEEDS.lines().filter_map(|line| line.split_once(' '));
    let own = own
        .filter(|(name, _)| *name == target)
        .map(|(_, hex)| unhex(hex));
    let golden = GOLDEN.lines().filter_map(|line| golden(target, line));
    let seeds: Vec<_> = own.chain(golden).collect();
    assert!(!seeds.is_empty(), "{target} has no seeds");
    seeds
}

/// A golden message as an input of the targets that read messages.
fn golden(target: &str, line: &str) -> Option<Vec<u8>> {
    let mut words = line.split(' ');
    let [api, side, version, body] = [(); 4].map(|()| words.next().unwrap_or_default());
    let key = highwater_proto::kafka::APIS
        .iter()
        .find(|row| row.name == api)?
        .key;
    let version: u8 = version.parse().expect("a version stands third");
    let body = unhex(body);
    let [_, number] = key.number().to_be_bytes();
    match (target, side) {
        ("t3_requests", "request") | ("t4_responses", "response") => {
            Some([&[number, version], &body[..]].concat())
        }
        ("t1_frames", "request") => Some(frame(key, version, body)),
        ("t2_request_header", "request") => Some(frame(key, version, body).split_off(4)),
        _ => None,
    }
}

fn frame(key: ApiKey, version: u8, body: Vec<u8>) -> Vec<u8> {
    let version = i16::from(version);
    let request = Request::decode(key.number(), version, body.into()).expect("golden bytes decode");
    let frame = request
        .encode_frame(version, 7, None)
        .expect("golden bytes encode");
    frame.into_bytes().to_vec()
}

/// Runs one input; the message of its panic.
pub fn check(target: &Target, input: &[u8]) -> Result<(), String> {
    // Targets hold nothing that a panic could leave half changed.
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("a panic without a message").to_owned()
    })
}

/// Two hexadecimal digits a byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of an even number of hexadecimal digits.
#[must_use]
pub fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.trim().as_bytes().chunks(2);
    pairs
        .map(|pair| {
            let pair = str::from_utf8(pair).expect("seeds are ASCII");
            u8::from_str_radix(pair, 16).expect("seeds are hexadecimal")
        })
        .collect()
}

/// `target hex`, a line each: bytes of reference implementations, and what once broke something.
const SEEDS: &str = include_str!("../../seeds.txt");
/// A message of every API, direction and version.
const GOLDEN: &str = include_str!("../../../../proto/src/kafka/tests/golden.txt");
