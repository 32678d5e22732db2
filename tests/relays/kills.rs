//! Relays and consumers killed at a step, started again, and judged.

use highwater::Client;
use highwater::sql::{Database, Dialect, OwnedTx};

use crate::judge::{self, Sale};
use crate::process::{self, Ended};
use crate::relaying::{Capture, Ordered, Place, Role, Task, said};
use crate::shop::Shop;

/// Where the relays of a series work.
pub(crate) struct Scene<'a, D> {
    pub(crate) client: &'a Client,
    pub(crate) broker: &'a str,
    /// What a topic needs to be safe there.
    pub(crate) topic: &'a [(&'a str, &'a str)],
    pub(crate) database: D,
    pub(crate) place: Place,
    pub(crate) capture: Capture,
    /// The beginning of the names of its tables, topics and groups.
    pub(crate) name: String,
}

/// What one step came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) kills: u64,
    /// That were committed.
    pub(crate) rows: u64,
    /// Records that were there once more.
    pub(crate) again: u64,
    pub(crate) effects: u64,
    /// Rows that a power cut took back.
    pub(crate) undone: u64,
    /// Events that are published, although their rows were taken back; effects that took place
    /// once more.
    pub(crate) ghosts: u64,
    /// Events of rows that are there, or were done with, which nobody will publish.
    pub(crate) lost: u64,
    /// No process of this run has such a step.
    pub(crate) is_last: bool,
}

/// Kills a relay at a step, and behind it a consumer at the same step of its own; both are started
/// again.
///
/// # Errors
/// What was lost, made up or overtaken, or what went wrong.
pub(crate) async fn relay_and_consumer<D: Database>(
    scene: &Scene<'_, D>,
    step: usize,
) -> Result<Seen, String> {
    let name = format!("{}_{step}", scene.name);
    let shop = Shop::found(scene.client, scene.database.clone(), name).await?;
    shop.open(scene.topic).await?;
    let task = |role, dies_at| scene.task(&shop.name, role, dies_at);
    let relay = Role::Relay {
        capture: scene.capture,
        parked: 1,
        orders: 0,
    };

    let (mut committed, open) = fill(&shop).await?;
    let first = process::run(&task(relay.clone(), Some(step))).await?;
    committed.extend(fill_behind(&shop, open).await?);
    process::run(&task(relay, None)).await?;

    let published = shop.published().await?;
    let again = judge::whole(&committed, &published)?;
    if again > BATCH_ROWS {
        return Err(format!(
            "{again} rows were published again, more than a batch"
        ));
    }
    if shop.parked().await? != 1 {
        return Err("the key that cannot be published is not parked".to_owned());
    }

    let ends = shop.ends().await?;
    let order = match step.is_multiple_of(2) {
        true => Ordered::Key,
        false => Ordered::Partition,
    };
    let consumer = Role::Consumer { order, ends };
    let second = process::run(&task(consumer.clone(), Some(step))).await?;
    process::run(&task(consumer, None)).await?;
    let effects = shop.effects().await?;
    judge::effects(&committed, &effects)?;

    shop.close().await?;
    Ok(Seen {
        kills: u64::from(first == Ended::Died) + u64::from(second == Ended::Died),
        rows: judge::count(committed.len()),
        again,
        effects: judge::count(effects.len()),
        is_last: [first, second] == [Ended::Lived; 2],
        ..Seen::default()
    })
}

/// The same with a poller that deletes its rows before it publishes them.
///
/// # Errors
/// What went wrong; that rows are lost is no error here.
pub(crate) async fn poller<D: Database>(scene: &Scene<'_, D>, step: usize) -> Result<Seen, String> {
    let name = format!("{}_{step}", scene.name);
    let shop = Shop::found(scene.client, scene.database.clone(), name).await?;
    shop.open(scene.topic).await?;
    let mut committed = Vec::new();
    for number in 0..6 {
        committed.extend(shop.sold(&[("k", number)]).await?);
    }
    let poller = Role::Poller {
        deletes_first: true,
    };
    let task = |dies_at| scene.task(&shop.name, poller.clone(), dies_at);
    let ended = process::run(&task(Some(step))).await?;
    process::run(&task(None)).await?;
    let lost = judge::missing(&committed, &shop.published().await?);
    shop.close().await?;
    Ok(Seen {
        kills: u64::from(ended == Ended::Died),
        rows: judge::count(committed.len()),
        lost: judge::count(lost.len()),
        is_last: ended == Ended::Lived,
        ..Seen::default()
    })
}

