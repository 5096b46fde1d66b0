//! Which drives and changers there are, by which names they are opened, and what stands in the way.
//!
//! Three sources: what the kernel knows (sysfs), what iSCSI portals offer, the embedded virtual library; and the devices
//! that were named. Devices are asked who they are by INQUIRY; changers also what lies where. Nothing moves.

mod choose;
mod finding;
mod local;
mod places;
mod remote;

use std::path::Path;

use serde::Serialize;

pub(super) use choose::choose;
pub use finding::{Area, Finding, Severity};

use super::devices::Devices;
use super::{Appliance, EngineError, Settings};
use crate::scsi::inquiry::{DeviceType, Identity};
use crate::scsi::iscsi::{Portal, SECRET_VARIABLE};
use crate::scsi::linux_sg::sysfs::UnitKind;
pub use crate::scsi::linux_sg::sysfs::{Adapter, Holder, Roots};
use crate::scsi::{Transport, identify};
use crate::virtual_library::VirtualError;

/// Where to look, beside the kernel and the state directory.
#[derive(Debug, Clone, Default)]
pub struct DiscoveryRequest {
    /// iSCSI portals to ask for targets.
    pub portals: Vec<Portal>,
    /// Where the kernel shows its devices.
    pub roots: Roots,
}

impl DiscoveryRequest {
    /// Adds a portal, named `[iscsi://][USER[%SECRET]@]HOST[:PORT]`.
    ///
    /// # Errors
    /// The name is none.
    pub fn add_portal(&mut self, name: &str) -> Result<(), EngineError> {
        let secret = std::env::var(SECRET_VARIABLE).ok();
        // The name may hold a secret: it is not shown.
        let portal = Portal::parse(name, secret.as_deref()).map_err(|error| {
            EngineError::Request(format!("the iSCSI portal: {}; write [USER@]HOST[:PORT]", error.reason()))
        })?;
        self.portals.push(portal);
        Ok(())
    }
}

/// All that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Discovery {
    /// Tape drives: those of the kernel by address, then iSCSI, then virtual ones.
    pub drives: Vec<FoundDrive>,
    /// Changers, likewise.
    pub changers: Vec<FoundChanger>,
    /// What is worth knowing or wrong.
    pub problems: Vec<Finding>,
}

/// One drive, whatever the number of paths to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundDrive {
    /// What `--drive` takes: the name of the path in use.
    pub name: String,
    /// Vendor.
    pub vendor: String,
    /// Product.
    pub product: String,
    /// Firmware revision.
    pub revision: String,
    /// Serial number; empty where it is not known.
    pub serial: String,
    /// Its cartridges are files and no tape.
    pub is_virtual: bool,
    /// Whether it can be opened, by the first path.
    pub access: Access,
    /// Its place in a changer, where known.
    pub place: Option<DrivePlace>,
    /// Paths to it, the one in use first.
    pub paths: Vec<DevicePath>,
}

/// Where a drive sits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DrivePlace {
    /// What `--changer` takes.
    pub changer: String,
    /// Element address.
    pub element: u16,
    /// The changer told the drive's serial number; else it is its only drive, and the only one found.
    pub by_serial: bool,
    /// Whether a cartridge is there.
    pub full: bool,
    /// Its barcode.
    pub barcode: Option<String>,
}

/// One changer, whatever the number of paths to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundChanger {
    /// What `--changer` takes: the name of the path in use.
    pub name: String,
    /// Vendor.
    pub vendor: String,
    /// Product.
    pub product: String,
    /// Firmware revision.
    pub revision: String,
    /// Serial number; empty where it is not known.
    pub serial: String,
    /// Its cartridges are files and no tape.
    pub is_virtual: bool,
    /// Whether it can be opened, by the first path.
    pub access: Access,
    /// What it holds; none where it was not asked or did not answer.
    pub contents: Option<Contents>,
    /// Paths to it, the one in use first.
    pub paths: Vec<DevicePath>,
}

/// What a changer has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// Storage slots.
    pub slots: usize,
    /// Import/export slots.
    pub import_export: usize,
    /// Cartridges, those in drives too.
    pub cartridges: usize,
    /// Its drives.
    pub bays: Vec<Bay>,
}

/// A drive's place in a changer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bay {
    /// Element address.
    pub element: u16,
    /// Serial number of the drive there, where the changer tells.
    pub serial: Option<String>,
    /// Name of the drive there, where it was found.
    pub drive: Option<String>,
}

/// One way to a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DevicePath {
    /// What names it.
    pub name: String,
    /// All nodes and links that lead to it, the sg node first; none of an iSCSI or virtual device.
    pub nodes: Vec<String>,
    /// Host, channel, target and LUN.
    pub address: Option<String>,
    /// The host adapter and its limits.
    pub adapter: Option<Adapter>,
    /// Whether it can be opened.
    pub access: Access,
    /// Why not, where not.
    pub detail: Option<String>,
    /// Programs that have it open.
    pub holders: Vec<Holder>,
    /// Longest data phase in bytes that this path carries, where it could be opened.
    pub max_transfer: Option<usize>,
}

