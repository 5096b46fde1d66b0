//! What the kernel knows.

use std::path::PathBuf;

use super::{Access, DevicePath, Finding, Open, Seen};
use crate::engine::EngineError;
use crate::scsi::identify::{self, Identified};
use crate::scsi::inquiry::Identity;
use crate::scsi::linux_sg::SgError;
use crate::scsi::linux_sg::sysfs::{self, Holder, Roots, Unit, UnitKind};

/// All units with who they are and whether they can be used.
pub(super) fn look(roots: &Roots, open: &mut Open<'_>, problems: &mut Vec<Finding>) -> Vec<Seen> {
    let units = sysfs::units(roots);
    modules(roots, &units, problems);
    units.into_iter().map(|unit| probe(roots, unit, open, problems)).collect()
}

/// Modules that devices at hand need.
fn modules(roots: &Roots, units: &[Unit], problems: &mut Vec<Finding>) {
    if units.is_empty() {
        return;
    }
    let load = |module: &str| {
        format!("modprobe {module}; for every start: echo {module} > /etc/modules-load.d/{module}.conf")
    };
    if units.iter().any(|unit| unit.generic.is_none()) && !sysfs::has_class(roots, "scsi_generic") {
        problems.push(
            Finding::wrong(
                "module_sg",
                "module sg",
                "not loaded: tape devices are there, but no /dev/sgN to use them by",
            )
            .advise(load("sg")),
        );
    }
    let lacks = |kind, class| units.iter().any(|unit| unit.kind == kind) && !sysfs::has_class(roots, class);
    for (kind, class, module, nodes) in [
        (UnitKind::Drive, "scsi_tape", "st", "/dev/nstN"),
        (UnitKind::Changer, "scsi_changer", "ch", "/dev/schN"),
    ] {
        if lacks(kind, class) {
            problems.push(
                Finding::note(
                    if module == "st" { "module_st" } else { "module_ch" },
                    format!("module {module}"),
                    format!("not loaded: no names such as {nodes}, and other tools cannot use the device; Reelward does not need it"),
                )
                .advise(load(module)),
            );
        }
    }
}

fn probe(roots: &Roots, unit: Unit, open: &mut Open<'_>, problems: &mut Vec<Finding>) -> Seen {
    let name = unit.name().map_or_else(|| unit.address.clone(), |name| name.display().to_string());
    let nodes: Vec<PathBuf> = unit.nodes().map(PathBuf::from).collect();
    let node_refs: Vec<&std::path::Path> = nodes.iter().map(PathBuf::as_path).collect();
    let holders = sysfs::holders(roots, &node_refs);
    let mut path = DevicePath {
        name,
        nodes: nodes.iter().chain(&unit.links).map(|node| node.display().to_string()).collect(),
        address: Some(unit.address.clone()),
        adapter: Some(unit.adapter.clone()),
        access: Access::Failed,
        detail: None,
        holders,
        max_transfer: None,
    };
    let from_kernel = Identity {
        vendor: unit.vendor.clone(),
        product: unit.product.clone(),
        revision: unit.revision.clone(),
        serial: unit.serial.clone().unwrap_or_default(),
    };
    let known = Seen {
        kind: unit.kind,
        identity: from_kernel,
        designators: unit.designators.clone(),
        path: path.clone(),
    };
    let Some(node) = &unit.generic else {
        path.access = Access::NoNode;
        path.detail = Some("it has no sg node".into());
        if sysfs::has_class(roots, "scsi_generic") {
            problems.push(
                Finding::wrong("no_sg_node", path.name.as_str(), "the kernel gave this device no sg node")
                    .advise("rescan it: echo 1 > /sys/bus/scsi/devices/ADDRESS/rescan, or plug it in again"),
            );
        }
        return Seen { path, ..known };
    };
    if !node.exists() {
        path.access = Access::NoNode;
        path.detail = Some(format!("{} is missing", node.display()));
        problems.push(
            Finding::wrong("no_sg_node", path.name.as_str(), format!("the kernel knows {}, but it is not below /dev", node.display()))
                .advise("in a container or a unit with PrivateDevices=yes: let the device in (DeviceAllow=char-sg rw)"),
        );
        return Seen { path, ..known };
    }
    if let Some(state) = &unit.trouble {
        path.detail = Some(format!("the kernel says {state}"));
        problems.push(
            Finding::wrong(
                "offline",
                path.name.as_str(),
                format!("the kernel took the device out of use (state {state})"),
            )
            .advise(format!(
                "look at power and cables, then: echo running > /sys/bus/scsi/devices/{}/state",
                unit.address
            )),
        );
        return Seen { path, ..known };
    }
    match open(&node.display().to_string()) {
        Ok(mut transport) => match identify::identify(transport.as_mut()) {
            Ok(who) => {
                path.access = Access::Free;
                path.max_transfer = Some(transport.max_transfer());
                told_by_st(&path, problems);
                let Some(Identified { identity, mut designators, .. }) = who else {
                    return Seen { path, ..known };
                };
                designators.extend(known.designators.iter().cloned());
                let serial = if identity.serial.is_empty() { known.identity.serial } else { identity.serial };
                Seen { identity: Identity { serial, ..identity }, designators, path, ..known }
            }
            Err(error) => failed(path, known, &error, problems),
        },
        Err(EngineError::Sg(SgError::InUse { .. })) => {
            path.access = Access::InUse;
            path.detail = Some(in_use(&path.holders));
            problems.push(held(&path));
            Seen { path, ..known }
        }
        Err(EngineError::Sg(SgError::Permission { .. })) => {
            path.access = Access::NoPermission;
            path.detail = Some("no permission".into());
            problems.push(
                Finding::wrong(
                    "no_permission",
                    path.name.as_str(),
                    format!("this user may not open {}", node.display()),
                )
                .advise(
                    "run as root, or join the group of the device: adduser USER tape, then sign in again",
                ),
            );
            Seen { path, ..known }
        }
        Err(error) => failed(path, known, &error, problems),
    }
}

