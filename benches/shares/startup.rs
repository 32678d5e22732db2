//! From nothing to the first acknowledged batch; what an idle server holds; the binary's size.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use highwater_broker::Broker;
use highwater_broker::service::produce::{Acks, ProduceCall, ProduceTopic, ZstdAllowed};
use highwater_broker::service::topics::{CreateTopicsCall, NewTopic};

use super::kit::disk;
use super::kit::load;
use super::kit::run::{Run, Unit, median};

type Failure = Box<dyn Error>;

pub(crate) fn measure(run: &mut Run) -> Result<(), Failure> {
    let times = (0..run.scale(21, 2)).map(|_| {
        let (seconds, done) = run.seconds(first_produce);
        done.map(|()| seconds)
    });
    let time = median(times.collect::<Result<_, _>>()?);
    run.at_most(
        "Broker::in_memory() to the first acknowledged batch",
        time,
        Unit::Time,
        10e-3,
    );

    let binary = binary(run)?;
    let size = disk::size(&binary)? as f64;
    run.at_most("binary, release, stripped", size, Unit::Size, MIB * 12.0);
    let (mut times, mut sizes) = (Vec::new(), Vec::new());
    for _ in 0..run.scale(7, 1) {
        let folder = run.folder("serve")?;
        let (seconds, server) = run.seconds(|| Server::start(&binary, folder.path()));
        times.push(seconds);
        sizes.push(disk::memory(server?.child.id(), "RssAnon")? as f64);
    }
    let what = "`highwater serve` to ready, empty directory";
    run.at_most(what, median(times), Unit::Time, 50e-3);
    let what = "`highwater serve`, idle, anonymous memory";
    run.at_most(what, median(sizes), Unit::Size, MIB * 15.0);
    Ok(())
}

fn first_produce() -> Result<(), Failure> {
    let broker = Broker::in_memory()?;
    let service = broker.service().clone();
    let batch = load::batch(load::RECORD_BYTES * 2)?;
    let work = async move {
        let topics = vec![NewTopic {
            name: "t".to_owned(),
            ..NewTopic::default()
        }];
        for topic in service
            .create_topics(CreateTopicsCall {
                topics,
                validate_only: false,
            })
            .await
        {
            topic.result.map_err(|error| error.to_string())?;
        }
        let topics = vec![ProduceTopic {
            topic: "t".to_owned(),
            partitions: vec![(0, Some(batch))],
        }];
        let call = ProduceCall {
            acks: Acks::All,
            transactional_id: None,
            zstd: ZstdAllowed::Yes,
            topics,
        };
        for answer in service.produce(call).await.await {
            answer.result.map_err(|error| error.to_string())?;
        }
        Ok::<_, String>(())
    };
    broker.block_on(work)?.map_err(Failure::from)
}

/// The binary as it is shipped; a try takes the one that was built with the benches.
fn binary(run: &Run) -> Result<PathBuf, Failure> {
    if run.is_smoke() {
        let path = option_env!("CARGO_BIN_EXE_highwater");
        return Ok(path
            .ok_or("the binary is not built without the feature `cli`")?
            .into());
    }
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--bin",
            "highwater",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?;
    if !status.success() {
        return Err("the release binary does not build".into());
    }
    Ok(disk::target_dir()?.join("release/highwater"))
}

/// A server process, ended with this value.
struct Server {
    child: Child,
}

impl Server {
    /// Starts it, and waits until it says that it is ready.
    fn start(binary: &std::path::Path, dir: &std::path::Path) -> Result<Self, Failure> {
        let child = Command::new(binary)
            .args([
                "serve",
                "--profile",
                "edge",
                "--kafka",
                "127.0.0.1:0",
                "--data-dir",
            ])
            .arg(dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut server = Self { child };
        let output = server.child.stdout.take().ok_or("the output is a pipe")?;
        for line in BufReader::new(output).lines() {
            if line?.contains("ready") {
                return Ok(server);
            }
        }
        Err("the server has ended before it was ready".into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("the server is not ended: {error}");
        }
    }
}

const MIB: f64 = 1_048_576.0;
