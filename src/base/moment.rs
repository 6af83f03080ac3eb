//! Moments as people write and read them, between text and Unix milliseconds.

use chrono::{DateTime, Local, NaiveDate, NaiveDateTime, SecondsFormat, TimeZone};

/// Reads a moment: RFC 3339, `YYYY-MM-DD`, `YYYY-MM-DD HH:MM:SS` in local time, or Unix seconds; seconds may have a
/// fraction.
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let moment_ms = if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        moment.timestamp_millis()
    } else if let Some(local) = local(text) {
        // An hour that came twice: the first one, since what is asked for is seldom later than it seems.
        Local.from_local_datetime(&local).earliest()?.timestamp_millis()
    } else {
        let seconds: f64 = text.parse().ok()?;
        (seconds.is_finite()).then_some((seconds * 1000.0).round() as i64)?
    };
    u64::try_from(moment_ms).ok()
}

fn local(text: &str) -> Option<NaiveDateTime> {
    let forms = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M"];
    let moment = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    moment.or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0))
}

/// A moment as RFC 3339 in local time, with milliseconds.
pub fn show(unix_ms: u64) -> String {
    let moment = i64::try_from(unix_ms).ok().and_then(|unix_ms| Local.timestamp_millis_opt(unix_ms).single());
    moment.map_or_else(|| unix_ms.to_string(), |moment| moment.to_rfc3339_opts(SecondsFormat::Millis, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_every_form() {
        assert_eq!(parse("1700000000"), Some(1_700_000_000_000));
        assert_eq!(parse("1700000000.125"), Some(1_700_000_000_125));
        assert_eq!(parse("2023-11-14T22:13:20Z"), Some(1_700_000_000_000));
        assert_eq!(parse("2023-11-14T23:13:20.007+01:00"), Some(1_700_000_000_007));
        let local = parse("2023-11-14 22:13:20").unwrap();
        assert_eq!(parse("2023-11-14T22:13:20.5"), Some(local + 500));
        assert_eq!(parse("2023-11-14 22:13"), Some(local - 20_000));
        assert!(parse("2023-11-14").unwrap() < local);
        for none in ["", "yesterday", "-5", "2023-13-01", "2023-11-14 25:00:00", "nan", "1e400"] {
            assert_eq!(parse(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_shown_is_read_again() {
        for unix_ms in [0, 1_700_000_000_007, 4_000_000_000_000] {
            assert_eq!(parse(&show(unix_ms)), Some(unix_ms), "{}", show(unix_ms));
        }
        assert_eq!(show(u64::MAX), u64::MAX.to_string());
    }
}
