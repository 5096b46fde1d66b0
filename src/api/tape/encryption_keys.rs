//! Encryption keys and the sheet of paper that they belong on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::fields::name;
use crate::access::{Level, Resource};
use crate::api::call::{Call, Created, Html, Json, Made, Status, Text};
use crate::api::endpoint::{Endpoint, delete, get, post};
use crate::api::error::{ApiError, Code};
use crate::api::work::time;
use crate::catalog::{EncryptionKey, KeyId};
use crate::config::{key_sheet_html, key_sheet_text};

pub(super) fn endpoints() -> Vec<Endpoint> {
    const K: Resource = Resource::Keys;
    vec![
        get("/api/v1/encryption-keys", "keys.list", "List encryption keys, without their secrets")
            .needs(K)
            .cached()
            .answers(list),
        post("/api/v1/encryption-keys", "keys.create", "Make an encryption key")
            .needs_level(K, Level::Administer)
            .error(Code::Conflict)
            .takes(create),
        post("/api/v1/encryption-keys/import", "keys.import", "Take in an encryption key made elsewhere")
            .needs_level(K, Level::Administer)
            .error(Code::Conflict)
            .takes(import),
        get(
            "/api/v1/encryption-keys/keysheet",
            "keys.sheet",
            "All keys with their secrets, as a page to print",
        )
        .needs_level(K, Level::Administer)
        .audited()
        .answers(sheet),
        get("/api/v1/encryption-keys/keysheet/text", "keys.sheet_text", "The same as plain text")
            .needs_level(K, Level::Administer)
            .audited()
            .answers(sheet_text),
        delete("/api/v1/encryption-keys/{id}", "keys.delete", "Forget a key that no set and no job needs")
            .needs_level(K, Level::Administer)
            .error(Code::Conflict)
            .answers(remove),
    ]
}

/// An encryption key, without its secret.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EncryptionKey")]
struct KeyBody {
    id: i64,
    name: String,
    /// `SHA256:` and the hash of the recipient.
    fingerprint: String,
    /// The public half, `age1...`.
    recipient: String,
    created_at: String,
    /// Since when nothing new is encrypted for it.
    retired_at: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct KeyList {
    keys: Vec<KeyBody>,
}

fn body(key: EncryptionKey) -> KeyBody {
    KeyBody {
        id: key.id.0,
        name: key.name,
        fingerprint: key.fingerprint,
        recipient: key.recipient,
        created_at: time(key.created),
        retired_at: key.retired.map(time),
    }
}

fn list(call: &Call) -> Result<Json<KeyList>, ApiError> {
    Ok(Json(KeyList { keys: call.api.catalog.keys()?.into_iter().map(body).collect() }))
}

/// A key to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewKeyBody {
    #[schemars(length(min = 1, max = 200))]
    name: String,
}

fn create(call: &Call, new: NewKeyBody) -> Result<Made<Created<KeyBody>>, ApiError> {
    name("name", &new.name)?;
    let key = call.api.keys.create(&new.name)?;
    Ok(Made(key.id.0, Created(body(key))))
}

/// A key to take in. Never shown.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ImportBody {
    #[schemars(length(min = 1, max = 200))]
    name: String,
    /// `AGE-SECRET-KEY-1...`, the Base64 of that or of a key file, or the Base64 of 32 secret bytes.
    key_data: String,
}

fn import(call: &Call, new: ImportBody) -> Result<Made<Created<KeyBody>>, ApiError> {
    name("name", &new.name)?;
    let secret = Zeroizing::new(new.key_data);
    let key = call.api.keys.import(&new.name, &secret)?;
    Ok(Made(key.id.0, Created(body(key))))
}

fn sheet(call: &Call) -> Result<Html, ApiError> {
    let body = key_sheet_html(&call.api.keys.sheet()?).to_string();
    Ok(Html { body, file_name: None })
}

fn sheet_text(call: &Call) -> Result<Text, ApiError> {
    let body = key_sheet_text(&call.api.keys.sheet()?).to_string();
    Ok(Text { body, file_name: None })
}

fn remove(call: &Call) -> Result<Json<Status>, ApiError> {
    call.api.catalog.remove_key(KeyId(call.id("id")?))?;
    Ok(Status::ok("deleted"))
}
