//! One drive and, where there is one, the changer that serves it.

use std::sync::Arc;
use std::time::Duration;

use super::error::OperatorRequest;
use super::health::Watch;
use super::robot::{BusyDrive, Robot, SharedRobot, place_of_drive};
use super::{EngineError, Operator, fence};
use crate::catalog::{Catalog, HealthEvent, Volume};
use crate::changer::{Element, ElementAddress, ElementKind, Inventory};
use crate::drive::{Drive, DriveError};
use crate::scsi::Transport;

/// A cartridge may need this long to become ready (LTO-9 and later optimise a new medium at its first load).
const READY_LIMIT: Duration = Duration::from_secs(2 * 3600 + 600);

/// Devices of one task.
pub struct Station {
    drive: Option<Drive>,
    loader: Loader,
    /// The task that has not ended yet.
    pub(super) ends_with: Option<HealthEvent>,
}

impl Drop for Station {
    fn drop(&mut self) {
        self.finish();
    }
}

/// What puts cartridges into a drive: a changer, or a person.
#[derive(Default)]
pub struct Loader {
    robot: Option<SharedRobot>,
    /// The drive's place in the changer.
    element: Option<ElementAddress>,
    /// While this task lasts no other takes the cartridge out of the drive.
    _busy: Option<BusyDrive>,
    /// Who is asked for cartridges that are not there.
    operator: Option<Arc<dyn Operator>>,
    /// What keeps the drive's health.
    pub(super) watch: Watch,
}

impl Station {
    /// Opens what is given and finds the drive's place in the changer by its serial number.
    ///
    /// # Errors
    /// A device that does not answer as a drive or as a changer.
    pub fn open(
        drive: Option<Box<dyn Transport>>,
        robot: Option<SharedRobot>,
    ) -> Result<Station, EngineError> {
        let drive = drive.map(Drive::open).transpose()?;
        let mut element = None;
        if let (Some(drive), Some(robot)) = (&drive, &robot) {
            let inventory = robot.hold().inventory()?;
            element = place_of_drive(&inventory, &drive.identity().serial);
        }
        let busy = robot.as_ref().zip(element).map(|(robot, element)| robot.busy(element));
        Ok(Station {
            drive,
            loader: Loader { robot, element, _busy: busy, operator: None, watch: Watch::default() },
            ends_with: None,
        })
    }

    /// The same for a task, whose end is told in the history of the drive's health, however it ends.
    pub(super) fn ending_with(mut self, event: HealthEvent) -> Station {
        self.ends_with = Some(event);
        self
    }

    /// The same, with the health of the drive kept in the catalog.
    pub(super) fn watched(mut self, catalog: &Catalog) -> Station {
        self.loader.watch = Watch::new(catalog.clone());
        self
    }

    /// Has a person asked for what is not there.
    pub(super) fn asking(mut self, operator: Option<Arc<dyn Operator>>) -> Station {
        self.loader.operator = operator;
        self
    }

    /// The drive.
    ///
    /// # Errors
    /// None was named.
    pub fn drive(&mut self) -> Result<&mut Drive, EngineError> {
        Ok(self.split()?.0)
    }

    /// The drive and what loads it, for threads that own them apart.
    ///
    /// # Errors
    /// No drive was named.
    pub fn split(&mut self) -> Result<(&mut Drive, &mut Loader), EngineError> {
        match &mut self.drive {
            Some(drive) => Ok((drive, &mut self.loader)),
            None => Err(EngineError::Request("this needs a drive: name one with --drive".into())),
        }
    }

    /// Takes the drive out, for a thread that owns it; it must come back by [`Station::return_drive`].
    ///
    /// # Errors
    /// No drive was named.
    pub fn take_drive(&mut self) -> Result<Drive, EngineError> {
        self.split()?;
        self.drive.take().ok_or_else(|| EngineError::Request("the drive is in use".into()))
    }

    /// Puts the drive back.
    pub fn return_drive(&mut self, drive: Drive) {
        self.drive = Some(drive);
    }

    /// What loads the drive.
    pub fn loader(&mut self) -> &mut Loader {
        &mut self.loader
    }

    /// Whether the devices are files.
    pub fn is_virtual(&self) -> bool {
        self.drive.as_ref().is_some_and(|drive| drive.identity().is_virtual())
    }
}

