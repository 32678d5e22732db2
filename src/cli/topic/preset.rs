//! Settings of a topic that belong together, by one name.
//!
//! Floor 5 of cli.
//!
//! Invariants
//! - What is set by itself goes before the preset, unless the preset would be none without it.

use std::collections::BTreeMap;

use highwater_client::events::EVENT_STORE;

use crate::cli::args::Preset;
use crate::cli::failure::Failure;

/// The settings of a topic with this preset and what is set beside it.
pub(super) fn configs(
    preset: Option<Preset>,
    set: Vec<(String, String)>,
) -> Result<BTreeMap<String, String>, Failure> {
    let rows: &[(&str, &str)] = match preset {
        None => &[],
        Some(Preset::EventStore) => &EVENT_STORE,
    };
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let mut configs: BTreeMap<String, String> = rows.iter().map(owned).collect();
    configs.extend(set);
    if preset == Some(Preset::EventStore)
        && let Some(value) = configs.get(STREAMS).filter(|value| *value != "true")
    {
        let sentence = format!("--preset event-store is nothing with {STREAMS}={value}");
        return Err(Failure::Usage(sentence));
    }
    Ok(configs)
}

const STREAMS: &str = "append.conditional";
