//! Drives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::Resource;
use crate::api::call::{Call, Created, Json, Made};
use crate::api::endpoint::{Endpoint, delete, get, post, put};
use crate::api::error::{ApiError, Code};
use crate::api::work::{self, now, time};
use crate::catalog::{DriveId, DriveRow, NewDrive, Slot, VolumeId};
use crate::engine::{DiscoveryRequest, DriveStatus};
use crate::tasks::{BatchLabelWork, FormatWork, NewTask, Work};

/// Characters of a name.
const LONGEST_NAME: usize = 200;
/// Characters of a device's name.
const LONGEST_DEVICE: usize = 1024;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const D: Resource = Resource::Drives;
    vec![
        get("/api/v1/drives", "drives.list", "List drives").needs(D).answers(list),
        post("/api/v1/drives", "drives.create", "Add a drive").needs(D).error(Code::Conflict).takes(create),
        get("/api/v1/drives/scan", "drives.scan", "Look for drives").needs(D).answers(scan),
        get("/api/v1/drives/{id}", "drives.get", "One drive").needs(D).answers(one),
        put("/api/v1/drives/{id}", "drives.update", "Change a drive")
            .needs(D)
            .error(Code::Conflict)
            .takes(update),
        delete("/api/v1/drives/{id}", "drives.delete", "Forget a drive")
            .needs(D)
            .error(Code::DriveBusy)
            .answers(remove),
        post("/api/v1/drives/{id}/select", "drives.select", "Make it the drive for work that names none")
            .needs(D)
            .answers(select),
        on_device(get("/api/v1/drives/{id}/status", "drives.status", "How the drive stands")).answers(status),
        on_device(post("/api/v1/drives/{id}/eject", "drives.eject", "Take the tape out")).answers(eject),
        on_device(post("/api/v1/drives/{id}/rewind", "drives.rewind", "Rewind the tape")).answers(rewind),
        on_device(get("/api/v1/drives/{id}/detect-tape", "drives.detect", "What is in the drive"))
            .answers(detect),
        on_device(post(
            "/api/v1/drives/{id}/format-tape",
            "drives.format",
            "Begin the tape in the drive anew",
        ))
        .takes(format),
        on_device(get(
            "/api/v1/drives/{id}/inspect-tape",
            "drives.inspect",
            "Read who the tape in the drive is",
        ))
        .answers(inspect),
        post(
            "/api/v1/drives/{id}/batch-label",
            "drives.batch_label",
            "Label several tapes, one after the other",
        )
        .needs(D)
        .long()
        .error(Code::Conflict)
        .takes(batch_label),
        on_device(post(
            "/api/v1/drives/{id}/retension",
            "drives.retension",
            "Wind the tape to its end and back",
        ))
        .answers(retension),
    ]
}

/// What every endpoint that reaches the device itself may answer.
fn on_device(draft: crate::api::endpoint::Draft) -> crate::api::endpoint::Draft {
    draft
        .needs(Resource::Drives)
        .error(Code::DriveBusy)
        .error(Code::NoTapeLoaded)
        .error(Code::DeviceError)
        .error(Code::Conflict)
}

