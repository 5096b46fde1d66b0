//! Settings that are changed while the daemon runs, and its restart.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::fields::nullable;
use crate::access::{Level, Resource};
use crate::api::call::{Accepted, Call, Json, Status};
use crate::api::endpoint::{Endpoint, get, post, put};
use crate::api::error::{ApiError, Code};
use crate::api::work::now;
use crate::api::{Request, telegram};
use crate::catalog::SettingValue;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const S: Resource = Resource::Settings;
    vec![
        get("/api/v1/settings", "settings.get", "All settings; secrets as `***`")
            .needs(S)
            .cached()
            .answers(all),
        put("/api/v1/settings", "settings.update", "Change settings")
            .needs_level(S, Level::Administer)
            .takes(update),
        post(
            "/api/v1/settings/telegram/test",
            "settings.telegram_test",
            "Send a message to try the settings",
        )
        .needs_level(S, Level::Administer)
        .error(Code::ValidationError)
        .answers(test),
        post("/api/v1/settings/restart", "settings.restart", "End the daemon and start it again")
            .needs_level(S, Level::Administer)
            .answers(restart),
    ]
}

const TOKEN: &str = "telegram_bot_token";
const CHAT: &str = "telegram_chat_id";
const ENABLED: &str = "notifications_enabled";
/// What stands for a secret.
const HIDDEN: &str = "***";

/// The settings.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Settings")]
struct SettingsBody {
    /// `***` where one is set, else empty.
    telegram_bot_token: &'static str,
    telegram_chat_id: String,
    notifications_enabled: bool,
}

fn plain(call: &Call, key: &str) -> Result<Option<Value>, ApiError> {
    Ok(match call.api.catalog.setting(key)? {
        Some(SettingValue::Plain(value)) => Some(value),
        _ => None,
    })
}

fn read(call: &Call) -> Result<SettingsBody, ApiError> {
    let chat = plain(call, CHAT)?;
    Ok(SettingsBody {
        telegram_bot_token: if call.api.catalog.setting(TOKEN)?.is_some() { HIDDEN } else { "" },
        telegram_chat_id: chat.and_then(|value| Some(value.as_str()?.to_owned())).unwrap_or_default(),
        notifications_enabled: plain(call, ENABLED)?.and_then(|value| value.as_bool()).unwrap_or(false),
    })
}

fn all(call: &Call) -> Result<Json<SettingsBody>, ApiError> {
    Ok(Json(read(call)?))
}

/// What to change; what is left out stays, what is `null` is forgotten. Never shown.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SettingsChange {
    /// `123456:ABC...`; `***` leaves it as it is.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<String>")]
    telegram_bot_token: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<String>")]
    telegram_chat_id: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<bool>")]
    notifications_enabled: Option<Option<bool>>,
}

fn context(key: &str) -> String {
    format!("setting/{key}")
}

fn update(call: &Call, change: SettingsChange) -> Result<Json<SettingsBody>, ApiError> {
    let mut changes = Vec::new();
    match change.telegram_bot_token.map(|token| token.map(Zeroizing::new)) {
        Some(Some(token)) if token.as_str() != HIDDEN && !token.is_empty() => {
            if !telegram::is_token(&token) {
                return Err(ApiError::field(TOKEN, "a token is a number, a colon, and letters and digits"));
            }
            let sealed =
                call.api.vault.seal(&context(TOKEN), token.as_bytes()).map_err(ApiError::internal)?;
            changes.push((TOKEN.to_owned(), Some(SettingValue::Sealed(sealed))));
        }
        Some(None) => changes.push((TOKEN.to_owned(), None)),
        Some(Some(token)) if token.is_empty() => changes.push((TOKEN.to_owned(), None)),
        _ => {}
    }
    if let Some(chat) = change.telegram_chat_id {
        let chat = chat.filter(|chat| !chat.is_empty());
        if chat.as_ref().is_some_and(|chat| !telegram::is_chat(chat)) {
            return Err(ApiError::field(CHAT, "a chat is a number, or @ and a name"));
        }
        changes.push((CHAT.to_owned(), chat.map(|chat| SettingValue::Plain(chat.into()))));
    }
    if let Some(enabled) = change.notifications_enabled {
        changes.push((ENABLED.to_owned(), enabled.map(|enabled| SettingValue::Plain(enabled.into()))));
    }
    call.api.catalog.set_settings(&changes, now())?;
    Ok(Json(read(call)?))
}

/// Whether the message went out.
#[derive(Debug, Serialize, JsonSchema)]
struct TestResult {
    success: bool,
    message: String,
}

fn test(call: &Call) -> Result<Json<TestResult>, ApiError> {
    let Some(SettingValue::Sealed(sealed)) = call.api.catalog.setting(TOKEN)? else {
        return Err(ApiError::field(TOKEN, "is not set; PUT /api/v1/settings sets it"));
    };
    let chat = read(call)?.telegram_chat_id;
    if chat.is_empty() {
        return Err(ApiError::field(CHAT, "is not set; PUT /api/v1/settings sets it"));
    }
    let token = call.api.vault.unseal(&context(TOKEN), &sealed).map_err(ApiError::internal)?;
    let token = std::str::from_utf8(&token).map_err(ApiError::internal)?;
    Ok(Json(match telegram::send(token, &chat, "Reelward: this is a test message.") {
        Ok(()) => TestResult { success: true, message: "Test notification sent successfully".into() },
        Err(error) => TestResult { success: false, message: crate::engine::chain(&error) },
    }))
}

fn restart(call: &Call) -> Result<Accepted<Status>, ApiError> {
    call.api.control.ask(Request::Restart);
    Ok(Accepted(Status { status: "restarting".into() }))
}
