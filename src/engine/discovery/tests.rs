//! Discovery over trees made by hand, with virtual drives behind the nodes.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::*;
use crate::engine::DeviceChoice;
use crate::scsi::Generation;
use crate::scsi::linux_sg::SgError;
use crate::scsi::linux_sg::fake::{Fake, FakeUnit};
use crate::virtual_library::{Layout, VirtualLibrary};

/// What stands behind a node.
enum Behind {
    Drive(u16),
    Changer,
    /// A drive of another library.
    Elsewhere,
    Busy,
    Forbidden,
    Dead,
}

struct Machine {
    fake: Fake,
    library: VirtualLibrary,
    _library_place: tempfile::TempDir,
    behind: BTreeMap<String, Behind>,
    state: tempfile::TempDir,
}

impl Machine {
    fn new() -> Machine {
        let place = tempfile::tempdir().unwrap();
        let layout = Layout {
            drives: 2,
            slots: 4,
            import_export: 1,
            cartridges: 3,
            generation: Generation::Lto8,
            capacity: None,
            cleaning_cartridge: false,
            discard: false,
        };
        let library = VirtualLibrary::create(&place.path().join("library"), &layout).unwrap();
        let fake = Fake::new();
        fake.host(2, "mpt3sas", 128);
        fake.host(3, "mpt3sas", 128);
        Machine {
            fake,
            library,
            _library_place: place,
            behind: BTreeMap::new(),
            state: tempfile::tempdir().unwrap(),
        }
    }

    fn unit(&mut self, unit: &FakeUnit, behind: Behind) {
        self.fake.unit(unit);
        self.behind.insert(format!("sg{}", unit.generic.unwrap()), behind);
    }

    fn discover(&self) -> Discovery {
        let settings = Settings { state: self.state.path().into(), devices: DeviceChoice::default() };
        let request = DiscoveryRequest { portals: Vec::new(), roots: self.fake.roots() };
        discover_with(&settings, &request, &mut self.opener())
    }

    /// What a command without named devices would use, the best first.
    fn choices(&self) -> Result<Vec<DeviceChoice>, EngineError> {
        choose::of_machine(&self.fake.roots(), &mut self.opener())
    }

    fn opener(&self) -> impl FnMut(&str) -> Result<Box<dyn Transport>, EngineError> {
        let mut devices = Devices::default();
        move |name| {
            if name.starts_with("virtual://") {
                return devices.open(name);
            }
            let real = Path::new(name).canonicalize().unwrap();
            let node = real.file_name().unwrap().to_str().unwrap().to_owned();
            // As the kernel would lead a tape or changer node to its sg node.
            let node = match node.split_at(node.find(|c: char| c.is_ascii_digit()).unwrap()) {
                ("nst" | "sch", number) => self.beside(number, &node),
                _ => node,
            };
            let device = || name.to_owned();
            match &self.behind[&node] {
                Behind::Drive(index) => Ok(Box::new(self.library.drive(*index)?)),
                Behind::Changer => Ok(Box::new(self.library.changer())),
                Behind::Elsewhere => {
                    let place = self.state.path().join("elsewhere");
                    Ok(Box::new(Devices::default().embedded(&place)?.drive(1)?))
                }
                Behind::Busy => Err(SgError::InUse { device: device(), node }.into()),
                Behind::Forbidden => Err(SgError::Permission { device: device(), node }.into()),
                Behind::Dead => {
                    Err(SgError::Open { device: device(), node, source: io::Error::from_raw_os_error(6) }
                        .into())
                }
            }
        }
    }

    /// The sg node beside `nstN` or `schN`.
    fn beside(&self, _number: &str, node: &str) -> String {
        let class = if node.starts_with("nst") { "scsi_tape" } else { "scsi_changer" };
        let directory = self.fake.path(&format!("sys/class/{class}/{node}/device/scsi_generic"));
        let entry = std::fs::read_dir(directory).unwrap().next().unwrap().unwrap();
        entry.file_name().into_string().unwrap()
    }

    fn serial(&self, index: u16) -> String {
        let mut drive = self.library.drive(index).unwrap();
        identify::identify(&mut drive).unwrap().unwrap().identity.serial
    }
}

fn codes(found: &Discovery) -> Vec<(&'static str, Severity)> {
    found.problems.iter().map(|finding| (finding.code, finding.severity)).collect()
}

