//! The tape drives and changers that the kernel knows, by what sysfs says. Nothing is opened.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::scsi::inquiry::{self, Designator};

/// Where the kernel shows its devices. Tests make their own trees.
#[derive(Debug, Clone)]
pub struct Roots {
    /// `/sys`.
    pub sys: PathBuf,
    /// `/dev`.
    pub dev: PathBuf,
    /// `/proc`.
    pub proc: PathBuf,
}

impl Default for Roots {
    fn default() -> Roots {
        Roots { sys: "/sys".into(), dev: "/dev".into(), proc: "/proc".into() }
    }
}

/// What a logical unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitKind {
    /// Peripheral device type 01h.
    Drive,
    /// Peripheral device type 08h.
    Changer,
}

/// One path to a tape drive or changer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// What it is.
    pub kind: UnitKind,
    /// Host, channel, target and LUN, as in `3:0:1:0`.
    pub address: String,
    /// T10 vendor identification.
    pub vendor: String,
    /// Product identification.
    pub product: String,
    /// Firmware revision.
    pub revision: String,
    /// Unit serial number (VPD page 80h as the kernel keeps it).
    pub serial: Option<String>,
    /// Names of the logical unit that hold on every path (VPD page 83h), as in `naa.5000e11160000001`.
    pub designators: Vec<String>,
    /// `/dev/sgN`; none while the module `sg` is not loaded.
    pub generic: Option<PathBuf>,
    /// `/dev/nstN`; none while the module `st` is not loaded.
    pub tape: Option<PathBuf>,
    /// `/dev/schN`; none while the module `ch` is not loaded.
    pub changer: Option<PathBuf>,
    /// Links below `/dev/tape/by-id` to one of the nodes.
    pub links: Vec<PathBuf>,
    /// The kernel's state of the device where it is not `running`.
    pub trouble: Option<String>,
    /// The host adapter.
    pub adapter: Adapter,
}

/// A host adapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Adapter {
    /// N of `hostN`.
    pub host: u32,
    /// Its driver.
    pub driver: String,
    /// Pieces of memory that one command can gather, where sysfs tells.
    pub sg_tablesize: Option<u32>,
    /// Longest data phase in KiB, where sysfs or a parameter of the driver's module tells.
    pub max_sectors_kb: Option<u32>,
}

impl Unit {
    /// The name to use: the one that stays the same after a reboot first.
    pub fn name(&self) -> Option<&Path> {
        let suffix = match self.kind {
            UnitKind::Drive => "-nst",
            UnitKind::Changer => "-changer",
        };
        let stable = |link: &&PathBuf| link.to_string_lossy().ends_with(suffix);
        let node = self.tape.as_ref().or(self.changer.as_ref());
        let found = self.links.iter().find(stable).or(node);
        found.or(self.generic.as_ref()).map(PathBuf::as_path)
    }

    /// All nodes by which a program can hold it.
    pub fn nodes(&self) -> impl Iterator<Item = &Path> {
        [&self.generic, &self.tape, &self.changer].into_iter().flatten().map(PathBuf::as_path)
    }
}

/// All tape drives and changers, by address. A machine without SCSI has none.
pub fn units(roots: &Roots) -> Vec<Unit> {
    let Ok(entries) = std::fs::read_dir(roots.sys.join("bus/scsi/devices")) else { return Vec::new() };
    let mut found: Vec<([u64; 4], Unit)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let address = address(&name)?;
            Some((address, unit(roots, &entry.path(), name, address)?))
        })
        .collect();
    found.sort_by_key(|(address, _)| *address);
    let mut units: Vec<Unit> = found.into_iter().map(|(_, unit)| unit).collect();
    add_links(roots, &mut units);
    units
}

/// The numbers of `H:C:T:L`.
fn address(name: &str) -> Option<[u64; 4]> {
    let numbers: Option<Vec<u64>> = name.split(':').map(|number| number.parse().ok()).collect();
    numbers?.try_into().ok()
}

fn unit(roots: &Roots, device: &Path, name: String, address: [u64; 4]) -> Option<Unit> {
    let kind = match line(device, "type")?.as_str() {
        "1" => UnitKind::Drive,
        "8" => UnitKind::Changer,
        _ => return None,
    };
    let page = |page: &str| std::fs::read(device.join(page)).ok();
    let designators = page("vpd_pg83").and_then(|bytes| inquiry::identification(&bytes));
    let host = u32::try_from(address[0]).ok()?;
    let class = |class: &str, prefix: &str| node(roots, &device.join(class), prefix);
    Some(Unit {
        kind,
        address: name,
        vendor: line(device, "vendor").unwrap_or_default(),
        product: line(device, "model").unwrap_or_default(),
        revision: line(device, "rev").unwrap_or_default(),
        serial: page("vpd_pg80")
            .and_then(|bytes| inquiry::serial(&bytes))
            .filter(|serial| !serial.is_empty()),
        designators: designators.map(|list| list.iter().filter_map(designator).collect()).unwrap_or_default(),
        generic: class("scsi_generic", "sg"),
        tape: class("scsi_tape", "nst"),
        changer: class("scsi_changer", "sch"),
        links: Vec::new(),
        trouble: line(device, "state").filter(|state| state != "running"),
        adapter: adapter(roots, device, host),
    })
}

