//! Looks at a drive whenever a task loads, unloads or has finished with a cartridge. What it finds goes into the catalog;
//! whatever goes wrong here, the task goes on.

use crate::catalog::{
    Alert, AlertSeverity, CartridgeId, CartridgeSeen, Catalog, Complaint, HealthEvent, NewSample, Readings,
};
use crate::drive::{Cleaning, Drive, Health};
use crate::engine::EngineError;
use crate::scsi::TapeAlert;
use crate::scsi::tape_alert::{CLEAN_NOW, CLEAN_SOON, Severity, Subject};

/// TapeAlert 11 only says that a cleaning cartridge is at work.
const CLEANING_CARTRIDGE: u8 = 11;

/// What a task keeps of the drive it uses.
#[derive(Default)]
pub(in crate::engine) struct Watch {
    /// Where it is kept; nothing is asked without.
    catalog: Option<Catalog>,
    /// The cartridge in the drive, as far as whoever put it there knew it.
    current: CartridgeSeen,
    /// It has just come into the drive.
    fresh: bool,
    /// The task works with it, and has looked at the drive since it came.
    looked: bool,
    /// For the task's report.
    told: Vec<String>,
}

impl Watch {
    pub(in crate::engine) fn new(catalog: Catalog) -> Watch {
        Watch { catalog: Some(catalog), ..Watch::default() }
    }

    /// The cartridge that is in the drive now, or comes, has this barcode. Without one only its memory tells which it is:
    /// what a person put in may be another one than was asked for.
    pub(in crate::engine) fn cartridge(&mut self, barcode: Option<&str>) {
        let Some(catalog) = &self.catalog else { return };
        let volume = barcode.and_then(|barcode| catalog.volume_by_barcode(barcode).ok()?);
        self.current = CartridgeSeen {
            serial: None,
            barcode: barcode.map(str::to_owned),
            volume: volume.map(|volume| volume.uuid),
        };
    }

    /// It has just come into the drive. Nothing is asked before the task works with it: a task may look through all
    /// cartridges for the one it needs.
    pub(in crate::engine) fn arrived(&mut self) {
        self.fresh = true;
        self.looked = false;
    }

    /// The task works with it: looks at the drive, once until another comes.
    pub(in crate::engine) fn mounted(&mut self, drive: &mut Drive) {
        let event = if self.fresh { HealthEvent::Mount } else { HealthEvent::Found };
        self.fresh = false;
        if !std::mem::replace(&mut self.looked, true) {
            self.observe(drive, event);
        }
    }

    /// It will be unloaded: looks at the drive, unless nobody has worked with it since it came. Whether there is one that
    /// is loaded.
    pub(in crate::engine) fn leaving(&mut self, drive: &mut Drive) -> bool {
        let loaded = drive.is_loaded().unwrap_or(true);
        if loaded && !self.fresh {
            self.observe(drive, HealthEvent::Dismount);
        }
        self.current = CartridgeSeen::default();
        (self.fresh, self.looked) = (false, false);
        loaded
    }

    /// The task ends: looks at the drive where it works with the cartridge in it.
    pub(in crate::engine) fn ended(&mut self, drive: &mut Drive, event: HealthEvent) {
        if self.looked {
            self.observe(drive, event);
        }
    }

    /// Something for the task's report.
    pub(in crate::engine) fn tell(&mut self, text: String) {
        if !self.told.contains(&text) {
            self.told.push(text);
        }
    }

    /// Looks at the drive.
    pub(in crate::engine) fn observe(&mut self, drive: &mut Drive, event: HealthEvent) {
        let Some(catalog) = &self.catalog else { return };
        // A drive that does not answer is the task's to meet.
        let Ok(health) = drive.health() else { return };
        match record(catalog, drive, &health, event, &self.current) {
            Ok(new) => new.into_iter().for_each(|alert| self.tell(line(&alert))),
            Err(error) => self.tell(format!("the drive's health could not be recorded: {error}")),
        }
    }

    /// What there is for the task's report.
    pub(in crate::engine) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}

/// An alert in a line.
pub(in crate::engine) fn line(alert: &Alert) -> String {
    format!("drive {}: {}", alert.drive, alert.message)
}

/// What history knows a drive by.
pub(in crate::engine) fn drive_key(drive: &Drive) -> String {
    match drive.identity().serial.trim() {
        "" => drive.name().to_owned(),
        serial => serial.to_owned(),
    }
}

/// Keeps what a drive said, raises and resolves alerts. The new ones.
///
/// # Errors
/// The catalog failed.
pub(in crate::engine) fn record(
    catalog: &Catalog,
    drive: &Drive,
    health: &Health,
    event: HealthEvent,
    current: &CartridgeSeen,
) -> Result<Vec<Alert>, EngineError> {
    if health.in_motion {
        return Ok(Vec::new());
    }
    let now = crate::engine::now();
    let cartridge = cartridge(catalog, health, current, now)?;
    let drive = drive_key(drive);
    let readings = readings(health);
    let flags = readings.flags;
    catalog.add_sample(&NewSample { taken: now, event, drive: drive.clone(), cartridge, readings })?;
    let mut new = Vec::new();
    let Some(flags) = flags else { return Ok(new) };
    // Page 2Eh tells a flag once: that it is gone is sure only of a cartridge that has just come.
    if !health.alerts_clear || event == HealthEvent::Mount {
        catalog.resolve_cleared(&drive, cartridge, flags, now)?;
    }
    for complaint in TapeAlert::from_flags(flags).into_iter().filter_map(complaint) {
        new.extend(catalog.raise_alert(&drive, cartridge, &complaint, now)?);
    }
    Ok(new)
}

