//! Redis Streams beside Highwater, both over loopback: `XADD` with `appendfsync always` against
//! `fsync`, and with `everysec` against `page-cache`, which promises more.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::BytesMut;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::Call;
use crate::Failure;
use crate::Ran;
use crate::disk;
use crate::figures::Class;
use crate::figures::Figures;
use crate::figures::Side;
use crate::figures::Target;
use crate::figures::Unit;
use crate::figures::Work;
use crate::load::Load;
use crate::load::Peer;
use crate::load::Ready;
use crate::load::Way;
use crate::meter::Meter;
use crate::meter::Pass;
use crate::ours::Ours;
use crate::resp::{self, Reply};
use crate::server::{self, Program, Server};

pub(crate) fn measure(figures: &mut Figures, call: &Call) -> Result<Ran, Failure> {
    let Some(version) = version() else {
        return Ok(Ran::Skipped(
            "no redis-server: Debian's package is `apt-get install redis-server`".to_owned(),
        ));
    };
    let program = match &call.binary {
        Some(binary) => Program::Highwater(binary.clone()),
        // The same code; nothing but CPU time and memory of this process is asked of it.
        None => Program::Own,
    };
    figures.note(format!("Redis {version}, without snapshots and rewrites"));
    let server = Server::start(program)?;
    let rig = Rig {
        client: Ours::new(server.address())?,
        server,
        meter: Meter::new(),
    };
    let always = Redis::start("always")?;
    let load = Load {
        records: call.scale(5_000, 50),
        record_bytes: 1024,
        partitions: 1,
        batch_size: 32_768,
        linger_ms: 0,
    };
    // A caller's p50 is to be three quarters of Redis's.
    let one = [(
        Ways {
            sockets: 1,
            each: 1,
        },
        1.0 / 0.75,
    )];
    rig.awaited(figures, &always, (&load, 1), &one)?;
    let load = Load {
        records: call.scale(100_000, 640),
        ..load
    };
    let ways = [(64, 1), (1, 64)].map(|(sockets, each)| (Ways { sockets, each }, 1.5));
    rig.awaited(figures, &always, (&load, 64), &ways)?;
    drop(always);

    let everysec = Redis::start("everysec")?;
    let load = Load {
        records: call.scale(2_000_000, 2_000),
        record_bytes: 100,
        linger_ms: 20,
        ..load
    };
    rig.pipelined(figures, &everysec, &load)?;
    rig.memory(figures, &everysec, &load)?;
    Ok(Ran::Yes)
}

fn version() -> Option<String> {
    let output = Command::new("redis-server")
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let words = text.split_whitespace();
    let version = words.into_iter().find_map(|word| word.strip_prefix("v="));
    version.map(str::to_owned)
}

/// How many connections, and how many commands are on their way in each.
#[derive(Clone, Copy)]
struct Ways {
    sockets: usize,
    each: usize,
}

struct Rig {
    client: Ours,
    server: Server,
    meter: Meter,
}

impl Rig {
    /// Callers who each wait for their own durable record.
    fn awaited(
        &self,
        figures: &mut Figures,
        redis: &Redis,
        (load, callers): (&Load, usize),
        ways: &[(Ways, f64)],
    ) -> Result<(), Failure> {
        let work = Work {
            what: match callers {
                1 => format!("{} B, 1 caller", load.record_bytes),
                _ => format!("{} B, {callers} callers", load.record_bytes),
            },
            unit: Unit::Records,
        };
        let way = Way::Callers(callers);
        let ours = || self.server.pass(&self.client, Class::Synced, load, way);
        let mut sides = vec![self.side(Class::Synced, ours)];
        for (ways, min) in ways {
            let Ways { sockets, each } = *ways;
            sides.push(Side {
                name: format!("Redis always, {sockets} x {each}"),
                class: Class::Synced,
                target: Target::AtLeast(*min),
                run: Box::new(move || redis.pass(&self.meter, load, *ways)),
            });
        }
        figures.compare(&work, &mut sides)
    }

    fn pipelined(&self, figures: &mut Figures, redis: &Redis, load: &Load) -> Result<(), Failure> {
        let ways = Ways {
            sockets: 16,
            each: 64,
        };
        let work = Work {
            what: format!("{} B, as fast as they are taken", load.record_bytes),
            unit: Unit::Records,
        };
        let ours = || {
            let class = Class::Cached;
            self.server.pass(&self.client, class, load, Way::Flood)
        };
        let theirs = Side {
            name: "Redis everysec, 16 x 64".to_owned(),
            class: Class::Lazy,
            target: Target::AtLeast(5.0),
            run: Box::new(|| redis.pass(&self.meter, load, ways)),
        };
        figures.compare(&work, &mut [self.side(Class::Cached, ours), theirs])
    }

