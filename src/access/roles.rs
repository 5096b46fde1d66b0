//! Roles: the built-in three, and those of the administrator's own making.

use super::accounts::Accounts;
use super::{AccessError, Permissions, Principal, Result};
use crate::catalog::RoleRow;

/// The built-in role that may do everything.
pub const ADMIN: &str = "admin";
/// The built-in role of those who work with the appliance.
pub const OPERATOR: &str = "operator";
/// The built-in role of those who look.
pub const READONLY: &str = "readonly";

/// A role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Unique.
    pub name: String,
    /// For people.
    pub description: String,
    /// What it allows.
    pub permissions: Permissions,
    /// Whether it is always there and as it is.
    pub built_in: bool,
}

/// The built-in roles.
fn built_in() -> [(&'static str, &'static str, Permissions); 3] {
    [
        (ADMIN, "Everything", Permissions::admin()),
        (OPERATOR, "Runs backups, restores and devices", Permissions::operator()),
        (READONLY, "Looks at everything but users, keys and logs", Permissions::readonly()),
    ]
}

/// What a role allows, where there is one of this name. A row that cannot be read allows nothing.
pub(super) fn permissions_of(name: &str, rows: &[RoleRow]) -> Option<Permissions> {
    if let Some((_, _, permissions)) = built_in().into_iter().find(|(built_in, ..)| *built_in == name) {
        return Some(permissions);
    }
    let row = rows.iter().find(|row| row.name == name)?;
    Some(serde_json::from_str(&row.permissions).unwrap_or_default())
}

impl Accounts {
    /// All roles, the built-in ones first.
    pub fn roles(&self) -> Result<Vec<Role>> {
        let rows = self.catalog().roles()?;
        let own = rows.into_iter().map(|row| Role {
            permissions: serde_json::from_str(&row.permissions).unwrap_or_default(),
            name: row.name,
            description: row.description,
            built_in: false,
        });
        let built_in = built_in().into_iter().map(|(name, description, permissions)| Role {
            name: name.to_owned(),
            description: description.to_owned(),
            permissions,
            built_in: true,
        });
        Ok(built_in.chain(own).collect())
    }

    /// Makes a role; nobody can give more than they have.
    ///
    /// # Errors
    /// A name that is none or taken; rights that `by` has not.
    pub fn create_role(
        &self,
        by: &Principal,
        name: &str,
        description: &str,
        permissions: &Permissions,
    ) -> Result<()> {
        let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 64 || !name.chars().all(letter) {
            let reason = "must be 1 to 64 of a-z, 0-9, - and _".to_owned();
            return Err(AccessError::Invalid { field: "name", reason });
        }
        may_change(by, name, permissions)?;
        check_description(description)?;
        let created = self.now();
        let permissions = to_json(permissions)?;
        let description = description.to_owned();
        Ok(self.catalog().add_role(&RoleRow { name: name.to_owned(), description, permissions, created })?)
    }

    /// Changes a role; holds at once for everybody who has it.
    ///
    /// # Errors
    /// A built-in role, none of this name, rights that `by` has not.
    pub fn update_role(
        &self,
        by: &Principal,
        name: &str,
        description: &str,
        permissions: &Permissions,
    ) -> Result<()> {
        self.may_grant(by, name)?;
        may_change(by, name, permissions)?;
        check_description(description)?;
        Ok(self.catalog().change_role(name, description, &to_json(permissions)?)?)
    }

    /// Deletes a role that nobody has.
    ///
    /// # Errors
    /// A built-in role, none of this name, one in use.
    pub fn delete_role(&self, by: &Principal, name: &str) -> Result<()> {
        self.may_grant(by, name)?;
        may_change(by, name, &Permissions::none())?;
        Ok(self.catalog().delete_role(name)?)
    }

    /// What a role allows.
    ///
    /// # Errors
    /// No role has this name.
    pub fn permissions_of(&self, role: &str) -> Result<Permissions> {
        let unknown = || AccessError::Invalid { field: "role", reason: format!("no role {role}") };
        permissions_of(role, &self.catalog().roles()?).ok_or_else(unknown)
    }

    /// Refuses where `role` allows what `by` may not.
    pub(super) fn may_grant(&self, by: &Principal, role: &str) -> Result<()> {
        if by.permissions.covers(&self.permissions_of(role)?) {
            return Ok(());
        }
        Err(AccessError::Forbidden(format!("the role {role} allows more than your own")))
    }
}

fn check_description(text: &str) -> Result<()> {
    if text.len() > 1000 || text.chars().any(char::is_control) {
        let reason = "must be at most 1000 bytes without controls".to_owned();
        return Err(AccessError::Invalid { field: "description", reason });
    }
    Ok(())
}

fn may_change(by: &Principal, name: &str, permissions: &Permissions) -> Result<()> {
    if built_in().iter().any(|(built_in, ..)| *built_in == name) {
        return Err(AccessError::Forbidden(format!("the role {name} is built in")));
    }
    if !by.permissions.covers(permissions) {
        return Err(AccessError::Forbidden("a role cannot allow more than your own".to_owned()));
    }
    Ok(())
}

fn to_json(permissions: &Permissions) -> Result<String> {
    serde_json::to_string(permissions).map_err(|error| AccessError::Catalog(error.into()))
}
