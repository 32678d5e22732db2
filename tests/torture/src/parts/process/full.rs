//! A real file system without room, and a real sync that fails.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use highwater_client::{Client, CommittedOffset, Producer, ProducerConfig, Record};

use super::records::{Acked, create, expect};
use super::{Scenarios, block_on, failed};
use crate::part::{Finding, Notes};
use crate::process::{Server, pause};

/// A tmpfs of 64 MiB in a mount namespace of the broker's own: others fill it to its last byte;
/// producers are refused, offsets go on, and all is well again at most 5 s after there is room.
pub(super) fn file_system(place: &Scenarios, notes: &Notes) -> Result<(), Finding> {
    const ROW: &str = "full tmpfs, producing again after there is room";
    if !works(&["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]) {
        notes.row(ROW, "NOT RUN: no mount namespace for this user");
        return Ok(());
    }
    let plan = place.plan("full")?;
    let mount = plan.data_dir.clone();
    fs::create_dir_all(&mount).map_err(io)?;
    let mounted = "mount -t tmpfs -o size=64m tmpfs \"$0\" && exec \"$@\"";
    let words = ["unshare", "-rm", "sh", "-c", mounted];
    let words = words.iter().map(|word| (*word).into());
    let words: Vec<_> = words.chain([mount.clone().into_os_string()]).collect();
    let mut plan = plan.under(words);
    plan.data_dir = mount.join("data");
    let server = plan.start()?;
    let took = block_on(fill_and_empty(&server, &mount))?;
    notes.row(ROW, format!("{:.3} s", took.as_secs_f64()));
    if took > Duration::from_secs(50) {
        return Err(Finding::new(format!(
            "{} s passed from room to the next record",
            took.as_secs()
        )));
    }
    server.stop().map(|_| ())
}

async fn fill_and_empty(server: &Server, mount: &std::path::Path) -> Result<Duration, Finding> {
    let client = Client::connect(&server.bootstrap)
        .await
        .map_err(failed("no connection"))?;
    create(&client, "t", 1, &[]).await?;
    let producer = impatient(&client)?;
    let mut acked = Acked::new();
    send(&producer, "first", &mut acked)
        .await
        .map_err(failed("the first record"))?;
    // The broker's file system is seen through its process.
    let root = PathBuf::from(format!("/proc/{}/root", server.pid()));
    let inside = mount.strip_prefix("/").unwrap_or(mount);
    let ballast = root.join(inside).join("ballast");
    let reserve = root.join(inside).join("data/RESERVE");
    expect_file(&reserve)?;
    fill(&ballast)?;
    let mut offset = 0;
    let until = Instant::now() + REFUSED_WITHIN;
    while send(&producer, "on a full disk", &mut acked).await.is_ok() {
        if Instant::now() > until {
            return Err(Finding::new("a full disk takes records"));
        }
    }
    for _ in 0..200 {
        offset += 1;
        commit(&client, offset).await?;
    }
    if reserve.exists() {
        return Err(Finding::new("the reserve was not given up"));
    }
    fs::remove_file(&ballast).map_err(io)?;
    let since = Instant::now();
    while send(&producer, "after", &mut acked).await.is_err() {
        if since.elapsed() > Duration::from_secs(60) {
            return Err(Finding::new("it does not heal by itself"));
        }
    }
    let took = since.elapsed();
    expect_file(&reserve)?;
    commit(&client, offset + 1).await?;
    expect(&client, "t", &acked).await?;
    Ok(took)
}

/// A sync fails with `on.poison=exit`: the process ends with code 1, and the next one has all that
/// was acknowledged.
pub(super) fn exit_after_a_failed_sync(place: &Scenarios, notes: &Notes) -> Result<(), Finding> {
    const ROW: &str = "on.poison=exit, from the failed sync to the end";
    if !works(&["strace", "-o", "/dev/null", "true"]) {
        notes.row(ROW, "NOT RUN: strace cannot trace here");
        return Ok(());
    }
    let plan = place.plan("poison-exit")?.set("on.poison", "exit");
    // Counted for each thread: the one that commits comes to it.
    let inject = "inject=fdatasync:error=EIO:when=30+";
    let words = [
        "strace",
        "-D",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=fdatasync",
        "-e",
        inject,
    ];
    let mut traced = plan.clone().under(words);
    let mut server = traced.start()?;
    let acked = block_on(send_until_refused(&server))?;
    let since = Instant::now();
    match server.wait(Duration::from_secs(30)) {
        Some(status) if status.code() == Some(1) => {}
        other => {
            let tail = traced.log_tail();
            return Err(Finding::new(format!(
                "on.poison=exit ended with {other:?}; it said:\n{tail}"
            )));
        }
    }
    notes.row(ROW, format!("{:.3} s", since.elapsed().as_secs_f64()));
    let mut plan = plan;
    let server = plan.start()?;
    let found = block_on(async {
        let client = Client::connect(&server.bootstrap)
            .await
            .map_err(failed("no connection"))?;
        expect(&client, "t", &acked).await
    });
    found?;
    server.stop().map(|_| ())
}

async fn send_until_refused(server: &Server) -> Result<Acked, Finding> {
    let client = Client::connect(&server.bootstrap)
        .await
        .map_err(failed("no connection"))?;
    create(&client, "t", 1, &[]).await?;
    let producer = impatient(&client)?;
    let mut acked = Acked::new();
    for number in 0..1000 {
        if send(&producer, &number.to_string(), &mut acked)
            .await
            .is_err()
        {
            return Ok(acked);
        }
    }
    Err(Finding::new("no sync failed"))
}

/// Every record is a request of its own and is given up soon.
fn impatient(client: &Client) -> Result<Producer, Finding> {
    let config = ProducerConfig {
        delivery_timeout_ms: 300,
        request_timeout_ms: 250,
        linger_ms: 0,
        ..ProducerConfig::default()
    };
    client.producer(config).map_err(failed("no producer"))
}

async fn send(
    producer: &Producer,
    value: &str,
    acked: &mut Acked,
) -> Result<(), highwater_client::ClientError> {
    let record = Record::to("t").partition(0).value(value.to_owned());
    let delivered = producer.send(record).await?.await?;
    acked.insert(delivered.offset, value.to_owned());
    Ok(())
}

async fn commit(client: &Client, offset: i64) -> Result<(), Finding> {
    let offset = CommittedOffset {
        topic: "t".to_owned(),
        offset,
        ..CommittedOffset::default()
    };
    let committed = client.admin().alter_group_offsets("group", &[offset]).await;
    committed.map_err(failed("an offset is not committed on a full disk"))
}

/// The reserve is made once the broker has lived for a second, and again when there is room.
fn expect_file(path: &std::path::Path) -> Result<(), Finding> {
    let until = Instant::now() + REFUSED_WITHIN;
    while !path.exists() {
        if Instant::now() > until {
            return Err(Finding::new(format!("{} is not made", path.display())));
        }
        pause(Duration::from_millis(20));
    }
    Ok(())
}

/// Writes until there is no room for a byte.
fn fill(path: &std::path::Path) -> Result<(), Finding> {
    let mut file = File::create(path).map_err(io)?;
    let zeros = vec![0; 64 << 10];
    let mut step = zeros.len();
    while step > 0 {
        match file.write(&zeros[..step]) {
            Ok(written) if written > 0 => {}
            _ => step /= 2,
        }
    }
    Ok(())
}

fn works(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    let quiet = command
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

#[expect(clippy::needless_pass_by_value, reason = "it takes what map_err gives")]
fn io(error: std::io::Error) -> Finding {
    Finding::new(error.to_string())
}

/// The broker looks at its disk once a second.
const REFUSED_WITHIN: Duration = Duration::from_secs(20);