/// Kills a consumer without an inbox.
///
/// # Errors
/// What went wrong; that effects take place twice is no error here.
pub(crate) async fn careless<D: Database>(
    scene: &Scene<'_, D>,
    step: usize,
) -> Result<Seen, String> {
    let name = format!("{}_{step}", scene.name);
    let shop = Shop::found(scene.client, scene.database.clone(), name).await?;
    shop.open(scene.topic).await?;
    let sales = [("a", 1), ("b", 2), ("c", 3), ("a", 4), ("b", 5), ("c", 6)];
    let committed = shop.sold(&sales).await?;
    let task = |role, dies_at| scene.task(&shop.name, role, dies_at);
    let relay = Role::Relay {
        capture: scene.capture,
        parked: 0,
        orders: 0,
    };
    process::run(&task(relay, None)).await?;
    let ends = shop.ends().await?;
    let consumer = Role::Careless { ends };
    let ended = process::run(&task(consumer.clone(), Some(step))).await?;
    process::run(&task(consumer, None)).await?;
    let effects = shop.effects().await?.len();
    shop.close().await?;
    Ok(Seen {
        kills: u64::from(ended == Ended::Died),
        rows: judge::count(committed.len()),
        effects: judge::count(effects),
        ghosts: judge::count(effects.saturating_sub(committed.len())),
        is_last: ended == Ended::Lived,
        ..Seen::default()
    })
}

impl<D> Scene<'_, D> {
    pub(crate) fn task(&self, name: &str, role: Role, dies_at: Option<usize>) -> Task {
        Task {
            role,
            broker: self.broker.to_owned(),
            place: self.place.clone(),
            name: name.to_owned(),
            dies_at,
        }
    }
}

/// Transactions that are open while a relay is killed.
struct Open<Tx> {
    /// To be committed.
    late: Tx,
    sold: Vec<Sale>,
    /// To be rolled back.
    never: Tx,
}

/// Rows of three keys, with what was rolled back among them, and one that cannot be published. In
/// PostgreSQL two transactions have taken their numbers before all others, and stay open.
async fn fill<D: Database>(shop: &Shop<'_, D>) -> Result<(Vec<Sale>, Option<Open<D::Tx>>), String> {
    let open = match shop.database.dialect() {
        // Its transactions take turns.
        Dialect::Sqlite => None,
        Dialect::Postgres => {
            let (mut late, mut never) = (shop.begin().await?, shop.begin().await?);
            let sold = shop.sell(&mut late, LATE).await?;
            shop.sell(&mut never, &[("a", -1), ("b", -2)]).await?;
            Some(Open { late, sold, never })
        }
    };
    let mut sold = shop.sold(&[("a", 1), ("b", 1), ("c", 1), ("a", 2)]).await?;
    shop.undone(&[("a", -3), ("c", -4)]).await?;
    for sale in [("b", 2), ("a", 3), ("c", 2)] {
        sold.extend(shop.sold(&[sale]).await?);
    }
    shop.poison().await?;
    shop.undone(&[("b", -5)]).await?;
    sold.extend(shop.sold(&[("a", 4), ("a", 5), ("b", 3), ("c", 3)]).await?);
    Ok((sold, open))
}

/// What is committed when the relay is dead.
async fn fill_behind<D: Database>(
    shop: &Shop<'_, D>,
    open: Option<Open<D::Tx>>,
) -> Result<Vec<Sale>, String> {
    let mut sold = shop.sold(&[("a", 6), ("c", 4)]).await?;
    match open {
        Some(open) => {
            open.late.commit().await.map_err(said)?;
            open.never.rollback().await.map_err(said)?;
            sold.extend(open.sold);
        }
        None => sold.extend(shop.sold(LATE).await?),
    }
    shop.undone(&[("c", -6)]).await?;
    Ok(sold)
}

/// Keys of one transaction, which nobody else writes meanwhile.
const LATE: &[(&str, i64)] = &[("late", 1), ("late", 2)];
const BATCH_ROWS: u64 = 5;
