//! When a job is due: cron expressions in a time zone.
//!
//! Where clocks go forward, a fixed time in the hour that does not exist is due at the first moment after it; where they go back, a
//! fixed time in the repeated hour is due once.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A schedule that cannot be understood. The text says what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not a cron expression.
    #[error(
        "schedule {text:?}: {reason}. Five fields (minute hour day month weekday) or six (seconds first) are expected, as in \"0 2 * * *\""
    )]
    Expression {
        /// As given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Never due.
    #[error("schedule {text:?} is never due")]
    Never {
        /// As given.
        text: String,
    },
    /// No such time zone.
    #[error("time zone {name:?} is not known here; names are like \"Europe/Berlin\" or \"UTC\"")]
    Zone {
        /// As given.
        name: String,
    },
}

/// When something is due.
#[derive(Debug, Clone)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

/// Reads a schedule in the system's time zone.
///
/// # Errors
/// [`ScheduleError`], with a text for the user.
pub fn parse_schedule(text: &str) -> Result<Schedule, ScheduleError> {
    Schedule::parse(text, None)
}

impl Schedule {
    /// Reads a cron expression of five or six fields, or a name such as `@daily`, in the time zone named, else in the
    /// system's.
    ///
    /// # Errors
    /// [`ScheduleError`], with a text for the user.
    pub fn parse(text: &str, zone: Option<&str>) -> Result<Schedule, ScheduleError> {
        let zone = match zone.map(str::trim).filter(|name| !name.is_empty()) {
            None => TimeZone::system(),
            Some(name) => TimeZone::get(name).map_err(|_| ScheduleError::Zone { name: name.to_owned() })?,
        };
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let wrong = |reason: String| ScheduleError::Expression {
            text: text.to_owned(),
            reason: reason.trim_end_matches('.').to_owned(),
        };
        let cron = parser.parse(text).map_err(|error| wrong(error.to_string()))?;
        let schedule = Schedule { cron, zone };
        match schedule.next_after(super::now()) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never { text: text.to_owned() }),
        }
    }

    /// The first time after `time` that it is due. Nanoseconds since the epoch, both.
    pub fn next_after(&self, time: i64) -> Option<i64> {
        let from = Timestamp::from_nanosecond(i128::from(time)).ok()?.to_zoned(self.zone.clone());
        let next = self.cron.find_next_occurrence(&from, false).ok()?;
        i64::try_from(next.timestamp().as_nanosecond()).ok()
    }
}

/// What a job that was due while nobody was there to run it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missed {
    /// Runs once, as soon as somebody is there.
    #[default]
    CatchUp,
    /// Waits for its next time.
    Skip,
}

/// Whether a job is due at `now`, when its next run had been computed from `since` (its last run, or when it was made).
/// `grace`: nanoseconds by which a run may come late and still be its own.
pub fn is_due(schedule: &Schedule, since: i64, now: i64, missed: Missed, grace: i64) -> bool {
    let Some(first) = schedule.next_after(since) else { return false };
    if first > now {
        return false;
    }
    match missed {
        Missed::CatchUp => true,
        // Due if some time lies within the grace before now.
        Missed::Skip => {
            schedule.next_after(since.max(now.saturating_sub(grace))).is_some_and(|next| next <= now)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: i64 = 60_000_000_000;

    fn at(text: &str) -> i64 {
        i64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap()
    }

    fn due(schedule: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::parse(schedule, Some(zone)).unwrap();
        let mut time = at(from);
        let mut found = Vec::new();
        for _ in 0..count {
            time = schedule.next_after(time).unwrap();
            found.push(Timestamp::from_nanosecond(i128::from(time)).unwrap().to_string());
        }
        found
    }

    #[test]
    fn five_and_six_fields() {
        let five = due("0 2 * * *", "UTC", "2026-03-01T02:00:00Z", 2);
        assert_eq!(five, ["2026-03-02T02:00:00Z", "2026-03-03T02:00:00Z"]);
        let six = due("30 0 2 * * 1", "UTC", "2026-03-01T00:00:00Z", 2);
        assert_eq!(six, ["2026-03-02T02:00:30Z", "2026-03-09T02:00:30Z"]);
        assert_eq!(due("@daily", "UTC", "2026-03-01T00:00:00Z", 1), ["2026-03-02T00:00:00Z"]);
    }

    #[test]
    fn the_night_the_clocks_go_forward() {
        // Berlin, 2026-03-29: 02:00 becomes 03:00, so 02:30 does not exist that night.
        let found = due("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", 4);
        assert_eq!(found.len(), 4);
        assert_eq!(found[0], "2026-03-28T01:30:00Z");
        // It still runs that night, at the first moment there is, and once.
        assert_eq!(found[1], "2026-03-29T01:00:00Z");
        assert_eq!(found[2..], ["2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"]);
    }

    #[test]
    fn the_night_the_clocks_go_back() {
        // Berlin, 2026-10-25: 03:00 becomes 02:00, so 02:30 comes twice; it is due once.
        let found = due("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
        assert_eq!(found, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
        // Every half hour is every half hour, in both of them.
        let found = due("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 4);
        let all =
            ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"];
        assert_eq!(found, all);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for text in ["", "x", "* * *", "99 * * * *", "0 2 * * * * 2026", "0 2 31 2 *"] {
            let error = Schedule::parse(text, Some("UTC")).unwrap_err().to_string();
            assert!(error.contains("schedule"), "{text:?}: {error}");
        }
        let error = Schedule::parse("0 2 * * *", Some("Mars/Olympus")).unwrap_err();
        assert_eq!(error, ScheduleError::Zone { name: "Mars/Olympus".into() });
        assert!(parse_schedule("0 2 * * *").is_ok());
    }

    #[test]
    fn missed_runs() {
        let schedule = Schedule::parse("0 2 * * *", Some("UTC")).unwrap();
        let since = at("2026-03-01T02:00:00Z");
        let due = |now: &str, missed| is_due(&schedule, since, at(now), missed, 10 * MINUTE);
        for missed in [Missed::CatchUp, Missed::Skip] {
            assert!(!due("2026-03-02T01:59:59Z", missed));
            assert!(due("2026-03-02T02:00:00Z", missed));
            assert!(due("2026-03-02T02:09:00Z", missed));
        }
        // The machine was off for three nights: once, or not before the next night.
        assert!(due("2026-03-05T12:00:00Z", Missed::CatchUp));
        assert!(!due("2026-03-05T12:00:00Z", Missed::Skip));
        assert!(due("2026-03-06T02:00:01Z", Missed::Skip));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[-0-9*/,?LW#@a-zA-Z ]{0,24}") {
            if let Ok(schedule) = Schedule::parse(&text, Some("Europe/Berlin")) {
                let now = at("2026-03-29T00:00:00Z");
                if let Some(next) = schedule.next_after(now) {
                    prop_assert!(next > now);
                }
            }
        }
    }
}
