//! Tapes: volumes, labelled or only entered.

use std::collections::{HashMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::{name, nullable, pool, pool_ids, prose, window};
use crate::access::Resource;
use crate::api::call::{Call, Created, Json, Made, Status};
use crate::api::endpoint::{Draft, Endpoint, delete, get, post, put};
use crate::api::error::{ApiError, Code};
use crate::api::work::{self, Ended, now, time};
use crate::catalog::{Volume, VolumeEdit, VolumeId, VolumeStatus};
use crate::engine::{NewTape, TapeLabel, enter_tape, lto_types};
use crate::tasks::{FormatWork, LabelWork, Work};

pub(super) fn endpoints() -> Vec<Endpoint> {
    const T: Resource = Resource::Tapes;
    vec![
        get("/api/v1/tapes", "tapes.list", "List tapes").needs(T).cached().asks(list),
        post(
            "/api/v1/tapes",
            "tapes.create",
            "Enter a tape; it is labelled on request, or when a backup needs it",
        )
        .needs(T)
        .error(Code::Conflict)
        .takes(create),
        get("/api/v1/tapes/lto-types", "tapes.lto_types", "Kinds of tape and what they hold")
            .needs(T)
            .answers(types),
        get("/api/v1/tapes/{id}", "tapes.get", "One tape").needs(T).cached().answers(one),
        put("/api/v1/tapes/{id}", "tapes.update", "Change what is known about a tape")
            .needs(T)
            .error(Code::Conflict)
            .error(Code::TapeInUse)
            .takes(update),
        delete("/api/v1/tapes/{id}", "tapes.delete", "Forget a tape that holds no backup set")
            .needs(T)
            .error(Code::Conflict)
            .error(Code::TapeInUse)
            .answers(remove),
        on_tape(post(
            "/api/v1/tapes/{id}/format",
            "tapes.format",
            "Begin a tape anew: what it holds is gone",
        ))
        .takes(format),
        on_tape(post("/api/v1/tapes/{id}/label", "tapes.label", "Write the label of a tape")).takes(label),
        on_tape(get("/api/v1/tapes/{id}/read-label", "tapes.read_label", "Read the label from the tape"))
            .answers(read_label),
        post("/api/v1/tapes/{id}/export", "tapes.export", "The tape leaves the library")
            .needs(T)
            .error(Code::Conflict)
            .error(Code::TapeInUse)
            .takes(export),
        post("/api/v1/tapes/{id}/import", "tapes.import", "An exported tape is back")
            .needs(T)
            .error(Code::Conflict)
            .answers(import),
    ]
}

/// What every endpoint that reaches the cartridge may answer.
fn on_tape(draft: Draft) -> Draft {
    [
        Code::Conflict,
        Code::TapeInUse,
        Code::DriveBusy,
        Code::TapeWriteProtected,
        Code::OperatorNeeded,
        Code::DeviceError,
    ]
    .into_iter()
    .fold(draft.needs(Resource::Tapes), Draft::error)
}

/// A tape.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Tape")]
struct TapeBody {
    id: i64,
    barcode: Option<String>,
    label: String,
    /// Identity, as on the tape.
    uuid: String,
    pool_id: Option<i64>,
    pool_name: Option<String>,
    /// `blank`, `active`, `full`, `expired`, `retired` or `exported`.
    status: &'static str,
    /// `LTO-9` and the like.
    lto_type: Option<String>,
    /// Bytes, uncompressed; 0 when not known yet.
    capacity_bytes: u64,
    used_bytes: u64,
    /// Parts of backup sets begun on it.
    write_count: u64,
    /// Its label is on tape. One that was only entered is labelled when it is needed.
    labelled: bool,
    /// A file in a virtual library and no tape.
    is_virtual: bool,
    last_written_at: Option<String>,
    offsite_location: Option<String>,
    notes: String,
    created_at: String,
    updated_at: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TapeList {
    tapes: Vec<TapeBody>,
    /// All that fit, the window aside.
    total: usize,
}

/// What rows of tapes need besides themselves.
struct Around {
    pools: HashMap<String, i64>,
    virtual_barcodes: HashSet<String>,
}

impl Around {
    fn of(call: &Call) -> Result<Around, ApiError> {
        let catalog = &call.api.catalog;
        let mut virtual_barcodes = HashSet::new();
        for library in catalog.libraries()?.into_iter().filter(|library| library.is_virtual) {
            virtual_barcodes
                .extend(catalog.slots_of(library.id)?.into_iter().filter_map(|slot| slot.barcode));
        }
        Ok(Around { pools: pool_ids(call)?, virtual_barcodes })
    }

    fn body(&self, volume: Volume) -> TapeBody {
        TapeBody {
            id: volume.id.0,
            is_virtual: volume
                .barcode
                .as_ref()
                .is_some_and(|barcode| self.virtual_barcodes.contains(barcode)),
            labelled: volume.is_labelled(),
            barcode: volume.barcode,
            label: volume.label,
            uuid: volume.uuid,
            pool_id: volume.pool.as_ref().and_then(|pool| self.pools.get(pool).copied()),
            pool_name: volume.pool,
            status: volume.status.as_str(),
            lto_type: volume.generation,
            capacity_bytes: volume.capacity,
            used_bytes: volume.used,
            write_count: volume.write_count,
            last_written_at: volume.last_written.map(time),
            offsite_location: volume.offsite_location,
            notes: volume.notes,
            created_at: time(volume.created),
            updated_at: time(volume.updated.max(volume.last_written.unwrap_or(0))),
        }
    }
}

/// Which tapes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TapeQuery {
    /// Only of this pool.
    pool_id: Option<i64>,
    /// Only with this status.
    status: Option<String>,
    /// At most so many: 100 unless given.
    limit: Option<u32>,
    /// Leave out so many first.
    offset: Option<u32>,
}

/// A status in a query or a body.
pub(super) fn status(text: &str) -> Result<VolumeStatus, ApiError> {
    VolumeStatus::parse(text).ok_or_else(|| {
        ApiError::field("status", "must be one of blank, active, full, expired, retired, exported")
    })
}

fn list(call: &Call, query: TapeQuery) -> Result<Json<TapeList>, ApiError> {
    let (limit, offset) = window(query.limit, query.offset)?;
    let status = query.status.as_deref().map(status).transpose()?;
    let pool = query.pool_id.map(|id| pool(call, "pool_id", id)).transpose()?;
    let around = Around::of(call)?;
    let mut volumes = call.api.catalog.volumes()?;
    volumes.retain(|volume| {
        status.is_none_or(|status| volume.status == status)
            && pool.as_ref().is_none_or(|pool| volume.pool.as_deref() == Some(&pool.name))
    });
    let total = volumes.len();
    let tapes = volumes.into_iter().skip(offset).take(limit).map(|volume| around.body(volume)).collect();
    Ok(Json(TapeList { tapes, total }))
}

fn tape(call: &Call) -> Result<Volume, ApiError> {
    Ok(call.api.catalog.volume(VolumeId(call.id("id")?))?)
}

fn shown(call: &Call, id: VolumeId) -> Result<TapeBody, ApiError> {
    Ok(Around::of(call)?.body(call.api.catalog.volume(id)?))
}

fn one(call: &Call) -> Result<Json<TapeBody>, ApiError> {
    Ok(Json(shown(call, tape(call)?.id)?))
}

/// A tape that no task works on.
///
/// # Errors
/// 409 `TAPE_IN_USE`.
pub(super) fn free(call: &Call, volume: &Volume) -> Result<(), ApiError> {
    match call.api.appliance.volumes_in_use().holds(volume.id) {
        true => Err(ApiError::new(Code::TapeInUse, format!("a task works on tape {}", volume.label))),
        false => Ok(()),
    }
}

/// What a barcode may look like.
fn barcode(text: &str) -> Result<(), ApiError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    match !text.is_empty() && text.len() <= 32 && is_plain {
        true => Ok(()),
        false => Err(ApiError::field("barcode", "must be 1 to 32 printable ASCII characters without blanks")),
    }
}

