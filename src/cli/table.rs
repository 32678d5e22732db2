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
}
