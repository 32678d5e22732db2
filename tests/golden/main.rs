//! Data directories that earlier versions wrote, opened by this one, for ever.
//!
//! One folder a format change: `1/clean` was closed in good order, `1/killed` is what the death of
//! the process left (a torn journal, no mark of a clean stop), and `1/contents.txt` is what both
//! hold. A change of the format adds a folder and never touches an old one: `WRITE=2 cargo test
//! --test golden` writes folder 2.
//!
//! Invariants
//! - An old directory is copied, never opened in place.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "the whole crate is a test, which copies real files"
)]

mod contents;
mod story;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater::Broker;
use highwater::broker::clock::VirtualClock;
use highwater::broker::config::BrokerConfig;
use highwater_log::fs::Fs;
use highwater_log::fs::os::OsFs;
use highwater_log::inspect::verify;
use highwater_proto::clock::Wall;

/// When the directories were written: retention and the expiry of groups count from there.
const WRITTEN: Wall = Wall(1_795_651_200_000);

fn open(dir: &Path) -> Broker {
    let config = BrokerConfig {
        log_journal_bytes: 16 << 10,
        ..BrokerConfig::default()
    };
    let clock = Arc::new(VirtualClock::new(WRITTEN));
    let broker = Broker::builder().data_dir(dir).config(config).clock(clock);
    broker
        .start()
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The folders of all format changes.
fn changes() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(golden()).unwrap();
    let mut dirs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    dirs.retain(|path| path.is_dir());
    dirs.sort();
    dirs
}

#[tokio::test]
async fn every_directory_that_was_ever_written_opens_and_holds_what_it_held() {
    if let Ok(name) = std::env::var("WRITE") {
        story::write(&golden().join(name)).await;
    }
    let changes = changes();
    assert!(!changes.is_empty());
    for dir in changes {
        let expected = std::fs::read_to_string(dir.join("contents.txt")).unwrap();
        for state in ["clean", "killed"] {
            let place = format!("{}/{state}", dir.display());
            let scratch = tempfile::tempdir().unwrap();
            let data = scratch.path().join("data");
            copy(&dir.join(state), &data);
            // Twice: what the first start makes of the directory is right, too.
            for start in 1..=2 {
                let broker = open(&data);
                let found = contents::read(&broker).await;
                assert_eq!(found, expected, "{place}, start {start}");
                broker.shutdown().await.unwrap();
            }
            let broker = open(&data);
            story::go_on(&broker).await;
            broker.shutdown().await.unwrap();
            assert_sound(&data, &place);
        }
    }
}

fn assert_sound(data: &Path, place: &str) {
    let fs: Arc<dyn Fs> = Arc::new(OsFs::new());
    let mut events = Vec::new();
    let verified = verify(&fs, data, &mut |event| events.push(format!("{event:?}"))).unwrap();
    assert_eq!(verified.damaged, 0, "{place}: {events:#?}");
}
