//! Power cuts: of the database at a step of a relay, and of the broker while a relay is at work.

#![expect(
    clippy::disallowed_methods,
    reason = "the files of the databases that lose their power"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater::Client;
use highwater::sql::{Database, OwnedTx, Postgres, SqlStatement, SqlTx, Sqlite};
use highwater_kit::postgres::Postgres as Cluster;

use crate::forgetful::{self, SYNCED};
use crate::judge::{self, Sale};
use crate::kills::{Scene, Seen};
use crate::process::{self, Disk, Ended, Served};
use crate::relaying::{self, Capture, Place, Role, Task, rows, said};
use crate::shop::{self, Shop};

/// Who publishes until the power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Publisher {
    Relay(Capture),
    /// A relay within the application.
    Shop,
    /// Without a durable commit of its own.
    Poller,
}

impl Publisher {
    fn role(self) -> Role {
        match self {
            Self::Relay(capture) => Role::Relay {
                capture,
                parked: 0,
                orders: [DURABLE, LATE, MORE].map(<[_]>::len).iter().sum::<usize>() as i64,
            },
            Self::Shop => Role::Shop { sales: SALES },
            Self::Poller => Role::Poller {
                deletes_first: false,
            },
        }
    }
}

/// A PostgreSQL whose commits do not wait for its log. What it has written, synced or not, outlives
/// a kill, and it writes whole pages of the log at once: so little goes into a page as can be.
pub(crate) const LATE_WRITES: &str = "synchronous_commit = off\nwal_writer_delay = 10s\nfsync = off\n\
     full_page_writes = off\nautovacuum = off";

/// Kills a publisher at a step and PostgreSQL with it, then goes on with a relay.
///
/// # Errors
/// A ghost or a loss that a relay is to blame for, or what went wrong.
pub(crate) async fn of_postgres(
    scene: &Scene<'_, Postgres>,
    (cluster, url): (&Arc<Cluster>, &str),
    publisher: Publisher,
    step: usize,
) -> Result<Seen, String> {
    let name = format!("{}_{step}", scene.name);
    // What broke with the cut before is not used again.
    let database = Postgres::connect(url).await.map_err(said)?;
    let shop = Shop::found(scene.client, database, name.clone()).await?;
    shop.open(scene.topic).await?;
    let mut tx = shop.begin().await?;
    let durable = SqlStatement::new("set local synchronous_commit = on");
    tx.execute(durable).await.map_err(said)?;
    let durable = shop.sell(&mut tx, DURABLE).await?;
    tx.commit().await.map_err(said)?;
    let mut late = Vec::new();
    for sale in LATE {
        late.extend(shop.sold(&[*sale]).await?);
    }

    let task = scene.task(&name, publisher.role(), Some(step));
    let sells = async {
        for sale in MORE {
            relaying::until(|| is_empty(&shop)).await;
            shop.sold(&[*sale]).await?;
        }
        Ok(())
    };
    let ended = until_it_ends(&task, publisher, sells).await?;
    let cluster = Arc::clone(cluster);
    let power_cut = tokio::task::spawn_blocking(move || {
        cluster.kill();
        cluster.restart();
    });
    power_cut.await.map_err(said)?;
    let database = Postgres::connect(url).await.map_err(said)?;
    let cut = judged(&shop, &database, (&durable, &late), publisher, ended).await?;
    if publisher != Publisher::Poller {
        go_on(scene, &database, &scene.place, &shop).await?;
    }
    Ok(cut)
}

/// The same with a SQLite whose application commits without a sync: the relay's process and ours
/// have one disk that forgets.
///
/// # Errors
/// As [`of_postgres`].
pub(crate) async fn of_sqlite(
    scene: &Scene<'_, Sqlite>,
    folder: &Path,
    publisher: Publisher,
    step: usize,
) -> Result<Seen, String> {
    let (path, shop) = on_a_disk_that_forgets(scene, folder, step).await?;
    let durable = shop.sold(DURABLE).await?;

    let mut application = rusqlite::Connection::open(&path).map_err(said)?;
    let synchronous = match step.is_multiple_of(2) {
        true => "pragma synchronous = normal",
        false => "pragma synchronous = off",
    };
    application.execute_batch(synchronous).map_err(said)?;
    let mut late = Vec::new();
    for sale in LATE {
        let mut tx = application.transaction().map_err(said)?;
        late.extend(shop.sell(&mut tx, &[*sale]).await?);
        tx.commit().map_err(said)?;
    }

    let task = Task {
        place: Place::Sqlite(path.clone()),
        ..scene.task(&shop.name, publisher.role(), Some(step))
    };
    let sells = async {
        for sale in MORE {
            relaying::until(|| is_empty(&shop)).await;
            let mut tx = application.transaction().map_err(said)?;
            shop.sell(&mut tx, &[*sale]).await?;
            tx.commit().map_err(said)?;
        }
        Ok(())
    };
    let ended = until_it_ends(&task, publisher, sells).await?;
    let cut = what_is_left(scene, &path, &shop, (&durable, &late), (publisher, ended)).await?;
    drop((application, shop));
    fs::remove_dir_all(folder_of(&path)).map_err(said)?;
    Ok(cut)
}

