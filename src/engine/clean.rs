//! Cleaning a drive with the library's cleaning cartridge or an operator's, and winding a tape anew.

use serde::{Deserialize, Serialize};

use super::error::OperatorRequest;
use super::health::{drive_key, line, record};
use super::station::Loader;
use super::{Appliance, EngineError};
use crate::catalog::{AlertSeverity, Cartridge, CartridgeSeen, Catalog, Complaint, HealthEvent};
use crate::changer::{Element, ElementKind};
use crate::drive::{CleaningEnd, CleaningLimits, Drive, Retension};
use crate::scsi::TapeAlert;
use crate::scsi::tape_alert::CLEANING_EXPIRED;

/// Cleanings that a cleaning cartridge is made for, by its makers.
const USES: u64 = 50;
/// From here on the end is told.
const USES_NEAR_END: u64 = 45;
/// Category of the alerts that a cleaning ends.
const CATEGORY: &str = "cleaning";

/// A drive that was cleaned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanReport {
    /// The drive as it was named.
    pub drive: String,
    /// Barcode of the cleaning cartridge, where known.
    pub barcode: Option<String>,
    /// How often it has cleaned, by our count.
    pub uses: Option<u64>,
    /// The cleaning had taken place before the command was run: somebody had put the cartridge in.
    pub already: bool,
    /// Alerts that are over with this.
    pub resolved: usize,
    /// What is odd all the same.
    pub warnings: Vec<String>,
}

/// A tape that was wound to its end and back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetensionReport {
    /// The drive as it was named.
    pub drive: String,
    /// Barcode of the cartridge, where known.
    pub barcode: Option<String>,
    /// `drive` where the drive does it by itself, `pass` where the tape was run to the end of its data and back.
    pub by: String,
}

impl Appliance {
    /// Cleans the drive in use. With a changer: a cleaning cartridge is found, loaded, waited for and put back; one that is
    /// used up is put back too, and the next taken. The cartridge that was in the drive stays in its slot afterwards.
    ///
    /// # Errors
    /// [`EngineError::Operator`] where a person must put one in; [`EngineError::NotCleaned`]; the devices failed.
    pub fn clean(&mut self) -> Result<CleanReport, EngineError> {
        self.claim()?;
        let mut station = self.station()?;
        let (drive, loader) = station.split()?;
        let before = drive.cleanings()?;
        let mut used_up = Vec::new();
        let (barcode, already) = match loader.element().is_some() && loader.robot().is_some() {
            true => (by_library(self.catalog(), drive, loader, before, &mut used_up)?, false),
            false => (None, by_operator(self.catalog(), drive, before)?),
        };
        let seen = CartridgeSeen { barcode: barcode.clone(), ..CartridgeSeen::default() };
        let uses = match barcode {
            Some(_) => {
                let id = self.catalog().cartridge_seen(&seen, super::now())?;
                Some(self.catalog().count_cleaning(id)?)
            }
            None => None,
        };
        let key = drive_key(drive);
        let resolved = self.catalog().resolve_category(&key, CATEGORY, super::now())?;
        let mut warnings: Vec<String> = used_up;
        for text in &warnings {
            complain(self.catalog(), &key, text)?;
        }
        if let (Some(uses), Some(barcode)) = (uses.filter(|&uses| uses >= USES_NEAR_END), &barcode) {
            warnings.push(format!(
                "cleaning cartridge {barcode} has cleaned {uses} times; it is made for about {USES}: have another ready"
            ));
        }
        // What the drive says now: an alert that is not over comes again.
        if let Ok(health) = drive.health() {
            let empty = CartridgeSeen::default();
            let again = record(self.catalog(), drive, &health, HealthEvent::Clean, &empty)?;
            warnings.extend(again.iter().map(line));
        }
        Ok(CleanReport { drive: drive.name().to_owned(), barcode, uses, already, resolved, warnings })
    }

    /// Winds the tape in the drive to its end and back.
    ///
    /// # Errors
    /// No cartridge is loaded; the drive failed.
    pub fn retension(&mut self) -> Result<RetensionReport, EngineError> {
        self.claim()?;
        let mut station = self.station()?;
        let barcode = station.loader().barcode_in_drive();
        let (drive, loader) = station.split()?;
        loader.thread(drive)?;
        loader.watch.mounted(drive);
        let by = match drive.retension()? {
            Retension::ByDrive => "drive",
            Retension::ByPass => "pass",
        };
        Ok(RetensionReport { drive: drive.name().to_owned(), barcode, by: by.to_owned() })
    }
}