#[test]
fn a_machine_without_devices_has_none() {
    let found = Machine::new().discover();
    assert_eq!(found, Discovery::default());
}

#[test]
fn drives_are_placed_in_their_changer() {
    let mut machine = Machine::new();
    machine.unit(&FakeUnit::drive("2:0:0:0", 1, 0, "x"), Behind::Drive(1));
    machine.unit(&FakeUnit::changer("2:0:0:1", 2, 0, "L"), Behind::Changer);
    machine.unit(&FakeUnit::drive("2:0:1:0", 3, 1, "y"), Behind::Drive(0));
    machine.fake.link("scsi-x-nst", "nst0");
    let found = machine.discover();
    assert_eq!(found.problems, [], "all is well");
    let elements: Vec<u16> = found.drives.iter().map(|drive| drive.place.as_ref().unwrap().element).collect();
    let contents = found.changers[0].contents.as_ref().unwrap();
    assert_eq!((contents.slots, contents.import_export, contents.cartridges), (4, 1, 3));
    let bays: Vec<u16> = contents.bays.iter().map(|bay| bay.element).collect();
    assert_eq!(elements, [bays[1], bays[0]], "by serial number, not by order");
    assert!(found.drives.iter().all(|drive| drive.place.as_ref().unwrap().by_serial));
    // What the drive says of itself counts more than what the kernel remembers.
    assert_eq!(found.drives[0].serial, machine.serial(1));
    assert!(found.drives[0].name.ends_with("dev/tape/by-id/scsi-x-nst"));
    assert!(found.drives[1].name.ends_with("dev/nst1"));
    assert_eq!(contents.bays[0].drive.as_deref(), Some(found.drives[1].name.as_str()));
    assert_eq!(found.drives[0].paths[0].adapter.as_ref().unwrap().driver, "mpt3sas");
    assert_eq!(found.drives[0].access, Access::Free);
}

#[test]
fn several_paths_are_one_drive() {
    let mut machine = Machine::new();
    machine.unit(&FakeUnit::drive("2:0:0:0", 0, 0, "SAME"), Behind::Busy);
    machine.unit(&FakeUnit::drive("3:0:0:0", 1, 1, "SAME"), Behind::Drive(0));
    machine.unit(&FakeUnit::drive("3:0:1:0", 2, 2, "OTHER"), Behind::Busy);
    let found = machine.discover();
    assert_eq!(found.drives.len(), 2, "{found:#?}");
    let drive = &found.drives[0];
    let addresses: Vec<&str> = drive.paths.iter().filter_map(|path| path.address.as_deref()).collect();
    assert_eq!(addresses, ["3:0:0:0", "2:0:0:0"], "the usable path first, though it comes later");
    assert_eq!((drive.access, drive.name.ends_with("nst1")), (Access::Free, true));
    assert!(codes(&found).contains(&("several_paths", Severity::Note)));
    assert_eq!(found.drives[1].access, Access::InUse);
}

#[test]
fn what_stands_in_the_way_is_told() {
    let mut machine = Machine::new();
    machine.unit(&FakeUnit::drive("2:0:0:0", 0, 0, "A"), Behind::Busy);
    machine.unit(&FakeUnit::drive("2:0:1:0", 1, 1, "B"), Behind::Forbidden);
    machine.unit(&FakeUnit::drive("2:0:2:0", 2, 2, "C"), Behind::Dead);
    machine.unit(&FakeUnit::drive("2:0:3:0", 3, 3, "D"), Behind::Drive(0));
    machine.unit(&FakeUnit::drive("2:0:4:0", 4, 4, "E"), Behind::Drive(1));
    machine.unit(&FakeUnit::drive("2:0:5:0", 5, 5, "F"), Behind::Drive(1));
    machine.fake.process(41, "btape", &["dev/sg0"]);
    machine.fake.process(42, "mt", &["dev/nst4"]);
    machine.fake.write("sys/bus/scsi/devices/2:0:3:0/state", "offline\n");
    std::fs::remove_file(machine.fake.path("dev/sg5")).unwrap();
    let found = machine.discover();
    let about = |code: &str| found.problems.iter().find(|finding| finding.code == code).unwrap();
    assert_eq!(about("in_use").severity, Severity::Wrong);
    assert!(about("in_use").what.contains("btape (pid 41)"), "{:?}", about("in_use"));
    assert!(about("shared").what.contains("mt (pid 42)"));
    assert!(about("no_permission").advice.contains("adduser USER tape"));
    assert!(about("offline").advice.contains("2:0:3:0/state"));
    assert!(about("no_sg_node").what.contains("dev/sg5"));
    assert_eq!(about("no_answer").severity, Severity::Wrong);
    let access: Vec<Access> = found.drives.iter().map(|drive| drive.access).collect();
    use Access::{Failed, Free, InUse, NoNode, NoPermission};
    assert_eq!(access, [InUse, NoPermission, Failed, Failed, Free, NoNode]);
    // The kernel's memory stands in where a drive cannot be asked.
    assert_eq!((found.drives[1].serial.as_str(), found.drives[1].vendor.as_str()), ("B", "IBM"));
}