/// The same with an application that has its relay within. What it commits is synced; beside it
/// somebody else commits without a sync.
///
/// # Errors
/// As [`of_postgres`].
pub(crate) async fn of_a_shop(
    scene: &Scene<'_, Sqlite>,
    folder: &Path,
    step: usize,
) -> Result<Seen, String> {
    let (path, shop) = on_a_disk_that_forgets(scene, folder, step).await?;
    let durable = shop.sold(DURABLE).await?;
    let task = Task {
        place: Place::Sqlite(path.clone()),
        ..scene.task(&shop.name, Publisher::Shop.role(), Some(step))
    };
    let ended = process::run(&task).await?;
    let before = shop.orders().await?;
    let sold = (durable.as_slice(), before.as_slice());
    let cut = what_is_left(scene, &path, &shop, sold, (Publisher::Shop, ended)).await?;
    drop(shop);
    fs::remove_dir_all(folder_of(&path)).map_err(said)?;
    Ok(cut)
}

/// A shop of its own for a step, and its database.
async fn on_a_disk_that_forgets<'a>(
    scene: &Scene<'a, Sqlite>,
    folder: &Path,
    step: usize,
) -> Result<(PathBuf, Shop<'a, Sqlite>), String> {
    forgetful::everywhere();
    let name = format!("{}_{step}", scene.name);
    let path = folder.join(&name).join("shop.db");
    fs::create_dir_all(folder_of(&path).join(SYNCED)).map_err(said)?;
    let database = Sqlite::open(&path).await.map_err(said)?;
    shop::prepare(&database).await?;
    let shop = Shop::found(scene.client, database, name).await?;
    shop.open(scene.topic).await?;
    Ok((path, shop))
}

/// Cuts the power: what the disk has synced is judged, and a relay goes on with it.
async fn what_is_left(
    scene: &Scene<'_, Sqlite>,
    path: &Path,
    shop: &Shop<'_, Sqlite>,
    sold: (&[Sale], &[Sale]),
    (publisher, ended): (Publisher, Ended),
) -> Result<Seen, String> {
    // Now, before anybody closes the file, which would sync it.
    let folder = folder_of(path);
    let left = folder.join("left").join("shop.db");
    copy_all(&folder.join(SYNCED), &folder.join("left"))?;
    let database = Sqlite::open(&left).await.map_err(said)?;
    let cut = judged(shop, &database, sold, publisher, ended).await?;
    if publisher != Publisher::Poller {
        go_on(scene, &database, &Place::Sqlite(left), shop).await?;
    }
    Ok(cut)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().expect("the database has a folder of its own")
}

/// Runs a publisher to its end. To a relay something is sold whenever it has nothing left to do, so
/// that it is not synced by what the relay did before.
async fn until_it_ends(
    task: &Task,
    publisher: Publisher,
    sells: impl Future<Output = Result<(), String>>,
) -> Result<Ended, String> {
    let sells = async {
        if publisher != Publisher::Poller {
            sells.await?;
        }
        std::future::pending().await
    };
    tokio::select! {
        ended = process::run(task) => ended,
        never = sells => never,
    }
}

async fn is_empty<D: Database>(shop: &Shop<'_, D>) -> bool {
    let select = format!("select count(*) from {}", shop.name);
    let rows = rows(&shop.database, SqlStatement::new(select)).await;
    rows.is_ok_and(|rows| rows[0].integer(0) == Ok(0))
}

fn copy_all(source: &Path, target: &Path) -> Result<(), String> {
    fs::create_dir(target).map_err(said)?;
    for entry in fs::read_dir(source).map_err(said)? {
        let entry = entry.map_err(said)?;
        fs::copy(entry.path(), target.join(entry.file_name())).map_err(said)?;
    }
    Ok(())
}

/// What the database has after a cut, against what was published before it.
async fn judged<D: Database>(
    shop: &Shop<'_, D>,
    database: &D,
    (durable, late): (&[Sale], &[Sale]),
    publisher: Publisher,
    ended: Ended,
) -> Result<Seen, String> {
    let orders = shop::orders(database, &shop.name).await?;
    let published = shop.published().await?;
    let gone = judge::missing(durable, &orders);
    if !gone.is_empty() {
        return Err(format!("the database lost what it had synced: {gone:?}"));
    }
    let ghosts = judge::missing(&published, &orders);
    if publisher != Publisher::Poller && !ghosts.is_empty() {
        return Err(format!("published, and undone by the cut: {ghosts:?}"));
    }
    Ok(Seen {
        kills: u64::from(ended == Ended::Died),
        rows: judge::count(orders.len()),
        undone: judge::count(judge::missing(late, &orders).len()),
        ghosts: judge::count(ghosts.len()),
        is_last: ended == Ended::Lived,
        ..Seen::default()
    })
}

