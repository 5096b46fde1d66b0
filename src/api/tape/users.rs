//! Users and roles.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::access::{Level, NewUser, Resource, User, UserChange};
use crate::api::call::{Call, Created, Json, Made, Status};
use crate::api::endpoint::{Endpoint, delete, get, post, put};
use crate::api::error::{ApiError, Code};
use crate::api::work::time;

const U: Resource = Resource::Users;
const A: Level = Level::Administer;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/api/v1/users", "users.list", "List users").needs(U).answers(list),
        post("/api/v1/users", "users.create", "Make a user")
            .needs_level(U, A)
            .error(Code::Conflict)
            .takes(create),
        get("/api/v1/users/{id}", "users.get", "One user").needs(U).answers(one),
        put("/api/v1/users/{id}", "users.update", "Change a user")
            .needs_level(U, A)
            .error(Code::Conflict)
            .takes(update),
        delete("/api/v1/users/{id}", "users.delete", "Delete a user with their sessions and API keys")
            .needs_level(U, A)
            .error(Code::Conflict)
            .answers(remove),
        post("/api/v1/users/{id}/unlock", "users.unlock", "End a lock after too many wrong passwords")
            .needs_level(U, A)
            .answers(unlock),
    ]
}

/// A user.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "User")]
pub(in crate::api) struct UserBody {
    pub(super) id: i64,
    pub(super) username: String,
    /// `admin`, `operator`, `readonly`, or a role of the administrator's own making.
    pub(super) role: String,
    email: Option<String>,
    full_name: Option<String>,
    /// Whether they may sign in.
    is_active: bool,
    created_at: String,
    last_login_at: Option<String>,
    /// No sign-in before, after too many wrong passwords.
    locked_until: Option<String>,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        UserBody {
            id: user.id,
            username: user.username,
            role: user.role,
            email: user.email,
            full_name: user.full_name,
            is_active: user.is_active,
            created_at: time(user.created),
            last_login_at: user.last_login.map(time),
            locked_until: user.locked_until.map(time),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct UserList {
    users: Vec<UserBody>,
}

fn list(call: &Call) -> Result<Json<UserList>, ApiError> {
    let users = call.api.access.accounts().users()?.into_iter().map(UserBody::from).collect();
    Ok(Json(UserList { users }))
}

fn one(call: &Call) -> Result<Json<UserBody>, ApiError> {
    Ok(Json(call.api.access.accounts().user(call.id("id")?)?.into()))
}

/// A user to make.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewUserBody {
    /// Unique, case ignored: letters, digits and `. _ - @ +`.
    #[schemars(length(min = 1, max = 64))]
    username: String,
    #[schemars(length(min = 8, max = 1024))]
    password: String,
    /// `admin`, `operator`, `readonly`, or a role of the administrator's own making.
    role: String,
    email: Option<String>,
    full_name: Option<String>,
}

fn create(call: &Call, new: NewUserBody) -> Result<Made<Created<UserBody>>, ApiError> {
    let user = call.api.access.accounts().create_user(
        call.principal()?,
        &NewUser {
            username: new.username,
            password: Zeroizing::new(new.password),
            role: new.role,
            email: new.email.filter(|text| !text.is_empty()),
            full_name: new.full_name.filter(|text| !text.is_empty()),
        },
    )?;
    Ok(Made(user.id, Created(user.into())))
}

/// What may be changed about a user; what is left out stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UserChangeBody {
    role: Option<String>,
    /// Empty removes it.
    email: Option<String>,
    /// Empty removes it.
    full_name: Option<String>,
    /// `false` ends their sessions.
    is_active: Option<bool>,
    /// Ends their sessions.
    #[schemars(length(min = 8, max = 1024))]
    password: Option<String>,
}

fn update(call: &Call, change: UserChangeBody) -> Result<Json<UserBody>, ApiError> {
    let filled = |text: String| Some(text).filter(|text| !text.is_empty());
    let change = UserChange {
        role: change.role,
        email: change.email.map(filled),
        full_name: change.full_name.map(filled),
        is_active: change.is_active,
        password: change.password.map(Zeroizing::new),
    };
    Ok(Json(call.api.access.accounts().update_user(call.principal()?, call.id("id")?, &change)?.into()))
}

fn remove(call: &Call) -> Result<Json<Status>, ApiError> {
    call.api.access.accounts().delete_user(call.principal()?, call.id("id")?)?;
    Ok(Status::ok("deleted"))
}

fn unlock(call: &Call) -> Result<Json<Status>, ApiError> {
    call.api.access.accounts().unlock_user(call.principal()?, call.id("id")?)?;
    Ok(Status::ok("unlocked"))
}
