//! Health of drives and cartridges: live, from history, and what to do about it.

pub(super) mod advice;
mod watch;

use serde::{Deserialize, Serialize};

use super::station::Station;
use super::{Appliance, EngineError, rfc3339};
use crate::catalog::{
    Alert, AlertSeverity, CartridgeId, CartridgeSeen, Catalog, Happened, HealthEvent, PairTrend, Readings,
    Volume,
};
use crate::drive::{Drive, Health};
use crate::scsi::cartridge_memory::CartridgeMemory;

pub use advice::{Advice, Judgement};
pub(super) use watch::{Watch, drive_key, line, record};

/// Trends look back so long: 180 days, in nanoseconds.
const SPAN: i64 = 180 * 24 * 3600 * 1_000_000_000;
/// Alerts that are shown of a drive.
const ALERTS_SHOWN: usize = 50;

/// A drive in numbers: what the drive says of its life, and what our history has of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DriveStatistics {
    /// Bytes read, by our history.
    pub total_bytes_read: u64,
    /// Bytes written, by our history.
    pub total_bytes_written: u64,
    /// Reads that failed: in the drive's life where it counts them, else by our history.
    pub read_errors: u64,
    /// Writes that failed, the same.
    pub write_errors: u64,
    /// Cartridges loaded in the drive's life; where it does not count them, by our history.
    pub total_load_count: u64,
    /// The drive asks for cleaning, at once or at the next opportunity.
    pub cleaning_required: bool,
    /// Hours powered on.
    pub power_on_hours: Option<u64>,
    /// Hours the tape moved.
    pub tape_motion_hours: Option<u64>,
    /// Hours the tape moved since the last cleaning.
    pub motion_hours_since_cleaning: Option<u64>,
    /// Cleanings in the drive's life.
    pub cleanings: Option<u64>,
    /// Degrees Celsius.
    pub temperature_c: Option<u64>,
    /// Ratio of read compression; 1 is none.
    pub read_compression_pct: Option<f64>,
    /// Ratio of write compression; 1 is none.
    pub write_compression_pct: Option<f64>,
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthAlert {
    /// Its number.
    pub id: i64,
    /// Serial number of the drive.
    pub drive: String,
    /// How much it matters.
    pub severity: AlertSeverity,
    /// `cleaning`, `media`, `drive`, `library`, `operation`.
    pub category: String,
    /// What is wrong and what to do.
    pub message: String,
    /// Barcode or serial number of the cartridge, where it is the cartridge's.
    pub cartridge: Option<String>,
    /// Whether it is over.
    pub resolved: bool,
    /// When it was over, RFC 3339, UTC.
    pub resolved_at: Option<String>,
    /// When it was first told, RFC 3339, UTC.
    pub created_at: String,
}

/// What applications have written into a cartridge's memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryRow {
    /// Serial number of the cartridge.
    pub serial: Option<String>,
    /// Vendor, name and version of the application that wrote it.
    pub application: Option<String>,
    /// The label.
    pub label: Option<String>,
    /// Barcode.
    pub barcode: Option<String>,
    /// Pool.
    pub pool: Option<String>,
    /// Whether the volume is as that application left it; unknown where it did not say.
    pub unchanged: Option<bool>,
}

/// A drive as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriveHealth {
    /// As it was named.
    pub name: String,
    /// Vendor and product.
    pub model: String,
    /// Firmware revision.
    pub revision: String,
    /// Serial number; its name where it has none.
    pub serial: String,
    /// Its cartridges are files and no tape.
    pub is_virtual: bool,
    /// A cartridge is loaded and ready.
    pub loaded: bool,
    /// The tape moves: only that was asked, numbers are those of the last time.
    pub in_motion: bool,
    /// What it is doing, where it tells.
    pub activity: Option<String>,
    /// `not_needed`, `requested` or `required`.
    pub cleaning: String,
    /// Numbers.
    pub statistics: DriveStatistics,
    /// The memory of the cartridge in it.
    pub memory: Option<MemoryRow>,
    /// The cartridge in it.
    pub cartridge: Option<CartridgeHealth>,
    /// Alerts that are not over, the newest first.
    pub alerts: Vec<HealthAlert>,
    /// What to do.
    #[serde(flatten)]
    pub judgement: Judgement,
}

/// What a drive did with a cartridge in the last 180 days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairRow {
    /// Serial number of the drive.
    pub drive: String,
    /// What happened.
    #[serde(flatten)]
    pub happened: Happened,
    /// Errors corrected for each GB; none where too little moved.
    pub corrected_per_gb: Option<f64>,
    /// The last time, RFC 3339, UTC.
    pub last: String,
}