/// Cleans with a cartridge of the library; its barcode. Cartridges that were found to be used up go into `used_up`.
fn by_library(
    catalog: &Catalog,
    drive: &mut Drive,
    loader: &mut Loader,
    before: Option<u64>,
    used_up: &mut Vec<String>,
) -> Result<Option<String>, EngineError> {
    let mut tried = Vec::new();
    loop {
        let inventory = loader.inventory()?.unwrap_or_default();
        // One that was left in the drive has done its work.
        let own = loader.element().and_then(|element| inventory.at(element));
        if own.is_some_and(|own| own.full && own.cleaning) {
            loader.dismount(drive)?;
            continue;
        }
        let candidates = inventory
            .elements
            .iter()
            .filter(|e| e.full && e.cleaning && e.kind != ElementKind::Drive && !tried.contains(&e.address));
        let known = catalog.cartridges()?;
        let chosen = choose(candidates, &known).ok_or_else(|| {
            let why = match inventory.elements.iter().any(|e| e.full && e.cleaning) {
                true => "those in the library are used up",
                false => "there is none in the library",
            };
            EngineError::Operator(OperatorRequest::InsertCleaning {
                drive: drive.name().to_owned(),
                why: why.into(),
            })
        })?;
        tried.push(chosen.address);
        let (address, barcode) = (chosen.address, chosen.barcode.clone());
        let name = barcode.clone().unwrap_or_else(|| format!("the cleaning cartridge in element {address}"));
        loader.fetch(drive, |inventory| inventory.at(address), &name)?;
        let end = drive.wait_cleaned(before, CleaningLimits::default());
        // Whatever came of it, the cartridge does not stay in the drive.
        let back = loader.dismount(drive);
        let reason = match end? {
            CleaningEnd::Ejected | CleaningEnd::Loaded => {
                back?;
                return Ok(barcode);
            }
            CleaningEnd::Refused(alert) => {
                back?;
                refused(catalog, alert, barcode, &name, used_up)?;
                if let Some(text) = used_up.last() {
                    complain(catalog, &drive_key(drive), text)?;
                }
                continue;
            }
            CleaningEnd::NotBegun => {
                format!("it took no notice of {name}: clean it by hand and look at the library")
            }
        };
        back?;
        return Err(EngineError::NotCleaned { drive: drive.name().to_owned(), reason });
    }
}

/// The one that has cleaned most and is not used up: one is finished before another is begun.
fn choose<'a>(candidates: impl Iterator<Item = &'a Element>, known: &[Cartridge]) -> Option<&'a Element> {
    let row = |element: &Element| {
        let barcode = element.barcode.as_ref()?;
        known.iter().find(|known| known.seen.barcode.as_ref() == Some(barcode))
    };
    candidates.filter(|element| row(element).is_none_or(|row| row.expired.is_none())).max_by_key(|element| {
        (row(element).map_or(0, |row| row.cleanings), std::cmp::Reverse(element.address))
    })
}

fn refused(
    catalog: &Catalog,
    alert: TapeAlert,
    barcode: Option<String>,
    name: &str,
    used_up: &mut Vec<String>,
) -> Result<(), EngineError> {
    if alert != CLEANING_EXPIRED {
        used_up.push(format!("cleaning cartridge {name} does not fit this drive: {}", alert.meaning()));
        return Ok(());
    }
    used_up.push(format!("cleaning cartridge {name} is used up: replace it"));
    if barcode.is_some() {
        let now = super::now();
        let id = catalog.cartridge_seen(&CartridgeSeen { barcode, ..CartridgeSeen::default() }, now)?;
        catalog.expire_cleaning(id, now)?;
    }
    Ok(())
}

/// Keeps what was found of a cleaning cartridge as an alert of the drive.
fn complain(catalog: &Catalog, drive: &str, text: &str) -> Result<(), EngineError> {
    let complaint = Complaint {
        flag: 0,
        severity: AlertSeverity::Warning,
        category: CATEGORY,
        message: text.to_owned(),
        of_cartridge: false,
    };
    catalog.raise_alert(drive, None, &complaint, super::now())?;
    Ok(())
}

/// Without a changer: waits for a cleaning that somebody began, or sees that one has taken place. Whether it had.
fn by_operator(catalog: &Catalog, drive: &mut Drive, before: Option<u64>) -> Result<bool, EngineError> {
    let name = drive.name().to_owned();
    if drive.holds_cleaning_cartridge()? {
        let end = drive.wait_cleaned(before, CleaningLimits::default())?;
        drive.release()?;
        return match end {
            CleaningEnd::Ejected | CleaningEnd::Loaded => Ok(false),
            CleaningEnd::Refused(alert) => Err(EngineError::NotCleaned {
                drive: name,
                reason: format!("{}: take another", alert.meaning()),
            }),
            CleaningEnd::NotBegun => Err(EngineError::NotCleaned {
                drive: name,
                reason: "it took no notice of the cleaning cartridge: take another".into(),
            }),
        };
    }
    let key = drive_key(drive);
    let last = catalog.last_sample(&key)?.and_then(|last| last.sample.readings.cleanings);
    // Asked anew: one that was at work a moment ago may be done.
    if last.zip(drive.cleanings()?).is_some_and(|(then, now)| now > then) {
        return Ok(true);
    }
    // The count of today, so that the next time shows whether somebody has cleaned.
    if let Ok(health) = drive.health() {
        record(catalog, drive, &health, HealthEvent::Request, &CartridgeSeen::default())?;
    }
    Err(EngineError::Operator(OperatorRequest::InsertCleaning { drive: name, why: String::new() }))
}
