//! Times on the command line and in texts. Within, all times are Unix milliseconds.

use jiff::{Timestamp, Zoned, civil::Date, tz::TimeZone};

/// Reads the earliest time that a text means.
pub(super) fn parse_since(text: &str) -> Result<u64, String> {
    parse(text, |date| date.to_zoned(TimeZone::system()))
}

/// Reads the latest time that a text means: a date's last millisecond.
pub(super) fn parse_until(text: &str) -> Result<u64, String> {
    parse(text, |date| date.tomorrow()?.to_zoned(TimeZone::system())?.checked_sub(jiff::Span::new().milliseconds(1)))
}

fn parse(text: &str, of_date: impl Fn(Date) -> Result<Zoned, jiff::Error>) -> Result<u64, String> {
    let expected = || {
        "it has to be a time such as 2026-01-31T12:00:00Z, a date, Unix milliseconds, or an age such as 7d".to_owned()
    };
    // Eight digits would also read as a compact date, thirteen are milliseconds.
    if text.len() != 8 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_err(|_| expected());
    }
    if let Some(ms) = parse_age(text) {
        return u64::try_from(Timestamp::now().as_millisecond())
            .map(|now| now.saturating_sub(ms))
            .map_err(|_| expected());
    }
    let timestamp = match text.parse::<Timestamp>() {
        Ok(timestamp) => timestamp,
        Err(_) => {
            let date: Date = text.parse().map_err(|_| expected())?;
            of_date(date).map_err(|_| expected())?.timestamp()
        }
    };
    u64::try_from(timestamp.as_millisecond()).map_err(|_| "times before 1970 have no blocks".to_owned())
}

/// Reads a length of time, in milliseconds.
pub(super) fn parse_duration(text: &str) -> Result<u64, String> {
    parse_age(text).ok_or_else(|| "it has to be a whole number of s, m, h, d or w, such as 3650d".to_owned())
}

/// A whole number of seconds, minutes, hours, days or weeks.
fn parse_age(text: &str) -> Option<u64> {
    let unit_ms = match text.chars().last()? {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        'w' => 7 * 86_400_000,
        _ => return None,
    };
    text[..text.len() - 1].parse::<u64>().ok()?.checked_mul(unit_ms)
}

/// A time for people.
pub(super) fn display(timestamp_ms: u64) -> String {
    i64::try_from(timestamp_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| format!("{timestamp_ms} ms"), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_are_read_in_every_form() {
        assert_eq!(parse_since("1700000000000"), Ok(1_700_000_000_000));
        assert_eq!(parse_since("2023-11-14T22:13:20Z"), Ok(1_700_000_000_000));
        assert_eq!(parse_since("2023-11-14T23:13:20+01:00"), Ok(1_700_000_000_000));
        let day = parse_until("2023-11-14").unwrap() - parse_since("2023-11-14").unwrap();
        assert_eq!(day, 86_400_000 - 1);
        let now = parse_since("0s").unwrap();
        assert!(now - parse_since("2h").unwrap() >= 7_200_000 - 1_000);
        for text in ["", "yesterday", "7y", "-5", "2023-13-01", "99999999999999999999999"] {
            assert!(parse_since(text).is_err(), "{text}");
        }
    }
}