/// A drive.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Drive")]
struct DriveBody {
    id: i64,
    /// How it is opened.
    device_path: String,
    display_name: String,
    vendor: String,
    model: String,
    serial_number: String,
    /// `ready`: a tape is in it, `empty`, `busy`: a task or an operation has it, `disabled`, or `unknown`: no library tells
    /// what is in it.
    status: &'static str,
    /// Who has it, where it is busy.
    busy_with: Option<String>,
    /// The tape in it, where a library tells.
    current_tape_id: Option<i64>,
    enabled: bool,
    /// It serves work that names no drive.
    selected: bool,
    library_id: Option<i64>,
    /// Its cartridges are files and no tape.
    is_virtual: bool,
    created_at: String,
    updated_at: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct DriveList {
    drives: Vec<DriveBody>,
}

fn body(call: &Call, row: DriveRow) -> Result<DriveBody, ApiError> {
    let slot = slot_of(call, &row)?;
    let busy_with = call.api.tasks.holder(row.id).map(|(_, text)| text);
    let status = match (&busy_with, &slot) {
        _ if !row.enabled => "disabled",
        (Some(_), _) => "busy",
        (None, Some(slot)) if slot.full => "ready",
        (None, Some(_)) => "empty",
        (None, None) => "unknown",
    };
    Ok(DriveBody {
        id: row.id.0,
        display_name: if row.display_name.is_empty() { row.model.clone() } else { row.display_name },
        device_path: row.device,
        vendor: row.vendor,
        model: row.model,
        serial_number: row.serial,
        status,
        busy_with,
        current_tape_id: slot.and_then(|slot| slot.volume).map(|volume| volume.0),
        enabled: row.enabled,
        selected: row.selected,
        library_id: row.library.map(|library| library.0),
        is_virtual: row.is_virtual,
        created_at: time(row.created),
        updated_at: time(row.updated),
    })
}

/// Its place in its library, as the last inventory found it.
fn slot_of(call: &Call, row: &DriveRow) -> Result<Option<Slot>, ApiError> {
    let Some(library) = row.library else { return Ok(None) };
    Ok(call.api.catalog.slots_of(library)?.into_iter().find(|slot| slot.drive == Some(row.id)))
}

pub(super) fn drive(call: &Call) -> Result<DriveRow, ApiError> {
    Ok(call.api.catalog.drive(DriveId(call.id("id")?))?)
}

fn list(call: &Call) -> Result<Json<DriveList>, ApiError> {
    let rows = call.api.catalog.drives()?;
    let drives = rows.into_iter().map(|row| body(call, row)).collect::<Result<_, _>>()?;
    Ok(Json(DriveList { drives }))
}

fn one(call: &Call) -> Result<Json<DriveBody>, ApiError> {
    Ok(Json(body(call, drive(call)?)?))
}

/// A drive to add.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewDriveBody {
    /// `/dev/nst0`, `/dev/sg3`, `/dev/tape/by-id/NAME`, `iscsi://HOST/TARGET/LUN`, `virtual://DIR#drive0`.
    #[schemars(length(min = 1, max = 1024))]
    device_path: String,
    display_name: Option<String>,
    serial_number: Option<String>,
    model: Option<String>,
    vendor: Option<String>,
    library_id: Option<i64>,
    enabled: Option<bool>,
}

fn create(call: &Call, new: NewDriveBody) -> Result<Made<Created<DriveBody>>, ApiError> {
    named("device_path", &new.device_path)?;
    let library = library(call, new.library_id)?;
    let id = call.api.catalog.add_drive(&NewDrive {
        is_virtual: new.device_path.starts_with("virtual://"),
        device: new.device_path,
        display_name: new.display_name.unwrap_or_default(),
        vendor: new.vendor.unwrap_or_default(),
        model: new.model.unwrap_or_default(),
        serial: new.serial_number.unwrap_or_default(),
        enabled: new.enabled.unwrap_or(true),
        library,
        element: None,
        created: now(),
    })?;
    Ok(Made(id.0, Created(body(call, call.api.catalog.drive(id)?)?)))
}

fn library(call: &Call, id: Option<i64>) -> Result<Option<crate::catalog::LibraryId>, ApiError> {
    let Some(id) = id else { return Ok(None) };
    let id = crate::catalog::LibraryId(id);
    call.api
        .catalog
        .library(id)
        .map_err(|_| ApiError::field("library_id", format!("no library {}", id.0)))?;
    Ok(Some(id))
}

/// A name that is none is refused.
pub(super) fn named(field: &str, text: &str) -> Result<(), ApiError> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(ApiError::field(field, "must not be empty or hold control characters"));
    }
    let most = if field == "name" { LONGEST_NAME } else { LONGEST_DEVICE };
    if text.chars().count() > most {
        return Err(ApiError::field(field, format!("must not be longer than {most} characters")));
    }
    Ok(())
}

