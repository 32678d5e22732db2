//! Whether what is in a topic can be what was committed.
//!
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

/// A row that was committed: the id of its event, its key, and the number that is its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sale {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) number: i64,
}

/// The judgement over what was published, in the order of its partitions; `committed` is in the
/// order of the commits of each key. Answers how many records were there once more.
///
/// # Errors
/// What was lost, made up, changed or overtaken.
pub(crate) fn whole(committed: &[Sale], published: &[Sale]) -> Result<u64, String> {
    let lost = missing(committed, published);
    if !lost.is_empty() {
        return Err(format!("lost: {lost:?}"));
    }
    nothing_else(committed, published)?;
    let first = first_by_key(published);
    let wanted = first_by_key(committed);
    if first != wanted {
        return Err(format!("out of order: {first:?} instead of {wanted:?}"));
    }
    Ok(count(published.len() - committed.len()))
}

/// Whether everything that was published was committed, as it was.
///
/// # Errors
/// What was made up, or changed.
pub(crate) fn nothing_else(committed: &[Sale], published: &[Sale]) -> Result<(), String> {
    let made_up = published.iter().filter(|it| !committed.contains(it));
    let made_up: Vec<&Sale> = made_up.collect();
    match made_up.is_empty() {
        true => Ok(()),
        false => Err(format!("made up: {made_up:?}")),
    }
}

/// What was committed and is not published.
pub(crate) fn missing(committed: &[Sale], published: &[Sale]) -> Vec<i64> {
    let there: BTreeSet<&str> = published.iter().map(|it| it.id.as_str()).collect();
    let lost = committed
        .iter()
        .filter(|it| !there.contains(it.id.as_str()));
    lost.map(|it| it.number).collect()
}

/// Whether each effect took place once, those of a key in their order.
///
/// # Errors
/// What is missing, what is there twice, what came too early.
pub(crate) fn effects(committed: &[Sale], effects: &[(String, i64)]) -> Result<(), String> {
    let mut found: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for (key, number) in effects {
        found.entry(key).or_default().push(*number);
    }
    let wanted = first_by_key(committed);
    match found == wanted {
        true => Ok(()),
        false => Err(format!("effects: {found:?} instead of {wanted:?}")),
    }
}

/// The numbers of each key, in the order of their first occurrence.
fn first_by_key(sales: &[Sale]) -> BTreeMap<&str, Vec<i64>> {
    let mut seen = BTreeSet::new();
    let mut keys: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for sale in sales {
        if seen.insert(&sale.id) {
            keys.entry(&sale.key).or_default().push(sale.number);
        }
    }
    keys
}

pub(crate) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Looks at wrong histories: a judgement that lets one pass is worth nothing.
///
/// # Errors
/// Which one passed.
pub(crate) fn sees_what_is_wrong() -> Result<(), String> {
    let sale = |id: &str, key: &str, number| Sale {
        id: id.to_owned(),
        key: key.to_owned(),
        number,
    };
    let (a, b, c) = (sale("1", "x", 1), sale("2", "x", 2), sale("3", "y", 3));
    let committed = [a.clone(), b.clone(), c.clone()];
    let of = |sales: &[&Sale]| sales.iter().map(|it| (*it).clone()).collect::<Vec<_>>();
    assert_eq!(whole(&committed, &of(&[&c, &a, &a, &b, &a])), Ok(2));
    for (what, published) in [
        ("a loss", of(&[&a, &b])),
        ("an event of nobody", of(&[&a, &b, &c, &sale("4", "y", 4)])),
        ("a changed event", of(&[&a, &b, &sale("3", "y", 4)])),
        ("another id", of(&[&a, &b, &c, &sale("4", "y", 3)])),
        ("an overtaking", of(&[&b, &a, &c])),
    ] {
        if let Ok(again) = whole(&committed, &published) {
            return Err(format!("{what} passes as {again} repetitions"));
        }
    }
    let done = |effects: &[(&str, i64)]| {
        let effects = effects.iter().map(|(key, it)| ((*key).to_owned(), *it));
        self::effects(&committed, &effects.collect::<Vec<_>>())
    };
    assert_eq!(done(&[("x", 1), ("y", 3), ("x", 2)]), Ok(()));
    for (what, effects) in [
        ("a lost effect", &[("x", 1), ("x", 2)][..]),
        ("a second effect", &[("x", 1), ("x", 2), ("x", 2), ("y", 3)]),
        ("an early effect", &[("x", 2), ("x", 1), ("y", 3)]),
    ] {
        if done(effects).is_ok() {
            return Err(format!("{what} passes"));
        }
    }
    Ok(())
}
