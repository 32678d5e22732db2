//! Tables for people: columns as wide as their widest cell.
//!
//! Floor 0 of cli.

use std::fmt;

/// Rows under a head; numbers stand at the right of their column.
#[derive(Debug)]
pub struct Table {
    sides: Vec<Side>,
    rows: Vec<Vec<String>>,
}

/// Where the cells of a column stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

impl Table {
    /// A table with these columns.
    pub fn new<const N: usize>(head: [(&str, Side); N]) -> Self {
        Self {
            sides: head.iter().map(|(_, side)| *side).collect(),
            rows: vec![head.iter().map(|(name, _)| (*name).to_owned()).collect()],
        }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        assert_eq!(N, self.sides.len(), "a row has as many cells as the head");
        self.rows.push(cells.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            self.rows
                .iter()
                .map(|row| row[column].chars().count())
                .max()
        };
        let widths: Vec<usize> = (0..self.sides.len()).filter_map(width).collect();
        for row in &self.rows {
            let cells: Vec<String> = row
                .iter()
                .zip(self.sides.iter().zip(&widths))
                .map(|(cell, (side, width))| match side {
                    Side::Left => format!("{cell:<width$}"),
                    Side::Right => format!("{cell:>width$}"),
                })
                .collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// A text that somebody else wrote, as a cell: one line of so many characters at most, and nothing
/// in it that moves the cursor.
pub(crate) fn cell(text: &str, chars_max: usize) -> String {
    let chars = text.chars().flat_map(visible);
    let mut chars: Vec<char> = chars.take(chars_max + 1).collect();
    if chars.len() > chars_max {
        chars.truncate(chars_max.saturating_sub(2));
        chars.extend(['.', '.']);
    }
    chars.into_iter().collect()
}

/// A character that can be seen, or how it is written.
pub(crate) fn visible(char: char) -> impl Iterator<Item = char> {
    let (shown, written) = match char.is_control() {
        true => (None, Some(char.escape_default())),
        false => (Some(char), None),
    };
    shown.into_iter().chain(written.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new([("TOPIC", Side::Left), ("N", Side::Right), ("x", Side::Left)]);
        table.row(["a".to_owned(), "12".to_owned(), String::new()]);
        table.row(["flights".to_owned(), "3".to_owned(), "yes".to_owned()]);
        assert_eq!(
            table.to_string(),
            "TOPIC     N  x\na        12\nflights   3  yes\n"
        );
    }

    #[test]
    fn a_cell_is_one_line_and_moves_no_cursor() {
        assert_eq!(cell("plain", 5), "plain");
        assert_eq!(cell("plainer", 5), "pla..");
        assert_eq!(cell("a\nb\u{1b}[2J\u{9b}", 40), "a\\nb\\u{1b}[2J\\u{9b}");
        assert_eq!(cell("\u{e9}\u{e9}\u{e9}\u{e9}", 3), "\u{e9}..");
        assert_eq!(cell("", 3), "");
    }
}