/// What may be changed about a drive; what is left out stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DriveChange {
    #[schemars(length(min = 1, max = 1024))]
    device_path: Option<String>,
    display_name: Option<String>,
    serial_number: Option<String>,
    model: Option<String>,
    enabled: Option<bool>,
}

fn update(call: &Call, change: DriveChange) -> Result<Json<DriveBody>, ApiError> {
    let mut row = drive(call)?;
    if let Some(device) = change.device_path {
        named("device_path", &device)?;
        row.is_virtual = device.starts_with("virtual://");
        row.device = device;
    }
    row.display_name = change.display_name.unwrap_or(row.display_name);
    row.serial = change.serial_number.unwrap_or(row.serial);
    row.model = change.model.unwrap_or(row.model);
    row.enabled = change.enabled.unwrap_or(row.enabled);
    row.updated = now();
    call.api.catalog.update_drive(&row)?;
    one(call)
}

/// What was removed.
#[derive(Debug, Serialize, JsonSchema)]
struct Removed {
    status: &'static str,
}

fn remove(call: &Call) -> Result<Json<Removed>, ApiError> {
    let row = drive(call)?;
    if let Some((_, by)) = call.api.tasks.holder(row.id) {
        return Err(ApiError::new(Code::DriveBusy, format!("drive {}: {by}", row.device)));
    }
    call.api.catalog.remove_drive(row.id)?;
    Ok(Json(Removed { status: "deleted" }))
}

#[derive(Debug, Serialize, JsonSchema)]
struct Selected {
    status: &'static str,
    drive_id: i64,
    device_path: String,
}

fn select(call: &Call) -> Result<Json<Selected>, ApiError> {
    let row = drive(call)?;
    call.api.catalog.select_drive(row.id)?;
    Ok(Json(Selected { status: "selected", drive_id: row.id.0, device_path: row.device }))
}

