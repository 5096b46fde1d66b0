//! What is wrong with devices, state directory and clock, in plain words and with what to do. Nothing is changed but the
//! memory of a drive that clears its flags when they are read.

mod devices;
mod state;

use serde::Serialize;

use super::Settings;
use super::discovery::{self, DiscoveryRequest, Finding, FoundChanger, FoundDrive, Severity};

/// What was looked at and found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DoctorReport {
    /// Whether nothing is wrong. Notes are no fault.
    pub healthy: bool,
    /// Things that are wrong.
    pub wrong: usize,
    /// Things worth knowing.
    pub notes: usize,
    /// The drives found.
    pub drives: Vec<FoundDrive>,
    /// The changers found.
    pub changers: Vec<FoundChanger>,
    /// All findings, good ones too: devices first, then the state directory.
    pub findings: Vec<Finding>,
}

/// Looks at everything. It takes what it finds: a directory or device that cannot be read is a finding.
pub fn examine(settings: &Settings, request: &DiscoveryRequest) -> DoctorReport {
    let mut found = discovery::discover(settings, request);
    let mut findings = std::mem::take(&mut found.problems);
    devices::examine(settings, &found, &mut findings);
    state::examine(settings, &mut findings);
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (wrong, notes) = (count(Severity::Wrong), count(Severity::Note));
    DoctorReport {
        healthy: wrong == 0,
        wrong,
        notes,
        drives: found.drives,
        changers: found.changers,
        findings,
    }
}