    /// With the last records stored: Redis holds them in memory, that is its design.
    fn memory(&self, figures: &mut Figures, redis: &Redis, load: &Load) -> Result<(), Failure> {
        let ways = Ways {
            sockets: 16,
            each: 64,
        };
        redis.add(load, ways)?;
        let topic = self.server.topic(load.partitions, Class::Cached)?;
        self.client.produce(&topic, load)?.go()?;
        let ours = disk::anonymous_bytes(self.server.id())? as f64;
        let theirs = disk::anonymous_bytes(redis.process.id())? as f64;
        let work = Work {
            what: format!("anonymous resident memory, {} stored", load.records),
            unit: Unit::Size,
        };
        let by = ("Redis everysec", Target::LessIsBetter);
        figures.pair(&work, by, (vec![ours], vec![theirs]));
        Ok(())
    }

    fn side<'a>(
        &'a self,
        class: Class,
        run: impl FnMut() -> Result<Pass, Failure> + 'a,
    ) -> Side<'a> {
        Side {
            name: "highwater".to_owned(),
            class,
            target: Target::MoreIsBetter,
            run: Box::new(run),
        }
    }
}

/// A running Redis.
struct Redis {
    process: Child,
    address: SocketAddr,
    runtime: Runtime,
    meter: Meter,
    // Goes last: the process holds files in it.
    _folder: TempDir,
}

impl Redis {
    fn start(appendfsync: &str) -> Result<Self, Failure> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build()?;
        let folder = disk::folder()?;
        let address = server::free_address()?;
        let port = address.port().to_string();
        let messages: PathBuf = folder.path().join("messages.txt");
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port, "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", appendfsync])
            // A rewrite beside the load would only slow it down.
            .args(["--auto-aof-rewrite-percentage", "0", "--daemonize", "no"])
            .arg("--dir")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(server::create(&messages)?)
            .spawn()?;
        let mut redis = Self {
            process,
            address,
            runtime,
            meter: Meter::new(),
            _folder: folder,
        };
        let answered = redis.meter.wait(&redis.runtime, (PAUSE, PATIENCE), || {
            if let Some(status) = redis.process.try_wait()? {
                let why = disk::last_lines(&messages);
                return Err(format!("redis-server has ended with {status}:\n{why}").into());
            }
            Ok(resp::ask(address, &[b"PING"]).ok())
        })?;
        answered.ok_or("redis-server does not answer")?;
        Ok(redis)
    }

    /// Adds all to an empty stream, and fails unless it holds them.
    fn pass(&self, meter: &Meter, load: &Load, ways: Ways) -> Result<Pass, Failure> {
        let id = Some(self.process.id());
        let pass = meter.pass(load.size(), id, || Ok(Ready::new(|| self.add(load, ways))))?;
        let stored = resp::ask(self.address, &[b"XLEN", STREAM])?;
        if stored != Reply::Number(i64::try_from(load.records)?) {
            return Err(format!("{stored:?} of {} records are stored", load.records).into());
        }
        resp::ask(self.address, &[b"DEL", STREAM])?;
        Ok(pass)
    }

    fn add(&self, load: &Load, ways: Ways) -> Result<(), Failure> {
        let Ways { sockets, each } = ways;
        let value = vec![7; load.record_bytes];
        let command = resp::command(&[b"XADD", STREAM, b"*", b"v", &value]);
        self.runtime.block_on(async {
            let tasks: Vec<_> = (0..sockets)
                .map(|socket| {
                    let count = (socket..load.records).step_by(sockets).count();
                    let (address, command) = (self.address, command.clone());
                    tokio::spawn(async move { pump(address, &command, each, count).await })
                })
                .collect();
            for task in tasks {
                task.await??;
            }
            Ok(())
        })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Err(error) = server::end(&mut self.process, &self.meter, &self.runtime) {
            let id = self.process.id();
            eprintln!("redis-server with the id {id} is not ended: {error}");
        }
    }
}

/// Sends a command so often, so many of them on their way at a time, and takes all answers.
async fn pump(
    address: SocketAddr,
    command: &[u8],
    each: usize,
    count: usize,
) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let full = command.repeat(each);
    let (mut sent, mut answered) = (0, 0);
    let mut answers = BytesMut::with_capacity(1 << 16);
    while answered < count {
        let more = (each - (sent - answered)).min(count - sent);
        stream.write_all(&full[..more * command.len()]).await?;
        sent += more;
        if stream.read_buf(&mut answers).await? == 0 {
            return Err("Redis has closed the connection".into());
        }
        while let Some((reply, used)) = resp::parse(&answers)? {
            let Reply::Bulk(_) = reply else {
                return Err(format!("{reply:?} is no id of a record").into());
            };
            let _taken = answers.split_to(used);
            answered += 1;
        }
    }
    Ok(())
}

const STREAM: &[u8] = b"records";
const PAUSE: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(30);