/// Another relay publishes what is there, and what comes: all of it, and nothing else.
async fn go_on<D: Database>(
    scene: &Scene<'_, D>,
    database: &D,
    place: &Place,
    before: &Shop<'_, D>,
) -> Result<(), String> {
    let name = before.name.clone();
    let shop = Shop::found(scene.client, database.clone(), name.clone()).await?;
    shop.sold(&[("a", 100), ("c", 101)]).await?;
    let relay = Role::Relay {
        capture: scene.capture,
        parked: 0,
        orders: 0,
    };
    let task = Task {
        place: place.clone(),
        ..scene.task(&name, relay, None)
    };
    process::run(&task).await?;
    let orders = shop.orders().await?;
    judge::whole(&orders, &shop.published().await?)?;
    shop.close().await
}

/// Whether a topic acknowledges what is on its disk, or what is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acks {
    Durable,
    Memory,
}

/// Power cuts of a broker while a relay publishes to it, `count` of them.
///
/// # Errors
/// What was lost, made up or overtaken, or what went wrong; with acknowledgements out of memory a
/// loss is none.
pub(crate) async fn of_broker(
    folder: &Path,
    acks: Acks,
    (count, seed): (u64, u64),
) -> Result<Seen, String> {
    let data = folder.join("data");
    fs::create_dir_all(&data).map_err(said)?;
    let mut broker = Served::start(Disk::Forgets, &data, "127.0.0.1:0")?;
    let client = Client::connect(&broker.address).await.map_err(said)?;
    let path = folder.join("shop.db");
    let database = Sqlite::open(&path).await.map_err(said)?;
    shop::prepare(&database).await?;
    let shop = Shop::found(&client, database, "cuts".to_owned()).await?;
    let memory = [("durability", "page-cache")];
    shop.open(if acks == Acks::Memory { &memory } else { &[] })
        .await?;
    let relays = Task {
        role: Role::Relays {
            memory_acks: acks == Acks::Memory,
        },
        broker: broker.address.clone(),
        place: Place::Sqlite(path),
        name: shop.name.clone(),
        dies_at: None,
    };
    let mut relay = process::start(&relays)?;

    let (mut sold, mut lost) = (Vec::new(), Vec::new());
    for cut in 0..count {
        let number = i64::try_from(cut * ROWS).map_err(said)?;
        // Cut at another moment each time: when so many rows of these are left.
        let left_max = (seed.wrapping_add(cut).wrapping_mul(0x9E37_79B9)) % ROWS;
        for row in 0..i64::try_from(ROWS).map_err(said)? {
            let key = ["a", "b", "c"][usize::try_from(row % 3).map_err(said)?];
            sold.extend(shop.sold(&[(key, number + row)]).await?);
        }
        relaying::until(|| async {
            left(&shop)
                .await
                .is_ok_and(|left| judge::count(left.len()) <= left_max)
        })
        .await;
        if !relay.is_there() {
            return Err("the relay has ended by itself".to_owned());
        }
        let address = broker.address.clone();
        broker.kill();
        // What is left now is the most that anybody will publish.
        let left = left(&shop).await?;
        broker = Served::start(Disk::Forgets, &data, &address)?;
        let published = shop.published().await?;
        judge::nothing_else(&sold, &published)?;
        lost = judge::missing(&sold, &published);
        lost.retain(|number| !left.contains(number));
    }
    relaying::until(|| async { left(&shop).await.is_ok_and(|left| left.is_empty()) }).await;
    relay.kill();
    let published = shop.published().await?;
    let again = match acks {
        Acks::Durable => judge::whole(&sold, &published)?,
        Acks::Memory => 0,
    };
    Ok(Seen {
        kills: count,
        rows: judge::count(sold.len()),
        again,
        lost: judge::count(lost.len()),
        ..Seen::default()
    })
}

/// The numbers of the rows that are in the outbox.
async fn left<D: Database>(shop: &Shop<'_, D>) -> Result<Vec<i64>, String> {
    let select = format!(
        "select cast(cast(payload as text) as integer) from {}",
        shop.name
    );
    let rows = rows(&shop.database, SqlStatement::new(select)).await?;
    rows.iter()
        .map(|row| row.integer(0).map_err(said))
        .collect()
}

/// Synced by the database before anything else is sold.
const DURABLE: &[(&str, i64)] = &[("a", 1), ("b", 2), ("c", 3)];
/// Committed, and not synced.
const LATE: &[(&str, i64)] = &[("a", 4), ("b", 5), ("c", 6), ("a", 7), ("a", 8), ("b", 9)];
/// The same, one by one whenever the relay has published everything.
const MORE: &[(&str, i64)] = &[("d", 10), ("a", 11), ("d", 12), ("b", 13)];
/// How often an application sells.
const SALES: i64 = 9;
/// Rows between two power cuts of a broker.
const ROWS: u64 = 18;