/// A cartridge's life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CartridgeHealth {
    /// Serial number of the cartridge.
    pub serial: Option<String>,
    /// Barcode.
    pub barcode: Option<String>,
    /// Read from the cartridge just now; else as it was when it was last in a drive.
    pub live: bool,
    /// When that was, RFC 3339, UTC.
    pub as_of: Option<String>,
    /// Loads in its life.
    pub loads: Option<u64>,
    /// Bytes written in its life.
    pub written: Option<u64>,
    /// Bytes read in its life.
    pub read: Option<u64>,
    /// Life left in percent.
    pub life_left: Option<u64>,
    /// Passes over the beginning and the middle of the tape.
    pub passes: Option<(u64, u64)>,
    /// Writes that failed in its life.
    pub write_errors: Option<u64>,
    /// Reads that failed in its life.
    pub read_errors: Option<u64>,
    /// Who made it.
    pub manufacturer: Option<String>,
    /// When it was made, YYYYMMDD.
    pub manufactured: Option<String>,
    /// Serial numbers of the drives that loaded it last.
    pub last_drives: Vec<String>,
    /// With each drive, by our history.
    pub drives: Vec<PairRow>,
    /// Alerts that are not over.
    pub alerts: Vec<HealthAlert>,
    /// What to do.
    #[serde(flatten)]
    pub judgement: Judgement,
}

impl Station {
    /// At the end of a task: looks at the drive once more; what there is for the task's report, new alerts first of all.
    /// A task that ends early, by an error, does it when its station is dropped.
    pub(super) fn finish(&mut self) -> Vec<String> {
        if let Some(event) = self.ends_with.take()
            && let Ok((drive, loader)) = self.split()
        {
            loader.watch.ended(drive, event);
        }
        self.loader().watch.take()
    }
}

impl Appliance {
    /// The drive in use as it stands. A sample is kept, unless a task of another process runs.
    ///
    /// # Errors
    /// The drive cannot be opened or does not answer; the catalog failed.
    pub fn drive_health(&mut self) -> Result<DriveHealth, EngineError> {
        let recorded = match self.claim() {
            Ok(()) => true,
            Err(EngineError::Busy { .. }) => false,
            Err(error) => return Err(error),
        };
        let mut station = self.station()?;
        let in_drive = station.loader().barcode_in_drive();
        let (drive, _) = station.split()?;
        let health = drive.health()?;
        let loaded = !health.in_motion && drive.is_loaded()?;
        let volume = match &in_drive {
            Some(barcode) => self.catalog().volume_by_barcode(barcode)?,
            None => None,
        };
        let seen = CartridgeSeen {
            serial: None,
            barcode: in_drive.filter(|_| loaded),
            volume: volume.map(|volume| volume.uuid).filter(|_| loaded),
        };
        if recorded {
            record(self.catalog(), drive, &health, HealthEvent::Request, &seen)?;
        }
        describe(self.catalog(), drive, &health, loaded, seen)
    }

    /// Numbers of the drive with this serial number, as of the last sample; the drive is not asked.
    ///
    /// # Errors
    /// The catalog failed.
    pub fn drive_statistics(&self, serial: &str) -> Result<DriveStatistics, EngineError> {
        let last = self.catalog().last_sample(serial)?.map(|last| last.sample.readings);
        statistics(self.catalog(), serial, &last.unwrap_or_default())
    }

    /// Alerts of the drive with this serial number, the newest first, at most 50.
    ///
    /// # Errors
    /// The catalog failed.
    pub fn drive_alerts(&self, serial: &str) -> Result<Vec<HealthAlert>, EngineError> {
        let alerts = self.catalog().alerts(serial, ALERTS_SHOWN)?;
        alert_rows(self.catalog(), alerts)
    }

    /// The cartridge that a volume is on: live where it is in the drive in use, else from history. `None` where no drive
    /// has told anything of it.
    pub(super) fn cartridge_health(
        &mut self,
        volume: &Volume,
    ) -> Result<Option<CartridgeHealth>, EngineError> {
        let seen = CartridgeSeen {
            serial: None,
            barcode: volume.barcode.clone(),
            volume: Some(volume.uuid.clone()),
        };
        let live = self.live_readings(volume);
        let catalog = self.catalog();
        let known = catalog.cartridge_of(&seen)?;
        if known.is_none() && live.is_none() {
            return Ok(None);
        }
        cartridge_health(catalog, known.map(|known| known.id), seen, live.as_ref()).map(Some)
    }