/// A drive that was found.
#[derive(Debug, Serialize, JsonSchema)]
struct ScannedDrive {
    device_path: String,
    vendor: String,
    model: String,
    serial_number: String,
    /// Its cartridges are files and no tape.
    is_virtual: bool,
    /// The drive with this serial number or device that is known already.
    drive_id: Option<i64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Scanned {
    drives: Vec<ScannedDrive>,
}

fn scan(call: &Call) -> Result<Json<Scanned>, ApiError> {
    let known = call.api.catalog.drives()?;
    let found = call.api.appliance().discover(&DiscoveryRequest::default());
    let drives = found.drives.into_iter().map(|drive| {
        let same = |row: &&DriveRow| {
            row.device == drive.name || (!drive.serial.is_empty() && row.serial == drive.serial)
        };
        ScannedDrive {
            drive_id: known.iter().find(same).map(|row| row.id.0),
            device_path: drive.name,
            vendor: drive.vendor,
            model: drive.product,
            serial_number: drive.serial,
            is_virtual: drive.is_virtual,
        }
    });
    Ok(Json(Scanned { drives: drives.collect() }))
}

/// How a drive stands.
#[derive(Debug, Serialize, JsonSchema)]
struct StatusBody {
    device_path: String,
    /// A tape is in it and ready.
    ready: bool,
    /// It answers.
    online: bool,
    /// Drive or tape forbid writing.
    write_protect: bool,
    /// At the beginning of the tape.
    bot: bool,
    /// Behind early warning.
    eot: bool,
    /// Filemarks before the position, where the drive tells.
    file_number: Option<u64>,
    /// Logical block of the position, where the drive tells.
    block_number: Option<u64>,
    /// Bytes; 0 is variable.
    block_size: Option<u32>,
    /// TapeAlert flags that are set.
    alerts: Vec<String>,
    /// Who has it; then nothing else was asked of it.
    busy_with: Option<String>,
}

fn status(call: &Call) -> Result<Json<StatusBody>, ApiError> {
    let row = drive(call)?;
    // A drive at work is online and ready; it is not disturbed.
    if let Some((_, by)) = call.api.tasks.holder(row.id) {
        return Ok(Json(StatusBody {
            device_path: row.device,
            ready: true,
            online: true,
            write_protect: false,
            bot: false,
            eot: false,
            file_number: None,
            block_number: None,
            block_size: None,
            alerts: Vec::new(),
            busy_with: Some(by),
        }));
    }
    let told = ask(call, &row)?;
    let cartridge = told.cartridge.as_ref();
    let position = told.position.as_ref();
    Ok(Json(StatusBody {
        device_path: row.device,
        ready: told.loaded,
        online: true,
        write_protect: cartridge.is_some_and(|cartridge| cartridge.write_protected),
        bot: position.is_some_and(|position| position.at_beginning),
        eot: position.is_some_and(|position| position.at_end),
        file_number: position.and_then(|position| position.file),
        block_number: position.map(|position| position.block),
        block_size: cartridge.and_then(|cartridge| cartridge.block_length),
        alerts: told
            .alerts
            .iter()
            .map(|alert| format!("{} ({}): {}", alert.name, alert.severity, alert.meaning))
            .collect(),
        busy_with: None,
    }))
}

/// Asks the drive itself.
fn ask(call: &Call, row: &DriveRow) -> Result<DriveStatus, ApiError> {
    call.api.tasks.with_drive(row.id, "a look at its status", |appliance| {
        appliance.drive_status().map_err(ApiError::from)
    })
}

/// The same, with a tape in it.
pub(super) fn ask_loaded(call: &Call, row: &DriveRow) -> Result<DriveStatus, ApiError> {
    let told = ask(call, row)?;
    if !told.loaded {
        return Err(ApiError::new(
            Code::NoTapeLoaded,
            format!("drive {} is empty: load a tape first", row.device),
        ));
    }
    Ok(told)
}

/// What became of an operation.
#[derive(Debug, Serialize, JsonSchema)]
struct Operated {
    /// What was done, or the state of the task that goes on.
    status: String,
    drive_id: i64,
    /// The task, where one was needed.
    task_id: Option<i64>,
}

fn eject(call: &Call) -> Result<Json<Operated>, ApiError> {
    let row = drive(call)?;
    ask_loaded(call, &row)?;
    let ended = work::run(call, Work::Unload { drive: row.id.0, to: None })?;
    let (status, task) = ended.status("ejected");
    Ok(Json(Operated { status, drive_id: row.id.0, task_id: Some(task.0) }))
}

fn rewind(call: &Call) -> Result<Json<Operated>, ApiError> {
    let row = drive(call)?;
    ask_loaded(call, &row)?;
    call.api.tasks.with_drive(row.id, "a rewind", |appliance| appliance.rewind().map_err(ApiError::from))?;
    Ok(Json(Operated { status: "rewound".into(), drive_id: row.id.0, task_id: None }))
}

fn retension(call: &Call) -> Result<Json<Operated>, ApiError> {
    let row = drive(call)?;
    ask_loaded(call, &row)?;
    let ended = work::run(call, Work::Retension { drive: row.id.0 })?;
    let (status, task) = ended.status("retensioned");
    Ok(Json(Operated { status, drive_id: row.id.0, task_id: Some(task.0) }))
}

/// What is in a drive.
#[derive(Debug, Serialize, JsonSchema)]
struct Detected {
    /// A tape is in it and ready.
    loaded: bool,
    barcode: Option<String>,
    /// The label, where the catalog knows the barcode.
    label: Option<String>,
    tape_id: Option<i64>,
    /// `LTO-9` and the like.
    generation: Option<String>,
    write_protect: bool,
    /// Write-once.
    worm: bool,
    capacity_bytes: Option<u64>,
    remaining_bytes: Option<u64>,
}

fn detect(call: &Call) -> Result<Json<Detected>, ApiError> {
    let told = ask(call, &drive(call)?)?;
    let Some(cartridge) = told.cartridge else {
        return Ok(Json(Detected {
            loaded: false,
            barcode: None,
            label: None,
            tape_id: None,
            generation: None,
            write_protect: false,
            worm: false,
            capacity_bytes: None,
            remaining_bytes: None,
        }));
    };
    let known = match &cartridge.barcode {
        Some(barcode) => call.api.catalog.volume_by_barcode(barcode)?,
        None => None,
    };
    Ok(Json(Detected {
        loaded: told.loaded,
        barcode: cartridge.barcode,
        label: cartridge.volume,
        tape_id: known.map(|volume| volume.id.0),
        generation: cartridge.generation,
        write_protect: cartridge.write_protected,
        worm: cartridge.worm,
        capacity_bytes: cartridge.capacity,
        remaining_bytes: cartridge.remaining,
    }))
}

/// Who the tape in a drive is, by its own first file.
#[derive(Debug, Serialize, JsonSchema)]
struct Inspected {
    /// `volume`: one of ours, `blank`, or `foreign`: something else.
    kind: &'static str,
    label: Option<String>,
    barcode: Option<String>,
    uuid: Option<String>,
    pool: Option<String>,
    /// When it was labelled.
    written_at: Option<String>,
    /// Bytes of a record.
    block_size: Option<u32>,
    /// The tape with this identity, where the catalog knows it.
    tape_id: Option<i64>,
    /// For people.
    message: String,
}

fn inspect(call: &Call) -> Result<Json<Inspected>, ApiError> {
    let row = drive(call)?;
    ask_loaded(call, &row)?;
    let found = call.api.tasks.with_drive(row.id, "a look at its tape", |appliance| {
        appliance.identify_loaded().map_err(ApiError::from)
    })?;
    let known = match &found.uuid {
        Some(uuid) => call.api.catalog.volume_by_uuid(uuid)?,
        None => None,
    };
    Ok(Json(Inspected {
        kind: found.kind,
        label: found.label,
        barcode: found.barcode,
        uuid: found.uuid,
        pool: found.pool,
        written_at: found.written,
        block_size: found.record_size,
        tape_id: known.map(|volume| volume.id.0),
        message: found.message,
    }))
}

/// What may be given up.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct FormatBody {
    /// Give up the backup sets on it.
    destroy_sets: bool,
}