/// First line of a file, without blanks around it; none where it is empty.
fn line(directory: &Path, name: &str) -> Option<String> {
    let text = std::fs::read(directory.join(name)).ok()?;
    let text = String::from_utf8_lossy(&text);
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

fn number(directory: &Path, name: &str) -> Option<u32> {
    line(directory, name)?.parse().ok()
}

/// The node of a class: the entry that is the prefix and a number. `nst0a` and `nst0l` are other modes of `nst0`.
fn node(roots: &Roots, class: &Path, prefix: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(class).ok()?;
    let mut names = entries.flatten().map(|entry| entry.file_name());
    names.find(|name| super::names::is_numbered(name, prefix)).map(|name| roots.dev.join(name))
}

/// The name of a logical unit: no port's, and none that a vendor gives to many.
pub fn designator(found: &Designator) -> Option<String> {
    if found.association != 0 || found.value.is_empty() {
        return None;
    }
    let hex = || -> String { found.value.iter().map(|byte| format!("{byte:02x}")).collect() };
    match found.kind {
        2 => Some(format!("eui.{}", hex())),
        3 => Some(format!("naa.{}", hex())),
        8 => Some(crate::scsi::bytes::text(&found.value)).filter(|name| !name.is_empty()),
        _ => None,
    }
}

/// Parameters of a driver's module that mean "as the hardware can".
const NO_LIMIT: std::ops::RangeInclusive<u32> = 64..=0x7fff;

fn adapter(roots: &Roots, device: &Path, host: u32) -> Adapter {
    let class = roots.sys.join(format!("class/scsi_host/host{host}"));
    let driver = line(&class, "proc_name").filter(|name| name != "(null)");
    let driver = driver.unwrap_or_else(|| "unknown".to_owned());
    // In sectors of 512 bytes: of the device (USB), or a parameter of the driver.
    let sectors = number(device, "max_sectors").or_else(|| {
        let parameters = roots.sys.join("module").join(&driver).join("parameters");
        number(&parameters, "max_sectors").filter(|sectors| NO_LIMIT.contains(sectors))
    });
    Adapter {
        host,
        sg_tablesize: number(&class, "sg_tablesize").filter(|&size| size > 0),
        max_sectors_kb: number(&device.join("queue"), "max_sectors_kb")
            .or(sectors.map(|sectors| sectors / 2)),
        driver,
    }
}

fn add_links(roots: &Roots, units: &mut [Unit]) {
    let Ok(entries) = std::fs::read_dir(roots.dev.join("tape/by-id")) else { return };
    let mut links: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    links.sort();
    for link in links {
        let Some(name) = link.canonicalize().ok().and_then(|to| Some(to.file_name()?.to_owned())) else {
            continue;
        };
        // A link may lead to st0, the rewinding mode of nst0.
        let plain = roots.dev.join(&name);
        let quiet = name.to_str().map(|name| roots.dev.join(format!("n{name}")));
        let holds = |unit: &Unit| unit.nodes().any(|node| node == plain || Some(node) == quiet.as_deref());
        if let Some(unit) = units.iter_mut().find(|unit| holds(unit)) {
            unit.links.push(link);
        }
    }
}

/// A program that has a device open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// Its name as the kernel has it, at most 15 bytes.
    pub program: String,
}

/// The processes that have one of the nodes open, as far as this user may see: root sees all.
pub fn holders(roots: &Roots, nodes: &[&Path]) -> Vec<Holder> {
    let Ok(processes) = std::fs::read_dir(&roots.proc) else { return Vec::new() };
    let mut found: Vec<Holder> = processes
        .flatten()
        .filter_map(|process| {
            let pid: u32 = process.file_name().to_str()?.parse().ok()?;
            let mut open = std::fs::read_dir(process.path().join("fd")).ok()?.flatten();
            open.find(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| nodes.contains(&to.as_path())))?;
            Some(Holder { pid, program: line(&process.path(), "comm").unwrap_or_default() })
        })
        .collect();
    found.sort_by_key(|holder| holder.pid);
    found
}

