//! The state directory, its catalog, and the clock.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Access, access, statvfs};

use crate::engine::discovery::Finding;
use crate::engine::{Appliance, EngineError, Settings};

/// The catalog cannot grow below this many free bytes for long.
const SCARCE: u64 = 2 << 30;
/// Nor at all below this many.
const TOO_LITTLE: u64 = 64 << 20;
/// 2026-01-01T00:00:00Z in nanoseconds: no clock of a machine that runs this is right before it.
const EARLIEST: i64 = 1_767_225_600_000_000_000;
/// A clock may run behind that of another machine by this much: 10 minutes.
const SKEW: i64 = 600_000_000_000;

/// Nanoseconds.
const SECOND: i64 = 1_000_000_000;

pub(super) fn examine(settings: &Settings, findings: &mut Vec<Finding>) {
    let mut found = Vec::new();
    let newest = directory(&settings.state, &mut found).then(|| catalog(settings, &mut found)).flatten();
    clock(crate::engine::now(), newest, &mut found);
    findings.extend(found.into_iter().map(Finding::of_state));
}

/// Whether the directory is there and can be used.
fn directory(state: &Path, findings: &mut Vec<Finding>) -> bool {
    let shown = state.display().to_string();
    let metadata = match std::fs::metadata(state) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            findings.push(Finding::note(
                "no_state",
                shown,
                "not there yet: the first command that needs it makes it",
            ));
            return false;
        }
        Err(error) => {
            findings.push(
                Finding::wrong("state_unreadable", shown, format!("cannot be looked at: {error}"))
                    .advise("run as the user that owns it, or name another with --state-dir"),
            );
            return false;
        }
    };
    if !metadata.is_dir() {
        findings.push(
            Finding::wrong("state_unreadable", shown, "is no directory")
                .advise("name another with --state-dir"),
        );
        return false;
    }
    if let Err(error) = access(state, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        findings.push(
            Finding::wrong(
                "state_permission",
                shown,
                format!("this user may not read and write it: {error}"),
            )
            .advise(format!(
                "it belongs to user {}: run as that user, or name another with --state-dir",
                metadata.uid()
            )),
        );
        return false;
    }
    let others = metadata.permissions().mode() & 0o077;
    if others != 0 {
        findings.push(
            Finding::note(
                "state_open",
                shown.as_str(),
                format!(
                    "other users may look into it (mode {:o}): the catalog holds the names of all files",
                    metadata.permissions().mode() & 0o777
                ),
            )
            .advise(format!("chmod 700 {shown}")),
        );
    }
    space(state, &shown, findings);
    true
}

fn space(state: &Path, shown: &str, findings: &mut Vec<Finding>) {
    let free = match statvfs(state) {
        Ok(system) => system.f_bavail.saturating_mul(system.f_frsize),
        Err(error) => {
            findings.push(Finding::wrong(
                "state_unreadable",
                shown,
                format!("its file system does not tell its free space: {error}"),
            ));
            return;
        }
    };
    findings.push(room(shown, free));
}

fn room(shown: &str, free: u64) -> Finding {
    let megabytes = free >> 20;
    if free < TOO_LITTLE {
        Finding::wrong(
            "state_full",
            shown,
            format!("{megabytes} MiB free: the catalog cannot grow, and backups stop"),
        )
        .advise("make room on its file system, or move the directory to a larger one")
    } else if free < SCARCE {
        Finding::note(
            "state_scarce",
            shown,
            format!(
                "{megabytes} MiB free: a million files take some 100 MiB in the catalog, and an embedded virtual library lies there too"
            ),
        )
    } else {
        Finding::good("state", shown, format!("can be written to, {} GiB free", free >> 30))
    }
}