/// A tape to enter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewTapeBody {
    barcode: Option<String>,
    #[schemars(length(min = 1, max = 200))]
    label: String,
    pool_id: Option<i64>,
    /// Bytes, uncompressed. The drive tells when the tape is labelled.
    capacity_bytes: Option<u64>,
    /// `LTO-9` and the like; gives the capacity where that is left out.
    lto_type: Option<String>,
    offsite_location: Option<String>,
    notes: Option<String>,
}

fn create(call: &Call, new: NewTapeBody) -> Result<Made<Created<TapeBody>>, ApiError> {
    name("label", &new.label)?;
    prose("notes", new.notes.as_deref().unwrap_or_default())?;
    new.barcode.as_deref().map(barcode).transpose()?;
    new.offsite_location.as_deref().map(|text| prose("offsite_location", text)).transpose()?;
    let kind = match new.lto_type.as_deref() {
        None => None,
        Some(wanted) => {
            Some(lto_types().into_iter().find(|kind| kind.name == wanted).ok_or_else(|| {
                ApiError::field("lto_type", "GET /api/v1/tapes/lto-types lists what there is")
            })?)
        }
    };
    let capacity = new.capacity_bytes.or(kind.as_ref().map(|kind| kind.native_capacity)).unwrap_or(0);
    let volume = enter_tape(
        &call.api.catalog,
        &NewTape {
            label: new.label,
            barcode: new.barcode,
            pool: new.pool_id.map(|id| pool(call, "pool_id", id)).transpose()?.map(|pool| pool.name),
            generation: kind.map(|kind| kind.name.to_owned()),
            capacity: bytes(capacity)?,
            notes: new.notes.unwrap_or_default(),
            offsite_location: new.offsite_location,
        },
    )?;
    Ok(Made(volume.id.0, Created(shown(call, volume.id)?)))
}

