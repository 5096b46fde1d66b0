//! Calls in the audit log: what was asked before it is done, how it ended after.

use serde_json::{Map, Value};

use super::call::{Call, Reply};
use super::endpoint::Endpoint;
use super::error::ApiError;
use crate::access::{Action, AuditId, Outcome};

/// Bytes of a body that are kept.
const DETAILS: usize = 4096;
/// Fields whose content is never kept: whatever contains one of these words.
const SECRET: [&str; 6] = ["password", "token", "secret", "key_data", "identit", "passphrase"];
/// What a secret key begins with, wherever it stands.
const SECRET_KEY: &str = "AGE-SECRET-KEY-";

/// A call that stands in the log as begun.
pub(super) struct Recorded {
    id: AuditId,
}

/// Writes down that a call begins.
///
/// # Errors
/// The log cannot be written: then nothing is done.
pub(super) fn begin(endpoint: &Endpoint, call: &Call) -> Result<Recorded, ApiError> {
    let resource_id = call.parameters.first().map(|(_, value)| value.as_str());
    let action = Action {
        user_id: call.principal.as_ref().and_then(|principal| principal.user_id),
        username: &call.who(),
        action: endpoint.name,
        resource_type: singular(endpoint.group()),
        resource_id,
        details: details(&call.body),
        address: Some(call.address),
        request_id: Some(&call.request_id),
    };
    Ok(Recorded { id: call.api.audit.begin(&action)? })
}

/// Writes down how it ended.
pub(super) fn finish(call: &Call, recorded: Recorded, result: &Result<Reply, ApiError>) {
    let (outcome, made, details) = match result {
        Ok(reply) => (Outcome::Done, reply.resource.map(|id| id.to_string()), Value::Object(Map::new())),
        Err(error) => {
            let outcome =
                if error.code.status().is_server_error() { Outcome::Failed } else { Outcome::Refused };
            (outcome, None, serde_json::json!({ "error": error.code.as_str() }))
        }
    };
    if let Err(error) = call.api.audit.finish(recorded.id, outcome, made.as_deref(), &details) {
        tracing::error!(request = call.request_id, %error, "the end of a call could not be written to the audit log");
    }
}

/// `tapes` is about a `tape`.
fn singular(group: &str) -> &str {
    match group {
        "libraries" => "library",
        "sets" => "backup_set",
        group => group.strip_suffix('s').filter(|short| !short.ends_with('s')).unwrap_or(group),
    }
}

/// The body without its secrets.
fn details(body: &[u8]) -> Value {
    if body.len() > DETAILS {
        return serde_json::json!({ "body_bytes": body.len() });
    }
    match serde_json::from_slice(body) {
        Ok(value) => redacted(value),
        Err(_) => Value::Object(Map::new()),
    }
}

fn redacted(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(name, value)| {
                    let lower = name.to_ascii_lowercase();
                    let secret = SECRET.iter().any(|word| lower.contains(word));
                    let value = if secret { "***".into() } else { redacted(value) };
                    (name, value)
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(redacted).collect()),
        Value::String(text) if text.to_ascii_uppercase().contains(SECRET_KEY) => "***".into(),
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_kept() {
        let body = br#"{"name":"n","new_password":"p","nested":[{"telegram_bot_token":"t","KEY_DATA":"k"}],"identities":["i"],
            "note":"age-secret-key-1X"}"#;
        let text = details(body).to_string();
        assert_eq!(
            text,
            r#"{"identities":"***","name":"n","nested":[{"KEY_DATA":"***","telegram_bot_token":"***"}],"new_password":"***","note":"***"}"#
        );
    }

    #[test]
    fn groups_have_a_singular() {
        for (group, one) in
            [("tapes", "tape"), ("libraries", "library"), ("sets", "backup_set"), ("access", "access")]
        {
            assert_eq!(singular(group), one);
        }
    }
}
