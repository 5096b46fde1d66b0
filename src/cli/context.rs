//! What every command works with: where the state lies, which devices, how to speak.

use std::path::{Path, PathBuf};

use super::args::Global;
use super::error::CliError;
use super::output::Output;
use crate::engine::{Appliance, DeviceChoice, Settings};
use crate::format::age::Identity;

/// Names the state directory where `--state-dir` does not.
const STATE_VARIABLE: &str = "REELWARD_STATE_DIR";
/// Name the devices where neither `--drive` nor `--changer` is given.
const DRIVE_VARIABLE: &str = "REELWARD_DRIVE";
const CHANGER_VARIABLE: &str = "REELWARD_CHANGER";
/// The state directory of an installation.
const SYSTEM_STATE: &str = "/var/lib/reelward";
/// The state directory of a user.
const USER_STATE: &str = "reelward-state";

/// The frame of one command.
#[derive(Debug, Clone)]
pub(super) struct Context {
    /// Where to speak.
    pub(super) output: Output,
    /// The state directory that was asked for, by option or environment.
    pub(super) named_state: Option<PathBuf>,
    /// Devices named.
    pub(super) devices: DeviceChoice,
    /// Take drives from other hosts.
    pub(super) break_reservation: bool,
}

impl Context {
    pub(super) fn new(output: Output, global: Global) -> Context {
        let variable =
            || std::env::var_os(STATE_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        let device = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        // One of both on the command line: the other is left out on purpose.
        let devices = match (global.drive, global.changer) {
            (None, None) => DeviceChoice { drive: device(DRIVE_VARIABLE), changer: device(CHANGER_VARIABLE) },
            (drive, changer) => DeviceChoice { drive, changer },
        };
        let break_reservation = global.break_reservation;
        Context { output, named_state: global.state_dir.or_else(variable), devices, break_reservation }
    }

    /// The state directory in force.
    pub(super) fn state(&self) -> PathBuf {
        self.named_state
            .clone()
            .unwrap_or_else(|| PathBuf::from(if is_root() { SYSTEM_STATE } else { USER_STATE }))
    }

    /// Opens the state directory, made when it is missing.
    pub(super) fn open(&self) -> Result<Appliance, CliError> {
        Ok(self.with_options(Appliance::open(self.settings())?))
    }

    /// Opens a state directory that has a catalog; nothing is made.
    pub(super) fn open_existing(&self) -> Result<Appliance, CliError> {
        Ok(self.with_options(Appliance::open_existing(self.settings())?))
    }

    /// What was asked for of every command.
    pub(super) fn with_options(&self, mut appliance: Appliance) -> Appliance {
        appliance.break_reservations(self.break_reservation);
        appliance
    }

    /// Points at a rebuild where the catalog is empty and the library is not.
    pub(super) fn hint_when_lost(&self, appliance: &Appliance) -> Result<(), CliError> {
        if appliance.seems_lost()? {
            self.output.warning(
                "the catalog is empty, but cartridges of its library are written to: run `reelward catalog rebuild`",
            );
        }
        Ok(())
    }

    /// The state directory and the devices.
    pub(super) fn settings(&self) -> Settings {
        Settings { state: self.state(), devices: self.devices.clone() }
    }
}

/// Whether this process may do everything.
pub(super) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The identities in key files.
///
/// # Errors
/// A file that cannot be read, or holds something else.
pub(super) fn identities(files: &[PathBuf]) -> Result<Vec<Identity>, CliError> {
    let mut found = Vec::new();
    for path in files {
        found.extend(identities_in(path)?);
    }
    Ok(found)
}

fn identities_in(path: &Path) -> Result<Vec<Identity>, CliError> {
    let text = std::fs::read_to_string(path).map(zeroize::Zeroizing::new).map_err(|source| {
        CliError::File { path: path.into(), what: "cannot be read as a key file", source }
    })?;
    let identities = Identity::parse_file(&text)
        .map_err(|source| CliError::Key { what: format!("{}: not a key file", path.display()), source })?;
    if identities.is_empty() {
        return Err(CliError::Failed(format!("{}: holds no age identity", path.display())));
    }
    Ok(identities)
}
