//! The changer, shared by all tasks of this process: a changer is opened once (sg devices are opened exclusively), and
//! whoever looks and then moves holds it until the last move is made.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::EngineError;
use crate::changer::{Changer, ChangerError, Element, ElementAddress, ElementKind, Inventory};
use crate::scsi::Transport;

/// A changer that is open; clones share it.
#[derive(Clone)]
pub struct SharedRobot(Arc<Mutex<State>>);

struct State {
    changer: Changer,
    /// Drives that tasks of this process work with, and how many do.
    busy: HashMap<ElementAddress, usize>,
    /// Volumes by label where cartridges have no barcode, as last seen: a hint that the fence checks.
    seen: BTreeMap<u16, String>,
    /// Where `seen` is kept between commands.
    memory: PathBuf,
}

/// The changer for one sequence of looking and moving; others wait.
pub struct Robot<'a>(MutexGuard<'a, State>);

/// A drive's place that a task of this process uses, until this is dropped.
pub(super) struct BusyDrive {
    robot: SharedRobot,
    element: ElementAddress,
}

/// The other end of [`SharedRobot`], which does not keep the device open.
#[derive(Clone)]
pub(super) struct WeakRobot(std::sync::Weak<Mutex<State>>);

impl SharedRobot {
    /// Opens a changer. `state`: the directory where it is remembered which volumes its cartridges without barcodes are.
    ///
    /// # Errors
    /// As [`Changer::open`].
    pub fn open(transport: Box<dyn Transport>, state: &Path) -> Result<SharedRobot, EngineError> {
        let changer = Changer::open(transport)?;
        let named = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let serial: String = changer.identity().serial.chars().map(named).collect();
        let memory = state.join(format!("cartridges-{serial}.json"));
        // A hint that cannot be read is no hint.
        let seen = std::fs::read(&memory).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let seen = seen.unwrap_or_default();
        Ok(SharedRobot(Arc::new(Mutex::new(State { changer, busy: HashMap::new(), seen, memory }))))
    }

    /// Waits until no other task looks or moves, and keeps others from it.
    pub fn hold(&self) -> Robot<'_> {
        Robot(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that a task works with the drive at `element`: no other takes its cartridge.
    pub(super) fn busy(&self, element: ElementAddress) -> BusyDrive {
        *self.hold().0.busy.entry(element).or_default() += 1;
        BusyDrive { robot: self.clone(), element }
    }

    pub(super) fn downgrade(&self) -> WeakRobot {
        WeakRobot(Arc::downgrade(&self.0))
    }
}

impl WeakRobot {
    /// The changer, where some task still has it open.
    pub(super) fn upgrade(&self) -> Option<SharedRobot> {
        self.0.upgrade().map(SharedRobot)
    }
}

impl Drop for BusyDrive {
    fn drop(&mut self) {
        let mut robot = self.robot.hold();
        let left = robot.0.busy.get(&self.element).map_or(0, |count| count.saturating_sub(1));
        match left {
            0 => robot.0.busy.remove(&self.element),
            left => robot.0.busy.insert(self.element, left),
        };
    }
}

impl Robot<'_> {
    /// The device itself.
    pub fn changer(&mut self) -> &mut Changer {
        &mut self.0.changer
    }

    /// What lies where, asked of the library.
    ///
    /// # Errors
    /// The changer failed.
    pub fn inventory(&mut self) -> Result<Inventory, EngineError> {
        Ok(self.0.changer.inventory()?)
    }

    /// Whether a task of this process works with the drive at `element`.
    pub fn is_busy(&self, element: ElementAddress) -> bool {
        self.0.busy.contains_key(&element)
    }

    /// Moves a cartridge. After a failure the library is asked what really happened: one that arrived all the same has
    /// been moved; else the error says where the cartridge is now.
    ///
    /// # Errors
    /// [`EngineError::MoveFailed`].
    pub fn carry(&mut self, from: &Element, to: ElementAddress) -> Result<(), EngineError> {
        let Err(source) = self.0.changer.move_medium(from.address, to) else {
            self.follow(from, to);
            return Ok(());
        };
        let after = self.0.changer.inventory().ok();
        let refused = matches!(
            source,
            ChangerError::SourceEmpty { .. }
                | ChangerError::DestinationFull { .. }
                | ChangerError::NoSuchElement { .. }
                | ChangerError::MediumPrevented { .. }
                | ChangerError::ReservationConflict { .. }
        );
        if !refused && after.as_ref().is_some_and(|after| arrived(after, from, to)) {
            self.follow(from, to);
            return Ok(());
        }
        let now = after.and_then(|after| place(&after, from));
        let cartridge = from.barcode.clone().unwrap_or_else(|| "without a barcode".into());
        Err(EngineError::MoveFailed { cartridge, from: from.address, to, now, source })
    }
}

