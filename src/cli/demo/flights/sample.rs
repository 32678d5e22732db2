//! The flights that the binary carries.
//!
//! Floor 6 of cli.
//!
//! They are packed column by column: alike values side by side take half the room in the binary
//! that the lines of JSON take, which repeat the names of all fields. One line of text a column,
//! with a tab between all its parts: what each of its values begins with, then the value of each
//! flight.

use std::io::Read as _;

use flate2::read::GzDecoder;

use crate::cli::failure::Failure;

/// The first flights of the public data set nycflights13, in lines of JSON.
pub(super) fn lines() -> Result<Vec<u8>, Failure> {
    let mut packed = String::new();
    GzDecoder::new(PACKED)
        .read_to_string(&mut packed)
        .map_err(|error| Failure::Failed(format!("cannot unpack the built-in flights: {error}")))?;
    Ok(unpack(&packed))
}

fn unpack(packed: &str) -> Vec<u8> {
    let mut columns: Vec<_> = packed
        .lines()
        .map(|column| {
            let mut parts = column.split('\t');
            (parts.next().unwrap_or_default(), parts)
        })
        .collect();
    let mut lines = Vec::new();
    while !columns.is_empty() {
        for (number, (begin, values)) in columns.iter_mut().enumerate() {
            let Some(value) = values.next() else {
                return lines;
            };
            if number > 0 {
                lines.push(b',');
            }
            lines.extend_from_slice(begin.as_bytes());
            lines.extend_from_slice(value.as_bytes());
        }
        lines.push(b'\n');
    }
    lines
}

const PACKED: &[u8] = include_bytes!("sample.columns.gz");

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// What the flights are packed from.
    const SAMPLE: &[u8] = include_bytes!("../../flights-sample.jsonl.gz");

    fn pack(lines: &str) -> String {
        let rows: Vec<Vec<&str>> = lines
            .lines()
            .map(|line| line.split(',').collect())
            .collect();
        let mut packed = String::new();
        for column in 0..rows[0].len() {
            let begin = rows[0][column].find(':').unwrap() + 1;
            packed.push_str(&rows[0][column][..begin]);
            for row in &rows {
                assert_eq!(row[column][..begin], rows[0][column][..begin]);
                packed.push('\t');
                packed.push_str(&row[column][begin..]);
            }
            packed.push('\n');
        }
        packed
    }

    #[test]
    fn the_flights_of_the_binary_are_those_of_the_sample() {
        let mut expected = String::new();
        GzDecoder::new(SAMPLE)
            .read_to_string(&mut expected)
            .unwrap();
        if std::env::var_os("UPDATE").is_some() {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
            gzip.write_all(pack(&expected).as_bytes()).unwrap();
            let path = concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/src/cli/demo/flights/sample.columns.gz"
            );
            #[expect(clippy::disallowed_methods, reason = "a file of the source")]
            std::fs::write(path, gzip.finish().unwrap()).unwrap();
            return;
        }
        let same = lines().unwrap() == expected.as_bytes();
        assert!(same, "UPDATE=1 cargo test --lib the_flights_of_the_binary");
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(unpack(""), b"");
    }
}
