//! Signing in and out, the own password, the own sessions, tickets for event streams.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::users::UserBody;
use crate::access::{AccessError, Level, PrincipalKind, Resource, Session, SignedIn};
use crate::api::call::{Call, Json, Status};
use crate::api::endpoint::{Counted, Draft, Endpoint, delete, get, post};
use crate::api::error::{ApiError, Code};
use crate::api::work::time;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        // Written to the audit log where it is decided, with the name of a user and not what was typed.
        signing(post("/api/v1/auth/login", "auth.login", "Sign in")).takes(login),
        signing(post("/api/v1/auth/refresh", "auth.refresh", "New tokens for a refresh token"))
            .takes(refresh),
        post("/api/v1/auth/logout", "auth.logout", "End the own session")
            .error(Code::Forbidden)
            .answers(logout),
        get("/api/v1/auth/me", "auth.me", "Who calls, and what they may do").answers(me),
        post(
            "/api/v1/auth/change-password",
            "auth.change_password",
            "Change the own password; other sessions end",
        )
        .counted(Counted::Authentication)
        .error(Code::Forbidden)
        .takes(change_password),
        get("/api/v1/auth/sessions", "auth.sessions", "Own sessions, or those of another user")
            .asks(sessions),
        delete("/api/v1/auth/sessions/{session}", "auth.end_session", "End a session").answers(end_session),
        post("/api/v1/auth/ticket", "auth.ticket", "A ticket for one event stream, good for 30 s")
            .unaudited()
            .answers(ticket),
    ]
}

/// Open to all, counted apart, and told in the audit log by access control itself.
fn signing(draft: Draft) -> Draft {
    draft
        .public()
        .counted(Counted::Authentication)
        .unaudited()
        .error(Code::Unauthorized)
        .error(Code::RateLimited)
}

/// Name and password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Login {
    username: String,
    password: String,
}

/// Tokens.
#[derive(Serialize, JsonSchema)]
struct Tokens {
    /// For `Authorization: Bearer`.
    token: String,
    /// The same.
    access_token: String,
    /// Good once, for the next tokens.
    refresh_token: String,
    /// `bearer`.
    token_type: &'static str,
    /// Seconds that the access token is good.
    expires_in: u64,
    user: UserBody,
}

impl From<SignedIn> for Tokens {
    fn from(signed_in: SignedIn) -> Self {
        Tokens {
            token: signed_in.access_token.clone(),
            access_token: signed_in.access_token,
            refresh_token: signed_in.refresh_token.to_string(),
            token_type: "bearer",
            expires_in: signed_in.expires_in.as_secs(),
            user: signed_in.user.into(),
        }
    }
}

fn login(call: &Call, body: Login) -> Result<Json<Tokens>, ApiError> {
    Ok(Json(call.api.access.sign_in(&body.username, &Zeroizing::new(body.password), call.address)?.into()))
}

/// A refresh token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Refresh {
    refresh_token: String,
}

fn refresh(call: &Call, body: Refresh) -> Result<Json<Tokens>, ApiError> {
    Ok(Json(call.api.access.refresh(&Zeroizing::new(body.refresh_token), call.address)?.into()))
}

fn logout(call: &Call) -> Result<Json<Status>, ApiError> {
    call.api.access.sign_out(call.principal()?)?;
    Ok(Status::ok("signed out"))
}

/// Who calls.
#[derive(Debug, Serialize, JsonSchema)]
struct Me {
    /// `session`, `api_key` or `local`.
    kind: &'static str,
    /// Name of the user or of the key.
    name: String,
    role: String,
    /// Resource to level; what is not named is not allowed.
    permissions: BTreeMap<Resource, Level>,
    /// The user; with an API key whoever made it.
    user: Option<UserBody>,
}

fn me(call: &Call) -> Result<Json<Me>, ApiError> {
    let principal = call.principal()?;
    let user = match principal.user_id {
        Some(id) => Some(call.api.access.accounts().user(id)?.into()),
        None => None,
    };
    Ok(Json(Me {
        kind: match principal.kind {
            PrincipalKind::Session(_) => "session",
            PrincipalKind::ApiKey(_) => "api_key",
            PrincipalKind::Local => "local",
        },
        name: principal.name.clone(),
        role: principal.role.clone(),
        permissions: (*principal.permissions).into(),
        user,
    }))
}

/// The present password and the next.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChangePassword {
    current_password: String,
    #[schemars(length(min = 8, max = 1024))]
    new_password: String,
}

fn change_password(call: &Call, body: ChangePassword) -> Result<Json<Status>, ApiError> {
    let principal = call.principal()?;
    let (current, new) = (Zeroizing::new(body.current_password), Zeroizing::new(body.new_password));
    match call.api.access.change_password(principal, &current, &new, call.address) {
        Ok(()) => Ok(Status::ok("changed")),
        // 401 would say that the token is no good.
        Err(AccessError::Refused) => Err(ApiError::field("current_password", "is wrong")),
        Err(AccessError::Invalid { field: "password", reason }) => {
            Err(ApiError::field("new_password", reason))
        }
        Err(error) => Err(error.into()),
    }
}

/// A session.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Session")]
struct SessionBody {
    id: String,
    user_id: i64,
    created_at: String,
    last_seen_at: String,
    /// When it ends unless it is refreshed.
    expires_at: String,
    /// Where it was last used from.
    ip_address: Option<String>,
    /// Whether it is the caller's.
    current: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct SessionList {
    sessions: Vec<SessionBody>,
}

/// Whose sessions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Whose {
    /// Another user's: needs `read` on `users`.
    user_id: Option<i64>,
}

fn sessions(call: &Call, whose: Whose) -> Result<Json<SessionList>, ApiError> {
    let principal = call.principal()?;
    let user = match (whose.user_id, principal.user_id) {
        (Some(asked), own) if own != Some(asked) => {
            let allowed = principal.may(Resource::Users, Level::Read);
            allowed.then_some(Some(asked)).ok_or_else(|| others(principal.name.as_str()))?
        }
        (_, own) => own,
    };
    let body = |session: Session| SessionBody {
        current: principal.session() == Some(&session.id),
        id: session.id,
        user_id: session.user_id,
        created_at: time(session.created),
        last_seen_at: time(session.last_seen),
        expires_at: time(session.expires),
        ip_address: session.address,
    };
    let sessions = call.api.access.sessions(user)?.into_iter().map(body).collect();
    Ok(Json(SessionList { sessions }))
}

fn others(name: &str) -> ApiError {
    ApiError::new(Code::Forbidden, format!("{name} may not look at or end sessions of others"))
}

fn end_session(call: &Call) -> Result<Json<Status>, ApiError> {
    let (principal, id) = (call.principal()?, call.text("session"));
    let all = call.api.access.sessions(None)?;
    let session = all.iter().find(|session| session.id == id);
    let session = session.ok_or_else(|| ApiError::missing("session", id))?;
    let own = principal.user_id == Some(session.user_id);
    if !own && !principal.may(Resource::Users, Level::Administer) {
        return Err(others(principal.name.as_str()));
    }
    call.api.access.revoke_session(id)?;
    Ok(Status::ok("ended"))
}

/// A ticket.
#[derive(Serialize, JsonSchema)]
struct Ticket {
    /// For `?ticket=` of an event stream; good once.
    ticket: String,
    /// Seconds that it is good.
    expires_in: u64,
}

fn ticket(call: &Call) -> Result<Json<Ticket>, ApiError> {
    let ticket = call.api.access.issue_ticket(call.principal()?)?;
    Ok(Json(Ticket { ticket, expires_in: 30 }))
}