/// The catalog's integers are signed.
fn bytes(capacity: u64) -> Result<u64, ApiError> {
    match i64::try_from(capacity) {
        Ok(_) => Ok(capacity),
        Err(_) => Err(ApiError::field("capacity_bytes", "is more than any tape holds")),
    }
}

/// What may be changed about a tape; what is left out stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TapeChange {
    /// Its name in the catalog. The label on tape keeps the name it was written with.
    #[schemars(length(min = 1, max = 200))]
    label: Option<String>,
    /// Only while it is not labelled.
    barcode: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<i64>")]
    pool_id: Option<Option<i64>>,
    /// As far as the life of a tape allows.
    status: Option<String>,
    /// Bytes, uncompressed.
    capacity_bytes: Option<u64>,
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<String>")]
    offsite_location: Option<Option<String>>,
    notes: Option<String>,
}

fn update(call: &Call, change: TapeChange) -> Result<Json<TapeBody>, ApiError> {
    let volume = tape(call)?;
    change.label.as_deref().map(|text| name("label", text)).transpose()?;
    change.notes.as_deref().map(|text| prose("notes", text)).transpose()?;
    change.barcode.as_deref().map(barcode).transpose()?;
    change.offsite_location.iter().flatten().try_for_each(|text| prose("offsite_location", text))?;
    let edit = VolumeEdit {
        label: change.label,
        barcode: change.barcode,
        pool: match change.pool_id {
            None => None,
            Some(None) => Some(None),
            Some(Some(id)) => Some(Some(pool(call, "pool_id", id)?.name)),
        },
        status: change.status.as_deref().map(status).transpose()?,
        capacity: change.capacity_bytes.map(bytes).transpose()?,
        notes: change.notes,
        offsite_location: change.offsite_location,
    };
    if edit.status.is_some() || edit.pool.is_some() {
        free(call, &volume)?;
    }
    call.api.catalog.edit_volume(volume.id, &edit, now())?;
    Ok(Json(shown(call, volume.id)?))
}

fn remove(call: &Call) -> Result<Json<Status>, ApiError> {
    let volume = tape(call)?;
    free(call, &volume)?;
    call.api.catalog.delete_volume(volume.id)?;
    Ok(Status::ok("deleted"))
}

/// What became of a tape.
#[derive(Debug, Serialize, JsonSchema)]
struct TapeDone {
    /// `formatted`, `labelled`, or what the task is doing: `running`, `waiting_for_operator`.
    status: String,
    tape_id: i64,
    /// The task that did it, or does.
    task_id: i64,
}

/// How to format.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FormatBody {
    /// Give up backup sets on it that have not expired, with what lies of them on other tapes.
    #[serde(default)]
    destroy_sets: bool,
}

