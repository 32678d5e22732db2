//! `highwater events show`: the events of a stream.
//!
//! Floor 7 of cli.
//!
//! Invariants
//! - What an event says never moves the cursor of a terminal.

use highwater_client::Client;

use super::nothing;
use crate::cli::args::StreamArgs;
use crate::cli::failure::Failure;
use crate::cli::moment::Moment;
use crate::cli::output::Output;
use crate::cli::printed::Data;
use crate::cli::streams::Stream;
use crate::cli::table::{Side, Table, cell};
use crate::cli::told::{PrintedEvent, Told};

/// Shows a stream as of a moment, at most so many events of it.
pub(super) async fn show(
    client: &Client,
    args: &StreamArgs,
    (as_of, max): (Option<Moment>, usize),
    json: bool,
) -> Result<(), Failure> {
    let mut stream = Stream::open(client, args, as_of).await?;
    let mut out = Output::new();
    let mut table = table();
    let mut count = 0;
    let has_more = 'read: loop {
        let page = stream.next().await?;
        if page.is_empty() {
            break false;
        }
        for told in page {
            if count == max {
                break 'read true;
            }
            count += 1;
            match json {
                true => out.json(&PrintedEvent::of(&told, &told.said()))?,
                false => table.row(row(&told)),
            }
        }
    };
    if count == 0 && !has_more {
        return Err(nothing(args, as_of));
    }
    if !json {
        out.bytes(table.to_string().as_bytes())?;
    }
    out.flush()?;
    if has_more {
        eprintln!("highwater: there are more than {max}: --max shows more of them");
    }
    Ok(())
}

fn table() -> Table {
    let (left, right) = (Side::Left, Side::Right);
    Table::new([
        ("REVISION", right),
        ("TIME", left),
        ("OFFSET", right),
        ("TYPE", left),
        ("ID", left),
        ("DATA", left),
    ])
}

fn row(told: &Told) -> [String; 6] {
    let said = told.said();
    let data = match Data::of(said.data(told)) {
        Data::Null => "deleted".to_owned(),
        Data::Text(text) => cell(text, DATA_MAX),
        binary @ Data::Binary(_) => cell(&binary.to_string(), DATA_MAX),
    };
    [
        told.revision(),
        told.time(),
        told.record.offset.to_string(),
        cell(said.event_type(), NAME_MAX),
        cell(said.id(), NAME_MAX),
        data,
    ]
}

/// What a column shows at most, in characters.
const NAME_MAX: usize = 60;
const DATA_MAX: usize = 100;