    /// What the drive in use says of the volume, where it is in it and lies still.
    fn live_readings(&mut self, volume: &Volume) -> Option<Health> {
        let barcode = volume.barcode.as_deref()?;
        let mut station = self.station().ok()?;
        if station.loader().barcode_in_drive().as_deref() != Some(barcode) {
            return None;
        }
        let (drive, _) = station.split().ok()?;
        drive.health().ok().filter(|health| !health.in_motion && *health != Health::default())
    }
}

fn describe(
    catalog: &Catalog,
    drive: &Drive,
    health: &Health,
    loaded: bool,
    mut seen: CartridgeSeen,
) -> Result<DriveHealth, EngineError> {
    let serial = drive_key(drive);
    let readings = match health.in_motion {
        true => catalog.last_sample(&serial)?.map(|last| last.sample.readings).unwrap_or_default(),
        false => watch::readings(health),
    };
    let open: Vec<Alert> = catalog.open_alerts()?.into_iter().filter(|alert| alert.drive == serial).collect();
    let pairs = catalog.pair_trends(super::now() - SPAN)?;
    let of_drive = |pair: &&PairTrend| pair.drive == serial;
    let facts = advice::DriveFacts {
        cleaning_required: readings.cleaning_required,
        cleaning_requested: readings.cleaning_requested,
        cartridges: pairs
            .iter()
            .filter(of_drive)
            .map(|pair| advice::Together { other: pair.cartridge.to_string(), happened: pair.happened })
            .collect(),
        usual_rate: usual_rate(&pairs),
        alerts: complained(open.iter().filter(|alert| alert.cartridge.is_none())),
    };
    let memory = health.memory.as_ref();
    seen.serial = memory.and_then(|memory| memory.serial.clone());
    seen.barcode = seen.barcode.or_else(|| memory?.barcode.clone());
    let cartridge = match loaded && !seen.is_empty() {
        true => {
            let known = catalog.cartridge_of(&seen)?.map(|known| known.id);
            Some(cartridge_health(catalog, known, seen, Some(health))?)
        }
        false => None,
    };
    let identity = drive.identity();
    Ok(DriveHealth {
        name: drive.name().to_owned(),
        model: format!("{} {}", identity.vendor, identity.product).trim().to_owned(),
        revision: identity.revision.clone(),
        is_virtual: identity.is_virtual(),
        loaded,
        in_motion: health.in_motion,
        activity: health.status.map(|status| format!("{:?}", status.activity).to_lowercase()),
        cleaning: match (readings.cleaning_required, readings.cleaning_requested) {
            (true, _) => "required".into(),
            (false, true) => "requested".into(),
            (false, false) => "not_needed".into(),
        },
        statistics: statistics(catalog, &serial, &readings)?,
        memory: memory.map(memory_row),
        cartridge,
        alerts: alert_rows(catalog, open)?,
        judgement: advice::of_drive(&facts),
        serial,
    })
}

fn statistics(catalog: &Catalog, serial: &str, last: &Readings) -> Result<DriveStatistics, EngineError> {
    let totals = catalog.drive_totals(serial)?;
    let ratio = |hundredths: Option<u64>| hundredths.map(|ratio| ratio as f64 / 100.0);
    Ok(DriveStatistics {
        total_bytes_read: totals.read,
        total_bytes_written: totals.written,
        read_errors: last.hard_read_errors.unwrap_or(totals.read_failed),
        write_errors: last.hard_write_errors.unwrap_or(totals.write_failed),
        total_load_count: last.loads.unwrap_or(totals.mounts),
        cleaning_required: last.cleaning_required || last.cleaning_requested,
        power_on_hours: last.power_on_hours,
        tape_motion_hours: last.motion_hours,
        motion_hours_since_cleaning: last.motion_hours_since_cleaning,
        cleanings: last.cleanings,
        temperature_c: last.temperature,
        read_compression_pct: ratio(last.read_compression),
        write_compression_pct: ratio(last.write_compression),
    })
}

