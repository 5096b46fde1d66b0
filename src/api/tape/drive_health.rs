//! Drives: their numbers, what they complain of, cleaning.

use schemars::JsonSchema;
use serde::Serialize;

use super::drives::drive;
use crate::access::Resource;
use crate::api::call::{Call, Json};
use crate::api::endpoint::{Endpoint, get, post};
use crate::api::error::{ApiError, Code};
use crate::api::work;
use crate::catalog::{AlertSeverity, DriveRow};
use crate::tasks::Work;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const D: Resource = Resource::Drives;
    vec![
        get("/api/v1/drives/{id}/statistics", "drives.statistics", "The drive's life in numbers")
            .needs(D)
            .error(Code::DriveBusy)
            .error(Code::DeviceError)
            .answers(statistics),
        get("/api/v1/drives/{id}/alerts", "drives.alerts", "What the drive complained of, the newest first")
            .needs(D)
            .answers(alerts),
        post("/api/v1/drives/{id}/clean", "drives.clean", "Clean the drive with a cleaning cartridge")
            .needs(D)
            .error(Code::Conflict)
            .error(Code::DriveBusy)
            .error(Code::DeviceError)
            .answers(clean),
    ]
}

/// A drive in numbers.
#[derive(Debug, Serialize, JsonSchema)]
struct Statistics {
    drive_id: i64,
    /// By our history.
    total_bytes_read: u64,
    /// By our history.
    total_bytes_written: u64,
    /// Reads that failed: in the drive's life where it counts them, else by our history.
    read_errors: u64,
    /// Writes that failed, the same.
    write_errors: u64,
    /// Cartridges loaded: in the drive's life where it counts them, else by our history.
    total_load_count: u64,
    /// It asks for cleaning, at once or at the next opportunity.
    cleaning_required: bool,
    /// Where the drive tells, as all that follows.
    power_on_hours: Option<u64>,
    /// Hours the tape moved.
    tape_motion_hours: Option<f64>,
    /// Degrees Celsius.
    temperature_c: Option<u64>,
    /// Ratio; 1 is none.
    read_compression_pct: Option<f64>,
    /// Ratio; 1 is none.
    write_compression_pct: Option<f64>,
}

/// What the history of health knows a drive by.
fn key(row: &DriveRow) -> &str {
    match row.serial.trim() {
        "" => &row.device,
        serial => serial,
    }
}

fn statistics(call: &Call) -> Result<Json<Statistics>, ApiError> {
    let row = drive(call)?;
    let told = match call.api.tasks.holder(row.id) {
        // A drive at work is not disturbed.
        Some(_) => call.api.appliance().drive_statistics(key(&row))?,
        None => call.api.tasks.with_drive(row.id, "a look at its health", |appliance| {
            appliance.drive_health().map(|health| health.statistics).map_err(ApiError::from)
        })?,
    };
    Ok(Json(Statistics {
        drive_id: row.id.0,
        total_bytes_read: told.total_bytes_read,
        total_bytes_written: told.total_bytes_written,
        read_errors: told.read_errors,
        write_errors: told.write_errors,
        total_load_count: told.total_load_count,
        cleaning_required: told.cleaning_required,
        power_on_hours: told.power_on_hours,
        tape_motion_hours: told.tape_motion_hours.map(|hours| hours as f64),
        temperature_c: told.temperature_c,
        read_compression_pct: told.read_compression_pct,
        write_compression_pct: told.write_compression_pct,
    }))
}

/// An alert.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DriveAlert")]
struct AlertBody {
    id: i64,
    drive_id: i64,
    /// `info`, `warning` or `critical`.
    severity: &'static str,
    /// `cleaning`, `media`, `drive`, `library` or `operation`.
    category: String,
    message: String,
    resolved: bool,
    resolved_at: Option<String>,
    created_at: String,
}

fn alerts(call: &Call) -> Result<Json<Vec<AlertBody>>, ApiError> {
    let row = drive(call)?;
    let alerts = call.api.appliance().drive_alerts(key(&row))?;
    let alerts = alerts.into_iter().map(|alert| AlertBody {
        id: alert.id,
        drive_id: row.id.0,
        severity: match alert.severity {
            AlertSeverity::Info => "info",
            AlertSeverity::Warning => "warning",
            AlertSeverity::Critical => "critical",
        },
        category: alert.category,
        message: alert.message,
        resolved: alert.resolved,
        resolved_at: alert.resolved_at,
        created_at: alert.created_at,
    });
    Ok(Json(alerts.collect()))
}

/// What became of the cleaning.
#[derive(Debug, Serialize, JsonSchema)]
struct Cleaned {
    /// `cleaned`, or the state of the task that goes on.
    status: String,
}

fn clean(call: &Call) -> Result<Json<Cleaned>, ApiError> {
    let row = drive(call)?;
    if let Some((_, by)) = call.api.tasks.holder(row.id) {
        return Err(ApiError::new(Code::DriveBusy, format!("drive {}: {by}", row.device)));
    }
    let ended = work::run(call, Work::Clean { drive: row.id.0 })?;
    Ok(Json(Cleaned { status: ended.status("cleaned").0 }))
}
