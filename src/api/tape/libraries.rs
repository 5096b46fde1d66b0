//! Libraries: medium changers with their slots.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::drives::named;
use crate::access::Resource;
use crate::api::call::{Call, Created, Json, Made};
use crate::api::endpoint::{Draft, Endpoint, delete, get, post, put};
use crate::api::error::{ApiError, Code};
use crate::api::work::{self, now, time};
use crate::catalog::{LibraryId, LibraryRow, NewLibrary, Slot, SlotKind};
use crate::engine::DiscoveryRequest;
use crate::tasks::Work;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const L: Resource = Resource::Libraries;
    vec![
        get("/api/v1/libraries", "libraries.list", "List libraries").needs(L).cached().answers(list),
        post("/api/v1/libraries", "libraries.create", "Add a library")
            .needs(L)
            .error(Code::Conflict)
            .takes(create),
        get("/api/v1/libraries/scan", "libraries.scan", "Look for medium changers").needs(L).answers(scan),
        get("/api/v1/libraries/{id}", "libraries.get", "One library").needs(L).answers(one),
        put("/api/v1/libraries/{id}", "libraries.update", "Change a library")
            .needs(L)
            .error(Code::Conflict)
            .takes(update),
        delete(
            "/api/v1/libraries/{id}",
            "libraries.delete",
            "Forget a library and its slots; its drives stay",
        )
        .needs(L)
        .answers(remove),
        moving(post("/api/v1/libraries/{id}/inventory", "libraries.inventory", "Look what lies where"))
            .answers(inventory),
        get("/api/v1/libraries/{id}/slots", "libraries.slots", "What the last inventory found")
            .needs(L)
            .answers(slots),
        moving(post("/api/v1/libraries/{id}/load", "libraries.load", "Put the tape of a slot into a drive"))
            .takes(load),
        moving(post(
            "/api/v1/libraries/{id}/unload",
            "libraries.unload",
            "Put the tape of a drive into a slot",
        ))
        .takes(unload),
        moving(post(
            "/api/v1/libraries/{id}/transfer",
            "libraries.transfer",
            "Move a tape from slot to slot",
        ))
        .takes(transfer),
    ]
}

/// What every endpoint that moves something may answer.
fn moving(draft: Draft) -> Draft {
    draft.needs(Resource::Libraries).error(Code::Conflict).error(Code::DriveBusy).error(Code::DeviceError)
}

/// A library.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Library")]
struct LibraryBody {
    id: i64,
    name: String,
    /// How its changer is opened.
    device_path: String,
    vendor: String,
    model: String,
    serial_number: String,
    num_slots: u32,
    num_drives: u32,
    num_import_export: u32,
    barcode_reader: bool,
    enabled: bool,
    /// Its cartridges are files and no tape.
    is_virtual: bool,
    last_inventory_at: Option<String>,
    created_at: String,
    updated_at: String,
}

fn body(row: LibraryRow) -> LibraryBody {
    LibraryBody {
        id: row.id.0,
        name: row.name,
        device_path: row.device,
        vendor: row.vendor,
        model: row.model,
        serial_number: row.serial,
        num_slots: row.slots,
        num_drives: row.drives,
        num_import_export: row.import_export,
        barcode_reader: row.barcode_reader,
        enabled: row.enabled,
        is_virtual: row.is_virtual,
        last_inventory_at: row.last_inventory.map(time),
        created_at: time(row.created),
        updated_at: time(row.updated),
    }
}

fn library(call: &Call) -> Result<LibraryRow, ApiError> {
    Ok(call.api.catalog.library(LibraryId(call.id("id")?))?)
}

fn list(call: &Call) -> Result<Json<Vec<LibraryBody>>, ApiError> {
    Ok(Json(call.api.catalog.libraries()?.into_iter().map(body).collect()))
}

fn one(call: &Call) -> Result<Json<LibraryBody>, ApiError> {
    Ok(Json(body(library(call)?)))
}

/// A library to add.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewLibraryBody {
    #[schemars(length(min = 1, max = 200))]
    name: String,
    /// `/dev/sg3`, `/dev/sch0`, `iscsi://HOST/TARGET/LUN`, `virtual://DIR#changer`.
    #[schemars(length(min = 1, max = 1024))]
    device_path: String,
    vendor: Option<String>,
    model: Option<String>,
    serial_number: Option<String>,
    barcode_reader: Option<bool>,
    enabled: Option<bool>,
}