/// Modules of the kernel that are loaded or built in: whether the class they make is there.
pub fn has_class(roots: &Roots, class: &str) -> bool {
    roots.sys.join("class").join(class).exists()
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, FakeUnit};
    use super::*;

    #[test]
    fn a_machine_without_scsi_has_nothing() {
        let fake = Fake::new();
        assert!(units(&fake.roots()).is_empty());
        assert!(holders(&fake.roots(), &[Path::new("/dev/sg0")]).is_empty());
    }

    #[test]
    fn drives_and_changers_are_found_with_their_names() {
        let fake = Fake::new();
        fake.host(3, "mpt3sas", 128);
        fake.unit(&FakeUnit::drive("3:0:10:0", 4, 1, "SER-A"));
        fake.unit(&FakeUnit::drive("3:0:9:0", 2, 0, "SER-B"));
        fake.unit(&FakeUnit::changer("3:0:9:1", 3, 0, "LIB-1"));
        fake.unit(&FakeUnit { kind: 0, ..FakeUnit::drive("3:0:1:0", 9, 9, "a disk") });
        fake.link("scsi-SER-B", "st0");
        fake.link("scsi-SER-B-nst", "nst0");
        fake.link("scsi-LIB-1-changer", "sg3");
        fake.link("scsi-dangling", "nst7");
        let found = units(&fake.roots());
        let names: Vec<String> = found.iter().map(|unit| fake.relative(unit.name().unwrap())).collect();
        assert_eq!(names, ["dev/tape/by-id/scsi-SER-B-nst", "dev/tape/by-id/scsi-LIB-1-changer", "dev/nst1"]);
        let drive = &found[0];
        assert_eq!((drive.kind, drive.address.as_str()), (UnitKind::Drive, "3:0:9:0"));
        assert_eq!((drive.vendor.as_str(), drive.product.as_str()), ("IBM", "ULTRIUM-HH8"));
        assert_eq!(drive.serial.as_deref(), Some("SER-B"));
        assert_eq!(drive.designators.len(), 1, "{:?}", drive.designators);
        assert!(drive.designators[0].starts_with("naa.5"));
        assert_eq!(drive.links.len(), 2);
        assert_eq!(drive.adapter.driver, "mpt3sas");
        assert_eq!((drive.adapter.sg_tablesize, drive.adapter.max_sectors_kb), (Some(128), None));
        assert_eq!(found[1].kind, UnitKind::Changer);
        assert_eq!(found[1].trouble, None);
    }

    #[test]
    fn missing_modules_leave_holes() {
        let fake = Fake::new();
        fake.host(0, "(null)", 0);
        fake.unit(&FakeUnit {
            generic: None,
            tape: None,
            serial: None,
            ..FakeUnit::drive("0:0:0:0", 0, 0, "")
        });
        fake.write("sys/bus/scsi/devices/0:0:0:0/state", "offline\n");
        let found = units(&fake.roots());
        assert_eq!((found[0].name(), &found[0].serial), (None, &None));
        assert_eq!(found[0].trouble.as_deref(), Some("offline"));
        assert_eq!((found[0].adapter.driver.as_str(), found[0].adapter.sg_tablesize), ("unknown", None));
    }

    #[test]
    fn limits_of_the_adapter_are_read_where_they_stand() {
        let fake = Fake::new();
        fake.host(0, "mpt3sas", 64);
        fake.host(1, "uas", 64);
        fake.unit(&FakeUnit::drive("0:0:0:0", 0, 0, "A"));
        fake.unit(&FakeUnit::drive("1:0:0:0", 1, 1, "B"));
        fake.write("sys/module/mpt3sas/parameters/max_sectors", "1024\n");
        fake.write("sys/bus/scsi/devices/1:0:0:0/max_sectors", "240\n");
        let kilobytes = |fake: &Fake| -> Vec<Option<u32>> {
            units(&fake.roots()).iter().map(|unit| unit.adapter.max_sectors_kb).collect()
        };
        assert_eq!(kilobytes(&fake), [Some(512), Some(120)]);
        fake.write("sys/module/mpt3sas/parameters/max_sectors", "65535\n");
        fake.write("sys/bus/scsi/devices/1:0:0:0/queue/max_sectors_kb", "1280\n");
        assert_eq!(kilobytes(&fake), [None, Some(1280)]);
    }

    #[test]
    fn who_holds_a_device_is_named() {
        let fake = Fake::new();
        fake.process(812, "mt", &["dev/null", "dev/nst0"]);
        fake.process(77, "bash", &["dev/tty"]);
        fake.write("proc/self-made/comm", "x");
        let node = fake.path("dev/nst0");
        let found = holders(&fake.roots(), &[node.as_path()]);
        assert_eq!(found, [Holder { pid: 812, program: "mt".into() }]);
    }
}