fn failed(
    mut path: DevicePath,
    known: Seen,
    error: &(dyn std::error::Error + 'static),
    problems: &mut Vec<Finding>,
) -> Seen {
    let told = crate::engine::told(error);
    problems.push(
        Finding::wrong("no_answer", path.name.as_str(), told.as_str())
            .advise("look at cables, power and the drive's display; `dmesg` tells what the kernel saw"),
    );
    path.detail = Some(told);
    Seen { path, ..known }
}

/// Who holds it, in words.
fn in_use(holders: &[Holder]) -> String {
    let named: Vec<String> = holders.iter().map(named).collect();
    if named.is_empty() {
        "another program has it open".into()
    } else {
        format!("held by {}", named.join(", "))
    }
}

fn named(holder: &Holder) -> String {
    let ours = if holder.pid == std::process::id() { ", this process" } else { "" };
    format!("{} (pid {}{ours})", holder.program, holder.pid)
}

fn held(path: &DevicePath) -> Finding {
    let what = in_use(&path.holders);
    let ours =
        !path.holders.is_empty() && path.holders.iter().all(|holder| holder.program.starts_with("reelward"));
    if ours {
        return Finding::note("in_use", path.name.as_str(), format!("{what}: a task is using it"));
    }
    let node = path.nodes.first().map(String::as_str).unwrap_or_default();
    let advice = match path.holders.is_empty() {
        true => format!("`fuser -v {node}` as root tells which; end it"),
        false => "end that program, or wait until it is done".into(),
    };
    Finding::wrong("in_use", path.name.as_str(), what).advise(advice)
}

/// It can be opened, but somebody has the same drive open by another node: both would move the tape.
fn told_by_st(path: &DevicePath, problems: &mut Vec<Finding>) {
    let others: Vec<Holder> =
        path.holders.iter().filter(|holder| holder.pid != std::process::id()).cloned().collect();
    if !others.is_empty() {
        problems.push(
            Finding::wrong(
                "shared",
                path.name.as_str(),
                format!("{}: two programs would move one tape", in_use(&others)),
            )
            .advise("end that program before a task uses the device"),
        );
    }
}