/// A cartridge from its history and, where it is in a drive, from what that says.
fn cartridge_health(
    catalog: &Catalog,
    id: Option<CartridgeId>,
    seen: CartridgeSeen,
    live: Option<&Health>,
) -> Result<CartridgeHealth, EngineError> {
    let last = id.map(|id| catalog.last_sample_with(id)).transpose()?.flatten();
    let as_of = match live {
        Some(_) => Some(super::now()),
        None => last.as_ref().map(|last| last.sample.taken),
    };
    let readings = match live {
        Some(health) => watch::readings(health),
        None => last.map(|last| last.sample.readings).unwrap_or_default(),
    };
    let all = catalog.pair_trends(super::now() - SPAN)?;
    let pairs: Vec<&PairTrend> = all.iter().filter(|pair| Some(pair.cartridge) == id).collect();
    let mut open = catalog.open_alerts()?;
    open.retain(|alert| alert.cartridge.is_some() && alert.cartridge == id);
    let facts = advice::CartridgeFacts {
        life_left: readings.life_left,
        loads: readings.cartridge_loads,
        drives: pairs
            .iter()
            .map(|pair| advice::Together { other: pair.drive.clone(), happened: pair.happened })
            .collect(),
        usual_rate: usual_rate(&all),
        alerts: complained(open.iter()),
    };
    let known = catalog.cartridges()?.into_iter().find(|known| Some(known.id) == id).map(|known| known.seen);
    let known = known.unwrap_or_default();
    Ok(CartridgeHealth {
        serial: known.serial.or(seen.serial),
        barcode: known.barcode.or(seen.barcode),
        live: live.is_some(),
        as_of: as_of.map(rfc3339),
        loads: readings.cartridge_loads,
        written: readings.cartridge_written,
        read: readings.cartridge_read,
        life_left: readings.life_left,
        passes: readings.beginning_passes.zip(readings.middle_passes),
        write_errors: readings.cartridge_write_failed,
        read_errors: readings.cartridge_read_failed,
        manufacturer: readings.manufacturer,
        manufactured: readings.manufactured,
        last_drives: readings.last_drives,
        drives: pairs
            .iter()
            .map(|pair| PairRow {
                drive: pair.drive.clone(),
                happened: pair.happened,
                corrected_per_gb: pair.happened.corrected_per_gb(),
                last: rfc3339(pair.last),
            })
            .collect(),
        alerts: alert_rows(catalog, open)?,
        judgement: advice::of_cartridge(&facts),
    })
}

/// The middle of the rates of all pairs of drive and cartridge; `None` below four, which are too few to say what is usual.
fn usual_rate(pairs: &[PairTrend]) -> Option<f64> {
    let mut rates: Vec<f64> = pairs.iter().filter_map(|pair| pair.happened.corrected_per_gb()).collect();
    rates.sort_by(f64::total_cmp);
    if rates.len() < 4 { None } else { rates.get(rates.len() / 2).copied() }
}

fn complained<'a>(alerts: impl Iterator<Item = &'a Alert>) -> Vec<advice::Complained> {
    alerts
        .map(|alert| advice::Complained {
            flag: alert.flag,
            severity: alert.severity,
            message: alert.message.clone(),
        })
        .collect()
}

fn alert_rows(catalog: &Catalog, alerts: Vec<Alert>) -> Result<Vec<HealthAlert>, EngineError> {
    let cartridges = match alerts.iter().any(|alert| alert.cartridge.is_some()) {
        true => catalog.cartridges()?,
        false => Vec::new(),
    };
    let name = |id: CartridgeId| {
        let found = cartridges.iter().find(|cartridge| cartridge.id == id)?;
        found.seen.barcode.clone().or_else(|| found.seen.serial.clone())
    };
    let rows = alerts.into_iter().map(|alert| HealthAlert {
        id: alert.id,
        severity: alert.severity,
        category: alert.category,
        message: alert.message,
        cartridge: alert.cartridge.and_then(name),
        resolved: alert.resolved.is_some(),
        resolved_at: alert.resolved.map(rfc3339),
        created_at: rfc3339(alert.created),
        drive: alert.drive,
    });
    Ok(rows.collect())
}

fn memory_row(memory: &CartridgeMemory) -> MemoryRow {
    let application = [&memory.vendor, &memory.application, &memory.version];
    let application: Vec<&str> = application.into_iter().flatten().map(String::as_str).collect();
    let now = memory.change_reference.map(u64::from);
    MemoryRow {
        serial: memory.serial.clone(),
        application: Some(application.join(" ")).filter(|text| !text.is_empty()),
        label: memory.label.clone(),
        barcode: memory.barcode.clone(),
        pool: memory.pool.clone(),
        unchanged: memory.coherency.as_ref().zip(now).map(|(then, now)| then.change_reference == now),
    }
}
