//! Numbers, times and names for people.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `1.2 GB`: powers of 1000, as tapes are sold.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = UNITS.iter();
    let mut name = unit.next().copied().unwrap_or_default();
    // 999.95 would be shown as 1000.0
    while value >= 999.95 {
        let Some(next) = unit.next() else { break };
        value /= 1000.0;
        name = next;
    }
    format!("{value:.1} {name}")
}

/// `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 file`, `2 files`.
pub(super) fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `4 ms`, `2.35 s`, `12.3 s`, `3 min 05 s`, `2 h 10 min`.
pub(super) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..10 => format!("{:.2} s", time.as_secs_f64()),
        10..100 => format!("{:.1} s", time.as_secs_f64()),
        100..6000 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// [`duration`] of seconds as reports carry them.
pub(super) fn seconds(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// ` (123.4 MB/s)` to follow a time; nothing where no content moved.
pub(super) fn rate_note(total: u64, seconds: f64) -> String {
    if total == 0 { String::new() } else { format!(" ({})", rate(total, seconds)) }
}

/// `123.4 MB/s`.
pub(super) fn rate(total: u64, seconds: f64) -> String {
    format!("{}/s", bytes((total as f64 / seconds.max(0.001)) as u64))
}

/// Nanoseconds since the epoch in the machine's time zone, to the minute.
pub(super) fn time(nanoseconds: i64) -> String {
    match Timestamp::from_nanosecond(i128::from(nanoseconds)) {
        Ok(time) => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => "?".to_owned(),
    }
}

/// A time in RFC 3339 as [`time`] shows it.
pub(super) fn stamp(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(at) => time(at.as_nanosecond().try_into().unwrap_or(i64::MAX)),
        Err(_) => name(text.as_bytes()),
    }
}

/// Nanoseconds since the epoch as RFC 3339 in UTC, for programs.
pub(super) fn rfc3339(nanoseconds: i64) -> Option<String> {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).ok().map(|time| time.to_string())
}

/// A name of somebody else's: what is not text, controls the terminal or turns the direction of writing is escaped.
pub(super) fn name(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => shown.push_str("\\\\"),
                '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
                    shown.extend(c.escape_unicode());
                }
                c if c.is_control() => shown.extend(c.escape_default()),
                c => shown.push(c),
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

/// A stored path, which has no leading slash, as [`name`] shows it.
pub(super) fn path(stored: &[u8]) -> String {
    format!("/{}", name(stored))
}

/// A stored path as it is, for programs; the bytes in hexadecimal where it is not UTF-8.
pub(super) fn json_path(stored: &[u8]) -> serde_json::Value {
    match std::str::from_utf8(stored) {
        Ok(text) => serde_json::json!({ "path": format!("/{text}") }),
        Err(_) => {
            let hex: String = stored.iter().map(|byte| format!("{byte:02x}")).collect();
            let path = format!("/{}", String::from_utf8_lossy(stored));
            serde_json::json!({ "path": path, "path_hex": format!("2f{hex}") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1000), "1.0 kB");
        assert_eq!(bytes(999_960), "1.0 MB");
        assert_eq!(bytes(18_000_000_000_000), "18.0 TB");
        assert_eq!(bytes(u64::MAX), "18.4 EB");
        assert_eq!(count(7), "7");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(123_456), "123,456");
        assert_eq!(plural(1, "file"), "1 file");
        assert_eq!(plural(0, "file"), "0 files");
        assert_eq!(duration(Duration::from_millis(350)), "350 ms");
        assert_eq!(duration(Duration::from_millis(1234)), "1.23 s");
        assert_eq!(duration(Duration::from_secs(185)), "3 min 05 s");
        assert_eq!(duration(Duration::from_secs(7800)), "2 h 10 min");
        assert_eq!(seconds(f64::NAN), "0 ms");
        assert_eq!(rate(1_000_000, 0.5), "2.0 MB/s");
        assert_eq!(rfc3339(0).as_deref(), Some("1970-01-01T00:00:00Z"));
    }

    #[test]
    fn names_cannot_touch_the_terminal() {
        assert_eq!(name(b"plain name.txt"), "plain name.txt");
        assert_eq!(name(b"a\nb\x1b[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(name(b"\xff\xfe\\"), "\\xff\\xfe\\\\");
        assert_eq!(name("na\u{ef}ve \u{202e}gpj".as_bytes()), "na\u{ef}ve \\u{202e}gpj");
        assert_eq!(path(b"etc/hosts"), "/etc/hosts");
        assert_eq!(json_path(b"a")["path"], "/a");
        assert_eq!(json_path(b"\xff")["path_hex"], "2fff");
    }
}