#[test]
fn a_task_of_ours_is_no_fault() {
    let mut machine = Machine::new();
    machine.unit(&FakeUnit::drive("2:0:0:0", 0, 0, "A"), Behind::Busy);
    machine.fake.process(43, "reelward", &["dev/sg0"]);
    assert_eq!(codes(&machine.discover()), [("in_use", Severity::Note)]);
}

#[test]
fn missing_modules_are_named() {
    let machine = Machine::new();
    machine.fake.unit(&FakeUnit { generic: None, tape: None, ..FakeUnit::drive("2:0:0:0", 0, 0, "A") });
    machine.fake.unit(&FakeUnit { generic: None, changer: None, ..FakeUnit::changer("2:0:0:1", 0, 0, "L") });
    let found = machine.discover();
    let codes = codes(&found);
    assert_eq!(
        codes,
        [("module_sg", Severity::Wrong), ("module_st", Severity::Note), ("module_ch", Severity::Note)]
    );
    assert!(found.problems[0].advice.starts_with("modprobe sg"));
    assert_eq!((found.drives[0].access, found.drives[0].name.as_str()), (Access::NoNode, "2:0:0:0"));
}

#[test]
fn bays_and_drives_that_do_not_meet_are_told() {
    let mut machine = Machine::new();
    machine.unit(&FakeUnit::drive("2:0:0:0", 0, 0, "A"), Behind::Drive(0));
    machine.unit(&FakeUnit::drive("2:0:1:0", 1, 1, "B"), Behind::Busy);
    machine.unit(&FakeUnit::changer("2:0:0:1", 2, 0, "L"), Behind::Changer);
    let found = machine.discover();
    let codes = codes(&found);
    assert!(codes.contains(&("bay_without_drive", Severity::Note)), "{codes:?}");
    assert!(codes.contains(&("no_element", Severity::Note)), "{codes:?}");
    assert_eq!(found.drives[1].place, None);
    // A changer that does not answer takes nothing else with it.
    machine.library.faults().changer(|faults| faults.jam = true);
    machine.library.faults().changer(|faults| faults.unit_attention = Some((0x28, 1)));
    assert!(machine.discover().changers[0].contents.is_some());
    machine.library.faults().changer(|faults| faults.hung = true);
    let found = machine.discover();
    assert!(found.problems.iter().any(|finding| finding.code == "no_answer"), "{:?}", found.problems);
    assert_eq!(found.changers[0].access, Access::Failed);
    assert_eq!(found.drives[0].access, Access::Free);
}

#[test]
fn the_embedded_library_is_seen_and_never_made() {
    let mut machine = Machine::new();
    assert_eq!(machine.discover(), Discovery::default());
    assert_eq!(std::fs::read_dir(machine.state.path()).unwrap().count(), 0, "nothing was made");
    let mut devices = Devices::default();
    let embedded = devices.embedded(machine.state.path()).unwrap();
    let found = machine.discover();
    assert_eq!((found.drives.len(), found.changers.len()), (2, 1));
    assert!(found.drives.iter().all(|drive| drive.is_virtual && drive.place.is_some()));
    assert_eq!(found.problems, []);
    drop(embedded);
    // Beside a real drive it is told. This one says that it is virtual, so a real one is played by what cannot be asked.
    machine.unit(&FakeUnit::drive("2:0:0:0", 0, 0, "A"), Behind::Dead);
    let found = machine.discover();
    assert_eq!(
        codes(&found),
        [
            ("no_answer", Severity::Wrong),
            ("embedded_library", Severity::Note),
            ("no_element", Severity::Note)
        ]
    );
}