fn format(call: &Call, body: FormatBody) -> Result<Json<TapeDone>, ApiError> {
    let volume = tape(call)?;
    free(call, &volume)?;
    let sets = call.api.catalog.sets_on_volume(volume.id)?.len();
    let destroy_sets = body.destroy_sets || volume.status == VolumeStatus::Expired;
    if sets > 0 && !destroy_sets {
        return Err(ApiError::conflict(format!(
            "tape {} holds {sets} backup set(s) that have not expired; delete them first, or send {{\"destroy_sets\": true}}",
            volume.label
        )));
    }
    let work = FormatWork { volume: Some(volume.id.0), drive: None, destroy_sets };
    ended(call, &volume, Work::FormatTape(work), "formatted")
}

/// How to label.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LabelBody {
    /// Write it over what a foreign cartridge holds.
    #[serde(default)]
    overwrite: bool,
}

fn label(call: &Call, body: LabelBody) -> Result<Json<TapeDone>, ApiError> {
    let volume = tape(call)?;
    free(call, &volume)?;
    if volume.is_labelled() {
        return Err(ApiError::conflict(format!(
            "tape {} is labelled already; format begins it anew",
            volume.label
        )));
    }
    let work = LabelWork { volume: Some(volume.id.0), overwrite: body.overwrite, ..LabelWork::default() };
    ended(call, &volume, Work::LabelTape(work), "labelled")
}

fn ended(call: &Call, volume: &Volume, work: Work, done: &str) -> Result<Json<TapeDone>, ApiError> {
    let ended = work::run(call, work)?;
    let (status, task) = ended.status(done);
    Ok(Json(TapeDone { status, tape_id: volume.id.0, task_id: task.0 }))
}

/// What the label on tape says.
#[derive(Debug, Serialize, JsonSchema)]
struct LabelRead {
    /// Null where the cartridge has no label of ours.
    label: Option<String>,
    barcode: Option<String>,
    uuid: Option<String>,
    pool: Option<String>,
    written_at: Option<String>,
    /// What the cartridge is.
    found: String,
    /// Whether it is the tape that the catalog means.
    matches: bool,
}

fn read_label(call: &Call) -> Result<Json<LabelRead>, ApiError> {
    let volume = tape(call)?;
    let row = match work::run(call, Work::ReadLabel { volume: volume.id.0 })? {
        Ended::Done(row) => row,
        Ended::GoesOn(row) => {
            let why = row.waiting_for.clone().unwrap_or_else(|| "a drive".into());
            // Nobody would get the answer.
            let _ = call.api.tasks.cancel(row.id);
            let message = format!("tape {} cannot be read now: waiting for {why}", volume.label);
            return Err(ApiError::new(Code::OperatorNeeded, message));
        }
    };
    let label: TapeLabel =
        serde_json::from_value(row.result.unwrap_or_default()).map_err(ApiError::internal)?;
    Ok(Json(LabelRead {
        matches: label.uuid.as_deref() == Some(&volume.uuid),
        label: label.label,
        barcode: label.barcode,
        uuid: label.uuid,
        pool: label.pool,
        written_at: label.written,
        found: label.found,
    }))
}

/// Where an exported tape goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ExportBody {
    offsite_location: Option<String>,
}

fn export(call: &Call, body: ExportBody) -> Result<Json<TapeBody>, ApiError> {
    let volume = tape(call)?;
    body.offsite_location.as_deref().map(|text| prose("offsite_location", text)).transpose()?;
    free(call, &volume)?;
    let edit = VolumeEdit {
        status: Some(VolumeStatus::Exported),
        offsite_location: body.offsite_location.map(Some),
        ..VolumeEdit::default()
    };
    call.api.catalog.edit_volume(volume.id, &edit, now())?;
    Ok(Json(shown(call, volume.id)?))
}

fn import(call: &Call) -> Result<Json<TapeBody>, ApiError> {
    let volume = tape(call)?;
    call.api.catalog.import_volume(volume.id, now())?;
    Ok(Json(shown(call, volume.id)?))
}

#[derive(Debug, Serialize, JsonSchema)]
struct LtoTypeBody {
    name: &'static str,
    native_capacity_bytes: u64,
    compressed_capacity_bytes: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct LtoTypeList {
    lto_types: Vec<LtoTypeBody>,
}

fn types(_: &Call) -> Result<Json<LtoTypeList>, ApiError> {
    let body = |kind: crate::engine::LtoType| LtoTypeBody {
        name: kind.name,
        native_capacity_bytes: kind.native_capacity,
        compressed_capacity_bytes: kind.compressed_capacity,
    };
    Ok(Json(LtoTypeList { lto_types: lto_types().into_iter().map(body).collect() }))
}