/// Whether a device can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// It was opened, answered and was closed.
    Free,
    /// Another program, or a task of this one, has it.
    InUse,
    /// This user may not.
    NoPermission,
    /// There is no sg node.
    NoNode,
    /// It did not answer, or the kernel took it offline.
    Failed,
}

/// Vendor, product, revision, serial and names of one path's device, and the path.
struct Seen {
    kind: UnitKind,
    identity: Identity,
    designators: Vec<String>,
    path: DevicePath,
}

impl Appliance {
    /// Looks for drives and changers. Nothing moves, nothing is made; devices in use are reported as such.
    pub fn discover(&self, request: &DiscoveryRequest) -> Discovery {
        discover(self.settings(), request)
    }
}

/// Looks for drives and changers, for a state directory that may not be there yet.
pub fn discover(settings: &Settings, request: &DiscoveryRequest) -> Discovery {
    let mut devices = Devices::default();
    discover_with(settings, request, &mut |name| devices.open(name))
}

/// Opens a device by name.
type Open<'a> = dyn FnMut(&str) -> Result<Box<dyn Transport>, EngineError> + 'a;

fn discover_with(settings: &Settings, request: &DiscoveryRequest, open: &mut Open<'_>) -> Discovery {
    let mut found = Discovery::default();
    let mut seen = local::look(&request.roots, open, &mut found.problems);
    for portal in &request.portals {
        remote::look(portal, &mut seen, &mut found.problems);
    }
    let named = [&settings.devices.drive, &settings.devices.changer];
    for name in named.into_iter().flatten().filter(|_| !settings.devices.is_embedded()) {
        look_by_name(name, open, &mut seen, &mut found.problems);
    }
    look_at_embedded(&settings.state, open, &mut seen, &mut found.problems);
    fold(seen, &mut found);
    places::find(&mut found, open);
    found
}

/// A device that was named: it is there, or that is wrong.
fn look_by_name(name: &str, open: &mut Open<'_>, seen: &mut Vec<Seen>, problems: &mut Vec<Finding>) {
    let real = Path::new(name).canonicalize().ok();
    let known = |path: &DevicePath| {
        let same = |node: &String| real.is_some() && Path::new(node).canonicalize().ok() == real;
        path.name == name || path.nodes.iter().any(same)
    };
    if seen.iter().any(|device| known(&device.path)) {
        return;
    }
    let shown = super::devices::without_secret(name);
    match open(name).map(|mut transport| {
        let path = opened(transport.name(), transport.max_transfer());
        (identify::identify(transport.as_mut()), path)
    }) {
        Ok((Ok(Some(who)), path)) => match kind(who.device_type) {
            Some(kind) => {
                // Another way to what was found already is none.
                if !seen.iter().any(|device| device.path.name == path.name) {
                    seen.push(Seen { kind, identity: who.identity, designators: who.designators, path });
                }
            }
            None => problems.push(
                Finding::wrong("no_tape_device", shown, "neither a tape drive nor a changer")
                    .advise("name a device that `reelward drive list` shows"),
            ),
        },
        Ok((Ok(None), _)) => problems.push(
            Finding::wrong("no_tape_device", shown, "no device is behind this name")
                .advise("name a device that `reelward drive list` shows"),
        ),
        Ok((Err(error), _)) => problems.push(
            Finding::wrong("no_answer", shown, super::told(&error))
                .advise("look at cables, power and the drive's display"),
        ),
        Err(error) => problems
            .push(Finding::wrong(code_of(&error), shown, super::told(&error)).advise(advice_for(&error))),
    }
}

/// The embedded library: reported, never made.
fn look_at_embedded(state: &Path, open: &mut Open<'_>, seen: &mut Vec<Seen>, problems: &mut Vec<Finding>) {
    let directory = Devices::embedded_directory(state);
    if !directory.join("library.json").exists() {
        return;
    }
    let shown = directory.display().to_string();
    let real = seen.iter().any(|device| device.kind == UnitKind::Drive && !device.identity.is_virtual());
    if real {
        problems.push(
            Finding::note("embedded_library", shown.as_str(), "this state directory has a virtual library (files, not tape), and it is what commands use that name no device")
                .advise("name a real drive with --drive, or use a state directory of its own for the real devices"),
        );
    }
    match crate::virtual_library::VirtualLibrary::open(&directory) {
        Ok(library) => {
            let units = (0..library.drives())
                .map(|index| (UnitKind::Drive, format!("virtual://{shown}#drive{index}")))
                .chain([(UnitKind::Changer, format!("virtual://{shown}#changer"))]);
            for (kind, name) in units {
                if !seen.iter().any(|device| device.path.name == name) {
                    seen.push(virtual_unit(kind, &name, open, problems));
                }
            }
        }
        Err(error @ VirtualError::InUse(_)) => problems.push(
            Finding::note("library_in_use", shown, error.to_string())
                .advise("wait for the other command, or ask the daemon"),
        ),
        Err(error) => problems.push(Finding::wrong("library_damaged", shown, super::told(&error))),
    }
}

