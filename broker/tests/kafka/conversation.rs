//! A conversation with every version of every API, byte by byte.
//!
//! `conversation.txt` has a line for each request and for each answer: API, version, direction,
//! body. What differs from run to run (ids, the port) is zeros. A new version needs new lines: the
//! test that fails prints the whole file as it would be. An old line changes only with a decision.

use highwater_proto::kafka::{APIS, ApiKey};

use crate::kit::Rig;
use crate::requests::{Choices, Mask, request};

const GOLDEN: &str = include_str!("conversation.txt");
/// Bits of all kinds.
const SOMETHING: u64 = 0x9e37_79b9_7f4a_7c15;

/// Topics are created first and deleted last; all else in the order of the table.
fn apis_in_order() -> Vec<ApiKey> {
    let (first, last) = (ApiKey::CreateTopics, ApiKey::DeleteTopics);
    let between = APIS
        .iter()
        .map(|api| api.key)
        .filter(|key| *key != first && *key != last);
    [first].into_iter().chain(between).chain([last]).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_version_of_every_api_has_the_golden_bytes() {
    let rig = Rig::new();
    let mut client = rig.client();
    let mut mask = Mask::default();
    let mut lines = Vec::new();
    for key in apis_in_order() {
        let versions = key.info().implemented;
        for version in versions.min..=versions.max {
            // What is to be expected, and something else.
            for choices in [
                0,
                SOMETHING.wrapping_mul(u64::from(version.unsigned_abs()) + 1),
            ] {
                let request = request(key, version, &mut Choices(choices), &rig.service);
                mask.learn(&rig.service);
                let response = client.call_any(version, &request).unwrap();
                mask.learn(&rig.service);
                let asked = request.encode(version).unwrap().into_bytes();
                let (asked, told) = (
                    mask.apply(&asked, &rig),
                    mask.response(version, &response, &rig),
                );
                lines.push(format!("{} {version} > {}", key.name(), hex(&asked)));
                lines.push(format!("{} {version} < {}", key.name(), hex(&told)));
            }
        }
    }
    let golden: Vec<&str> = GOLDEN.lines().collect();
    let first = lines
        .iter()
        .zip(&golden)
        .find(|(line, golden)| line != *golden);
    assert!(
        lines == golden,
        "{} lines, {} before; the first that differs: {first:?}; conversation.txt would be:\n{}",
        lines.len(),
        golden.len(),
        lines.join("\n")
    );
}