/// The cartridge in the drive: what its memory and the drive say of it counts before what the task knew.
fn cartridge(
    catalog: &Catalog,
    health: &Health,
    current: &CartridgeSeen,
    now: i64,
) -> Result<Option<CartridgeId>, EngineError> {
    let memory = health.memory.as_ref();
    let volume = health.volume.as_ref();
    let serial = memory.and_then(|memory| memory.serial.clone()).or_else(|| volume?.serial.clone());
    let barcode = memory.and_then(|memory| memory.barcode.clone()).or_else(|| volume?.barcode.clone());
    let seen = CartridgeSeen {
        serial,
        barcode: current.barcode.clone().or(barcode),
        volume: current.volume.clone(),
    };
    if seen.is_empty() {
        return Ok(None);
    }
    Ok(Some(catalog.cartridge_seen(&seen, now)?))
}

/// TapeAlert flags, and what page 11h says of cleaning; `None` where the drive tells neither.
fn flags(health: &Health) -> Option<u64> {
    let told = health.alerts.as_ref();
    if told.is_none() && health.status.is_none() && health.sequential.is_none() {
        return None;
    }
    let bit = |alert: TapeAlert| 1u64 << (alert.number() - 1);
    let flags = told.into_iter().flatten().fold(0, |flags, &alert| flags | bit(alert));
    Some(match health.cleaning() {
        Cleaning::NotNeeded => flags,
        Cleaning::Requested => flags | bit(CLEAN_SOON),
        Cleaning::Required => flags | bit(CLEAN_NOW),
    })
}

/// What is kept of a snapshot.
pub(in crate::engine) fn readings(health: &Health) -> Readings {
    const MEGABYTE: u64 = 1_000_000;
    let (write, read) = (health.write_errors.unwrap_or_default(), health.read_errors.unwrap_or_default());
    let moved = health.sequential.unwrap_or_default();
    let life = health.statistics.clone().unwrap_or_default();
    let volume = health.volume.clone().unwrap_or_default();
    let memory = health.memory.clone().unwrap_or_default();
    let bytes = |megabytes: Option<u64>| megabytes.and_then(|number| number.checked_mul(MEGABYTE));
    Readings {
        written: write.bytes.or(moved.written),
        read: read.bytes.or(moved.read),
        write_corrected: write.corrected,
        write_failed: write.uncorrected,
        read_corrected: read.corrected,
        read_failed: read.uncorrected,
        temperature: health.temperature.map(u64::from),
        power_on_hours: life.power_on_hours,
        motion_hours: life.motion_hours,
        motion_hours_since_cleaning: life.motion_hours_since_cleaning,
        metres: life.metres,
        loads: life.loads,
        cleanings: life.cleanings,
        power_cycles: life.power_cycles,
        hard_write_errors: life.hard_write_errors,
        hard_read_errors: life.hard_read_errors,
        read_compression: health.read_compression,
        write_compression: health.write_compression,
        flags: flags(health),
        cleaning_requested: health.cleaning() == Cleaning::Requested,
        cleaning_required: health.cleaning() == Cleaning::Required,
        life_left: volume.life_left,
        cartridge_loads: memory.loads.or(volume.mounts),
        cartridge_written: memory.written.or(bytes(volume.lifetime_written)),
        cartridge_read: memory.read.or(bytes(volume.lifetime_read)),
        beginning_passes: volume.beginning_passes,
        middle_passes: volume.middle_passes,
        cartridge_write_failed: volume.unrecovered_write_errors,
        cartridge_read_failed: volume.unrecovered_read_errors,
        last_drives: memory.last_drives,
        manufacturer: memory.manufacturer,
        manufactured: memory.manufactured,
    }
}

/// The alert that a flag is; `None` for flags that say nothing to anybody.
fn complaint(alert: TapeAlert) -> Option<Complaint> {
    if alert.number() == CLEANING_CARTRIDGE || alert.name() == "Reserved" {
        return None;
    }
    let (category, of_cartridge) = match alert.subject() {
        Subject::Cartridge => ("media", true),
        Subject::Cleaning => ("cleaning", false),
        Subject::Drive => ("drive", false),
        Subject::Library => ("library", false),
        Subject::Use => ("operation", true),
    };
    let severity = match alert.severity() {
        Severity::Information => AlertSeverity::Info,
        Severity::Warning => AlertSeverity::Warning,
        Severity::Critical => AlertSeverity::Critical,
    };
    Some(Complaint { flag: alert.number(), severity, category, message: alert.to_string(), of_cartridge })
}