fn create(call: &Call, new: NewLibraryBody) -> Result<Made<Created<LibraryBody>>, ApiError> {
    named("name", &new.name)?;
    named("device_path", &new.device_path)?;
    let id = call.api.catalog.add_library(&NewLibrary {
        name: new.name,
        is_virtual: new.device_path.starts_with("virtual://"),
        device: new.device_path,
        vendor: new.vendor.unwrap_or_default(),
        model: new.model.unwrap_or_default(),
        serial: new.serial_number.unwrap_or_default(),
        barcode_reader: new.barcode_reader.unwrap_or(true),
        enabled: new.enabled.unwrap_or(true),
        created: now(),
        ..NewLibrary::default()
    })?;
    Ok(Made(id.0, Created(body(call.api.catalog.library(id)?))))
}

/// What may be changed about a library; what is left out stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LibraryChange {
    #[schemars(length(min = 1, max = 200))]
    name: Option<String>,
    #[schemars(length(min = 1, max = 1024))]
    device_path: Option<String>,
    barcode_reader: Option<bool>,
    enabled: Option<bool>,
}

fn update(call: &Call, change: LibraryChange) -> Result<Json<LibraryBody>, ApiError> {
    let mut row = library(call)?;
    if let Some(name) = change.name {
        named("name", &name)?;
        row.name = name;
    }
    if let Some(device) = change.device_path {
        named("device_path", &device)?;
        row.is_virtual = device.starts_with("virtual://");
        row.device = device;
    }
    row.barcode_reader = change.barcode_reader.unwrap_or(row.barcode_reader);
    row.enabled = change.enabled.unwrap_or(row.enabled);
    row.updated = now();
    call.api.catalog.update_library(&row)?;
    one(call)
}

#[derive(Debug, Serialize, JsonSchema)]
struct Forgotten {
    status: &'static str,
}

fn remove(call: &Call) -> Result<Json<Forgotten>, ApiError> {
    call.api.catalog.remove_library(library(call)?.id)?;
    Ok(Json(Forgotten { status: "deleted" }))
}

/// A changer that was found.
#[derive(Debug, Serialize, JsonSchema)]
struct ScannedChanger {
    device_path: String,
    /// `medium_changer`.
    r#type: &'static str,
    vendor: String,
    model: String,
    serial_number: String,
    /// Its cartridges are files and no tape.
    is_virtual: bool,
    /// The library with this serial number or device that is known already.
    library_id: Option<i64>,
}

fn scan(call: &Call) -> Result<Json<Vec<ScannedChanger>>, ApiError> {
    let known = call.api.catalog.libraries()?;
    let found = call.api.appliance().discover(&DiscoveryRequest::default());
    let changers = found.changers.into_iter().map(|changer| {
        let same = |row: &&LibraryRow| {
            row.device == changer.name || (!changer.serial.is_empty() && row.serial == changer.serial)
        };
        ScannedChanger {
            library_id: known.iter().find(same).map(|row| row.id.0),
            device_path: changer.name,
            r#type: "medium_changer",
            vendor: changer.vendor,
            model: changer.product,
            serial_number: changer.serial,
            is_virtual: changer.is_virtual,
        }
    });
    Ok(Json(changers.collect()))
}

/// An element of a library.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Slot")]
struct SlotBody {
    id: i64,
    library_id: i64,
    /// Storage from 1, import/export going on behind it, drives from 0.
    slot_number: u32,
    /// `storage`, `import_export` or `drive`.
    slot_type: &'static str,
    tape_id: Option<i64>,
    /// Empty where there is none.
    barcode: String,
    is_empty: bool,
    /// The drive there, where it is known.
    drive_id: Option<i64>,
    /// Element address.
    element: u16,
}

#[derive(Debug, Serialize, JsonSchema)]
struct SlotList {
    slots: Vec<SlotBody>,
}

fn slot_list(rows: Vec<Slot>) -> SlotList {
    let slots = rows.into_iter().map(|slot| SlotBody {
        id: slot.id.0,
        library_id: slot.library.0,
        slot_number: slot.number,
        slot_type: slot.kind.as_str(),
        tape_id: slot.volume.map(|volume| volume.0),
        barcode: slot.barcode.unwrap_or_default(),
        is_empty: !slot.full,
        drive_id: slot.drive.map(|drive| drive.0),
        element: slot.element,
    });
    SlotList { slots: slots.collect() }
}