#[test]
fn devices_that_are_named_are_looked_at() {
    let machine = Machine::new();
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("other");
    let layout = Layout {
        drives: 1,
        slots: 2,
        import_export: 0,
        cartridges: 1,
        generation: Generation::Lto8,
        capacity: None,
        cleaning_cartridge: false,
        discard: false,
    };
    drop(VirtualLibrary::create(&directory, &layout).unwrap());
    let drive = format!("virtual://{}#drive0", directory.display());
    let look = |drive: &str| {
        let devices = DeviceChoice { drive: Some(drive.into()), changer: None };
        let settings = Settings { state: machine.state.path().into(), devices };
        discover(&settings, &DiscoveryRequest { portals: Vec::new(), roots: machine.fake.roots() })
    };
    let found = look(&drive);
    assert_eq!((found.drives.len(), found.drives[0].name.as_str()), (1, drive.as_str()));
    for (name, code) in [
        ("nonsense", "no_device_name"),
        ("/dev/null", "cannot_open"),
        ("virtual:///nowhere#drive0", "cannot_open"),
        ("iscsi://me%hidden-secret@127.0.0.1:1/iqn.2026-01.test:x/0", "target_unreachable"),
    ] {
        let found = look(name);
        let finding = &found.problems[0];
        assert!(!format!("{finding:?}").contains("hidden-secret"), "{finding:?}");
        assert!(finding.severity == Severity::Wrong && !finding.what.is_empty());
        assert!(finding.code == code || finding.code == "libiscsi_missing", "{finding:?}");
    }
}

#[test]
fn portals_are_read_and_their_secrets_kept() {
    let mut request = DiscoveryRequest::default();
    request.add_portal("iscsi://me%hidden-secret@host:3261").unwrap();
    assert!(!format!("{request:?}").contains("hidden-secret"));
    let error = request.add_portal("me%hidden-secret@host:port").unwrap_err().to_string();
    assert!(error.contains("port") && !error.contains("hidden-secret"), "{error}");
}

#[test]
fn commands_without_names_use_what_the_machine_has() {
    let mut machine = Machine::new();
    assert!(machine.choices().unwrap().is_empty(), "no drives: the virtual library");
    machine.unit(&FakeUnit::drive("2:0:0:0", 0, 0, "A"), Behind::Busy);
    machine.fake.process(99, "btape", &["dev/sg0"]);
    let told = machine.choices().unwrap_err().to_string();
    for wanted in ["btape (pid 99)", "reelward doctor", "--drive virtual"] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    let ends = |name: &Option<String>, end: &str| name.as_ref().is_some_and(|name| name.ends_with(end));
    machine.unit(&FakeUnit::drive("2:0:1:0", 1, 1, "B"), Behind::Drive(0));
    let choices = machine.choices().unwrap();
    assert!(choices.len() == 1 && ends(&choices[0].drive, "dev/nst1") && choices[0].changer.is_none());
    // A drive in a changer comes before one without.
    machine.unit(&FakeUnit::changer("2:0:3:0", 4, 0, "L"), Behind::Changer);
    machine.behind.insert("sg0".into(), Behind::Elsewhere);
    let choices = machine.choices().unwrap();
    assert!(ends(&choices[0].drive, "dev/nst1") && ends(&choices[0].changer, "dev/sch0"), "{choices:?}");
    assert!(ends(&choices[1].drive, "dev/nst0") && choices[1].changer.is_none(), "{choices:?}");
}

#[test]
fn a_virtual_library_stays_in_use() {
    let place = tempfile::tempdir().unwrap();
    let mut devices = Devices::default();
    devices.embedded(place.path()).unwrap();
    // Even where a drive of the machine is known already.
    devices.machine = vec![DeviceChoice { drive: Some("/dev/nst0".into()), changer: None }];
    assert!(choose::choose(&mut devices, place.path()).unwrap().is_none());
    assert_eq!(devices.machine.len(), 1);
}

#[test]
fn what_was_found_once_is_used_while_it_opens() {
    let machine = Machine::new();
    let (state, mut devices) = (tempfile::tempdir().unwrap(), Devices::default());
    let drive = |index: u16| DeviceChoice {
        drive: Some(format!("virtual://{}#drive{index}", machine.library.directory().display())),
        changer: Some("the changer".into()),
    };
    devices.machine = vec![drive(9), drive(1)];
    let choice = choose::choose(&mut devices, state.path()).unwrap().unwrap();
    assert_eq!((choice.drive, choice.changer), (drive(1).drive, Some("the changer".into())));
}
