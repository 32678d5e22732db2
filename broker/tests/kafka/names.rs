//! Names that clients choose, where they would do harm if they became names of files.

use std::path::Path;
use std::sync::Arc;

use highwater_log::fs::Fs;
use highwater_log::fs::mem::MemFs;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::create_topics::{CreateTopic, CreateTopicsRequest};

use crate::group_kit::{COMMIT, JOIN, commit, committed, join};
use crate::kit::{PRODUCE, Rig, batch, produce};
use highwater_broker::config::BrokerConfig;

/// Everything below a directory, by its path.
fn tree(fs: &MemFs, dir: &Path, found: &mut Vec<String>) {
    // A file is no directory.
    for name in fs.list(dir).unwrap_or_default() {
        let path = dir.join(name);
        found.push(path.display().to_string());
        tree(fs, &path, found);
    }
}

#[test]
fn no_name_that_a_client_chooses_becomes_a_path() {
    let fs = MemFs::new();
    let rig = Rig::over(Arc::new(fs.clone()), BrokerConfig::default());
    rig.topic("chosen", 1);
    let mut client = rig.client();
    let produced = client.call(PRODUCE, produce("chosen", -1, batch(&["x"])));
    assert_eq!(produced.topics[0].partitions[0].error_code, 0);
    for name in [
        "../../chosen",
        "/etc/chosen",
        "..",
        ".",
        "a/chosen",
        "chosen\0",
    ] {
        let topic = CreateTopic {
            name: Str::from_static(name),
            num_partitions: 1,
            replication_factor: 1,
            ..CreateTopic::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            ..CreateTopicsRequest::default()
        };
        assert_eq!(client.call(5, request).topics[0].error_code, 17, "{name:?}");
        // A group may have any name.
        let offset = commit(name, "chosen", 1);
        assert_eq!(committed(&mut client, COMMIT, offset), 0, "{name:?}");
        let mut member = join(name, &Str::default());
        member.group_instance_id = Some(Str::from_static(name));
        assert_eq!(client.call(JOIN, member).error_code, 0, "{name:?}");
    }
    let mut found = Vec::new();
    tree(&fs, Path::new("/"), &mut found);
    let is_log = |path: &&String| path.ends_with(".log");
    assert!(found.iter().filter(is_log).count() >= 3, "{found:?}");
    for path in found {
        let is_ours = path == "/data" || path.starts_with("/data/");
        assert!(is_ours && !path.contains("chosen"), "{path}");
        assert!(!path.contains(".."), "{path}");
    }
}
