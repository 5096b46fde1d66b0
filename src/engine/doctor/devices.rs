//! Drives and changers that answered, looked at more closely.

use crate::drive::{Drive, DriveError};
use crate::engine::devices::Devices;
use crate::engine::discovery::{Access, Discovery, Finding, FoundDrive};
use crate::engine::{EngineError, Settings, drives, transfer};
use crate::scsi::{Severity, TapeAlert, tape_alert};

/// Record size of a volume unless asked otherwise, and the largest.
const USUAL: usize = 256 << 10;
const LARGEST: usize = 1 << 20;

pub(super) fn examine(settings: &Settings, found: &Discovery, findings: &mut Vec<Finding>) {
    if found.drives.is_empty() {
        findings.push(
            Finding::note("no_drives", "drives", "none found: backups go to a virtual library (files, not tape) in the state directory")
                .advise("a drive behind iSCSI is found with --iscsi HOST; one that is attached should show in `lsscsi` and `dmesg`"),
        );
    }
    let mut devices = Devices::default();
    for drive in found.drives.iter().filter(|drive| drive.access == Access::Free) {
        if let Err(error) = look_at(settings, &mut devices, drive, findings) {
            findings.push(
                Finding::wrong("drive_silent", drive.name.as_str(), crate::engine::told(&error)).advise(
                    "look at the drive's display, at cables and power; `dmesg` tells what the kernel saw",
                ),
            );
        }
    }
    for changer in &found.changers {
        if let Some(contents) = &changer.contents {
            findings.push(Finding::good(
                "changer",
                changer.name.as_str(),
                format!(
                    "{} {}: {} drives, {} slots, {} cartridges",
                    changer.vendor,
                    changer.product,
                    contents.bays.len(),
                    contents.slots,
                    contents.cartridges
                ),
            ));
        }
    }
}

fn look_at(
    settings: &Settings,
    devices: &mut Devices,
    found: &FoundDrive,
    findings: &mut Vec<Finding>,
) -> Result<(), EngineError> {
    let name = found.name.as_str();
    let mut drive = Drive::open(devices.open(name)?)?;
    let alerts = drive.tape_alerts()?;
    let complains = alerts.iter().any(|alert| alert.severity() != Severity::Information);
    findings.extend(alerts.into_iter().map(|alert| complaint(name, alert)));
    for lacking in drives::lacks(&mut drive)? {
        findings.push(Finding::note("lacks", name, lacking));
    }
    let longest = longest(settings, &mut drive, found)?;
    if longest < USUAL {
        findings.push(
            Finding::wrong("short_transfer", name, format!(
                "one command carries {} KiB at most, and volumes have records of {} KiB unless labelled otherwise",
                longest / 1024, USUAL / 1024
            ))
            .advise(format!(
                "label with --record-size {}K, or raise the adapter's limit (module parameter max_sectors, or another adapter); volumes with longer records cannot be read here",
                longest / 1024
            )),
        );
    } else if longest < LARGEST {
        findings.push(Finding::note(
            "short_transfer",
            name,
            format!(
                "records of at most {} KiB: volumes written elsewhere with longer ones cannot be read here",
                longest / 1024
            ),
        ));
    }
    if !complains {
        let loaded = if drive.is_loaded()? { "a cartridge is loaded" } else { "empty" };
        let identity = drive.identity();
        findings.push(Finding::good(
            "drive",
            name,
            format!(
                "{} {} {} answers and complains of nothing; {loaded}, records up to {} KiB",
                identity.vendor,
                identity.product,
                identity.revision,
                longest.min(LARGEST) / 1024
            ),
        ));
    }
    Ok(())
}

