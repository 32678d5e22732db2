//! Damaged records, as clients meet them.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_broker::config::BrokerConfig;
use highwater_log::fs::mem::MemFs;
use highwater_log::fs::{Fs, OpenMode};
use highwater_proto::code::ErrorCode;

use crate::kit::{FETCH, PRODUCE, Rig, batch, fetch, produce};

/// All files below a directory.
fn files(fs: &MemFs, dir: &Path) -> Vec<PathBuf> {
    let paths = fs.list(dir).unwrap().into_iter().map(|name| dir.join(name));
    paths
        .flat_map(|path| match fs.list(&path) {
            Ok(_) => files(fs, &path),
            Err(_) => vec![path],
        })
        .collect()
}

#[test]
fn a_damaged_batch_answers_corrupt_message_and_the_others_are_served() {
    let fs = MemFs::new();
    let rig = Rig::over(Arc::new(fs.clone()), BrokerConfig::default());
    rig.topic("t", 1);
    let mut client = rig.client();
    for value in ["first", "precious", "third"] {
        let response = client.call(PRODUCE, produce("t", -1, batch(&[value])));
        assert_eq!(response.topics[0].partitions[0].error_code, 0);
    }
    for path in files(&fs, Path::new("/data/logs")) {
        let file = fs.open(&path, OpenMode::Append).unwrap();
        let bytes = file.read_at(0, 1 << 20).unwrap();
        if let Some(at) = bytes.windows(8).position(|part| part == b"precious") {
            file.write_at(at as u64, &[IoSlice::new(b"rubbish!")])
                .unwrap();
        }
    }
    let mut codes = Vec::new();
    for offset in 0..3 {
        let response = client.call(FETCH, fetch("t", offset, 0));
        codes.push(response.topics[0].partitions[0].error_code);
    }
    assert_eq!(codes, [0, ErrorCode::CorruptMessage as i16, 0]);
    assert_eq!(ErrorCode::CorruptMessage as i16, 2);
}
