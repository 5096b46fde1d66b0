//! API keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::logs::moment;
use crate::access::{ApiKey, Level, READONLY, Resource};
use crate::api::call::{Call, Created, Json, Made, Status};
use crate::api::endpoint::{Endpoint, delete, get, post};
use crate::api::error::{ApiError, Code};
use crate::api::work::time;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const K: Resource = Resource::ApiKeys;
    const A: Level = Level::Administer;
    vec![
        get("/api/v1/api-keys", "api_keys.list", "List API keys").needs(K).answers(list),
        post("/api/v1/api-keys", "api_keys.create", "Make an API key; its secret is shown this once")
            .needs_level(K, A)
            .error(Code::Forbidden)
            .takes(create),
        delete("/api/v1/api-keys/{id}", "api_keys.delete", "Delete an API key")
            .needs_level(K, A)
            .answers(remove),
    ]
}

/// An API key, without its secret.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ApiKey")]
struct ApiKeyBody {
    id: i64,
    name: String,
    /// Beginning of the secret.
    prefix: String,
    role: String,
    /// Who made it; its rights never exceed theirs.
    user_id: Option<i64>,
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
}

impl From<ApiKey> for ApiKeyBody {
    fn from(key: ApiKey) -> Self {
        ApiKeyBody {
            id: key.id,
            name: key.name,
            prefix: key.prefix,
            role: key.role,
            user_id: key.user_id,
            created_at: time(key.created),
            expires_at: key.expires.map(time),
            last_used_at: key.last_used.map(time),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct ApiKeyList {
    api_keys: Vec<ApiKeyBody>,
}

fn list(call: &Call) -> Result<Json<ApiKeyList>, ApiError> {
    let api_keys = call.api.access.api_keys()?.into_iter().map(ApiKeyBody::from).collect();
    Ok(Json(ApiKeyList { api_keys }))
}

/// An API key to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewApiKeyBody {
    #[schemars(length(min = 1, max = 100))]
    name: String,
    /// What it may do, at most what the caller may [default: readonly].
    role: Option<String>,
    /// RFC 3339; without it the key does not end by itself.
    expires_at: Option<String>,
}

/// A key just made.
#[derive(Serialize, JsonSchema)]
struct NewKey {
    #[serde(flatten)]
    about: ApiKeyBody,
    /// The secret, for `X-API-Key` or `Authorization: Bearer`. It cannot be shown again.
    key: String,
}

fn create(call: &Call, new: NewApiKeyBody) -> Result<Made<Created<NewKey>>, ApiError> {
    let role = new.role.as_deref().unwrap_or(READONLY);
    let expires = new.expires_at.map(|text| moment("expires_at", &text)).transpose()?;
    let made = call.api.access.create_api_key(call.principal()?, &new.name, role, expires)?;
    Ok(Made(made.key.id, Created(NewKey { key: made.secret.to_string(), about: made.key.into() })))
}

fn remove(call: &Call) -> Result<Json<Status>, ApiError> {
    call.api.access.delete_api_key(call.principal()?, call.id("id")?)?;
    Ok(Status::ok("deleted"))
}
