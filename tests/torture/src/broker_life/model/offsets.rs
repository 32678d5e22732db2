//! The offset of a group in a partition: what was asked, in order, and what of it is certain.
//!
//! Invariants
//! - What a group may have is the newest certain commit, or any that was asked for after it.

/// Commits in the order in which they were asked for. -1 is none: a deletion, or the beginning.
#[derive(Clone, Debug)]
pub(in crate::broker_life) struct Committed {
    /// The certain one, then those that may have happened.
    asked: Vec<Asked>,
    count: u64,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    number: u64,
    offset: i64,
    /// Whether its partition reached so far.
    is_within: bool,
}

impl Default for Committed {
    fn default() -> Self {
        Self {
            asked: vec![Asked {
                number: 0,
                offset: -1,
                is_within: true,
            }],
            count: 0,
        }
    }
}

impl Committed {
    /// A commit is asked for, into a partition that is known to reach up to `end`; its number.
    pub(in crate::broker_life) fn ask(&mut self, offset: i64, end: i64) -> u64 {
        self.count += 1;
        self.asked.push(Asked {
            number: self.count,
            offset,
            is_within: offset <= end,
        });
        self.count
    }

    /// Whether the certain one pointed to what was there.
    pub(in crate::broker_life) fn is_within(&self) -> bool {
        self.asked.first().is_some_and(|asked| asked.is_within)
    }

    /// It was answered with success.
    pub(in crate::broker_life) fn acknowledge(&mut self, number: u64) {
        self.asked.retain(|asked| asked.number >= number);
    }

    /// It was refused: it has not happened.
    pub(in crate::broker_life) fn refuse(&mut self, number: u64) {
        self.asked.retain(|asked| asked.number != number);
    }

    /// What is read is durable: nothing before it comes back.
    pub(in crate::broker_life) fn saw(&mut self, offset: i64) -> Result<(), String> {
        match self.asked.iter().position(|asked| asked.offset == offset) {
            Some(at) => {
                self.asked.drain(..at);
                Ok(())
            }
            None => {
                let sure = self.asked.first().map_or(-1, |first| first.offset);
                let later: Vec<i64> = self
                    .asked
                    .iter()
                    .skip(1)
                    .map(|asked| asked.offset)
                    .collect();
                Err(format!(
                    "{offset} is committed; {sure} is certain, and after it only {later:?} was \
                     asked for"
                ))
            }
        }
    }
}