fn slots(call: &Call) -> Result<Json<SlotList>, ApiError> {
    Ok(Json(slot_list(call.api.catalog.slots_of(library(call)?.id)?)))
}

/// What an inventory found.
#[derive(Debug, Serialize, JsonSchema)]
struct Inventoried {
    status: String,
    num_slots: u32,
    num_drives: u32,
    num_import_export: u32,
    slots: Vec<SlotBody>,
}

fn inventory(call: &Call) -> Result<Json<Inventoried>, ApiError> {
    let id = library(call)?.id;
    let ended = work::run(call, Work::Inventory { library: id.0 })?;
    let row = library(call)?;
    Ok(Json(Inventoried {
        status: ended.status("completed").0,
        num_slots: row.slots,
        num_drives: row.drives,
        num_import_export: row.import_export,
        slots: slot_list(call.api.catalog.slots_of(id)?).slots,
    }))
}

/// A slot and a drive.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SlotAndDrive {
    /// Storage from 1, import/export going on behind it.
    #[schemars(range(min = 1))]
    slot_number: u32,
    /// From 0.
    drive_number: u32,
}

/// Two slots.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TwoSlots {
    /// Storage from 1, import/export going on behind it.
    #[schemars(range(min = 1))]
    source_slot: u32,
    /// Likewise.
    #[schemars(range(min = 1))]
    dest_slot: u32,
}

/// What was moved.
#[derive(Debug, Serialize, JsonSchema)]
struct Moved {
    /// What was done, or the state of the task that goes on.
    status: String,
    barcode: Option<String>,
    task_id: i64,
}

/// The storage or import/export slot with this number.
fn slot<'s>(slots: &'s [Slot], field: &str, number: u32) -> Result<&'s Slot, ApiError> {
    let found = slots.iter().find(|slot| slot.kind != SlotKind::Drive && slot.number == number);
    found
        .ok_or_else(|| ApiError::field(field, format!("no slot {number} in this library; run its inventory")))
}

/// The drive with this number, as the catalog knows it.
fn drive(slots: &[Slot], number: u32) -> Result<(&Slot, i64), ApiError> {
    let found = slots.iter().find(|slot| slot.kind == SlotKind::Drive && slot.number == number);
    let slot = found.ok_or_else(|| {
        ApiError::field("drive_number", format!("no drive {number} in this library; run its inventory"))
    })?;
    let id = slot.drive.ok_or_else(|| {
        ApiError::field(
            "drive_number",
            format!("drive {number} is not known: add it with POST /api/v1/drives"),
        )
    })?;
    Ok((slot, id.0))
}

fn load(call: &Call, body: SlotAndDrive) -> Result<Json<Moved>, ApiError> {
    let slots = call.api.catalog.slots_of(library(call)?.id)?;
    let from = slot(&slots, "slot_number", body.slot_number)?;
    let (_, drive) = drive(&slots, body.drive_number)?;
    let ended = work::run(call, Work::Load { drive, from: from.element.to_string() })?;
    let (status, task) = ended.status("loaded");
    Ok(Json(Moved { status, barcode: from.barcode.clone(), task_id: task.0 }))
}

fn unload(call: &Call, body: SlotAndDrive) -> Result<Json<Moved>, ApiError> {
    let slots = call.api.catalog.slots_of(library(call)?.id)?;
    let to = slot(&slots, "slot_number", body.slot_number)?;
    let (bay, drive) = drive(&slots, body.drive_number)?;
    let ended = work::run(call, Work::Unload { drive, to: Some(to.element) })?;
    let (status, task) = ended.status("unloaded");
    Ok(Json(Moved { status, barcode: bay.barcode.clone(), task_id: task.0 }))
}

fn transfer(call: &Call, body: TwoSlots) -> Result<Json<Moved>, ApiError> {
    let id = library(call)?.id;
    let slots = call.api.catalog.slots_of(id)?;
    let from = slot(&slots, "source_slot", body.source_slot)?;
    let to = slot(&slots, "dest_slot", body.dest_slot)?;
    let work = Work::Transfer { library: id.0, from: from.element.to_string(), to: to.element.to_string() };
    let ended = work::run(call, work)?;
    let (status, task) = ended.status("transferred");
    Ok(Json(Moved { status, barcode: from.barcode.clone(), task_id: task.0 }))
}
