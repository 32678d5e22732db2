//! A window against what a topic keeps.
//!
//! Floor 6 of client. Pure.

use std::time::Duration;

use crate::admin::ConfigEntry;

/// How long a topic with these settings keeps its records, in words, if that is longer than the
/// window.
pub(super) fn outlived(window: Duration, configs: &[ConfigEntry]) -> Option<String> {
    let value = |name: &str| {
        let entry = configs.iter().find(|it| it.name == name);
        entry.and_then(|it| it.value.as_deref())
    };
    let deletes = value("cleanup.policy").is_none_or(|it| it.contains("delete"));
    let kept_ms: Option<i64> = value("retention.ms").and_then(|it| it.parse().ok());
    match kept_ms.map(u64::try_from) {
        // Below 0 is for ever, and so is a topic that is only compacted.
        _ if !deletes => Some("ever".to_owned()),
        Some(Err(_)) => Some("ever".to_owned()),
        Some(Ok(ms)) => {
            (window < Duration::from_millis(ms)).then(|| format!("{} s", ms.div_ceil(1_000)))
        }
        // A broker that does not tell.
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::ConfigSource;

    fn outlived_by(configs: &[(&str, &str)], window_ms: u64) -> Option<String> {
        let entry = |(name, value): &(&str, &str)| ConfigEntry {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
            is_default: false,
            source: ConfigSource::Topic,
            is_read_only: false,
        };
        let configs: Vec<_> = configs.iter().map(entry).collect();
        outlived(Duration::from_millis(window_ms), &configs)
    }

    #[test]
    fn a_window_is_long_enough_if_no_record_is_older() {
        let week = 7 * 24 * 3_600_000;
        let text = week.to_string();
        assert_eq!(outlived_by(&[("retention.ms", &text)], week), None);
        let short = outlived_by(&[("retention.ms", &text)], week - 1);
        assert_eq!(short.as_deref(), Some("604800 s"));
        let ever = Some("ever".to_owned());
        assert_eq!(outlived_by(&[("retention.ms", "-1")], u64::MAX), ever);
        let compact = ("cleanup.policy", "compact");
        assert_eq!(
            outlived_by(&[compact, ("retention.ms", "1000")], u64::MAX),
            ever
        );
        let both = ("cleanup.policy", "compact,delete");
        assert_eq!(outlived_by(&[both, ("retention.ms", "1000")], 1_000), None);
        assert_eq!(outlived_by(&[], 0), None);
    }
}
