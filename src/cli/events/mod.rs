//! `highwater events`: a stream is shown, appended to, and followed from its beginning.
//!
//! Floor 7 of cli.

mod append;
mod document;
mod replay;
mod show;

use highwater_client::Client;

use crate::cli::args::{EventsArgs, EventsCommand, StreamArgs};
use crate::cli::failure::Failure;
use crate::cli::moment::Moment;
use crate::cli::target::Missing;

/// Runs the command.
pub(crate) fn run(args: EventsArgs) -> Result<(), Failure> {
    let target = args.target;
    match args.command {
        EventsCommand::Show {
            stream,
            as_of,
            max,
            json,
        } => target.run(Missing::Refuse, async |client: Client, signals| {
            let shown = show::show(&client, &stream, (as_of, max), json);
            signals.unless_interrupted(shown).await
        }),
        EventsCommand::Append(args) => {
            let event = append::read(&args)?;
            target.run(Missing::Refuse, async |client: Client, signals| {
                let appended = append::append(&client, &args, event);
                signals.unless_interrupted(appended).await
            })
        }
        EventsCommand::Replay {
            stream,
            as_of,
            json,
        } => target.run(Missing::Refuse, async |client: Client, signals| {
            let replayed = replay::replay(&client, &stream, as_of, json);
            signals.unless_interrupted(replayed).await
        }),
    }
}

/// There is no such stream, or there was none.
fn nothing(stream: &StreamArgs, as_of: Option<Moment>) -> Failure {
    let (topic, key) = (&stream.topic, stream.key.escape_debug());
    let then = as_of.map_or_else(String::new, |moment| format!(" as of {moment}"));
    Failure::Failed(format!("topic {topic} has no event of the key {key}{then}"))
}