/// As kept, else probed now without being kept, within what the drive itself and the adapter's limits say.
fn longest(settings: &Settings, drive: &mut Drive, found: &FoundDrive) -> Result<usize, DriveError> {
    let longest = match transfer::kept(&settings.state, drive) {
        Some(kept) => kept,
        None => drive.probe_transfer()?,
    };
    let adapter = found.paths.first().and_then(|path| path.adapter.as_ref()?.max_sectors_kb);
    let adapter =
        adapter.and_then(|kilobytes| usize::try_from(kilobytes).ok()).map(|kilobytes| kilobytes * 1024);
    Ok(longest.min(adapter.unwrap_or(usize::MAX)))
}

/// A TapeAlert flag as a finding.
fn complaint(name: &str, alert: TapeAlert) -> Finding {
    let what = format!("{}: {}", alert.name(), alert.meaning());
    let finding = match alert.severity() {
        Severity::Information => Finding::note("alert", name, what),
        Severity::Warning if alert == tape_alert::CLEAN_SOON => Finding::note("needs_cleaning", name, what),
        _ if alert == tape_alert::CLEAN_NOW => Finding::wrong("needs_cleaning", name, what),
        Severity::Warning | Severity::Critical => Finding::wrong("alert", name, what),
    };
    match finding.code {
        "needs_cleaning" => finding.advise("put a cleaning cartridge into the drive (the changer moves one with `reelward library transfer`); it comes out by itself"),
        _ => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::discovery::{Roots, Severity as Weight};
    use crate::engine::doctor::examine as examine_all;
    use crate::engine::{DeviceChoice, DiscoveryRequest};
    use crate::scsi::linux_sg::fake::Fake;

    #[test]
    fn alerts_weigh_as_they_should() {
        let weigh = |number| {
            let finding = complaint("/dev/nst0", TapeAlert::new(number).unwrap());
            (finding.code, finding.severity)
        };
        assert_eq!(weigh(20), ("needs_cleaning", Weight::Wrong));
        assert_eq!(weigh(21), ("needs_cleaning", Weight::Note));
        assert_eq!(weigh(3), ("alert", Weight::Wrong));
        assert_eq!(weigh(11), ("alert", Weight::Note));
        assert!(complaint("/dev/nst0", TapeAlert::new(20).unwrap()).advice.contains("cleaning cartridge"));
    }

    fn report(state: &std::path::Path, roots: Roots) -> super::super::DoctorReport {
        let settings = Settings { state: state.into(), devices: DeviceChoice::default() };
        examine_all(&settings, &DiscoveryRequest { portals: Vec::new(), roots })
    }

    #[test]
    fn an_empty_machine_is_healthy_and_told_what_it_lacks() {
        let (fake, place) = (Fake::new(), tempfile::tempdir().unwrap());
        let report = report(&place.path().join("state"), fake.roots());
        assert!(report.healthy, "{report:#?}");
        assert!(report.findings.iter().any(|finding| finding.code == "no_drives"));
        assert!(!place.path().join("state").exists(), "nothing is made");
    }

    #[test]
    fn a_drive_that_complains_or_hangs_is_wrong() {
        let (fake, place) = (Fake::new(), tempfile::tempdir().unwrap());
        let library = Devices::default().embedded(place.path()).unwrap();
        let before = report(place.path(), fake.roots());
        assert_eq!(
            before.findings.iter().filter(|finding| finding.code == "drive").count(),
            2,
            "{before:#?}"
        );
        assert_eq!((before.wrong, before.healthy), (0, true));
        library.faults().drive(0, |faults| faults.cleaning_required = true);
        library.faults().drive(1, |faults| faults.unresponsive = true);
        let after = report(place.path(), fake.roots());
        let about = |code: &str| after.findings.iter().find(|finding| finding.code == code);
        assert!(about("needs_cleaning").unwrap().subject.ends_with("#drive0"));
        assert!(
            after
                .findings
                .iter()
                .any(|finding| finding.severity == Weight::Wrong && finding.subject.ends_with("#drive1")),
            "{after:#?}"
        );
        assert!(!after.healthy);
    }
}