/// The catalog; when the newest set was begun.
fn catalog(settings: &Settings, findings: &mut Vec<Finding>) -> Option<i64> {
    let subject = "catalog";
    let appliance = match Appliance::open_existing(settings.clone()) {
        Ok(appliance) => appliance,
        Err(EngineError::NoState { .. }) => {
            findings.push(Finding::note("no_catalog", subject, "none yet: no volume and no backup"));
            return None;
        }
        Err(error @ EngineError::LostCatalog { .. }) => {
            findings.push(
                Finding::wrong("catalog_lost", subject, error.to_string()).advise("reelward catalog rebuild"),
            );
            return None;
        }
        Err(error) => {
            findings.push(
                Finding::wrong("catalog_damaged", subject, crate::engine::told(&error))
                    .advise("`reelward catalog rebuild` moves it aside and makes a new one from the tapes"),
            );
            return None;
        }
    };
    match appliance.check_catalog() {
        Ok(report) if report.is_damaged() => {
            let first = report.problems.first().cloned().unwrap_or_default();
            findings.push(
                Finding::wrong(
                    "catalog_damaged",
                    subject,
                    format!("{} problems, the first: {first}", report.problems.len()),
                )
                .advise("`reelward catalog rebuild` moves it aside and makes a new one from the tapes"),
            );
        }
        Ok(report) if !report.is_sound() => {
            let first = report.missing.first().cloned().unwrap_or_default();
            findings.push(
                Finding::wrong("catalog_incomplete", subject, format!("parts are missing: {first}"))
                    .advise("put the volume in, then `reelward catalog rebuild`"),
            );
        }
        Ok(report) => findings.push(Finding::good(
            "catalog",
            subject,
            format!("sound: {} sets, {} members looked at", report.sets, report.members),
        )),
        Err(error) => findings
            .push(Finding::wrong("catalog_damaged", subject, crate::engine::told(&error)).advise(
            "`reelward catalog check` looks again; `reelward catalog rebuild` makes a new one from the tapes",
        )),
    }
    match appliance.seems_lost() {
        Ok(true) => findings.push(
            Finding::wrong(
                "catalog_lost",
                subject,
                "empty, but cartridges of the embedded library are written to",
            )
            .advise("reelward catalog rebuild"),
        ),
        Ok(false) => {}
        Err(error) => findings.push(Finding::wrong("catalog_damaged", subject, crate::engine::told(&error))),
    }
    appliance.catalog().sets().ok()?.iter().map(|set| set.started).max()
}

/// The clock against what is known to be past.
fn clock(now: i64, newest: Option<i64>, findings: &mut Vec<Finding>) {
    let behind = newest.filter(|newest| newest.saturating_sub(SKEW) > now);
    let what = match behind {
        _ if now < EARLIEST => format!("stands at {}, which is past", crate::engine::rfc3339(now)),
        Some(newest) => format!(
            "stands at {}, before the newest backup set of {}",
            crate::engine::rfc3339(now),
            crate::engine::rfc3339(newest)
        ),
        None => {
            findings.push(Finding::good("clock", "clock", crate::engine::rfc3339(now / SECOND * SECOND)));
            return;
        }
    };
    findings.push(
        Finding::wrong("clock", "clock", what)
            .advise("set it (timedatectl), and let it be kept (systemd-timesyncd, chrony): schedules, retention and certificates go by it"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::DeviceChoice;
    use crate::engine::discovery::{Area, Severity};

    #[test]
    fn the_clock_is_held_against_what_is_past() {
        let told = |now, newest| {
            let mut findings = Vec::new();
            clock(now, newest, &mut findings);
            (findings.remove(0).severity, findings.len())
        };
        assert_eq!(told(EARLIEST, None), (Severity::Good, 0));
        assert_eq!(told(EARLIEST - 1, None), (Severity::Wrong, 0));
        assert_eq!(told(EARLIEST, Some(EARLIEST + SKEW)), (Severity::Good, 0));
        assert_eq!(told(EARLIEST, Some(EARLIEST + SKEW + 1)), (Severity::Wrong, 0));
    }

    #[test]
    fn room_is_good_scarce_or_gone() {
        assert_eq!(room("/s", SCARCE).severity, Severity::Good);
        assert_eq!(room("/s", SCARCE - 1).severity, Severity::Note);
        assert_eq!(room("/s", TOO_LITTLE - 1).severity, Severity::Wrong);
    }

    fn codes(state: &Path) -> Vec<&'static str> {
        let mut findings = Vec::new();
        examine(&Settings { state: state.into(), devices: DeviceChoice::default() }, &mut findings);
        assert!(findings.iter().all(|finding| finding.area == Area::State));
        findings
            .into_iter()
            .filter(|finding| finding.severity != Severity::Good)
            .map(|finding| finding.code)
            .collect()
    }

    #[test]
    fn directories_and_catalogs_that_are_not_as_they_should_be() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path().join("state");
        assert_eq!(codes(&state), ["no_state"]);
        assert!(!state.exists());
        std::fs::write(&state, "").unwrap();
        assert_eq!(codes(&state), ["state_unreadable"]);
        std::fs::remove_file(&state).unwrap();
        std::fs::create_dir(&state).unwrap();
        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(codes(&state).starts_with(&["state_open"]));
        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(codes(&state).ends_with(&["no_catalog"]));
        std::fs::write(state.join("catalog.sqlite"), "no catalog at all, but some text instead").unwrap();
        assert!(codes(&state).ends_with(&["catalog_damaged"]));
        std::fs::remove_file(state.join("catalog.sqlite")).unwrap();
        // Written cartridges without a catalog.
        std::fs::create_dir_all(state.join("library/cartridges/A")).unwrap();
        std::fs::write(state.join("library/cartridges/A/index"), "x").unwrap();
        assert!(codes(&state).ends_with(&["catalog_lost"]));
    }
}