fn format(call: &Call, body: FormatBody) -> Result<Json<Operated>, ApiError> {
    let row = drive(call)?;
    ask_loaded(call, &row)?;
    let format = FormatWork { volume: None, drive: Some(row.id.0), destroy_sets: body.destroy_sets };
    let ended = work::run(call, Work::FormatTape(format))?;
    let (status, task) = ended.status("formatted");
    Ok(Json(Operated { status, drive_id: row.id.0, task_id: Some(task.0) }))
}

/// Tapes to label.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BatchLabelBody {
    /// In this order.
    #[schemars(length(min = 1, max = 1000))]
    tape_ids: Vec<i64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Started {
    status: &'static str,
    message: String,
    task_id: i64,
}

fn batch_label(call: &Call, body: BatchLabelBody) -> Result<Json<Started>, ApiError> {
    let row = drive(call)?;
    if body.tape_ids.is_empty() {
        return Err(ApiError::field("tape_ids", "name at least one tape"));
    }
    let mut first = String::new();
    for (at, &id) in body.tape_ids.iter().enumerate() {
        let volume = call.api.catalog.volume(VolumeId(id));
        let volume =
            volume.map_err(|_| ApiError::field(&format!("tape_ids[{at}]"), format!("no tape {id}")))?;
        if volume.is_labelled() {
            return Err(ApiError::conflict(format!(
                "tape {} is labelled already; POST /api/v1/tapes/{id}/format begins it anew",
                volume.label
            )));
        }
        if first.is_empty() {
            first = volume.label;
        }
    }
    let message = format!("Labelling {} tapes, {first} first", body.tape_ids.len());
    let batch = BatchLabelWork { drive: Some(row.id.0), volumes: body.tape_ids, ..BatchLabelWork::default() };
    let submitted = call.api.tasks.submit(NewTask::new(Work::BatchLabel(batch), call.who()))?;
    if submitted.duplicate {
        return Err(ApiError::conflict(format!(
            "tapes are being labelled already, as task {}",
            submitted.id
        )));
    }
    Ok(Json(Started { status: "started", message, task_id: submitted.id.0 }))
}
