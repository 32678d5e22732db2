//! Where to begin to read, as it is written.
//!
//! Floor 0 of cli.

use std::str::FromStr;

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
            _ => match (text.strip_prefix('@'), text.strip_prefix('-')) {
                (Some(ms), _) => whole(ms).map(Self::Timestamp),
                (_, Some(count)) => whole(count).map(Self::Last),
                _ => whole(text)
                    .map(Self::Offset)
                    .or_else(|| rfc3339(text).map(Self::Timestamp)),
            },
        };
        found.ok_or_else(|| {
            format!(
                "{text:?} is not earliest, latest, an offset, -N, @MILLIS or a time of RFC 3339"
            )
        })
    }
}

/// Digits only.
fn whole(text: &str) -> Option<i64> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// Milliseconds since 1970 of `2013-01-01T10:00:00[.123]Z` or with an offset such as `+01:00`;
/// digits below the millisecond are dropped.
fn rfc3339(text: &str) -> Option<i64> {
    if !text.is_ascii() || text.len() < "2013-01-01T10:00:00Z".len() {
        return None;
    }
    let (stamp, rest) = text.split_at("2013-01-01T10:00:00".len());
    let marks = [
        (4, b"--"),
        (7, b"--"),
        (10, b"Tt"),
        (13, b"::"),
        (16, b"::"),
    ];
    if !marks
        .iter()
        .all(|(at, either)| either.contains(&stamp.as_bytes()[*at]))
    {
        return None;
    }
    let (year, month, day) = (
        whole(&stamp[..4])?,
        whole(&stamp[5..7])?,
        whole(&stamp[8..10])?,
    );
    let (hour, minute) = (whole(&stamp[11..13])?, whole(&stamp[14..16])?);
    let second = whole(&stamp[17..19])?;
    let is_date = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (ms, zone) = fraction(rest)?;
    let minutes =
        (days_since_1970(year, month, day) * 24 + hour) * 60 + minute - zone_minutes(zone)?;
    Some((minutes * 60 + second) * 1000 + ms)
}

/// `.123Z` to 123 and `Z`.
fn fraction(rest: &str) -> Option<(i64, &str)> {
    let Some(digits) = rest.strip_prefix('.') else {
        return Some((0, rest));
    };
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, zone) = digits.split_at(count);
    let ms: String = digits.chars().chain("00".chars()).take(3).collect();
    (count > 0).then_some((whole(&ms)?, zone))
}

/// `+01:30` to 90.
fn zone_minutes(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, clock) = match (zone.strip_prefix('+'), zone.strip_prefix('-')) {
        (Some(clock), _) => (1, clock),
        (_, Some(clock)) => (-1, clock),
        _ => return None,
    };
    let (hours, minutes) = clock.split_once(':')?;
    let (hours, minutes) = (whole(hours)?, whole(minutes)?);
    (clock.len() == 5 && hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

fn days_in(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Of the Gregorian calendar; the year begins in March, so that the leap day is its last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - 719_468
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
}
