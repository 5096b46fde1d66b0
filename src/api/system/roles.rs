//! Roles: what users and API keys may do.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::{Level, Permissions, Resource, Role};
use crate::api::call::{Call, Created, Json, Status};
use crate::api::endpoint::{Endpoint, delete, get, post, put};
use crate::api::error::{ApiError, Code};

pub(super) fn endpoints() -> Vec<Endpoint> {
    const U: Resource = Resource::Users;
    const A: Level = Level::Administer;
    vec![
        get("/api/v1/roles", "roles.list", "List roles").needs(U).answers(list),
        post("/api/v1/roles", "roles.create", "Make a role")
            .needs_level(U, A)
            .error(Code::Conflict)
            .takes(create),
        put("/api/v1/roles/{name}", "roles.update", "Change a role").needs_level(U, A).takes(update),
        delete("/api/v1/roles/{name}", "roles.delete", "Delete a role that nobody has")
            .needs_level(U, A)
            .error(Code::Conflict)
            .answers(remove),
    ]
}

/// A role.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Role")]
struct RoleBody {
    name: String,
    description: String,
    /// Resource to level; what is not named is not allowed.
    permissions: BTreeMap<Resource, Level>,
    /// Always there and as it is.
    built_in: bool,
}

impl From<Role> for RoleBody {
    fn from(role: Role) -> Self {
        RoleBody {
            name: role.name,
            description: role.description,
            permissions: role.permissions.into(),
            built_in: role.built_in,
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct RoleList {
    roles: Vec<RoleBody>,
}

fn list(call: &Call) -> Result<Json<RoleList>, ApiError> {
    let roles = call.api.access.accounts().roles()?.into_iter().map(RoleBody::from).collect();
    Ok(Json(RoleList { roles }))
}

fn role(call: &Call, name: &str) -> Result<RoleBody, ApiError> {
    let roles = call.api.access.accounts().roles()?;
    let found = roles.into_iter().find(|role| role.name == name);
    Ok(found.ok_or_else(|| ApiError::missing("role", name))?.into())
}

/// A role to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewRole {
    /// `a-z`, `0-9`, `-` and `_`.
    #[schemars(length(min = 1, max = 64))]
    name: String,
    #[serde(default)]
    description: String,
    /// Resource to level; what is not named is not allowed.
    permissions: BTreeMap<Resource, Level>,
}

fn create(call: &Call, new: NewRole) -> Result<Created<RoleBody>, ApiError> {
    let permissions = Permissions::from(new.permissions);
    let accounts = call.api.access.accounts();
    accounts.create_role(call.principal()?, &new.name, &new.description, &permissions)?;
    Ok(Created(role(call, &new.name)?))
}

/// What a role is from now on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RoleChange {
    /// Stays where it is left out.
    description: Option<String>,
    /// Resource to level; what is not named is not allowed.
    permissions: BTreeMap<Resource, Level>,
}

fn update(call: &Call, change: RoleChange) -> Result<Json<RoleBody>, ApiError> {
    let name = call.text("name");
    let known = role(call, name)?;
    let description = change.description.unwrap_or(known.description);
    let permissions = Permissions::from(change.permissions);
    call.api.access.accounts().update_role(call.principal()?, name, &description, &permissions)?;
    Ok(Json(role(call, name)?))
}

fn remove(call: &Call) -> Result<Json<Status>, ApiError> {
    let name = call.text("name");
    role(call, name)?;
    call.api.access.accounts().delete_role(call.principal()?, name)?;
    Ok(Status::ok("deleted"))
}