impl Robot<'_> {
    /// The cartridge without a barcode at `element` is the volume `label`.
    pub(super) fn remember(&mut self, element: ElementAddress, label: &str) {
        self.0.seen.retain(|_, seen| seen != label);
        self.0.seen.insert(element.0, label.to_owned());
        self.save();
    }

    /// Where the cartridge without a barcode is that was last seen to be the volume `label`.
    pub(super) fn remembered(&self, label: &str) -> Option<ElementAddress> {
        let found = self.0.seen.iter().find(|(_, seen)| *seen == label);
        found.map(|(element, _)| ElementAddress(*element))
    }

    /// What was known of a cartridge goes with it.
    fn follow(&mut self, from: &Element, to: ElementAddress) {
        let moved = self.0.seen.remove(&from.address.0);
        let replaced = self.0.seen.remove(&to.0);
        if moved.is_none() && replaced.is_none() {
            return;
        }
        if let Some(label) = moved.filter(|_| from.barcode.is_none()) {
            self.0.seen.insert(to.0, label);
        }
        self.save();
    }

    /// Only a hint is lost when this fails.
    fn save(&self) {
        if let Ok(bytes) = serde_json::to_vec(&self.0.seen) {
            let unfinished = self.0.memory.with_extension("new");
            let written = std::fs::write(&unfinished, bytes);
            let _ = written.and_then(|()| std::fs::rename(&unfinished, &self.0.memory));
        }
    }
}

/// Whether the cartridge that was at `from` is at `to` now.
fn arrived(after: &Inventory, from: &Element, to: ElementAddress) -> bool {
    let left = after.at(from.address).is_some_and(|element| !element.full);
    let there = after.at(to).is_some_and(|element| element.full && same(element, from));
    left && there
}

fn same(found: &Element, from: &Element) -> bool {
    found.barcode.is_none() || from.barcode.is_none() || found.barcode == from.barcode
}

/// Where the cartridge is that was at `from`.
fn place(after: &Inventory, from: &Element) -> Option<ElementAddress> {
    match from.barcode.as_deref() {
        Some(barcode) => after.find(barcode).map(|element| element.address),
        None => after.at(from.address).filter(|element| element.full).map(|element| element.address),
    }
}

/// The drive's place in the library: by its serial number, by a serial number that one of both cuts short, or because
/// there is only one drive.
pub(super) fn place_of_drive(inventory: &Inventory, serial: &str) -> Option<ElementAddress> {
    /// A beginning shorter than this says nothing.
    const LEAST: usize = 4;
    let serial = serial.trim();
    let drives: Vec<&Element> = inventory.of(ElementKind::Drive).collect();
    let told = |element: &Element| element.drive_serial.as_deref().map(str::trim).map(str::to_owned);
    if let Some(found) = drives.iter().find(|drive| told(drive).is_some_and(|told| told == serial)) {
        return Some(found.address);
    }
    if let [only] = drives.as_slice() {
        return Some(only.address); // a changer with one drive can mean no other
    }
    let cut = |told: &str| {
        told.len().min(serial.len()) >= LEAST && (told.starts_with(serial) || serial.starts_with(told))
    };
    let by = |fits: &dyn Fn(&Element) -> bool| {
        let mut fitting = drives.iter().filter(|drive| fits(drive));
        match (fitting.next(), fitting.next()) {
            (Some(found), None) => Some(found.address),
            _ => None,
        }
    };
    by(&|drive| told(drive).is_some_and(|told| cut(&told)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drive(address: u16, serial: Option<&str>) -> Element {
        Element {
            address: ElementAddress(address),
            kind: ElementKind::Drive,
            full: false,
            barcode: None,
            accessible: true,
            exception: None,
            source: None,
            drive_serial: serial.map(str::to_owned),
            cleaning: false,
        }
    }

    fn place(serials: &[Option<&str>], serial: &str) -> Option<u16> {
        let elements = serials.iter().zip(256..).map(|(serial, at)| drive(at, *serial)).collect();
        place_of_drive(&Inventory { elements }, serial).map(|found| found.0)
    }

    #[test]
    fn drives_are_found_by_what_the_library_tells() {
        assert_eq!(place(&[Some("AAAA01"), Some("AAAA02 ")], "AAAA02"), Some(257));
        // The last descriptor is cut short.
        assert_eq!(place(&[Some("XYZZY_01"), Some("XYZZ")], "XYZZY_02"), Some(257));
        assert_eq!(place(&[Some("XYZZY_01"), Some("XYZZ")], "XYZZY_01"), Some(256));
        // Too short, or two that could be meant: nothing is guessed.
        assert_eq!(place(&[Some("XYZZY_01"), Some("XY")], "XYZZY_02"), None);
        assert_eq!(place(&[Some("XYZZ"), Some("XYZZ")], "XYZZY_02"), None);
        assert_eq!(place(&[None, None], "XYZZY_02"), None);
        // One drive only.
        assert_eq!(place(&[None], "XYZZY_02"), Some(256));
        assert_eq!(place(&[], "XYZZY_02"), None);
    }
}
