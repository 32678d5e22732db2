//! The time of an event, as RFC 3339 writes it.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - What others wrote stays as it is, with its offset and with digits below the millisecond.

use std::fmt;
use std::str::FromStr;

/// When something happened, to the digit that its author gave.
///
/// ```
/// use highwater_client::EventTime;
///
/// let time: EventTime = "2018-04-05T17:31:00.123456+02:00".parse()?;
/// assert_eq!(time.as_str(), "2018-04-05T17:31:00.123456+02:00");
/// assert_eq!(time.ms(), 1_522_942_260_123);
/// assert_eq!(EventTime::from_ms(time.ms()).as_str(), "2018-04-05T15:31:00.123Z");
/// # Ok::<(), highwater_client::envelope::NoEventTime>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventTime {
    text: String,
    ms: i64,
}

impl EventTime {
    /// The time so many milliseconds after 1970, in UTC; what lies outside of the years 0 to 9999
    /// becomes their first or last millisecond, since RFC 3339 cannot write it.
    ///
    /// ```
    /// use highwater_client::EventTime;
    ///
    /// assert_eq!(EventTime::from_ms(0).as_str(), "1970-01-01T00:00:00.000Z");
    /// ```
    #[must_use]
    pub fn from_ms(ms: i64) -> Self {
        let ms = ms.clamp(MS_MIN, MS_MAX);
        let (days, of_day) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
        let (year, month, day) = date(days);
        let (seconds, fraction) = (of_day / 1000, of_day % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let text = format!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}Z"
        );
        Self { text, ms }
    }

    /// Milliseconds since 1970; digits below are dropped.
    ///
    /// ```
    /// use highwater_client::EventTime;
    ///
    /// assert_eq!(EventTime::from_ms(1_522_942_260_123).ms(), 1_522_942_260_123);
    /// ```
    #[must_use]
    pub const fn ms(&self) -> i64 {
        self.ms
    }

    /// The text as it was written.
    ///
    /// ```
    /// use highwater_client::EventTime;
    ///
    /// let time: EventTime = "1937-01-01t12:00:27.87+00:20".parse()?;
    /// assert_eq!(time.as_str(), "1937-01-01t12:00:27.87+00:20");
    /// # Ok::<(), highwater_client::envelope::NoEventTime>(())
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// As [`EventTime::as_str`].
impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text is no time of RFC 3339.
///
/// ```
/// use highwater_client::EventTime;
///
/// let error = "yesterday".parse::<EventTime>().unwrap_err();
/// assert!(error.to_string().contains("2018-04-05T17:31:00Z"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is no time of RFC 3339, such as 2018-04-05T17:31:00Z")]
pub struct NoEventTime;

/// Out of a time of RFC 3339: `2018-04-05T17:31:00[.123]Z`, or with an offset such as `+02:00`.
impl FromStr for EventTime {
    type Err = NoEventTime;

    fn from_str(text: &str) -> Result<Self, NoEventTime> {
        let ms = parse(text).ok_or(NoEventTime)?;
        let text = text.to_owned();
        Ok(Self { text, ms })
    }
}

fn parse(text: &str) -> Option<i64> {
    let is_mark = |(at, marks): &(usize, &[u8])| {
        let mark = text.as_bytes().get(*at);
        mark.is_some_and(|mark| marks.contains(mark))
    };
    if !MARKS.iter().all(is_mark) {
        return None;
    }
    let field = |from: usize, to: usize| number(text.get(from..to)?);
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    let is_date = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    // A leap second is the second 60.
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction_ms, zone) = fraction(text.get(19..)?)?;
    let minutes = (days_since_1970(year, month, day) * 24 + hour) * 60 + minute;
    Some(((minutes - zone_minutes(zone)?) * 60 + second) * 1000 + fraction_ms)
}

/// Digits only.
fn number(text: &str) -> Option<i64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// `.1234Z` to 123 and `Z`.
fn fraction(rest: &str) -> Option<(i64, &str)> {
    let Some(digits) = rest.strip_prefix('.') else {
        return Some((0, rest));
    };
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, zone) = digits.split_at(count);
    let ms: String = digits.chars().chain("00".chars()).take(3).collect();
    (count > 0).then_some((number(&ms)?, zone))
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
    let is_short = hours.len() == 2 && minutes.len() == 2;
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (is_short && hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
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
        - MARCH_TO_1970_DAYS
}

/// Year, month and day, so many days after 1970: the way back, by eras of 400 years.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + MARCH_TO_1970_DAYS;
    let (era, of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

/// What stands between the digits of date and time.
const MARKS: [(usize, &[u8]); 5] = [(4, b"-"), (7, b"-"), (10, b"Tt"), (13, b":"), (16, b":")];

/// The milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// From the first of March of the year 0 to 1970.
const MARCH_TO_1970_DAYS: i64 = 719_468;

/// The days of 400 years.
const ERA_DAYS: i64 = 146_097;

/// 0000-01-01T00:00:00.000Z.
const MS_MIN: i64 = -62_167_219_200_000;

/// 9999-12-31T23:59:59.999Z.
const MS_MAX: i64 = 253_402_300_799_999;
