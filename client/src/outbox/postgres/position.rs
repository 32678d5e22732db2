//! Where a snapshot cursor stands, as text that a person can read.
//!
//! Floor 6 of client. Pure.
//!
//! `10:20:12,14 99` says: all rows that the snapshot `10:20:12,14` sees are published, and 99 is
//! the highest number among them. `10:20:12,14 99 30:31: 70` says: and of what `30:31:` sees
//! besides, the rows up to number 70.
//!
//! Invariants
//! - What was written is read back as the same position; anything else is refused, never guessed.
//! - The highest number never goes back.

use std::fmt;

/// A snapshot of PostgreSQL: which transactions had ended. Its text is `xmin:xmax:xip,xip`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    text: String,
    xmax: u64,
}

impl Snapshot {
    /// A snapshot that sees nothing: transactions are numbered from 3 on.
    pub(super) fn of_nothing() -> Self {
        Self {
            text: "1:1:".to_owned(),
            xmax: 1,
        }
    }

    /// Reads PostgreSQL's text of a `pg_snapshot`; `None` if it is none.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let xmin = number(parts.next()?)?;
        let xmax = number(parts.next()?)?;
        let running = parts.next()?;
        let is_inside = |xid: &str| number(xid).is_some_and(|xid| (xmin..xmax).contains(&xid));
        let is_sound = xmin > 0 && xmin <= xmax;
        (is_sound && (running.is_empty() || running.split(',').all(is_inside))).then(|| Self {
            text: text.to_owned(),
            xmax,
        })
    }

    /// PostgreSQL's text of it.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The first transaction number that was not given out.
    pub(super) const fn xmax(&self) -> u64 {
        self.xmax
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

/// What of the table is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Everything that it sees is published.
    pub(super) old: Snapshot,
    /// The highest `seq` that was published.
    pub(super) highest: i64,
    /// A difference that is under way.
    pub(super) page: Option<Page>,
}

/// What `new` sees and the old snapshot does not, by `seq`: published up to `last`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) new: Snapshot,
    pub(super) last: i64,
}

impl Position {
    /// Nothing is published.
    pub(super) fn start() -> Self {
        Self {
            old: Snapshot::of_nothing(),
            highest: 0,
            page: None,
        }
    }

    /// Reads what [`fmt::Display`] wrote; `None` if it is something else.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let old = Snapshot::read(parts.next()?)?;
        let highest = signed(parts.next()?)?;
        let page = match parts.next() {
            None => None,
            Some(new) => Some(Page {
                new: Snapshot::read(new)?,
                last: signed(parts.next()?)?,
            }),
        };
        parts
            .next()
            .is_none()
            .then_some(Self { old, highest, page })
    }

    /// The position after the rows of a page, the last of which was `last`, of what `new` sees.
    /// `is_all`: there were no more.
    pub(super) fn after(&self, new: &Snapshot, last: Option<i64>, is_all: bool) -> Self {
        let highest = last.map_or(self.highest, |last| last.max(self.highest));
        let (old, page) = match last {
            Some(last) if !is_all => {
                let page = Page {
                    new: new.clone(),
                    last,
                };
                (self.old.clone(), Some(page))
            }
            _ => (new.clone(), None),
        };
        Self { old, highest, page }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.old, self.highest)?;
        if let Some(page) = &self.page {
            write!(out, " {} {}", page.new, page.last)?;
        }
        Ok(())
    }
}

/// Digits only: what `parse` takes besides, such as a plus, PostgreSQL never writes.
fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

fn signed(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    number(digits)?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn snapshot(text: &str) -> Snapshot {
        Snapshot::read(text).unwrap()
    }

    #[test]
    fn a_page_that_is_full_is_gone_on_with_and_a_short_one_ends_the_difference() {
        let new = snapshot("30:31:");
        let first = Position::start().after(&new, Some(70), false);
        assert_eq!(first.to_string(), "1:1: 70 30:31: 70");
        let last = first.after(&new, Some(75), true);
        assert_eq!(last.to_string(), "30:31: 75");
        let late = last.after(&snapshot("40:41:"), Some(12), true);
        assert_eq!(late.to_string(), "40:41: 75", "a late row has a low number");
        let idle = late.after(&snapshot("44:50:44,46"), None, true);
        assert_eq!(idle.to_string(), "44:50:44,46 75");
    }

    #[test]
    fn what_is_no_position_is_refused() {
        let texts = [
            "",
            "1",
            "1:1",
            "1:1:",
            "1:1: ",
            "1:1: x",
            "1:1: 1 ",
            "1:1: 1 2",
            "1:1: 1 2:2:",
            "1:1: 1 2:2: 3 4",
            "0:1: 1",
            "2:1: 1",
            "1:3:3 1",
            "1:3:, 1",
            "1:3:2,x 1",
            "+1:3: 1",
            "1:1: --1",
            "1:1: +1",
            "1:99999999999999999999: 1",
        ];
        for text in texts {
            assert_eq!(Position::read(text), None, "{text:?}");
        }
    }

    fn any_snapshot() -> impl Strategy<Value = Snapshot> {
        let spans = (1..u64::MAX / 2, 0..1_000_u64);
        (spans, prop::collection::vec(0..1_000_u64, 0..5)).prop_map(|((xmin, span), running)| {
            let running = running.iter().filter(|it| **it < span);
            let running: Vec<String> = running.map(|it| (xmin + it).to_string()).collect();
            snapshot(&format!("{xmin}:{}:{}", xmin + span, running.join(",")))
        })
    }

    proptest! {
        #[test]
        fn it_is_read_back(
            old in any_snapshot(),
            highest: i64,
            page in prop::option::of((any_snapshot(), any::<i64>())),
        ) {
            let page = page.map(|(new, last)| Page { new, last });
            let position = Position { old, highest, page };
            prop_assert_eq!(Position::read(&position.to_string()), Some(position));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in ".*") {
            if let Some(position) = Position::read(&text) {
                prop_assert!(Position::read(&position.to_string()).is_some());
            }
        }
    }
}