impl Loader {
    /// The changer, where there is one, until the answer is dropped: other tasks wait.
    pub fn robot(&self) -> Option<Robot<'_>> {
        self.robot.as_ref().map(SharedRobot::hold)
    }

    /// The drive's place in the changer, where it is known.
    pub fn element(&self) -> Option<ElementAddress> {
        self.element
    }

    /// What lies where; `None` without a changer.
    ///
    /// # Errors
    /// The changer failed.
    pub fn inventory(&self) -> Result<Option<Inventory>, EngineError> {
        self.robot().map(|mut robot| robot.inventory()).transpose()
    }

    /// Barcode of the cartridge in the drive; none where the changer does not say.
    pub(super) fn barcode_in_drive(&self) -> Option<String> {
        let inventory = self.inventory().ok()??;
        inventory.at(self.element?)?.barcode.clone()
    }

    /// Barcodes of the data cartridges that the changer can put into the drive, in element order; `None` without one.
    ///
    /// # Errors
    /// The changer failed.
    pub fn cartridges(&self) -> Result<Option<Vec<String>>, EngineError> {
        let (Some(own), Some(mut robot)) = (self.element, self.robot()) else { return Ok(None) };
        let found = robot.inventory()?;
        let reachable = |e: &&Element| {
            let taken = e.kind == ElementKind::Drive && e.address != own;
            e.full && !e.cleaning && !taken
        };
        Ok(Some(found.elements.iter().filter(reachable).filter_map(|e| e.barcode.clone()).collect()))
    }

    /// Has the cartridge with this barcode in the drive and ready, to work with it. Without a changer the one in the drive
    /// is taken: the volume file will tell which it is.
    ///
    /// # Errors
    /// [`EngineError::Operator`] when a person has to put it in and nobody did; device errors.
    pub fn mount(&mut self, drive: &mut Drive, barcode: Option<&str>, name: &str) -> Result<(), EngineError> {
        self.bring(drive, barcode, name)?;
        self.watch.mounted(drive);
        Ok(())
    }

    /// The same to see which it is: the drive's health is not looked at yet.
    ///
    /// # Errors
    /// As [`Loader::mount`].
    pub(super) fn bring(
        &mut self,
        drive: &mut Drive,
        barcode: Option<&str>,
        name: &str,
    ) -> Result<(), EngineError> {
        loop {
            match self.try_mount(drive, barcode, name) {
                Err(EngineError::Operator(request)) => self.ask(drive, barcode, request)?,
                mounted => return mounted,
            }
        }
    }

    /// The same for a volume. Where a person changes cartridges, a wrong one is given out and the right one asked for.
    ///
    /// # Errors
    /// As [`Loader::mount`]; [`EngineError::WrongVolume`] only where a person was asked and gave up.
    pub(super) fn mount_volume(&mut self, drive: &mut Drive, volume: &Volume) -> Result<(), EngineError> {
        loop {
            self.mount(drive, volume.barcode.as_deref(), &volume.label)?;
            if self.element.is_some() || self.operator.is_none() {
                return Ok(());
            }
            fence::prepare(drive)?;
            match fence::check_identity(drive, volume) {
                Err(wrong @ EngineError::WrongVolume { .. }) => {
                    self.watch.leaving(drive);
                    drive.unload()?;
                    let request = OperatorRequest::Insert {
                        volume: volume.label.clone(),
                        drive: drive.name().to_owned(),
                    };
                    self.ask(drive, None, request).map_err(|_| wrong)?;
                }
                checked => return checked,
            }
        }
    }

    /// Whether somebody can be asked for cartridges while the task goes on.
    pub(super) fn can_ask(&self) -> bool {
        self.operator.is_some()
    }

    /// Gives the cartridge in the drive out and asks for another one, whichever.
    ///
    /// # Errors
    /// [`EngineError::Operator`] when nobody brings one; device errors.
    pub(super) fn ask_for_another(&mut self, drive: &mut Drive) -> Result<(), EngineError> {
        if self.watch.leaving(drive) {
            drive.unload()?;
        }
        let request = OperatorRequest::InsertToLabel { drive: drive.name().to_owned() };
        self.ask(drive, None, request)
    }

    /// Has a person bring a cartridge; returns when it is worth looking again.
    fn ask(
        &mut self,
        drive: &mut Drive,
        barcode: Option<&str>,
        request: OperatorRequest,
    ) -> Result<(), EngineError> {
        let mut is_there = || match (barcode, self.element) {
            (Some(barcode), Some(_)) => {
                self.inventory().is_ok_and(|found| found.is_some_and(|found| found.find(barcode).is_some()))
            }
            _ => drive.is_loaded().unwrap_or_default(),
        };
        match &self.operator {
            Some(operator) if operator.ask(&request, &mut is_there) => {}
            _ => return Err(EngineError::Operator(request)),
        }
        if self.element.is_none() {
            self.watch.arrived();
        }
        Ok(())
    }

    fn try_mount(&mut self, drive: &mut Drive, barcode: Option<&str>, name: &str) -> Result<(), EngineError> {
        let insert = |drive: &Drive| {
            let drive = drive.name().to_owned();
            EngineError::Operator(match name {
                "" => OperatorRequest::InsertToLabel { drive },
                name => OperatorRequest::Insert { volume: name.to_owned(), drive },
            })
        };
        if let (Some(barcode), Some(_)) = (barcode, self.element)
            && let Some(inventory) = self.inventory()?
        {
            let wanted = inventory.elements.iter().find(|e| e.barcode.as_deref() == Some(barcode));
            let Some(wanted) = wanted else { return Err(insert(drive)) };
            if Some(wanted.address) != self.element {
                self.fetch(drive, |inventory| inventory.find(barcode), name)?;
            }
        }
        // Without a barcode: where it was last seen. The fence tells whether it is.
        if barcode.is_none()
            && let Some(place) = self.remembered(name)
        {
            self.fetch(drive, |inventory| inventory.at(place), name)?;
        }
        if barcode.is_some() {
            self.watch.cartridge(barcode);
        }
        self.thread(drive).map_err(|error| match error {
            EngineError::Drive(DriveError::NoMedium { .. }) => insert(drive),
            error => error,
        })
    }

    /// Has the cartridge that is in the drive loaded and ready.
    ///
    /// # Errors
    /// There is none; the drive failed.
    pub(super) fn thread(&mut self, drive: &mut Drive) -> Result<(), EngineError> {
        if !drive.is_loaded()? {
            drive.load()?;
            self.watch.arrived();
        }
        Ok(drive.wait_ready(READY_LIMIT)?)
    }

    /// Has the changer put the cartridge that `find` finds into the drive; the one that is there goes back first. Looking
    /// and moving are one sequence that no other task gets into.
    ///
    /// # Errors
    /// The cartridge is in a drive that another task uses, there is no free slot, a move failed.
    pub(super) fn fetch(
        &mut self,
        drive: &mut Drive,
        find: impl Fn(&Inventory) -> Option<&Element>,
        name: &str,
    ) -> Result<(), EngineError> {
        let Some(element) = self.element else { return Ok(()) };
        let found = self.inventory()?.unwrap_or_default();
        if find(&found).is_some_and(|found| found.address == element) {
            return Ok(());
        }
        // Unloading takes minutes: others may use the robot meanwhile.
        self.unload(drive)?;
        let Some(mut robot) = self.robot() else { return Ok(()) };
        let inventory = robot.inventory()?;
        let wanted = find(&inventory).cloned().filter(|wanted| wanted.full).ok_or_else(|| {
            EngineError::Request(format!("{name}: it is gone from its place; run the command again"))
        })?;
        let from = wanted.address;
        if wanted.kind == ElementKind::Drive && robot.is_busy(from) {
            return Err(EngineError::InAnotherDrive { volume: name.to_owned(), element: from, busy: true });
        }
        put_back(&mut robot, &inventory, element)?;
        let carried = robot.carry(&wanted, element);
        drop(robot);
        if carried.is_ok() {
            self.watch.cartridge(wanted.barcode.as_deref());
            self.watch.arrived();
        }
        match carried {
            // A drive that nobody uses but that holds its cartridge fast: it must be told to unload, by its own name.
            Err(EngineError::MoveFailed { source, .. })
                if wanted.kind == ElementKind::Drive && source.is_held_by_drive() =>
            {
                Err(EngineError::InAnotherDrive { volume: name.to_owned(), element: from, busy: false })
            }
            other => other,
        }
    }

    /// Unloads the drive and puts the cartridge back where it came from, or into any free slot; without a changer the
    /// cartridge is ejected.
    ///
    /// # Errors
    /// The devices failed, or there is no free slot.
    pub fn dismount(&mut self, drive: &mut Drive) -> Result<(), EngineError> {
        let Some(element) = self.element else {
            self.watch.leaving(drive);
            return Ok(drive.unload()?);
        };
        self.unload(drive)?;
        let Some(mut robot) = self.robot() else { return Ok(()) };
        let inventory = robot.inventory()?;
        put_back(&mut robot, &inventory, element)
    }

    /// Unloads the drive where the changer says that there is something in it; first whether it can go anywhere.
    pub(super) fn unload(&mut self, drive: &mut Drive) -> Result<(), EngineError> {
        let (Some(element), Some(inventory)) = (self.element, self.inventory()?) else { return Ok(()) };
        if let Some(loaded) = inventory.at(element).filter(|found| found.full) {
            home(&inventory, loaded)?;
            match self.watch.leaving(drive) {
                true => drive.unload()?,
                // A cleaning cartridge, or one that the drive has let go of.
                false => drive.release()?,
            }
        }
        Ok(())
    }
}

/// Where the cartridge at `loaded` goes: where it came from, else any free slot.
pub(super) fn home(inventory: &Inventory, loaded: &Element) -> Result<ElementAddress, EngineError> {
    let free = || inventory.of(ElementKind::Storage).filter(|e| !e.full).map(|e| e.address);
    let home = match loaded.source {
        Some(source) if free().any(|address| address == source) => Some(source),
        _ => free().next(),
    };
    home.ok_or_else(|| {
        EngineError::Request(
            "no free slot for the cartridge in the drive: free one and run the command again".into(),
        )
    })
}

/// Carries the cartridge in the drive at `element`, which is unloaded, back.
fn put_back(
    robot: &mut Robot<'_>,
    inventory: &Inventory,
    element: ElementAddress,
) -> Result<(), EngineError> {
    let Some(loaded) = inventory.at(element).filter(|found| found.full) else { return Ok(()) };
    let home = home(inventory, loaded)?;
    robot.carry(loaded, home)
}
