//! Where to begin to read, and as of when, as it is written.
//!
//! Floor 0 of cli.

use std::fmt;
use std::str::FromStr;

use highwater_client::EventTime;

/// Where to begin in each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// At the oldest record.
    Earliest,
    /// Behind the newest record.
    Latest,
    /// At an offset.
    Offset(i64),
    /// So many records before the end.
    Last(i64),
    /// At the first record that is not older, in milliseconds since 1970.
    Timestamp(i64),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = match text {
            "earliest" => Some(Self::Earliest),
            "latest" => Some(Self::Latest),
            _ => match text.strip_prefix('-') {
                Some(count) => whole(count).map(Self::Last),
                None => whole(text)
                    .map(Self::Offset)
                    .or_else(|| ms(text).map(Self::Timestamp)),
            },
        };
        found.ok_or_else(|| {
            format!(
                "{text:?} is not earliest, latest, an offset, -N, @MILLIS or a time of RFC 3339"
            )
        })
    }
}

/// A moment in the life of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// When the event with this revision had just happened.
    Revision(u64),
    /// When the record at this offset of the partition had just been stored.
    Offset(i64),
    /// At the end of this millisecond since 1970.
    TimeMs(i64),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let revision = |text| whole(text).and_then(|number| u64::try_from(number).ok());
        let found = match text.split_once(':') {
            Some(("revision", number)) => revision(number).map(Self::Revision),
            Some(("offset", number)) => whole(number).map(Self::Offset),
            _ => revision(text)
                .map(Self::Revision)
                .or_else(|| ms(text).map(Self::TimeMs)),
        };
        found.ok_or_else(|| {
            format!("{text:?} is not a revision, offset:N, @MILLIS or a time of RFC 3339")
        })
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revision(revision) => write!(f, "revision {revision}"),
            Self::Offset(offset) => write!(f, "offset {offset}"),
            Self::TimeMs(ms) => write!(f, "{}", EventTime::from_ms(*ms)),
        }
    }
}

/// A point of time, in milliseconds since 1970: `@MILLIS` or a time of RFC 3339.
pub(crate) fn time(text: &str) -> Result<i64, String> {
    ms(text).ok_or_else(|| format!("{text:?} is not @MILLIS or a time of RFC 3339"))
}

fn ms(text: &str) -> Option<i64> {
    match text.strip_prefix('@') {
        Some(ms) => whole(ms),
        None => text.parse::<EventTime>().ok().map(|time| time.ms()),
    }
}

/// Digits only.
fn whole(text: &str) -> Option<i64> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read() {
        for (text, expected) in [
            ("earliest", From::Earliest),
            ("latest", From::Latest),
            ("0", From::Offset(0)),
            ("77", From::Offset(77)),
            ("-5", From::Last(5)),
            ("@1357034400000", From::Timestamp(1_357_034_400_000)),
            ("2013-01-01T10:00:00Z", From::Timestamp(1_357_034_400_000)),
            (
                "2013-01-01T11:30:00.0679+01:30",
                From::Timestamp(1_357_034_400_067),
            ),
            (
                "2012-12-31t23:00:00.5-11:00",
                From::Timestamp(1_357_034_400_500),
            ),
            ("1970-01-01T00:00:00Z", From::Timestamp(0)),
            ("2000-02-29T00:00:00Z", From::Timestamp(951_782_400_000)),
            ("1969-12-31T23:59:59Z", From::Timestamp(-1_000)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "-",
            "@",
            "+5",
            "1.5",
            "yesterday",
            "2013-01-01",
            "2013-02-29T00:00:00Z",
            "2013-13-01T00:00:00Z",
            "2013-01-01T24:00:00Z",
            "2013-01-01T10:00:00",
            "2013-01-01T10:00:00.Z",
            "2013-01-01T10:00:00+1:00",
            "2013-01-01T10:00:00+0100",
            "99999999999999999999",
        ] {
            assert!(text.parse::<From>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_is_a_revision_an_offset_or_a_time() {
        for (text, expected) in [
            ("0", Moment::Revision(0)),
            ("revision:7", Moment::Revision(7)),
            ("offset:7", Moment::Offset(7)),
            ("@7", Moment::TimeMs(7)),
            ("1970-01-01T00:00:01Z", Moment::TimeMs(1_000)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "-1",
            "offset:",
            "offset:-1",
            "revision:x",
            "time:1",
            "yesterday",
            "1.5",
        ] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
        let shown = [Moment::Revision(1), Moment::Offset(2), Moment::TimeMs(3)];
        assert_eq!(
            shown.map(|it| it.to_string()),
            ["revision 1", "offset 2", "1970-01-01T00:00:00.003Z"]
        );
    }

    #[test]
    fn a_time_is_no_place() {
        assert_eq!(time("@17"), Ok(17));
        assert_eq!(time("1970-01-01T00:00:01Z"), Ok(1_000));
        for text in ["earliest", "17", "-5", "@", "yesterday"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