/// A unit of the embedded library; one that does not answer is there all the same.
fn virtual_unit(kind: UnitKind, name: &str, open: &mut Open<'_>, problems: &mut Vec<Finding>) -> Seen {
    let asked = open(name).and_then(|mut transport| {
        let path = opened(name, transport.max_transfer());
        let who = identify::identify(transport.as_mut())
            .map_err(|error| EngineError::Device { name: name.to_owned(), reason: error.to_string() })?;
        who.map(|who| (path, who)).ok_or_else(|| EngineError::Device {
            name: name.to_owned(),
            reason: "does not say what it is".into(),
        })
    });
    match asked {
        Ok((path, who)) => Seen { kind, identity: who.identity, designators: who.designators, path },
        Err(error) => {
            let told = super::told(&error);
            problems.push(Finding::wrong("no_answer", name, told.as_str()));
            let path = DevicePath {
                access: Access::Failed,
                detail: Some(told),
                max_transfer: None,
                ..opened(name, 0)
            };
            Seen { kind, identity: Identity::of_virtual(), designators: Vec::new(), path }
        }
    }
}

/// A path that was opened and is free.
fn opened(name: &str, max_transfer: usize) -> DevicePath {
    DevicePath {
        name: name.to_owned(),
        nodes: Vec::new(),
        address: None,
        adapter: None,
        access: Access::Free,
        detail: None,
        holders: Vec::new(),
        max_transfer: Some(max_transfer),
    }
}

fn kind(device_type: DeviceType) -> Option<UnitKind> {
    match device_type {
        DeviceType::SequentialAccess => Some(UnitKind::Drive),
        DeviceType::MediumChanger => Some(UnitKind::Changer),
        DeviceType::Other(_) => None,
    }
}

/// `1 target`, `2 targets`.
fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn code_of(error: &EngineError) -> &'static str {
    use crate::scsi::iscsi::IscsiError;
    match error {
        EngineError::Iscsi(IscsiError::Library { .. }) => "libiscsi_missing",
        EngineError::Iscsi(IscsiError::Target { .. }) => "target_unreachable",
        EngineError::Virtual(VirtualError::InUse(_)) => "library_in_use",
        EngineError::Device { .. } => "no_device_name",
        _ => "cannot_open",
    }
}

fn advice_for(error: &EngineError) -> &'static str {
    match code_of(error) {
        "libiscsi_missing" => "on Debian 12: apt-get install libiscsi7",
        "target_unreachable" => {
            "look at address, target name, user and REELWARD_ISCSI_SECRET, and at the initiators that the target admits"
        }
        "library_in_use" => "wait for the other command, or ask the daemon",
        _ => "",
    }
}

/// Paths to one device become one row: the same vendor, product and serial number, or the same name of the logical unit.
fn fold(seen: Vec<Seen>, found: &mut Discovery) {
    let mut groups: Vec<Vec<Seen>> = Vec::new();
    for device in seen {
        match groups.iter_mut().find(|group| group.iter().any(|known| same(known, &device))) {
            Some(group) => group.push(device),
            None => groups.push(vec![device]),
        }
    }
    for mut group in groups {
        // Stable: of equals the first by address.
        group.sort_by_key(|device| device.path.access);
        // A path that could be asked knows more than sysfs.
        let Some(first) = group.first() else { continue };
        let (kind, identity) = (first.kind, first.identity.clone());
        let paths: Vec<DevicePath> = group.into_iter().map(|device| device.path).collect();
        let Some(best) = paths.first() else { continue };
        let (name, access) = (best.name.clone(), best.access);
        if paths.len() > 1 {
            let all: Vec<&str> =
                paths.iter().filter_map(|path| path.address.as_deref().or(Some(&path.name))).collect();
            found.problems.push(Finding::note(
                "several_paths",
                name.as_str(),
                format!(
                    "one device with {} paths ({}); the first usable one is taken",
                    paths.len(),
                    all.join(", ")
                ),
            ));
        }
        let is_virtual = identity.is_virtual();
        let Identity { vendor, product, revision, serial } = identity;
        match kind {
            UnitKind::Drive => found.drives.push(FoundDrive {
                name,
                vendor,
                product,
                revision,
                serial,
                is_virtual,
                access,
                place: None,
                paths,
            }),
            UnitKind::Changer => found.changers.push(FoundChanger {
                name,
                vendor,
                product,
                revision,
                serial,
                is_virtual,
                access,
                contents: None,
                paths,
            }),
        }
    }
}

fn same(one: &Seen, other: &Seen) -> bool {
    let serial = one.identity.serial.trim();
    let by_serial = !serial.is_empty()
        && serial == other.identity.serial.trim()
        && one.identity.vendor == other.identity.vendor
        && one.identity.product == other.identity.product;
    let by_name = one.designators.iter().any(|name| other.designators.contains(name));
    one.kind == other.kind && (by_serial || by_name)
}

#[cfg(test)]
mod tests;
